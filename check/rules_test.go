package check_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
)

// keepalived's rules of when a check is made and what it comes to, as far as they are kept, each with its test. Those about
// servers, pools and configuration have theirs in the packages that know of them; those not kept are in docs/differences.md.
//
//	 1  A probe starts as up, with nothing completed and no failure counted.
//	 5  Without a word: retry 1 s after a failure, 60 s between checks, 5 s for a connection, warm-up as long as the interval.
//	 6  Retry 0: the first failure decides.
//	 7  The first check comes a second and up to the warm-up after the start; without warm-up after exactly a second.
//	 9  The next check comes an interval after the end of the last one; that of a script after its start.
//	10  Down takes retry + 1 failures in a row, the delay before a retry apart.
//	11  At the start one failure is enough, alpha or not.
//	12  For a probe that comes later it is not.
//	13  While down there is one attempt an interval, without retries, and one success is enough.
//	16  Alpha starts as down.
//	19  A suspended probe asks nobody and changes nothing.
//	20  Failures that do not decide are logged when that is asked for.

// times gives the times of checks, in seconds from the start, and answers by the list.
func times(t *testing.T, p check.Probe, run time.Duration, takes time.Duration, answers ...error) (at []float64, said []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		p.ID = "a"
		p.Checker = check.CheckerFunc(func(ctx context.Context) error {
			at = append(at, time.Since(begin).Seconds())
			select {
			case <-time.After(takes):
			case <-ctx.Done():
				return ctx.Err()
			}
			if n := len(at); n <= len(answers) {
				return answers[n-1]
			}
			return nil
		})
		_, heard := watch(t, p)
		time.Sleep(run)
		said = heard()
	})
	return at, said
}

var errNo = errors.New("no")

func wantTimes(t *testing.T, got []float64, want ...float64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("checks at %v s, want %v", got, want)
	}
}

func TestRule01StartsUp(t *testing.T) {
	m := check.NewMonitor(check.Options{})
	if err := m.Set([]check.Probe{{ID: "a", Checker: &checktest.Script{}}}); err != nil {
		t.Fatal(err)
	}
	if s := m.Status()["a"]; !s.Up || s.Checked || s.Failures != 0 {
		t.Errorf("%+v", s)
	}
}

func TestRule05Defaults(t *testing.T) {
	p := check.Policy{Retry: 1, Warmup: -1}
	at, _ := times(t, check.Probe{Policy: p}, 130*time.Second, 0, nil, errNo)
	wantTimes(t, at, 1, 61, 62, 122)
	if want := 60*time.Second + 5*time.Second + time.Second + 5*time.Second; p.Detection() != want {
		t.Errorf("detection within %v, want %v", p.Detection(), want)
	}
}

func TestRule06RetryZero(t *testing.T) {
	_, said := times(t, check.Probe{Policy: check.Policy{DelayLoop: 2 * time.Second, Warmup: -1}}, 4*time.Second, 0, nil, errNo)
	want(t, said, "3s a DOWN")
}

func TestRule07FirstCheck(t *testing.T) {
	at, _ := times(t, check.Probe{Policy: check.Policy{DelayLoop: time.Hour, Warmup: -1}}, time.Minute, 0)
	wantTimes(t, at, 1)
	var first []float64
	for range 200 {
		at, _ := times(t, check.Probe{Policy: check.Policy{DelayLoop: 10 * time.Second}}, 12*time.Second, 0)
		first = append(first, at[0])
	}
	least, most := slices.Min(first), slices.Max(first)
	if least < 1 || least > 2.5 || most > 11 || most < 9.5 {
		t.Errorf("200 first checks between %v and %v s, want 1 to 11 and all of it", least, most)
	}
}

func TestRule09Interval(t *testing.T) {
	p := check.Policy{DelayLoop: 10 * time.Second, Warmup: -1, Timeout: 40 * time.Second}
	at, _ := times(t, check.Probe{Policy: p}, 40*time.Second, 3*time.Second)
	wantTimes(t, at, 1, 14, 27, 40)
	p.FromStart = true
	at, _ = times(t, check.Probe{Policy: p}, 40*time.Second, 3*time.Second)
	wantTimes(t, at, 1, 11, 21, 31)
	at, _ = times(t, check.Probe{Policy: p}, 70*time.Second, 23*time.Second) // what is missed is left out
	wantTimes(t, at, 1, 31, 61)
}

func TestRule10DownTakesRetries(t *testing.T) {
	p := check.Policy{DelayLoop: 10 * time.Second, Retry: 2, DelayBeforeRetry: 3 * time.Second, Warmup: -1}
	at, said := times(t, check.Probe{Policy: p}, 30*time.Second, 0, nil, errNo, errNo, errNo)
	wantTimes(t, at, 1, 11, 14, 17, 27)
	want(t, said, "17s a DOWN", "27s a UP")
	p.Retry, p.Fall, p.DelayBeforeRetry = 0, 3, 0 // the same in other words, an interval apart
	at, said = times(t, check.Probe{Policy: p}, 35*time.Second, 0, nil, errNo, errNo, errNo)
	wantTimes(t, at, 1, 11, 21, 31)
	want(t, said, "31s a DOWN")
}

func TestRule11FirstResultDecides(t *testing.T) {
	for _, alpha := range []bool{false, true} {
		_, said := times(t, check.Probe{Policy: strict, Alpha: alpha}, 5*time.Second, 0, errNo)
		if alpha {
			want(t, said)
		} else {
			want(t, said, "1s a DOWN")
		}
	}
	_, said := times(t, check.Probe{Policy: strict, Alpha: true}, 5*time.Second, 0)
	want(t, said, "1s a UP")
}

func TestRule12LaterProbesNeedRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s checktest.Script
		s.Down()
		m, said := watch(t)
		time.Sleep(time.Second)
		if err := m.Set([]check.Probe{{ID: "a", Checker: &s, Policy: strict}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		want(t, said(), "8s a DOWN") // at 2 s, 5 s and 8 s
	})
}

func TestRule13OneSuccessIsEnough(t *testing.T) {
	p := check.Policy{DelayLoop: 10 * time.Second, Retry: 2, DelayBeforeRetry: time.Second, Warmup: -1}
	at, said := times(t, check.Probe{Policy: p}, 45*time.Second, 0, errNo, errNo, errNo, nil)
	wantTimes(t, at, 1, 11, 21, 31, 41)
	want(t, said, "1s a DOWN", "31s a UP")
	p.Rise, p.FastRecovery = 3, true // beyond keepalived
	at, said = times(t, check.Probe{Policy: p}, 15*time.Second, 0, errNo)
	wantTimes(t, at, 1, 11, 12, 13)
	want(t, said, "1s a DOWN", "13s a UP")
}

func TestRule16Alpha(t *testing.T) {
	m := check.NewMonitor(check.Options{})
	if err := m.Set([]check.Probe{{ID: "a", Checker: &checktest.Script{}, Alpha: true}}); err != nil {
		t.Fatal(err)
	}
	if m.Status()["a"].Up {
		t.Error("it starts as up")
	}
}

func TestRule19Suspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s checktest.Script
		p := check.Probe{ID: "a", Checker: &s, Policy: strict}
		m, said := watch(t, p)
		set := func(suspended bool) {
			p.Suspended = suspended
			if err := m.Set([]check.Probe{p}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		set(true)
		s.Down()
		time.Sleep(time.Hour)
		if n := s.Calls(); n != 1 {
			t.Errorf("%d checks", n)
		}
		want(t, said())
		set(false)
		time.Sleep(10 * time.Second) // it needs its retries: a second after the hour, and two more
		want(t, said(), fmt.Sprint(2*time.Second+time.Hour+time.Second+6*time.Second, " a DOWN"))
		set(true)
		s.Up()
		time.Sleep(time.Hour)
		if m.Status()["a"].Up {
			t.Error("it came up while suspended")
		}
	})
}

func TestRule20FailuresAreLoggedOnRequest(t *testing.T) {
	for _, asked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			log, lines := checktest.Log()
			m := check.NewMonitor(check.Options{Logger: log})
			var s checktest.Script
			if err := m.Set([]check.Probe{{ID: "a", Checker: &s, Policy: strict, LogFailures: asked}}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go m.Run(ctx)
			time.Sleep(2 * time.Second)
			s.Down()
			time.Sleep(20 * time.Second)
			synctest.Wait()
			count := 0
			for _, l := range lines() {
				if l == "INFO check failed probe=a error=server is down" {
					count++
				}
			}
			if want := map[bool]int{true: 3}[asked]; count != want {
				t.Errorf("asked %v: %d lines, want %d:\n%q", asked, count, want, lines())
			}
		})
	}
}

func TestJitter(t *testing.T) {
	p := check.Policy{DelayLoop: 10 * time.Second, Warmup: -1, Jitter: 5 * time.Second}
	at, _ := times(t, check.Probe{Policy: p}, time.Hour, 0)
	least, most := 100.0, 0.0
	for i := range at[1:] {
		gap := at[i+1] - at[i]
		least, most = min(least, gap), max(most, gap)
	}
	if least < 9.99 || least > 11 || most > 15 || most < 14 {
		t.Errorf("between %v and %v s, want 10 to 15 and all of it", least, most)
	}
}

func TestArithmetic(t *testing.T) {
	for want, p := range map[string]check.Policy{
		"6s delay loop + 4s timeout = 10s":                                                         {DelayLoop: 6 * time.Second, Timeout: 4 * time.Second},
		"6s delay loop + 4s timeout + 2 x (6s before retry + 4s timeout) = 30s":                    {DelayLoop: 6 * time.Second, Timeout: 4 * time.Second, Fall: 3},
		"6s delay loop + 4s timeout + 1 x (2s before retry + 4s timeout) = 16s":                    {DelayLoop: 6 * time.Second, Timeout: 4 * time.Second, Fall: 2, FromStart: true},
		"6s delay loop + 4s timeout + 1 x (1s before retry + 4s timeout) + 2 x 500ms jitter = 16s": {DelayLoop: 6 * time.Second, Timeout: 4 * time.Second, Retry: 1, Jitter: 500 * time.Millisecond},
	} {
		if got := p.Arithmetic(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
