package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

const balanced = `vrrp_instance web {
    interface eth0
    virtual_router_id 51
    version 3
    advert_int 0.2
    virtual_ipaddress {
        10.9.0.100/24
    }
}
virtual_server 10.9.0.100 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server 10.9.0.11 80 {
    }
    real_server 10.9.0.12 80 {
        weight 3
    }
}
`

// TestKernelDirectorKeepsItsTable: what plan prints is what the kernel has, drift is repaired, a broken reload changes
// nothing, strangers' entries are left alone, and nothing of ours is left behind.
func TestKernelDirectorKeepsItsTable(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ip", "ipvsadm")
	h := lab.New(t).Host("lb", "10.9.0.1/24")
	h.MustRun("ipvsadm", "-A", "-t", "10.9.0.200:80", "-s", "rr")
	stranger := h.MustRun("ipvsadm", "-Sn")
	table := func() string { return strings.Replace(h.MustRun("ipvsadm", "-Sn"), stranger, "", 1) }
	file := write(t, "lb.conf", balanced)
	plan, err := exec.Command(lab.Bin("director"), "plan", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	wanted, _, _ := strings.Cut(string(plan), "vrrp_instance")

	p := startDirector(t, h, file, "--status", "10.9.0.1:8080")
	if got := table(); got != wanted {
		t.Errorf("the kernel has:\n%splan says:\n%s", got, wanted)
	}
	h.MustRun("ipvsadm", "-d", "-t", "10.9.0.100:80", "-r", "10.9.0.11:80")
	h.MustRun("ipvsadm", "-e", "-t", "10.9.0.100:80", "-r", "10.9.0.12:80", "-g", "-w", "9")
	within(t, 3*time.Second, "drift is repaired", func() bool { return table() == wanted })
	says(t, p, "table differed from the wish")

	replace(t, file, strings.Replace(balanced, "weight 3", "wieght 3", 1))
	reload(t, p, "did you mean weight?")
	says(t, p, "what was in force stays so")
	if got := table(); got != wanted {
		t.Errorf("after a broken reload the kernel has:\n%s", got)
	}
	replace(t, file, strings.Replace(balanced, "weight 3", "weight 4", 1))
	if out := h.MustRun(lab.Bin("director"), "plan", "--status", "10.9.0.1:8080", file); out != "-e -t 10.9.0.100:80 -r 10.9.0.12:80 -g -w 4\n" {
		t.Errorf("plan against the running director:\n%s", out)
	}
	reload(t, p, "msg=reloaded")
	if got := table(); got != strings.Replace(wanted, "-w 3", "-w 4", 1) {
		t.Errorf("after a reload the kernel has:\n%s", got)
	}
	if status := p.Stop(); status != 0 || table() != "" || h.Has(vip) {
		t.Errorf("left with status %d and this in the table:\n%s", status, table())
	}
	if got := h.MustRun("ipvsadm", "-Sn"); got != stranger {
		t.Errorf("the stranger's entry is gone: %q", got)
	}
}

func replace(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func reload(t *testing.T, p *lab.Process, answer string) {
	t.Helper()
	if err := p.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	says(t, p, answer)
}

// TestDirectorSaysWhatIsMissing: one clear sentence each, and the exit status that goes with it.
func TestDirectorSaysWhatIsMissing(t *testing.T) {
	lab.Need(t, "ip", "setpriv")
	t.Parallel()
	h := lab.New(t).Host("lb", "10.9.0.1/24")
	l := h.Listen("10.9.0.1:8080")
	defer l.Close()
	vrrpOnly, _, _ := strings.Cut(balanced, "virtual_server")
	file, both := write(t, "vrrp.conf", vrrpOnly), write(t, "both.conf", balanced)
	for _, dir := range []string{filepath.Dir(file), filepath.Dir(filepath.Dir(file)), filepath.Dir(both)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	nobody := []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}
	for _, c := range []struct {
		name   string
		before []string
		args   []string
		says   string
	}{
		{"no privilege", nobody, []string{"run", "-f", file, "--ipvs", "none"}, "CAP_NET_RAW"},
		{"a port in use", nil, []string{"run", "-f", file, "--ipvs", "none", "--status", "10.9.0.1:8080"}, "address already in use"},
		{"no ip_vs", nil, []string{"run", "-f", both, "--ipvs", "kernel"}, "modprobe ip_vs"},
	} {
		if c.name == "no ip_vs" && lab.HasIPVS() {
			continue
		}
		argv := append(append(c.before, lab.Bin("director")), c.args...)
		p := h.Start(t.Context(), argv[0], argv[1:]...)
		says(t, p, c.says)
		select {
		case <-p.Done():
		case <-time.After(20 * time.Second):
			t.Errorf("%s: it goes on", c.name)
		}
		if p.Stop() != 1 {
			t.Errorf("%s: status %d, it printed:\n%s", c.name, p.Stop(), p.Output())
		}
	}
}

// TestMissingInterface: the instance is in FAULT until its interface appears, and says so.
func TestMissingInterface(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	h := lab.New(t).Host("lb")
	vrrpOnly, _, _ := strings.Cut(strings.ReplaceAll(balanced, "eth0", "eth7"), "virtual_server")
	p := startDirector(t, h, write(t, "vrrp.conf", vrrpOnly), "--ipvs", "none")
	says(t, p, "FAULT")
	says(t, p, "eth7")
	h.MustRun("ip", "link", "add", "eth7", "type", "veth", "peer", "name", "other")
	h.MustRun("ip", "addr", "add", "10.9.7.1/24", "dev", "eth7")
	h.MustRun("ip", "link", "set", "other", "up")
	h.MustRun("ip", "link", "set", "eth7", "up")
	says(t, p, "to=MASTER")
	if status := p.Stop(); status != 0 {
		t.Errorf("status %d", status)
	}
}
