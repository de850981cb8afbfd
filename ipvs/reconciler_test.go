package ipvs_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
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
	if got, want := table.Dump(), "-A -t 10.0.0.1:443 -s wlc"; got != want {
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
		if got := table.Dump(); got != "-A -t 10.0.0.1:80 -s rr" {
			t.Fatalf("the rest is not in force: %s", got)
		}
		failing = false
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.Run(ctx)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := table.Dump(); got != "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.0.1.1:80 -m -w 1" {
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
	var table ipvstest.Fake // in production: ipvs.Open()
	r := ipvs.NewReconciler(&table, ipvs.ReconcilerOptions{})
	err := r.Set(context.Background(), []ipvs.Service{{
		ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.10:80")},
		Scheduler:  "rr",
		Destinations: []ipvs.Destination{
			{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Forward: ipvs.Direct, Weight: 1},
		},
	}})
	fmt.Println(table.Dump(), err)
	// Output:
	// -A -t 192.0.2.10:80 -s rr
	// -a -t 192.0.2.10:80 -r 10.0.0.1:80 -g -w 1 <nil>
}
