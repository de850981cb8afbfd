package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// web is a server that says its name, and whose application can be gone while it still listens.
func web(t *testing.T, name string) (addr string, sick *atomic.Bool) {
	sick = new(atomic.Bool)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if sick.Load() {
			http.Error(w, "the application is gone", http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, name)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), sick
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// ask makes a new connection for each request, as new clients do.
func ask(addr string) string {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + addr + "/")
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return strings.TrimSpace(string(body))
}

func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !met(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("not within 20 s: " + what)
		}
	}
}

// TestSickServerIsLeftOut: both servers get clients; the one whose application is gone gets none, and comes back.
func TestSickServerIsLeftOut(t *testing.T) {
	one, sick := web(t, "one")
	two, _ := web(t, "two")
	listen, status := freePort(t), freePort(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- run(ctx, listen, "/", status, false, []string{one, two}) }()
	both := func() bool {
		seen := map[string]bool{}
		for range 8 {
			seen[ask(listen)] = true
		}
		return seen["one"] && seen["two"] && len(seen) == 2
	}
	eventually(t, "both servers answer", both)
	sick.Store(true)
	eventually(t, "only the other one answers", func() bool {
		for range 8 {
			if ask(listen) != "two" {
				return false
			}
		}
		return true
	})
	eventually(t, "the status says so", func() bool { return strings.Contains(ask(status), "502") })
	sick.Store(false)
	eventually(t, "both servers answer again", both)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if answer := ask(listen); !strings.Contains(answer, "refused") {
		t.Errorf("after the end: %s", answer)
	}
}

func TestBadAddresses(t *testing.T) {
	for _, c := range [][]string{{"nowhere", "127.0.0.1:1"}, {"127.0.0.1:1", "nowhere"}} {
		if err := run(t.Context(), c[0], "/", "", false, c[1:]); err == nil {
			t.Errorf("%v is accepted", c)
		}
	}
}
