package ipvs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(crashVar); spec != "" {
		if err := crash(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	lab.Main(m)
}

// openKernel gives the kernel's table, emptied. It is that of the lab's own namespace.
func openKernel(t *testing.T) ipvs.Table {
	c, err := ipvs.Open(ipvs.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ipvsadm", "-C").CombinedOutput(); err != nil {
		t.Fatalf("ipvsadm -C: %v: %s", err, out)
	}
	return c
}

func TestKernelKeepsTheSuite(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ipvsadm")
	ipvstest.Suite(t, func(t *testing.T) ipvs.Table { return openKernel(t) })
}

// TestKernelReadsWhatIpvsadmSays: our lines are ipvsadm's own.
func TestKernelReadsWhatIpvsadmSays(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ipvsadm")
	table := openKernel(t)
	want := ipvs.Diff(nil, []ipvs.Service{web(1, 2)})
	if err := table.Apply(context.Background(), want); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ipvsadm", "-Sn").Output()
	if err != nil || string(out) != want.String() {
		t.Fatalf("ipvsadm -Sn prints\n%s%v\nwant\n%v", out, err, want)
	}
}

func TestOpenWithoutIPVS(t *testing.T) {
	if lab.HasIPVS() {
		return // nothing is missing here
	}
	if _, err := ipvs.Open(ipvs.ClientOptions{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Fatalf("without ip_vs: %v", err)
	}
}
