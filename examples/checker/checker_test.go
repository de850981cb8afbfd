package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
)

// replica is a server that answers with a text.
func replica(t *testing.T, answer string) check.Checker {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, answer) }))
	t.Cleanup(s.Close)
	return Lag{URL: s.URL, Most: 10 * time.Second}
}

// TestContract: Lag does what every checker must.
func TestContract(t *testing.T) {
	checktest.TestChecker(t,
		func(t *testing.T) check.Checker { return replica(t, "2.5") },
		func(t *testing.T) check.Checker { return replica(t, "11") },
		func(t *testing.T) check.Checker {
			s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
			t.Cleanup(s.Close)
			return Lag{URL: s.URL, Most: 10 * time.Second}
		})
}

// TestVerdicts: what comes of which answer.
func TestVerdicts(t *testing.T) {
	for answer, want := range map[string]string{
		"0": "100%", "2.5": "75%", "10": "0%", "10.1": "10.1s behind, at most 10s are well", "": "no number of seconds", "soon": "no number of seconds",
	} {
		r, err := replica(t, answer).(Lag).Report(t.Context())
		if got := r.Weight.String(); err == nil && got != want {
			t.Errorf("%q: weight %s, want %s", answer, got, want)
		}
		if err != nil && !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", answer, err, want)
		}
	}
}

// TestThreeTimesInARow: the policy, in virtual time and without a network. Two hours take no time.
func TestThreeTimesInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var server checktest.Script
		probe := probes(10*time.Second, []string{"replica"})[0]
		probe.Checker, probe.Policy.Warmup = &server, -1
		_, said := checktest.Run(t, probe)
		time.Sleep(2 * time.Hour) // checks at 1 s, 3 s, 5 s, ...
		server.Down()
		time.Sleep(4 * time.Second) // twice
		server.Up()
		time.Sleep(time.Hour)
		if got := said(); len(got) != 0 {
			t.Fatalf("behind twice, and %q", got)
		}
		server.Down()
		time.Sleep(time.Minute)
		if got, want := said(), []string{"3h0m9s replica DOWN"}; !slices.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}
