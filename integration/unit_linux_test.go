package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

const unitFile = "../examples/director/holdfast.service"

// TestUnitFile: systemd takes it as it is and finds little to complain about.
func TestUnitFile(t *testing.T) {
	lab.Need(t, "systemd-analyze")
	t.Parallel()
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	there := strings.ReplaceAll(string(text), "/usr/local/sbin/director", lab.Bin("director"))
	unit := filepath.Join(t.TempDir(), "holdfast.service")
	if err := os.WriteFile(unit, []byte(there), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.Command("systemd-analyze", "security", "--offline=yes", "--threshold=35", unit).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
	_, score, _ := strings.Cut(string(out), "Overall exposure level")
	t.Logf("systemd-analyze security: exposure%s", strings.TrimRight(score, "\n"))
}

// TestUnitFileGivesEnough: with the capabilities of the unit file and no others the director is MASTER, holds its address, runs
// a script as another user, and leaves cleanly.
func TestUnitFileGivesEnough(t *testing.T) {
	lab.Need(t, "ip", "setpriv")
	t.Parallel()
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\nCapabilityBoundingSet=")
	if !found {
		t.Fatal("the unit file bounds no capabilities")
	}
	list, _, _ := strings.Cut(rest, "\n")
	caps := "-all"
	for _, name := range strings.Fields(list) {
		caps += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
	}
	h := lab.New(t).Host("lb", "10.9.0.1/24")
	vrrpOnly, _, _ := strings.Cut(balanced, "virtual_server")
	file := write(t, "lb.conf", "vrrp_script ok {\n script \"/bin/true\"\n interval 1\n user nobody\n}\n"+strings.Replace(vrrpOnly, "version 3", "version 3\n track_script {\n ok\n }", 1))
	p := h.Start(t.Context(), "setpriv", "--bounding-set", caps, "--inh-caps", "-all", "--no-new-privs", lab.Bin("director"), "run", "-f", file, "--ipvs", "none")
	says(t, p, "to=MASTER")
	within(t, 10*time.Second, "the address is held", func() bool { return h.Has(vip) })
	if status := p.Stop(); status != 0 || h.Has(vip) {
		t.Errorf("left with status %d; it printed:\n%s", status, p.Output())
	}
	if out := p.Output(); strings.Contains(out, "not permitted") {
		t.Errorf("something was not permitted:\n%s", out)
	}
}
