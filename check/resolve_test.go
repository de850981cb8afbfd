package check_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
)

// directory is what a Resolver asks in tests: it answers after a while, and counts.
type directory struct {
	mu    sync.Mutex // guards the fields below
	takes time.Duration
	addrs string // with blanks between
	ttl   time.Duration
	err   error
	asked int
}

func (d *directory) set(addrs string, ttl time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addrs, d.ttl, d.err = addrs, ttl, err
}

func (d *directory) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

func (d *directory) ask(ctx context.Context, name string) (addrs []netip.Addr, ttl time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.takes > 0 {
		select {
		case <-time.After(d.takes):
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	for a := range strings.FieldsSeq(d.addrs) {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs, d.ttl, d.err
}

var errNoSuchHost = &net.DNSError{Err: "no such host", Name: "web", IsNotFound: true}

// lookedUp is an answer in a line: the addresses, and for how long and why, or the error.
func lookedUp(t *testing.T, r *check.Resolver) string {
	t.Helper()
	a, err := r.Lookup(t.Context(), "web")
	text := fmt.Sprint(a.Addrs, " ", time.Until(a.Until))
	if a.Stale != nil {
		text += " stale: " + a.Stale.Error()
	}
	if err != nil {
		text += " error: " + err.Error()
	}
	return text
}

func TestResolverKeepsAnswersForTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &directory{}
		r := &check.Resolver{Ask: d.ask, MaxStale: time.Minute}
		down := errors.New("silence")
		for i, step := range []struct {
			sleep time.Duration
			addrs string
			ttl   time.Duration
			err   error
			want  string
			asked int
		}{
			{0, "192.0.2.2 192.0.2.1 ::ffff:192.0.2.1", 10 * time.Second, nil, "[192.0.2.1 192.0.2.2] 10s", 1},
			{9 * time.Second, "192.0.2.9", 0, nil, "[192.0.2.1 192.0.2.2] 1s", 1}, // in its time
			{time.Second, "192.0.2.9", 0, nil, "[192.0.2.9] 1s", 2},               // the floor
			{time.Second, "192.0.2.9", time.Hour, nil, "[192.0.2.9] 5m0s", 3},     // the ceiling
			{5 * time.Minute, "", 0, down, "[192.0.2.9] 1s stale: silence", 4},
			{500 * time.Millisecond, "", 0, down, "[192.0.2.9] 500ms stale: silence", 4},
			{58 * time.Second, "", 0, down, "[192.0.2.9] 1s stale: silence", 5},
			{2 * time.Second, "", 0, down, "[] 1s error: silence", 6}, // a minute and half a second past its time
			{time.Second, "192.0.2.3", time.Second, nil, "[192.0.2.3] 1s", 7},
			{time.Second, "", 0, errNoSuchHost, "[] 1s error: lookup web: no such host", 8}, // that is an answer
			{time.Second, "", 0, down, "[] 1s error: silence", 9},
			{time.Second, "", time.Hour, nil, "[] 1s error: lookup web: no such host", 10},
		} {
			time.Sleep(step.sleep)
			d.set(step.addrs, step.ttl, step.err)
			if got := lookedUp(t, r); got != step.want || d.count() != step.asked {
				t.Errorf("step %d: %s (asked %d times), want %s (%d)", i, got, d.count(), step.want, step.asked)
			}
		}
	})
}

// TestResolverIsAskedOnce by many at a time, and one who gives up spoils nothing for the others.
func TestResolverIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &directory{takes: 100 * time.Millisecond, addrs: "192.0.2.1", ttl: time.Minute}
		r := &check.Resolver{Ask: d.ask}
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() {
			_, err := r.Lookup(ctx, "web")
			first <- err
		}()
		synctest.Wait()
		var others sync.WaitGroup
		for range 100 {
			others.Go(func() {
				if a, err := r.Lookup(t.Context(), "WEB."); err != nil || len(a.Addrs) != 1 {
					t.Errorf("%+v, %v", a, err)
				}
			})
		}
		time.Sleep(50 * time.Millisecond)
		cancel()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up: %v", err)
		}
		others.Wait()
		if d.count() != 2 {
			t.Errorf("asked %d times", d.count())
		}
	})
}

// TestResolverTakesHalfOfTheTime that a check has, at most: the other half is for the server, if there is an old answer.
func TestResolverTakesHalfOfTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &directory{addrs: "192.0.2.1"}
		r := &check.Resolver{Ask: d.ask}
		_ = lookedUp(t, r)
		time.Sleep(time.Second)
		d.takes = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		a, err := r.Lookup(ctx, "web")
		if took := time.Since(begin); err != nil || a.Stale == nil || took != 500*time.Millisecond {
			t.Errorf("after %v: %+v, %v", took, a, err)
		}
	})
}

func TestResolverFollowsAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &directory{addrs: "192.0.2.1", ttl: 10 * time.Second}
		r := &check.Resolver{Ask: d.ask, MaxStale: 20 * time.Second}
		begin := time.Now()
		var told []string
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.Follow(ctx, "web", func(a check.Answer, err error) {
				told = append(told, fmt.Sprint(time.Since(begin), a.Addrs, a.Stale, err))
			})
		}()
		for _, step := range []struct {
			addrs string
			err   error
		}{{"192.0.2.1 192.0.2.2", nil}, {"192.0.2.2 192.0.2.1", nil}, {"", errNo}, {"", errNo}, {"", errNo}, {"192.0.2.3", nil}} {
			time.Sleep(9100 * time.Millisecond)
			d.set(step.addrs, 10*time.Second, step.err)
		}
		time.Sleep(9 * time.Second)
		cancel()
		<-ended
		want := []string{
			"0s [192.0.2.1] <nil> <nil>", "10s [192.0.2.1 192.0.2.2] <nil> <nil>", "30s [192.0.2.1 192.0.2.2] no <nil>", "50s [] <nil> no",
			"55s [192.0.2.3] <nil> <nil>",
		}
		if fmt.Sprint(told) != fmt.Sprint(want) {
			t.Errorf("told\n%q, want\n%q", told, want)
		}
	})
}

// closable is a checker that tells when it is made and closed.
type closable struct {
	checktest.Script
	closed func()
}

func (c *closable) Close() error {
	c.closed()
	return nil
}

// TestNamedChecksWhereTheNameLeads.
func TestNamedChecksWhereTheNameLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &directory{addrs: "192.0.2.1", ttl: time.Second}
		servers, log := map[string]*closable{}, []string{}
		n := &check.Named{Name: "web", Resolver: &check.Resolver{Ask: d.ask}, New: func(addr netip.Addr) check.Checker {
			log = append(log, "new "+addr.String())
			c := &closable{closed: func() { log = append(log, "close "+addr.String()) }}
			c.Say(check.Report{Weight: check.Percent(50), Detail: "half"})
			servers[addr.String()] = c
			return c
		}}
		says := func(addrs string, err error, want string) {
			t.Helper()
			time.Sleep(time.Second)
			d.set(addrs, time.Second, err)
			report, err := n.Report(t.Context())
			got := strings.TrimSpace(report.Weight.String() + " " + report.Detail)
			if err != nil {
				got = "error: " + err.Error()
			}
			if got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		says("192.0.2.1", nil, "50% web is 192.0.2.1: half")
		says("192.0.2.1", errNo, "50% web is 192.0.2.1 (no newer answer: no): half")
		servers["192.0.2.1"].Down()
		says("192.0.2.1", errNo, "error: web is 192.0.2.1 (no newer answer: no): server is down")
		says("192.0.2.1 192.0.2.2", nil, "web is 192.0.2.1 192.0.2.2")
		servers["192.0.2.2"].Down()
		says("192.0.2.2", nil, "error: web is 192.0.2.2: server is down")
		says("", errNoSuchHost, "error: lookup web: no such host")
		says("192.0.2.2 192.0.2.3", nil, "web is 192.0.2.2 192.0.2.3")
		n.Combine = check.All
		says("192.0.2.2 192.0.2.3", nil, "error: web is 192.0.2.2 192.0.2.3: server is down")
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		want := "[new 192.0.2.1 new 192.0.2.2 close 192.0.2.1 new 192.0.2.3 close"
		if got := fmt.Sprint(log); !strings.HasPrefix(got, want) || len(log) != 6 {
			t.Errorf("%s, want %s of both", got, want)
		}
	})
}

// TestNamedInAMonitor: a server moves to another address, and the verdict goes with it.
func TestNamedInAMonitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &directory{addrs: "192.0.2.1", ttl: 10 * time.Second}
		n := &check.Named{Name: "web", Resolver: &check.Resolver{Ask: d.ask}, New: func(addr netip.Addr) check.Checker {
			return check.CheckerFunc(func(context.Context) error {
				if addr == netip.MustParseAddr("192.0.2.1") {
					return nil
				}
				return errNo
			})
		}}
		_, said := watch(t, check.Probe{ID: "a", Checker: n, Policy: check.Policy{DelayLoop: time.Second, Warmup: -1}})
		time.Sleep(5500 * time.Millisecond)
		d.set("192.0.2.2", 10*time.Second, nil)
		time.Sleep(10 * time.Second)
		d.set("192.0.2.1", 10*time.Second, nil)
		time.Sleep(10 * time.Second)
		want(t, said(), "11s a DOWN", "21s a UP")
	})
}

func TestNamedKeepsItsContract(t *testing.T) {
	named := func(c check.Checker) func(*testing.T) check.Checker {
		return func(*testing.T) check.Checker {
			d := &directory{addrs: "192.0.2.1", ttl: time.Minute}
			return &check.Named{Name: "web", Resolver: &check.Resolver{Ask: d.ask}, New: func(netip.Addr) check.Checker { return c }}
		}
	}
	silent := check.CheckerFunc(func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	bad := &checktest.Script{}
	bad.Down()
	checktest.TestChecker(t, named(&checktest.Script{}), named(bad), named(silent))
}
