package check_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
)

func TestSeveral(t *testing.T) {
	up, down := &checktest.Script{}, &checktest.Script{}
	down.Down()
	hang := check.CheckerFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	unsure := check.CheckerFunc(func(context.Context) error { return fmt.Errorf("no socket: %w", check.ErrInconclusive) })
	for name, c := range map[string]struct {
		checker check.Checker
		want    string
		unsure  bool
	}{
		"all":                               {check.All(up, up), "", false},
		"all but one":                       {check.All(up, down), "server is down", false},
		"any":                               {check.Any(down, up), "", false},
		"none":                              {check.Any(down, down), "2 of 2 checks are not well, and 1 must be: server is down; server is down", false},
		"two of three":                      {check.AtLeast(2, up, down, up), "", false},
		"one of three":                      {check.AtLeast(2, up, down, down), "2 of 3 checks are not well, and 2 must be", false},
		"enough without the one that hangs": {check.AtLeast(1, up, hang), "", false},
		"lost without the one that hangs":   {check.All(down, hang), "server is down", false},
		"one could not be made":             {check.All(up, unsure), "no socket", true},
		"one could not, and none is needed": {check.Any(up, unsure), "", false},
		"nested":                            {check.All(check.Any(down, up), up), "", false},
		"too many are wanted":               {check.AtLeast(3, up, up), "3 of 2 checks", false},
		"none at all":                       {check.Any(), "1 of 0 checks", false},
	} {
		err := c.checker.Check(t.Context())
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || errors.Is(err, check.ErrInconclusive) != c.unsure {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	checktest.TestChecker(t, func(*testing.T) check.Checker { return check.All(up, up) }, func(*testing.T) check.Checker { return check.All(up, down) },
		func(*testing.T) check.Checker { return check.All(up, hang) })
}

// TestHeartbeat: what is said is known at once, and silence when its time has come.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := check.NewHeartbeat(3 * time.Second)
		var told []string
		start := time.Now()
		m := check.NewMonitor(check.Options{OnTransition: func(tr check.Transition) {
			told = append(told, fmt.Sprintf("%v %v %v", time.Since(start), tr.Up, tr.Err))
		}})
		if err := m.Set([]check.Probe{{ID: "h", Checker: h, Alpha: true, Policy: check.Policy{AtOnce: true}}}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { m.Run(ctx); close(done) }()
		time.Sleep(time.Second)
		for range 3 {
			h.Beat(nil) // at 1, 3 and 5 s
			time.Sleep(2 * time.Second)
		}
		time.Sleep(3 * time.Second) // 10 s
		h.Beat(nil)
		time.Sleep(time.Second)
		h.Beat(errors.New("disk full"))
		time.Sleep(time.Second)
		cancel()
		<-done
		want := "1s true <nil>, 8s false nothing heard for 3s, 10s true <nil>, 11s false disk full"
		if got := strings.Join(told, ", "); got != want {
			t.Errorf("told %s\nwant %s", got, want)
		}
	})
}
