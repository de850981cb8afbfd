package check_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
)

// watch runs a Monitor in a bubble.
func watch(t *testing.T, probes ...check.Probe) (m *check.Monitor, said func() []string) {
	t.Helper()
	return checktest.Run(t, probes...)
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !reflect.DeepEqual(append([]string{}, got...), append([]string{}, want...)) {
		t.Fatalf("heard %q, want %q", got, want)
	}
}

// strict has no randomness: the first check comes after one second.
var strict = check.Policy{DelayLoop: 6 * time.Second, Retry: 2, DelayBeforeRetry: 3 * time.Second, Timeout: 4 * time.Second, Warmup: -1}

func TestDownNeedsTheRetriesUpNeedsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s checktest.Script
		_, said := watch(t, check.Probe{ID: "a", Checker: &s, Policy: strict})
		time.Sleep(2 * time.Second) // checked at 1 s
		s.Down()
		time.Sleep(10 * time.Second) // failed at 7 s and 10 s
		want(t, said())
		time.Sleep(2 * time.Second)
		want(t, said(), "13s a DOWN")
		time.Sleep(4 * time.Second) // down: one attempt a loop, the next at 19 s
		s.Up()
		time.Sleep(9 * time.Second)
		want(t, said(), "19s a UP")
		s.Down()
		time.Sleep(4 * time.Second) // failed once
		s.Up()
		time.Sleep(time.Minute)
		want(t, said()) // one failure among successes is nothing
	})
}

func TestFirstResultDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down, alpha checktest.Script
		down.Down()
		m, said := watch(t, check.Probe{ID: "down", Checker: &down, Policy: strict}, check.Probe{ID: "alpha", Checker: &alpha, Policy: strict, Alpha: true})
		if s := m.Status(); !s["down"].Up || s["alpha"].Up || s["down"].Checked {
			t.Fatalf("before the first check: %+v", s)
		}
		time.Sleep(1500 * time.Millisecond)
		got := strings.Join(said(), ", ")
		if !strings.Contains(got, "1s down DOWN") || !strings.Contains(got, "1s alpha UP") {
			t.Fatalf("heard %s", got)
		}
	})
}

func TestRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s checktest.Script
		s.Down()
		p := strict
		p.Rise = 3
		_, said := watch(t, check.Probe{ID: "a", Checker: &s, Policy: p})
		time.Sleep(2 * time.Second)
		s.Up()
		time.Sleep(20 * time.Second)
		want(t, said(), "1s a DOWN", "19s a UP")
	})
}

// TestDetectionKeepsItsPromise: a server that falls silent at the worst moment is out exactly when the arithmetic says.
func TestDetectionKeepsItsPromise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent atomic.Bool
		c := check.CheckerFunc(func(ctx context.Context) error {
			if !silent.Load() {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		_, said := watch(t, check.Probe{ID: "a", Checker: c, Policy: strict})
		time.Sleep(time.Second)
		synctest.Wait()
		silent.Store(true)
		time.Sleep(time.Minute)
		want(t, said(), fmt.Sprint(time.Second+strict.Detection(), " a DOWN"))
		if got, want := strict.Arithmetic(), "6s delay loop + 4s timeout + 2 x (3s before retry + 4s timeout) = 24s"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

func TestSetKeepsWhatIsUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a, b, c checktest.Script
		a.Down()
		probe := func(id string, s *checktest.Script) check.Probe {
			return check.Probe{ID: id, Checker: s, Policy: strict}
		}
		m, said := watch(t, probe("a", &a), probe("b", &b))
		time.Sleep(2 * time.Second)
		want(t, said(), "1s a DOWN")
		c.Down()
		if err := m.Set([]check.Probe{probe("a", &a), probe("c", &c)}); err != nil {
			t.Fatal(err)
		}
		calls := b.Calls()
		time.Sleep(5500 * time.Millisecond) // a is checked at 7 s as before; c, added late, fails at 3 s and 6 s
		want(t, said())
		if a.Calls() != 2 || b.Calls() != calls {
			t.Fatalf("a was checked %d times, b %d times more", a.Calls(), b.Calls()-calls)
		}
		time.Sleep(2 * time.Second)
		want(t, said(), "9s c DOWN")
		if s := m.Status(); len(s) != 2 || s["a"].Up || !errors.Is(s["a"].Last.Err, checktest.ErrDown) {
			t.Fatalf("%+v", s)
		}
		if err := m.Set([]check.Probe{probe("a", &a), probe("a", &a)}); err == nil || len(m.Status()) != 2 {
			t.Fatalf("an ID twice: %v, %d probes", err, len(m.Status()))
		}
	})
}

// TestStuckCheckerDelaysNobody, nor does a host application that hangs in its callback.
func TestStuckCheckerDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		stuck := check.CheckerFunc(func(context.Context) error { <-release; return nil })
		var s checktest.Script
		m := check.NewMonitor(check.Options{OnTransition: func(check.Transition) { <-release }})
		s.Down()
		if err := m.Set([]check.Probe{{ID: "stuck", Checker: stuck, Policy: strict}, {ID: "a", Checker: &s, Policy: strict}}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := s.Calls(); got != 10 {
			t.Fatalf("%d checks in a minute, want 10", got)
		}
		close(release)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// TestTenThousandProbes start spread, with few at once, and end without a goroutine left.
func TestTenThousandProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		var probes []check.Probe
		var calls atomic.Int64
		server := func(context.Context) error { calls.Add(1); time.Sleep(10 * time.Millisecond); return nil }
		for i := range 10000 {
			probes = append(probes, check.Probe{ID: fmt.Sprint(i), Checker: check.CheckerFunc(server), Policy: check.Policy{DelayLoop: 10 * time.Second}})
		}
		m := check.NewMonitor(check.Options{MaxConcurrent: 100, Rand: rand.New(rand.NewPCG(1, 2))})
		if err := m.Set(probes); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		most := 0
		for range 11*20 + 1 {
			time.Sleep(50 * time.Millisecond)
			most = max(most, runtime.NumGoroutine()-before)
		}
		if n := calls.Load(); n < 10000 || most > 110 {
			t.Fatalf("%d checks in 11 s, up to %d goroutines", n, most)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestPolicyValidate(t *testing.T) {
	m := check.NewMonitor(check.Options{})
	for _, p := range []check.Probe{
		{Checker: &checktest.Script{}},
		{ID: "no checker"},
		{ID: "negative", Checker: &checktest.Script{}, Policy: check.Policy{Retry: -1}},
	} {
		if err := m.Set([]check.Probe{p}); err == nil {
			t.Errorf("%+v was accepted", p)
		}
	}
}
