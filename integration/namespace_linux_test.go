package integration

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// TestDirectorInANamespace: net_namespace is where it runs, and a reload that changes it is refused as a whole.
func TestDirectorInANamespace(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	n := lab.New(t)
	h, inner := n.Host("lb", "10.9.0.1/24"), n.Host("namespaced", "10.9.0.2/24")
	names, err := filepath.Glob("/run/netns/*-namespaced")
	if err != nil || len(names) != 1 {
		t.Fatalf("%v, %v", names, err)
	}
	vrrpOnly, _, _ := strings.Cut(balanced, "virtual_server")
	file := write(t, "vrrp.conf", "net_namespace "+filepath.Base(names[0])+"\n"+vrrpOnly)
	p := startDirector(t, h, file, "--ipvs", "none")
	says(t, p, "to=MASTER")
	within(t, 5*time.Second, "the address is in the namespace", func() bool { return inner.Has(vip) })
	if h.Has(vip) {
		t.Error("the address is outside of the namespace too")
	}
	replace(t, file, vrrpOnly)
	reload(t, p, "need a restart")
	if status := p.Stop(); status != 0 {
		t.Errorf("status %d", status)
	}
	none := h.Start(t.Context(), lab.Bin("director"), "run", "-f", write(t, "none.conf", "net_namespace nowhere\n"+vrrpOnly), "--ipvs", "none", "--control", "")
	says(t, none, "ip netns add nowhere")
}

// TestKernelTableOfAnotherNamespace: net_namespace_ipvs is where the table is, apart from the addresses; without a name that is
// where the director was started, wherever it runs. Drift is put right there, and everything leaves it in the end.
func TestKernelTableOfAnotherNamespace(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ip", "ipvsadm")
	for name, c := range map[string]func(tables string) string{
		"named": func(tables string) string { return "net_namespace_ipvs " + tables + "\n" },
		"first": func(tables string) string { return "net_namespace " + tables + "\nnet_namespace_ipvs\n" },
	} {
		t.Run(name, func(t *testing.T) {
			n := lab.New(t)
			started, named := n.Host("lb", "10.9.0.1/24"), n.Host("named", "10.9.0.2/24")
			names, err := filepath.Glob("/run/netns/*-named")
			if err != nil || len(names) != 1 {
				t.Fatalf("%v, %v", names, err)
			}
			addresses, table := started, named
			if name == "first" {
				addresses, table = named, started
			}
			entries := func(h *lab.Host) string { return h.MustRun("ipvsadm", "-Sn") }
			file := write(t, "lb.conf", c(filepath.Base(names[0]))+balanced)
			p := startDirector(t, started, file, "--control", filepath.Join(t.TempDir(), "control.sock"))
			within(t, 10*time.Second, "the address is held", func() bool { return addresses.Has(vip) })
			wanted := entries(table)
			if strings.Count(wanted, "\n") != 3 || entries(addresses) != "" || table.Has(vip) {
				t.Errorf("the table is\n%sbeside the addresses are\n%s", wanted, entries(addresses))
			}
			table.MustRun("ipvsadm", "-d", "-t", "10.9.0.100:80", "-r", "10.9.0.11:80")
			within(t, 5*time.Second, "drift is repaired", func() bool { return entries(table) == wanted })
			replace(t, file, strings.Replace(c(filepath.Base(names[0])), "_ipvs", "_ipvs other", 1)+balanced)
			reload(t, p, "need a restart")
			if status := p.Stop(); status != 0 || entries(table) != "" || addresses.Has(vip) {
				t.Errorf("left with status %d and\n%s", status, entries(table))
			}
		})
	}
}
