package integration

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

const groups = `virtual_server_group web {
    10.9.1.254-10.9.2.1 80
    10.9.3.0/30 443
    fwmark 5
}
virtual_server group web {
    lb_algo wlc
    lb_kind DR
    protocol TCP
    persistence_granularity 255.255.255.0
    sorry_server 10.9.0.99
    real_server 10.9.0.11 80 {
    }
    real_server 10.9.0.12 80 {
        weight 100000
        lvs_method TUN type gue port 6080
    }
}
`

// TestKernelDirectorServesGroups: the kernel has what plan says of a group, across octets, and one that is killed leaves it there;
// the next one removes what its file no longer has, edits the rest in place, and leaves nothing.
func TestKernelDirectorServesGroups(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ipvsadm")
	h := lab.New(t).Host("lb", "10.9.0.1/24")
	table := func() string { return h.MustRun("ipvsadm", "-Sn") }
	file := write(t, "groups.conf", groups)
	plan := func() string {
		out, err := exec.Command(lab.Bin("director"), "plan", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	first := startDirector(t, h, file)
	wanted := plan()
	if got := table(); got != wanted || strings.Count(got, "-A ") != 9 {
		t.Errorf("the kernel has:\n%splan says:\n%s", got, wanted)
	}
	first.Kill()
	if got := table(); got != wanted {
		t.Errorf("a director that is killed leaves:\n%s", got)
	}
	replace(t, file, strings.NewReplacer("    10.9.3.0/30 443\n", "", "100000", "7").Replace(groups))
	second := startDirector(t, h, file)
	if got := table(); got != plan() || strings.Count(got, "-A ") != 5 {
		t.Errorf("the next one has:\n%splan says:\n%s", got, plan())
	}
	if status := second.Stop(); status != 0 || table() != "" {
		t.Errorf("left with status %d and this in the table:\n%s", status, table())
	}
}
