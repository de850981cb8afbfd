package check_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/check"
)

// panicking is a Watcher that panics, each time that it is begun.
type panicking struct{ check.CheckerFunc }

func (panicking) Watch(context.Context, func(check.Report, error)) error { panic("oops\nagain") }

// TestCheckersMayPanic: that takes their servers out, not the process down, wherever they run.
func TestCheckersMayPanic(t *testing.T) {
	oops := check.CheckerFunc(func(context.Context) error { panic("oops\nagain") })
	for name, c := range map[string]check.Checker{"a checker": oops, "one of several": check.All(oops, oops), "a Watcher": panicking{oops}} {
		synctest.Test(t, func(t *testing.T) {
			m, _ := watch(t, check.Probe{ID: "a", Checker: c, Policy: check.Policy{DelayLoop: time.Second, Warmup: -1}})
			time.Sleep(5 * time.Second)
			s := m.Status()["a"]
			if s.Up || s.Checks < 2 || s.Last.Err == nil || !strings.Contains(s.Last.Err.Error(), "the check panicked: oops again") || strings.Contains(s.Last.Err.Error(), "\n") {
				t.Errorf("%s: %+v", name, s)
			}
		})
	}
}

// tardy is a Watcher that counts how often it is begun.
type tardy struct {
	check.CheckerFunc
	begun *atomic.Int32
}

func (w tardy) Watch(ctx context.Context, tell func(check.Report, error)) error {
	w.begun.Add(1)
	tell(check.Report{}, nil)
	<-ctx.Done()
	return ctx.Err()
}

// TestSuspendedWhileItRuns: nobody is asked until that is taken away, also when a check or a Watch was under way at the time.
func TestSuspendedWhileItRuns(t *testing.T) {
	var asked, begun atomic.Int32
	slow := check.CheckerFunc(func(ctx context.Context) error {
		asked.Add(1)
		<-ctx.Done()
		return ctx.Err()
	})
	for name, p := range map[string]struct {
		checker check.Checker
		count   *atomic.Int32
	}{"a check": {slow, &asked}, "a Watch": {tardy{slow, &begun}, &begun}} {
		synctest.Test(t, func(t *testing.T) {
			probe := check.Probe{ID: "a", Checker: p.checker, Policy: check.Policy{DelayLoop: time.Second, Timeout: 5 * time.Second, Warmup: -1}}
			m, said := watch(t, probe)
			time.Sleep(2 * time.Second)
			set := func(suspended bool) {
				probe.Suspended = suspended
				if err := m.Set([]check.Probe{probe}); err != nil {
					t.Fatal(err)
				}
			}
			set(true)
			time.Sleep(time.Hour)
			if n := p.count.Load(); n != 1 {
				t.Errorf("%s: begun %d times", name, n)
			}
			want(t, said())
			set(false)
			time.Sleep(2 * time.Second)
			if n := p.count.Load(); n != 2 {
				t.Errorf("%s: then begun %d times", name, n)
			}
		})
	}
}
