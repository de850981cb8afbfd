package ipvs_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
)

func web(weights ...int) ipvs.Service {
	s := service(80)
	s.Scheduler = "rr"
	for i, w := range weights {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i + 1)}), 80)
		s.Destinations = append(s.Destinations, ipvs.Destination{Addr: addr, Weight: w})
	}
	return s
}

func mustSet(t *testing.T, r *ipvs.Reconciler, want ...ipvs.Service) {
	t.Helper()
	if err := r.Set(context.Background(), want); err != nil {
		t.Fatal(err)
	}
}

func TestReconcilerSendsOnlyWhatDiffers(t *testing.T) {
	var table ipvstest.Fake
	r := ipvs.NewReconciler(&table, ipvs.ReconcilerOptions{})
	mustSet(t, r, web(1, 1))
	before := len(table.Ops())
	mustSet(t, r, web(1, 1))
	if got := table.Ops()[before:]; len(got) != 0 {
		t.Fatalf("the same wish again did\n%v", got)
	}
	mustSet(t, r, web(1, 5))
	if got, want := table.Ops()[before:].String(), "-e -t 10.0.0.1:80 -r 10.0.1.2:80 -m -w 5\n"; got != want {
		t.Fatalf("one changed weight did\n%swant\n%s", got, want)
	}
}

func TestReconcilerOwnsOnlyItsOwn(t *testing.T) {
	var table ipvstest.Fake
	foreign, adopted := service(443), web(9)
	adopted.Scheduler = "lc"
	if err := table.Apply(context.Background(), ipvs.Diff(nil, []ipvs.Service{foreign, adopted})); err != nil {
		t.Fatal(err)
	}
	r := ipvs.NewReconciler(&table, ipvs.ReconcilerOptions{})
	before := len(table.Ops())
	mustSet(t, r, web(1))
	want := "-E -t 10.0.0.1:80 -s rr\n-e -t 10.0.0.1:80 -r 10.0.1.1:80 -m -w 1\n"
	if got := table.Ops()[before:].String(); got != want {
		t.Fatalf("adoption did\n%swant\n%s", got, want)
	}
	if err := r.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got, want := table.Dump(), "-A -t 10.0.0.1:443 -s wlc\n"; got != want {
		t.Fatalf("left behind\n%s\nwant\n%s", got, want)
	}
}

// TestReconcilerForgetsWhatItRemoved: a service that somebody else makes after we removed ours is theirs.
func TestReconcilerForgetsWhatItRemoved(t *testing.T) {
	var table ipvstest.Fake
	r := ipvs.NewReconciler(&table, ipvs.ReconcilerOptions{})
	mustSet(t, r, web(1))
	mustSet(t, r)
	if err := table.Apply(context.Background(), ipvs.Diff(nil, []ipvs.Service{web(3)})); err != nil {
		t.Fatal(err)
	}
	mustSet(t, r)
	if err := r.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
	if table.Dump() == "" {
		t.Fatal("somebody else's service was removed")
	}
}

func TestReconcilerRepairsDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var table ipvstest.Fake
		repairs := make(chan string, 10)
		r := ipvs.NewReconciler(&table, ipvs.ReconcilerOptions{OnRepair: func(p ipvs.Plan, err error) { repairs <- fmt.Sprint(p, err) }})
		mustSet(t, r, web(1, 1))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.Run(ctx)
		time.Sleep(10 * time.Second)
		wished := table.Dump()
		if err := table.Apply(ctx, ipvs.Diff([]ipvs.Service{web(1, 1)}, []ipvs.Service{web(7)})); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := table.Dump(); got != wished {
			t.Fatalf("after a second\n%s\nwant\n%s", got, wished)
		}
		if got, want := <-repairs, "-a -t 10.0.0.1:80 -r 10.0.1.2:80 -m -w 1\n-e -t 10.0.0.1:80 -r 10.0.1.1:80 -m -w 1\n <nil>"; got != want || len(repairs) != 0 {
			t.Fatalf("told %q and %d more, want %q", got, len(repairs), want)
		}
	})
}

// TestOneSlowLook: it may have waited for a processor; drift is seen as soon as before.
func TestOneSlowLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &slowOnce{}
		r := ipvs.NewReconciler(table, ipvs.ReconcilerOptions{})
		mustSet(t, r, web(1, 2))
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go r.Run(ctx)
		time.Sleep(5 * time.Second)
		table.slow.Store(true)
		time.Sleep(time.Second + 300*time.Millisecond)
		if table.slow.Load() {
			t.Fatal("no look in a second")
		}
		wish := table.Dump()
		if err := table.Apply(ctx, ipvs.Diff([]ipvs.Service{web(1, 2)}, nil)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond)
		if table.Dump() != wish {
			t.Error("after one slow look drift is not seen within a second")
		}
	})
}

// slowOnce takes long for one list of its services.
type slowOnce struct {
	ipvstest.Fake
	slow atomic.Bool
}

func (s *slowOnce) Services(ctx context.Context) ([]ipvs.ServiceStatus, error) {
	if s.slow.Swap(false) {
		time.Sleep(200 * time.Millisecond)
	}
	return s.Fake.Services(ctx)
}

func TestReconcilerConvergesAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("kernel is out of sorts")
		failing := true
		table := ipvstest.Fake{Fail: func(op ipvs.Op) error {
			if failing && op.Action == ipvs.AddDestination {
				return broken
			}
			return nil
		}}
		r := ipvs.NewReconciler(&table, ipvs.ReconcilerOptions{})
		if err := r.Set(t.Context(), []ipvs.Service{web(1)}); !errors.Is(err, broken) {
			t.Fatalf("the failure is not told: %v", err)
		}
		if got := table.Dump(); got != "-A -t 10.0.0.1:80 -s rr\n" {
			t.Fatalf("the rest is not in force: %s", got)
		}
		failing = false
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.Run(ctx)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := table.Dump(); got != "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.0.1.1:80 -m -w 1\n" {
			t.Fatalf("not converged: %s", got)
		}
	})
}

func TestReconcilerRefusesAnInvalidWish(t *testing.T) {
	var table ipvstest.Fake
	r := ipvs.NewReconciler(&table, ipvs.ReconcilerOptions{})
	mustSet(t, r, web(1))
	if err := r.Set(context.Background(), []ipvs.Service{web(1), web(2)}); err == nil {
		t.Fatal("a service twice was accepted")
	}
	if got := len(table.Ops()); got != 2 {
		t.Fatalf("a refused wish did something: %v", table.Ops())
	}
	plan, err := r.Plan(context.Background(), []ipvs.Service{web(4)})
	if want := "-e -t 10.0.0.1:80 -r 10.0.1.1:80 -m -w 4\n"; err != nil || plan.String() != want || len(table.Ops()) != 2 {
		t.Fatalf("plan %q, %v; want %q and nothing done", plan, err, want)
	}
}

func ExampleReconciler_Set() {
	var table ipvstest.Fake // in production: ipvs.Open(ipvs.ClientOptions{})
	r := ipvs.NewReconciler(&table, ipvs.ReconcilerOptions{})
	err := r.Set(context.Background(), []ipvs.Service{{
		ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.10:80")},
		Scheduler:  "rr",
		Destinations: []ipvs.Destination{
			{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Forward: ipvs.Direct, Weight: 1},
		},
	}})
	fmt.Print(table.Dump(), err)
	// Output:
	// -A -t 192.0.2.10:80 -s rr
	// -a -t 192.0.2.10:80 -r 10.0.0.1:80 -g -w 1
	// <nil>
}

// counting tells which calls a table got. Services waits while blocked is open.
type counting struct {
	ipvs.Table
	full, single, applies int
	began, blocked        chan struct{}
	connections           atomic.Int32
}

func (c *counting) Services(ctx context.Context) ([]ipvs.ServiceStatus, error) {
	c.full++
	all, err := c.Table.Services(ctx)
	if c.blocked != nil {
		c.began <- struct{}{}
		select {
		case <-c.blocked:
		case <-ctx.Done():
		}
	}
	return all, err
}

func (c *counting) Service(ctx context.Context, key ipvs.ServiceKey) (ipvs.ServiceStatus, error) {
	c.single++
	s, err := c.Table.Service(ctx, key)
	for i := range s.Destinations {
		s.Destinations[i].ActiveConnections = int(c.connections.Load())
	}
	return s, err
}

func (c *counting) Apply(ctx context.Context, p ipvs.Plan) error {
	c.applies++
	return c.Table.Apply(ctx, p)
}

// many are so many services of four destinations.
func many(count int) []ipvs.Service {
	list := make([]ipvs.Service, count)
	for i := range list {
		list[i] = web(1, 1, 1, 1)
		list[i].Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), 80)
	}
	return list
}

// TestUpdateCostsWhatChanges: one weight among many is one operation, and nothing is read.
func TestUpdateCostsWhatChanges(t *testing.T) {
	table := &counting{Table: &ipvstest.Fake{}}
	r := ipvs.NewReconciler(table, ipvs.ReconcilerOptions{})
	all := many(500)
	mustSet(t, r, all...)
	table.full, table.single, table.applies = 0, 0, 0
	before := len(table.Table.(*ipvstest.Fake).Ops())
	all[77].Destinations[2].Weight = 9
	if err := r.Update(t.Context(), all[77]); err != nil {
		t.Fatal(err)
	}
	if ops := table.Table.(*ipvstest.Fake).Ops()[before:]; len(ops) != 1 || table.applies != 1 || table.full+table.single != 0 {
		t.Errorf("%d operations in %d batches, %d reads", len(ops), table.applies, table.full+table.single)
	}
	fresh := service(8080)
	if err := r.Update(t.Context(), fresh); err != nil || table.full != 0 || table.single != 1 {
		t.Errorf("a new service: %v, %d full reads, %d of itself", err, table.full, table.single)
	}
	if err := r.Delete(t.Context(), fresh.ServiceKey, service(9).ServiceKey); err != nil || table.full != 0 {
		t.Errorf("delete: %v, %d full reads", err, table.full)
	}
}

func BenchmarkReconciler(b *testing.B) {
	for _, count := range []int{100, 10000} {
		all := many(count)
		for name, change := range map[string]func(r *ipvs.Reconciler) error{
			"set":    func(r *ipvs.Reconciler) error { return r.Set(b.Context(), all) },
			"update": func(r *ipvs.Reconciler) error { return r.Update(b.Context(), all[count/2]) },
		} {
			b.Run(fmt.Sprintf("%s/services=%d", name, count), func(b *testing.B) {
				r := ipvs.NewReconciler(&void{}, ipvs.ReconcilerOptions{})
				if err := r.Set(b.Context(), all); err != nil {
					b.Fatal(err)
				}
				for i := 0; b.Loop(); i++ {
					all[count/2].Destinations[0].Weight = 1 + i%2
					if err := change(r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// void is a table that takes everything at once.
type void struct{ ipvstest.Fake }

func (*void) Apply(context.Context, ipvs.Plan) error { return nil }

// TestUpdateDoesNotWaitForALook: a verdict reaches the table while Run reads it, and the look does not undo it.
func TestUpdateDoesNotWaitForALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &ipvstest.Fake{}
		table := &counting{Table: fake}
		var repairs []ipvs.Plan
		r := ipvs.NewReconciler(table, ipvs.ReconcilerOptions{OnRepair: func(p ipvs.Plan, _ error) { repairs = append(repairs, p) }})
		mustSet(t, r, web(1, 1))
		table.began, table.blocked = make(chan struct{}, 9), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.Run(ctx)
		<-table.began // the look has read the table and not yet returned
		if err := r.Update(ctx, web(1, 5)); err != nil {
			t.Fatal(err)
		}
		table.blocked <- struct{}{}
		synctest.Wait()
		if got := fake.Dump(); !strings.HasSuffix(got, "-w 5\n") || len(repairs) != 0 {
			t.Errorf("after the look:\n%s\nrepaired %v", got, repairs)
		}
	})
}

// TestUpdateMeetsDrift: somebody removed what is to be edited; it is put back at once, not at the next look.
func TestUpdateMeetsDrift(t *testing.T) {
	table := &ipvstest.Fake{}
	r := ipvs.NewReconciler(table, ipvs.ReconcilerOptions{})
	mustSet(t, r, web(1, 1))
	if err := table.Apply(t.Context(), ipvs.Diff([]ipvs.Service{web(1, 1)}, []ipvs.Service{web(1)})); err != nil {
		t.Fatal(err)
	}
	if err := r.Update(t.Context(), web(1, 5)); err != nil {
		t.Fatal(err)
	}
	if got := table.Dump(); !strings.HasSuffix(got, "-r 10.0.1.2:80 -m -w 5\n") {
		t.Errorf("table:\n%s", got)
	}
	if err := table.Apply(t.Context(), ipvs.Diff([]ipvs.Service{web(1, 5)}, nil)); err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context(), service(80).ServiceKey); err != nil {
		t.Errorf("removing what is gone already: %v", err)
	}
}

// TestLedgerFindsWhatACrashLeft: what an earlier Reconciler made is removed when it is not wished for, and edited in place when
// it is; others' entries stay.
func TestLedgerFindsWhatACrashLeft(t *testing.T) {
	table := &ipvstest.Fake{}
	o := ipvs.ReconcilerOptions{Ledger: filepath.Join(t.TempDir(), "run", "owned")}
	if err := table.Apply(t.Context(), ipvs.Diff(nil, []ipvs.Service{service(443)})); err != nil {
		t.Fatal(err)
	}
	marked := ipvs.Service{ServiceKey: ipvs.ServiceKey{FWMark: 7, IPv6: true}, Scheduler: "rr"}
	mustSet(t, ipvs.NewReconciler(table, o), web(1, 1), service(8080), marked)
	before := len(table.Ops())
	r := ipvs.NewReconciler(table, o)
	mustSet(t, r, web(1, 1))
	if got, want := table.Ops()[before:].String(), "-D -t 10.0.0.1:8080\n-D -f 7 -6\n"; got != want {
		t.Errorf("after the crash it did\n%swant\n%s", got, want)
	}
	if err := r.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := table.Apply(t.Context(), ipvs.Diff(nil, []ipvs.Service{web(1)})); err != nil { // somebody else's now
		t.Fatal(err)
	}
	mustSet(t, ipvs.NewReconciler(table, o))
	if got, want := table.Dump(), "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.0.1.1:80 -m -w 1\n-A -t 10.0.0.1:443 -s wlc\n"; got != want {
		t.Errorf("others' entries:\n%s\nwant\n%s", got, want)
	}
}

// TestLedgerStaysSmall: a long life does not make a long file.
func TestLedgerStaysSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "owned")
	r := ipvs.NewReconciler(&void{}, ipvs.ReconcilerOptions{Ledger: path})
	for range 2000 {
		mustSet(t, r, service(1))
		mustSet(t, r, service(2))
	}
	text, err := os.ReadFile(path)
	if err != nil || len(text) > 64<<10 || !strings.HasSuffix(string(text), "-TCP 10.0.0.1:1\n") {
		t.Errorf("%v, %d bytes, ends %q", err, len(text), text[max(0, len(text)-40):])
	}
}

func TestFlushRemovesOthers(t *testing.T) {
	table := &ipvstest.Fake{}
	if err := table.Apply(t.Context(), ipvs.Diff(nil, []ipvs.Service{service(443), web(1)})); err != nil {
		t.Fatal(err)
	}
	r := ipvs.NewReconciler(table, ipvs.ReconcilerOptions{})
	mustSet(t, r, web(1))
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := table.Dump(); got != "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.0.1.1:80 -m -w 1\n" {
		t.Errorf("left:\n%s", got)
	}
}

// TestDrain: weight 0 while there are connections, out when there are none, out at the limit, back when restored; and no Update
// brings it back before.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &ipvstest.Fake{}
		table := &counting{Table: fake}
		table.connections.Store(3)
		r := ipvs.NewReconciler(table, ipvs.ReconcilerOptions{})
		mustSet(t, r, web(1, 2))
		key, dest := service(80).ServiceKey, web(1).Destinations[0].Addr
		begin, ended := time.Now(), make(chan error, 1)
		go func() { ended <- r.Drain(t.Context(), key, dest, 0) }()
		time.Sleep(5500 * time.Millisecond)
		if got := fake.Dump(); !strings.Contains(got, "-r 10.0.1.1:80 -m -w 0") {
			t.Errorf("while draining:\n%s", got)
		}
		if err := r.Update(t.Context(), web(9, 2)); err != nil || !strings.Contains(fake.Dump(), "-r 10.0.1.1:80 -m -w 0") {
			t.Errorf("an Update brought it back: %v", err)
		}
		table.connections.Store(0)
		if err := <-ended; err != nil || time.Since(begin) != 6*time.Second || strings.Contains(fake.Dump(), "10.0.1.1") {
			t.Errorf("drained after %v: %v\n%s", time.Since(begin), err, fake.Dump())
		}
		if err := r.Restore(t.Context(), key, dest); err != nil || !strings.Contains(fake.Dump(), "-r 10.0.1.1:80 -m -w 9") {
			t.Errorf("restored: %v\n%s", err, fake.Dump())
		}
		table.connections.Store(1)
		begin = time.Now()
		if err := r.Drain(t.Context(), key, dest, 10*time.Second); err != nil || time.Since(begin) != 10*time.Second || strings.Contains(fake.Dump(), "10.0.1.1") {
			t.Errorf("limit: %v after %v", err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Drain(ctx, key, web(1, 2).Destinations[1].Addr, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a drain whose context ends: %v", err)
		}
		if err := r.Maintain(t.Context(), key, netip.MustParseAddrPort("10.0.1.77:80")); !errors.Is(err, ipvs.ErrDestinationNotFound) {
			t.Errorf("a stranger: %v", err)
		}
		if err := r.Restore(t.Context(), service(81).ServiceKey, dest); !errors.Is(err, ipvs.ErrServiceNotFound) {
			t.Errorf("a service that is not there: %v", err)
		}
	})
}

// TestSlowStart: who comes to others begins with weight 1; who comes first carries all; steps are no repairs.
func TestSlowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &ipvstest.Fake{}
		r := ipvs.NewReconciler(fake, ipvs.ReconcilerOptions{SlowStart: 20 * time.Second, OnRepair: func(p ipvs.Plan, err error) { t.Errorf("repaired %v %v", p, err) }})
		mustSet(t, r, web(100))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.Run(ctx)
		weight := func() (first, second int) {
			s, err := fake.Service(ctx, service(80).ServiceKey)
			if err != nil || len(s.Destinations) != 2 {
				t.Fatal(err, s)
			}
			return s.Destinations[0].Weight, s.Destinations[1].Weight
		}
		mustSet(t, r, web(100, 100))
		if a, b := weight(); a != 100 || b != 1 {
			t.Errorf("at once: %d, %d", a, b)
		}
		time.Sleep(10*time.Second + 100*time.Millisecond)
		if a, b := weight(); a != 100 || b < 45 || b > 55 {
			t.Errorf("after half: %d, %d", a, b)
		}
		time.Sleep(11 * time.Second)
		if _, b := weight(); b != 100 {
			t.Errorf("after all: %d", b)
		}
	})
}

// meddled is a table in which somebody else works too, also in the middle of a plan.
type meddled struct {
	ipvs.Table
	meddle func()
	rnd    *rand.Rand
}

func (m *meddled) Apply(ctx context.Context, p ipvs.Plan) error {
	cut := m.rnd.IntN(len(p) + 1)
	first := m.Table.Apply(ctx, p[:cut])
	m.meddle()
	return errors.Join(first, m.Table.Apply(ctx, p[cut:]))
}

// TestAnotherInTheMiddleOfAPlan makes, edits and removes our entries and its own, at random, while we change ours. Whatever
// happens, a look after it has stopped finds our wish, and all that is its own.
func TestAnotherInTheMiddleOfAPlan(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	random := func(net byte) (list []ipvs.Service) {
		for i := range 6 {
			s := ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, net, 0, byte(i)}), 80)}, Scheduler: "rr"}
			for j := range 4 {
				if rnd.IntN(2) == 0 {
					s.Destinations = append(s.Destinations, ipvs.Destination{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, byte(j)}), 80), Weight: rnd.IntN(5)})
				}
			}
			if rnd.IntN(3) > 0 {
				list = append(list, s)
			}
		}
		return list
	}
	synctest.Test(t, func(t *testing.T) {
		fake := &ipvstest.Fake{}
		read := func(own bool) (list []ipvs.Service) { // of net 1, or what is theirs
			all, err := fake.Services(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for i := range all {
				if (all[i].Addr.Addr().As4()[1] == 1) == own {
					list = append(list, all[i].Wish())
				}
			}
			return list
		}
		var theirs []ipvs.Service
		table := &meddled{Table: fake, rnd: rnd}
		table.meddle = func() {
			_ = fake.Apply(t.Context(), ipvs.Diff(read(true), random(1)))
			theirs = random(2)
			_ = fake.Apply(t.Context(), ipvs.Diff(read(false), theirs))
		}
		r := ipvs.NewReconciler(table, ipvs.ReconcilerOptions{})
		for range 200 {
			want := random(1)
			_ = r.Set(t.Context(), want)
			for _, s := range want {
				if rnd.IntN(4) == 0 {
					_ = r.Update(t.Context(), s)
				}
			}
			meddle := table.meddle
			table.meddle = func() {}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			_ = r.Run(ctx)
			cancel()
			table.meddle = meddle
			have := slices.DeleteFunc(read(true), func(s ipvs.Service) bool { // what it made that we do not wish for is its own
				return !slices.ContainsFunc(want, func(w ipvs.Service) bool { return w.ServiceKey == s.ServiceKey })
			})
			if rest := ipvs.Diff(have, want); len(rest) > 0 {
				t.Fatalf("our wish lacks\n%v", rest)
			}
			if lost := ipvs.Diff(read(false), theirs); len(lost) > 0 {
				t.Fatalf("theirs lack\n%v", lost)
			}
		}
	})
}
