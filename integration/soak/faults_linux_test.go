package soak

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// fault is something that goes wrong, and is right again when do returns.
type fault struct {
	name string
	// promised is how long the client may see errors after do has returned. 0 is never, not even during do.
	promised time.Duration
	do       func(w *world)
}

// takeover is the master-down interval and what a busy virtual machine adds; detection is that of a dead server, by the
// configuration: delay loop, timeout, delay before retry, timeout.
const (
	takeover  = 3 * time.Second
	detection = 12 * time.Second
)

var faults = []fault{
	{"a director is killed", takeover, func(w *world) {
		d := w.any()
		d.process.Kill()
		w.pause(2 * time.Second)
		d.start(w)
	}},
	{"a director is stopped and goes on", takeover, func(w *world) {
		d := w.any()
		_ = d.process.Signal(syscall.SIGSTOP)
		w.pause(time.Duration(200+w.rand.IntN(2500)) * time.Millisecond)
		_ = d.process.Signal(syscall.SIGCONT)
	}},
	{"a director leaves and comes back", takeover, func(w *world) {
		d := w.any()
		if status := d.process.Stop(); status != 0 {
			w.Errorf("%s ended with status %d", d.host.Name, status)
		}
		if table := d.table(); table != w.strangers(d) {
			w.Errorf("%s left this in the table:\n%s", d.host.Name, table)
		}
		d.start(w)
	}},
	{"a cable is pulled", takeover, func(w *world) {
		h := w.any().host
		h.Unplug()
		w.pause(3 * time.Second)
		h.Restore()
	}},
	{"a switch forgets a director", takeover, func(w *world) {
		h := w.any().host
		h.Cut()
		w.pause(3 * time.Second)
		h.Restore()
	}},
	{"a link loses packets", takeover + detection, func(w *world) {
		h := w.any().host
		h.Loss(30)
		w.pause(2 * time.Second)
		h.Loss(0)
	}},
	{"a web server is gone", detection, func(w *world) {
		h := w.webs[w.rand.IntN(len(w.webs))]
		h.Cut()
		w.pause(detection)
		h.Restore()
	}},
	{"the configuration changes", 0, func(w *world) {
		w.edit()
		for _, d := range w.directors {
			d.reload(w)
		}
	}},
	{"a broken configuration is read", 0, func(w *world) {
		d := w.any()
		d.write(w, w.config(d)+"virtual_server 10.9.0.100 {")
		d.hup(w)
		w.pause(time.Second)
		d.write(w, w.config(d))
	}},
	{"a stranger edits the table", 3 * time.Second, func(w *world) {
		d := w.any()
		d.host.MustRun("ipvsadm", "-d", "-t", "10.9.0.100:8000", "-r", "10.9.0.11:8000")
		d.host.MustRun("ipvsadm", "-e", "-t", "10.9.0.100:8001", "-r", "10.9.0.12:8001", "-g", "-w", "77")
		d.host.MustRun("ipvsadm", "-D", "-t", "10.9.0.100:8002")
	}},
	{"a stranger takes the address away", takeover, func(w *world) {
		for _, d := range w.directors {
			if d.host.Has(vip) {
				_, _ = d.host.Run(w.Context(), "ip", "addr", "del", "10.9.0.100/24", "dev", "eth0")
			}
		}
	}},
	{"links come and go", 0, func(w *world) {
		h := w.any().host
		for range 10 {
			h.MustRun("ip", "link", "add", "churn", "type", "dummy")
			h.MustRun("ip", "addr", "add", "203.0.113.1/32", "dev", "churn")
			h.MustRun("ip", "link", "set", "churn", "up")
			h.MustRun("ip", "link", "del", "churn")
		}
	}},
	{"namespaces come and go", 0, func(w *world) {
		h := w.any().host
		for range 4 {
			other := h.Start(w.Context(), "unshare", "--net", "sleep", "60")
			h.MustRun("ip", "link", "add", "churn", "type", "veth", "peer", "name", "churn-there")
			h.MustRun("ip", "link", "set", "churn", "up")
			w.within(5*time.Second, "a namespace", func() bool {
				name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", other.PID()))
				return string(name) == "sleep\n"
			})
			h.MustRun("ip", "link", "set", "churn-there", "netns", strconv.Itoa(other.PID()))
			other.Kill()
			w.within(5*time.Second, "its link is gone with it", func() bool { _, err := h.Run(w.Context(), "ip", "link", "show", "churn"); return err != nil })
		}
	}},
	{"a failover is asked for", takeover, func(w *world) {
		for _, d := range w.directors {
			if d.host.Has(vip) {
				_, _ = d.host.Run(w.Context(), lab.Bin("director"), "failover", "web", "--control", d.socket)
			}
		}
	}},
}
