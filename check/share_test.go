package check_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
)

// asked counts the questions about each server.
type asked struct {
	mu    sync.Mutex
	calls map[string]int
	down  map[string]bool
}

func (a *asked) ask(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls[name]++
	if a.down[name] {
		return errors.New("down")
	}
	return nil
}

func (a *asked) of(name string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[name]
}

func (a *asked) set(name string, down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down[name] = down
}

// byValue is a checker that Go can compare; byKey is one that it cannot.
type byValue struct {
	*asked
	name string
}

func (c byValue) Check(context.Context) error { return c.ask(c.name) }

type byKey struct {
	*asked
	names []string
}

func (c byKey) Check(context.Context) error { return c.ask(c.names[0]) }
func (c byKey) Key() string                 { return fmt.Sprint(c.names) }

// TestProbesThatAskTheSameShareOneCheck, and everybody hears of it.
func TestProbesThatAskTheSameShareOneCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asked{calls: map[string]int{}, down: map[string]bool{}}
		probe := func(id string, c check.Checker) check.Probe { return check.Probe{ID: id, Checker: c, Policy: strict} }
		other := probe("other policy", byValue{a, "v"})
		other.Policy.DelayLoop = time.Hour
		list := []check.Probe{
			probe("v1", byValue{a, "v"}), probe("v2", byValue{a, "v"}), probe("k1", byKey{a, []string{"k"}}), probe("k2", byKey{a, []string{"k"}}),
			probe("alone", byValue{a, "alone"}), other,
		}
		m, said := watch(t, list...)
		time.Sleep(2 * time.Second)
		if v, k, alone := a.of("v"), a.of("k"), a.of("alone"); v != 2 || k != 1 || alone != 1 {
			t.Fatalf("asked %d, %d and %d times", v, k, alone)
		}
		if s := m.Stats(); s.Probes != 6 || s.Distinct != 4 || s.Checks != 4 {
			t.Errorf("%+v", s)
		}
		a.set("v", true)
		time.Sleep(12 * time.Second)
		want(t, said(), "13s v1 DOWN", "13s v2 DOWN")

		// One who comes later hears at once what is known already.
		if err := m.Set(append(list, probe("v3", byValue{a, "v"}))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := m.Status(); s["v3"].Up || !s["v3"].Checked {
			t.Errorf("%+v", s["v3"])
		}
		want(t, said(), "13s v3 DOWN") // the time of the check that found it

		// Those who are left go on; one who asks something else keeps its verdict until that is answered.
		calls := a.of("v")
		if err := m.Set([]check.Probe{probe("v1", byValue{a, "w"}), probe("v2", byValue{a, "v"})}); err != nil {
			t.Fatal(err)
		}
		if m.Status()["v1"].Up {
			t.Error("another question, and it is up before the answer")
		}
		time.Sleep(time.Second)
		want(t, said(), "15s v1 UP")
		if a.of("v") != calls {
			t.Error("the check of those who are left was not left alone")
		}
		a.set("v", false)
		time.Sleep(10 * time.Second)
		want(t, said(), "19s v2 UP")
	})
}

// TestReload has keepalived's rules for checks that stay: they keep what they know.
func TestReload(t *testing.T) {
	set := func(t *testing.T, m *check.Monitor, c check.Checker, p check.Policy) {
		t.Helper()
		if err := m.Set([]check.Probe{{ID: "a", Checker: c, Policy: p}}); err != nil {
			t.Fatal(err)
		}
	}
	patient := strict
	patient.Retry = 5
	t.Run("FailuresCountOn", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var s checktest.Script
			m, said := watch(t, check.Probe{ID: "a", Checker: &s, Policy: patient})
			time.Sleep(2 * time.Second)
			s.Down()
			time.Sleep(12 * time.Second) // failed at 7, 10 and 13 s
			set(t, m, &s, strict)        // one more than the new policy takes
			time.Sleep(3 * time.Second)
			want(t, said(), "16s a DOWN")
		})
	})
	t.Run("PlaceInTheSchedule", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var s checktest.Script
			long := strict
			long.DelayLoop = time.Hour
			m, _ := watch(t, check.Probe{ID: "a", Checker: &s, Policy: long})
			time.Sleep(2 * time.Second)
			set(t, m, &s, long)
			time.Sleep(time.Minute)
			if n := s.Calls(); n != 1 {
				t.Fatalf("unchanged, and asked %d times", n)
			}
			set(t, m, &s, strict) // more often: it does not wait for the old interval
			time.Sleep(7 * time.Second)
			if n := s.Calls(); n != 2 {
				t.Fatalf("asked %d times", n)
			}
		})
	})
	t.Run("AnotherQuestionOfOneThatIsUp", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var s, other checktest.Script
			m, said := watch(t, check.Probe{ID: "a", Checker: &s, Policy: strict})
			time.Sleep(2 * time.Second)
			other.Down()
			set(t, m, &other, strict)
			time.Sleep(10 * time.Second)
			want(t, said(), "9s a DOWN") // 3, 6 and 9 s: it needs its retries
		})
	})
	t.Run("WhileItRuns", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			slow := checktest.Script{Takes: 3 * time.Second}
			slow.Down()
			var other checktest.Script
			m, said := watch(t, check.Probe{ID: "a", Checker: &slow, Policy: strict})
			time.Sleep(2 * time.Second)
			set(t, m, &other, strict)
			time.Sleep(2 * time.Second)
			want(t, said()) // what the old one found does not count
			if slow.Calls() != 0 || other.Calls() != 1 {
				t.Errorf("asked %d and %d times", slow.Calls(), other.Calls())
			}
		})
	})
}

// TestSetIsCheapWhereNothingChanges.
func TestSetIsCheapWhereNothingChanges(t *testing.T) {
	m := check.NewMonitor(check.Options{})
	var probes []check.Probe
	for i := range 1000 {
		probes = append(probes, check.Probe{ID: fmt.Sprint(i), Checker: byValue{nil, fmt.Sprint(i)}, Policy: strict})
	}
	if err := m.Set(probes); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() { _ = m.Set(probes) }); n > 100 {
		t.Errorf("%v allocations for 1000 probes of which none changed", n)
	}
}

// TestStuckCheckIsReportedAndTakesNoSlot.
func TestStuckCheckIsReportedAndTakesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		release := make(chan struct{})
		var calls atomic.Int32
		stuck := check.CheckerFunc(func(context.Context) error {
			if calls.Add(1) == 2 {
				<-release
			}
			return nil
		})
		log, lines := checktest.Log()
		var said atomic.Value
		m := check.NewMonitor(check.Options{MaxConcurrent: 1, Logger: log, OnTransition: func(tr check.Transition) {
			if tr.ID == "stuck" {
				said.Store(fmt.Sprint(tr.At.Sub(begin), " ", tr))
			}
		}})
		var s checktest.Script
		if err := m.Set([]check.Probe{{ID: "stuck", Checker: stuck, Policy: strict}, {ID: "a", Checker: &s, Policy: strict}}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		// It starts at 7 s; after 4 s of timeout and 5 s of grace it is stuck, which counts as a failure, and so on at each retry.
		if got, want := said.Load(), "22s stuck DOWN: the check ignores that its time is over, and still runs (3 attempts)"; got != want {
			t.Errorf("%v, want %v", got, want)
		}
		if s := m.Stats(); s.Stuck != 1 || s.Running != 0 {
			t.Errorf("%+v", s)
		}
		if n := s.Calls(); n < 8 || calls.Load() != 2 {
			t.Errorf("the other was asked %d times, the stuck one %d times", n, calls.Load())
		}
		close(release)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !m.Status()["stuck"].Up || m.Stats().Stuck != 0 {
			t.Errorf("it came back, and is %+v", m.Status()["stuck"])
		}
		if n := count(lines(), "WARN check is stuck probe=stuck"); n != 1 {
			t.Errorf("%d log lines:\n%q", n, lines())
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// TestRunLeavesAStuckCheckBehind rather than never to end.
func TestRunLeavesAStuckCheckBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		m := check.NewMonitor(check.Options{})
		stuck := check.CheckerFunc(func(context.Context) error { <-release; return nil })
		if err := m.Set([]check.Probe{{ID: "stuck", Checker: stuck, Policy: strict}}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(2 * time.Second)
		cancel()
		begin := time.Now()
		if err := <-done; err != nil || time.Since(begin) > 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func count(lines []string, want string) (n int) {
	for _, l := range lines {
		if l == want {
			n++
		}
	}
	return n
}

// TestPanicTakesOutOneServer, not the process.
func TestPanicTakesOutOneServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := check.CheckerFunc(func(context.Context) error { panic("a bug") })
		m, said := watch(t, check.Probe{ID: "a", Checker: broken, Policy: strict})
		time.Sleep(2 * time.Second)
		want(t, said(), "1s a DOWN")
		if s := m.Status()["a"]; s.Last.Err == nil || s.Last.Err.Error() == "" {
			t.Errorf("%+v", s)
		}
	})
}

// TestInconclusiveChecksSayNothing of the server: neither up nor down, and no retry sooner.
func TestInconclusiveChecksSayNothing(t *testing.T) {
	for _, err := range []error{fmt.Errorf("no key: %w", check.ErrInconclusive), fmt.Errorf("socket: %w", syscall.EMFILE)} {
		at, said := times(t, check.Probe{Policy: strict}, 30*time.Second, 0, nil, err, err, err, errNo, errNo, errNo)
		wantTimes(t, at, 1, 7, 13, 19, 25, 28)
		want(t, said)
	}
}

// TestOutOfDescriptors: fewer checks run at once, and more again when it is over; the log says it once.
func TestOutOfDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 40 // descriptors
		open := 0
		var mu sync.Mutex
		server := func(context.Context) error {
			mu.Lock()
			if open >= most {
				mu.Unlock()
				return syscall.EMFILE
			}
			open++
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			open--
			mu.Unlock()
			return nil
		}
		log, lines := checktest.Log()
		m := check.NewMonitor(check.Options{MaxConcurrent: 200, Logger: log})
		var probes []check.Probe
		for i := range 400 {
			probes = append(probes, check.Probe{ID: fmt.Sprint(i), Checker: check.CheckerFunc(server), Policy: check.Policy{DelayLoop: time.Second, Warmup: -1}})
		}
		if err := m.Set(probes); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(30 * time.Second)
		before := m.Stats()
		time.Sleep(30 * time.Second)
		after := m.Stats()
		if after.Limit > 2*most || after.Failures != 0 || after.Late == 0 {
			t.Errorf("%+v", after)
		}
		if bad, all := after.Inconclusive-before.Inconclusive, after.Checks-before.Checks; bad*10 > all || all < 30*most*7 {
			t.Errorf("%d of %d checks found no descriptor in half a minute", bad, all)
		}
		if n := count(lines(), "WARN checks are late: more are due than may run at once, intervals stretch"); n > 1 {
			t.Errorf("%d lines", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// closing is a checker that holds something.
type closing struct {
	checktest.Script
	closed atomic.Int32
}

func (c *closing) Close() error { c.closed.Add(1); return nil }

// TestCheckersAreClosed once nobody uses them, after their check has ended, and when Run ends.
func TestCheckersAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a, b closing
		probe := func(id string, c check.Checker, p check.Policy) check.Probe {
			return check.Probe{ID: id, Checker: c, Policy: p}
		}
		other := strict
		other.Retry = 7
		m := check.NewMonitor(check.Options{})
		set := func(probes ...check.Probe) {
			t.Helper()
			if err := m.Set(probes); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		set(probe("1", &a, strict), probe("2", &a, other), probe("3", &b, strict))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(2 * time.Second)
		set(probe("1", &a, other), probe("3", &b, strict))
		if a.closed.Load() != 0 {
			t.Error("closed while it is in use")
		}
		set(probe("3", &b, strict))
		if a.closed.Load() != 1 {
			t.Error("not closed")
		}
		cancel()
		if err := <-done; err != nil || a.closed.Load() != 1 || b.closed.Load() != 1 {
			t.Errorf("%v, closed %d and %d times", err, a.closed.Load(), b.closed.Load())
		}
	})
}

// handle is a closing checker of which there are several that ask the same.
type handle struct {
	closing
	question string
}

func (h *handle) Key() string { return h.question }

// TestOnlyTheCheckerInUseIsClosed: of equal ones the first goes on, whatever is set later, and it alone is closed.
func TestOnlyTheCheckerInUseIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := strict
		other.Retry = 7
		var made []*handle
		m := check.NewMonitor(check.Options{})
		set := func(policies ...check.Policy) {
			t.Helper()
			var probes []check.Probe
			for i, p := range policies {
				h := &handle{question: "q"}
				made = append(made, h)
				probes = append(probes, check.Probe{ID: fmt.Sprint(i), Checker: h, Policy: p})
			}
			if err := m.Set(probes); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Second)
		}
		set(strict)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		set(strict)        // replaced
		set(other)         // under another policy
		set(strict, other) // by two probes, each in its own way
		before := made[0].Calls()
		set(other)
		if made[0].Calls() == before {
			t.Error("the first one is not asked any more")
		}
		for i, h := range made {
			if i > 0 && h.Calls() != 0 || h.closed.Load() != 0 {
				t.Errorf("%d: asked %d times, closed %d times", i, h.Calls(), h.closed.Load())
			}
		}
		cancel()
		if err := <-done; err != nil || made[0].closed.Load() != 1 {
			t.Errorf("%v, closed %d times", err, made[0].closed.Load())
		}
	})
}

// told is a Watcher that a test speaks through.
type told struct {
	checktest.Script
	say   chan error
	weigh chan check.Weight
	begun atomic.Int32
}

func (w *told) Watch(ctx context.Context, tell func(check.Report, error)) error {
	w.begun.Add(1)
	tell(check.Report{}, nil)
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-w.weigh:
			tell(check.Report{Weight: n}, nil)
		case err := <-w.say:
			if errors.Is(err, errEnd) {
				return errors.New("broken off")
			}
			tell(check.Report{}, err)
		}
	}
}

var errEnd = errors.New("end")

// TestWatcher: what it tells is the verdict; when it ends before its time that is a failure, and it is begun again.
func TestWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &told{say: make(chan error), weigh: make(chan check.Weight)}
		p := check.Probe{ID: "w", Checker: w, Policy: strict, Alpha: true}
		m, said := watch(t, p)
		want(t, said(), "0s w UP") // at once, without warm-up or second
		w.say <- errNo
		want(t, said(), "0s w DOWN")
		time.Sleep(time.Hour)
		w.say <- nil
		want(t, said(), "1h0m0s w UP")
		w.weigh <- check.Offset(4)
		synctest.Wait()
		want(t, said(), "1h0m0s w UP") // another weight
		if got := m.Status()["w"].Weight; got != check.Offset(4) {
			t.Errorf("weight %v", got)
		}
		w.weigh <- check.Offset(4)
		w.say <- check.ErrInconclusive
		want(t, said())
		w.say <- errEnd
		want(t, said(), "1h0m0s w DOWN")
		if got := m.Status()["w"].Weight; got != (check.Weight{}) {
			t.Errorf("down, and weight %v", got)
		}
		time.Sleep(3 * time.Second) // the delay before a retry
		want(t, said(), "1h0m3s w UP")
		p.Policy.DelayLoop = time.Minute
		if err := m.Set([]check.Probe{p}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := w.begun.Load(); n != 2 || w.Calls() != 0 {
			t.Errorf("begun %d times, asked %d times", n, w.Calls())
		}
		if err := m.Set(nil); err != nil {
			t.Fatal(err)
		}
	})
}

// TestADay leaves no goroutine behind, and asks as often as it should.
func TestADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const probes, every = 20, 20 * time.Second
		var calls atomic.Int64
		server := func(ctx context.Context) error {
			if calls.Add(1)%7 == 0 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		var list []check.Probe
		for i := range probes {
			list = append(list, check.Probe{ID: fmt.Sprint(i), Checker: check.CheckerFunc(server), Policy: check.Policy{DelayLoop: every, Timeout: time.Second, Retry: 3}})
		}
		m := check.NewMonitor(check.Options{})
		if err := m.Set(list); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		before := runtime.NumGoroutine()
		go func() { done <- m.Run(ctx) }()
		time.Sleep(24 * time.Hour)
		if n := runtime.NumGoroutine() - before; n > probes {
			t.Errorf("%d goroutines", n)
		}
		if s := m.Stats(); s.Checks < probes*86400/21 || s.Late != 0 || s.Stuck != 0 {
			t.Errorf("%+v", s)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestWeight(t *testing.T) {
	for _, c := range []struct {
		w      check.Weight
		change int // of 50
		text   string
	}{
		{check.Weight{}, 0, ""},
		{check.Offset(-3), -3, "-3"},
		{check.Offset(0), 0, "+0"},
		{check.Absolute(8), -42, "8"},
		{check.Percent(50), -25, "50%"},
		{check.Percent(0), -50, "0%"},
		{check.Percent(200), 50, "200%"},
	} {
		if got := c.w.Change(50); got != c.change || c.w.String() != c.text {
			t.Errorf("%v changes 50 by %d, want %s and %d", c.w, got, c.text, c.change)
		}
	}
}
