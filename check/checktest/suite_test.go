package checktest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/check"
)

type fn = check.CheckerFunc

// reporter has one opinion in Check and another in Report.
type reporter struct{ fn }

func (reporter) Report(context.Context) (check.Report, error) { return check.Report{}, errDown }

var errDown = errors.New("down")

// keyer counts its checks in its key.
type keyer struct {
	fn
	n *int
}

func (k keyer) Check(context.Context) error { *k.n++; return nil }
func (k keyer) Key() string                 { return strings.Repeat("x", *k.n) }

// watcher does as its function does.
type watcher struct {
	fn
	watch func(ctx context.Context, tell func(check.Report, error)) error
}

func (w watcher) Watch(ctx context.Context, tell func(check.Report, error)) error {
	return w.watch(ctx, tell)
}

// TestTheSuiteFindsWhatIsWrong: for each clause of the contract there is somebody who breaks it.
func TestTheSuiteFindsWhatIsWrong(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) }) // those that run in parallel have ended then
	well, failing := fn(func(context.Context) error { return nil }), fn(func(context.Context) error { return errDown })
	deaf := fn(func(context.Context) error { <-release; return nil })
	calls := 0
	once := fn(func(context.Context) error {
		if calls++; calls > 1 {
			return errDown
		}
		return nil
	})
	for _, c := range []struct {
		name  string
		holds func(check.Checker) error
		c     check.Checker
		says  string
	}{
		{"works once", reusable, once, "check 2 of a server that is well: down"},
		{"always well", tellsWhy, well, "a server that is down passes"},
		{"no reason", tellsWhy, fn(func(context.Context) error { return errors.New("") }), "the reason is empty"},
		{"never its fault", tellsWhy, fn(func(context.Context) error { return check.ErrInconclusive }), "no failure of the check"},
		{"waits when its context has ended", endsAtOnce, deaf, "still runs"},
		{"leaves a goroutine", leavesNothing, fn(func(context.Context) error { go func() { <-release }(); return nil }), "goroutines"},
		{"leaves a goroutine when it is late", silentLeavesNothing, fn(func(ctx context.Context) error { go func() { <-release }(); <-ctx.Done(); return ctx.Err() }), "goroutines"},
		{"two opinions", reportsTheSame, reporter{well}, "Check says <nil>, Report down"},
		{"another key", keepsItsKey, keyer{well, new(int)}, "and is"},
		{"tells nothing", watches, watcher{well, func(ctx context.Context, _ func(check.Report, error)) error { <-ctx.Done(); return nil }}, "nothing at once"},
		{"ends", watches, watcher{well, func(context.Context, func(check.Report, error)) error { return errDown }}, "ended by itself"},
		{"does not end", watches, watcher{well, func(_ context.Context, tell func(check.Report, error)) error {
			tell(check.Report{}, nil)
			<-release
			return nil
		}}, "does not end with its context"},
		{"tells otherwise", watches, watcher{well, func(_ context.Context, tell func(check.Report, error)) error {
			tell(check.Report{}, errDown)
			return nil
		}}, "Watch tells: down"},
		{"deaf", timesOut, deaf, "still runs"},
		{"deaf to cancel", cancels, deaf, "still runs"},
		{"silence is well", timesOut, fn(func(ctx context.Context) error { <-ctx.Done(); return nil }), "says nothing passes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.says != "goroutines" { // they are counted in the whole process: nobody else may end any meanwhile
				t.Parallel()
			}
			if err := c.holds(c.c); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
	if err := sideBySide(well, failing); err != nil {
		t.Error(err)
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Script
		m, said := Run(t, check.Probe{ID: "web", Checker: &s, Policy: check.Policy{DelayLoop: 10 * time.Second, Retry: 2, Warmup: -1}})
		time.Sleep(time.Hour)
		s.Down()
		time.Sleep(time.Minute)
		if got := strings.Join(said(), ", "); got != "1h0m3s web DOWN" || m.Status()["web"].Up {
			t.Errorf("said %q", got)
		}
	})
}
