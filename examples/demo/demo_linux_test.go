package main

import (
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

func TestMain(m *testing.M) { lab.Main(m, "github.com/holdfast-lb/holdfast/examples/director") }

// TestKernelDemo plays the demo and looks at what the client saw. Times have room for a busy machine; what they hold is the
// order of magnitude: detection and takeover, not a time-out.
func TestKernelDemo(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ip", "nginx", "ipvsadm")
	r := play(t.Context(), t)
	for _, web := range []string{"web1", "web2", "web3"} {
		if r.start.By[web] < r.start.OK/5 {
			t.Errorf("%s has less than its share: %v", web, r.start)
		}
	}
	// A third would fail if it were still in; a few may, as a busy machine takes longer than the client waits.
	if r.webDead.Failed > r.webDead.OK/8 || r.webDead.OK == 0 || r.webDead.By["web2"] > 0 {
		t.Errorf("with web2 out of the table: %v", r.webDead)
	}
	if r.takeover > 3*time.Second || r.directorDead.Gap > 5*time.Second {
		t.Errorf("takeover %v, gap %v", r.takeover, r.directorDead.Gap)
	}
	if r.healed.By["web2"] == 0 || r.left.OK == 0 || r.ends != "B" {
		t.Errorf("healed: %v; left: %v; the address is on %q", r.healed, r.left, r.ends)
	}
}
