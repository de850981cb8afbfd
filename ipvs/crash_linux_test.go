package ipvs_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/ipvs"
)

// crashVar makes the test's program the one that is killed: "LEDGER WISH POINT", where a POINT below 0 is no kill.
const crashVar = "HOLDFAST_CRASH"

// core are the services, and the destinations of each, that every wish has.
const coreServices, coreDestinations = 20, 2

// randomWish has the core, with weights that move, and much that comes and goes.
func randomWish(seed int) (wish []ipvs.Service) {
	rnd := rand.New(rand.NewPCG(uint64(seed), 1))
	for i := range 3 * coreServices {
		core := i < coreServices
		if !core && rnd.IntN(2) == 0 {
			continue
		}
		s := ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: addrPort(10, 8, 0, byte(i))}}
		s.Scheduler = []string{"rr", "wrr", "wlc"}[rnd.IntN(3)]
		for j := range 6 {
			if core && j < coreDestinations || rnd.IntN(2) == 0 {
				s.Destinations = append(s.Destinations, ipvs.Destination{Addr: addrPort(10, 7, byte(i), byte(j)), Weight: 1 + rnd.IntN(9)})
			}
		}
		wish = append(wish, s)
	}
	return wish
}

func addrPort(a, b, c, d byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{a, b, c, d}), 80)
}

// dying is a table whose user dies after so many operations.
type dying struct {
	ipvs.Table
	point int
	die   func()
}

func (d *dying) Apply(ctx context.Context, plan ipvs.Plan) error {
	if d.point < 0 {
		return d.Table.Apply(ctx, plan)
	}
	err := d.Table.Apply(ctx, plan[:min(d.point, len(plan))])
	d.die()
	return err
}

// crash is the program that is killed.
func crash(spec string) error {
	var path string
	var seed, point int
	if _, err := fmt.Sscan(spec, &path, &seed, &point); err != nil {
		return err
	}
	table, err := ipvs.Open(ipvs.ClientOptions{})
	if err != nil {
		return err
	}
	return life(table, path, seed, point, func() { _ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL) })
}

// life is a run with its wish.
func life(table ipvs.Table, ledger string, seed, point int, die func()) error {
	return ipvs.NewReconciler(&dying{table, point, die}, ipvs.ReconcilerOptions{Ledger: ledger}).Set(context.Background(), randomWish(seed))
}

// abandon is a life that ends as if it were killed: nothing that it would do later is done. It is the cheap way: a process takes
// half a second to start in User Mode Linux.
func abandon(table ipvs.Table, ledger string, seed, point int) {
	ended := make(chan bool)
	go func() {
		defer close(ended)
		_ = life(table, ledger, seed, point, runtime.Goexit)
	}()
	<-ended
}

// TestKernelKill9: who holds the table dies at 200 random points of an Apply, every fifth time by SIGKILL and always then when
// HOLDFAST_LONG is set, and is started again with another wish. No healthy destination is ever missed, nobody else's entry is
// touched, and one run that is left alone brings the table to its wish.
func TestKernelKill9(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	table := openKernel(t)
	stranger := ipvs.Service{ServiceKey: ipvs.ServiceKey{FWMark: 77}, Scheduler: "rr"}
	if err := table.Apply(t.Context(), ipvs.Diff(nil, []ipvs.Service{stranger})); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "owned")
	run := func(seed, point int) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d", crashVar, path, seed, point))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if (point < 0) != (err == nil) || point >= 0 && !killed {
			t.Fatalf("run %d, to be killed after %d operations: %v\n%s", seed, point, err, out)
		}
	}
	run(0, -1)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	have := len(randomWish(0)) * 5
	for i := 1; i <= 200; i++ {
		if point := rnd.IntN(have); i%5 == 0 || os.Getenv("HOLDFAST_LONG") != "" {
			run(i, point)
		} else {
			abandon(table, path, i, point)
		}
		missed(t, table, i)
	}
	run(201, -1)
	all, err := table.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []ipvs.Service
	for i := range all {
		got = append(got, all[i].Wish())
	}
	if rest := ipvs.Diff(got, append(randomWish(201), stranger)); len(rest) > 0 {
		t.Errorf("the last run left to do:\n%v", rest)
	}
}

// missed reports core destinations that the table has not, or without weight.
func missed(t *testing.T, table ipvs.Table, run int) {
	t.Helper()
	all, err := table.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	healthy, stranger := 0, false
	for _, s := range all {
		stranger = stranger || s.FWMark == 77
		for _, d := range s.Destinations {
			b := d.Addr.Addr().As4()
			if b[2] < coreServices && b[3] < coreDestinations && d.Weight > 0 {
				healthy++
			}
		}
	}
	if healthy != coreServices*coreDestinations || !stranger {
		t.Fatalf("after kill %d, %d of %d healthy destinations are there, the stranger's entry: %v", run, healthy, coreServices*coreDestinations, stranger)
	}
}
