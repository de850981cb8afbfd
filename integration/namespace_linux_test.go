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
