package integration

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// TestStoppedProcess: a process that stood still, as under a debugger or on a paused virtual machine, wakes up with its
// timers long past and the others' adverts in its socket. It must not take the addresses from them.
func TestStoppedProcess(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	conf := func(name string, priority int, lines string) string {
		return write(t, name+".conf", fmt.Sprintf("vrrp_instance web {\n interface eth0\n state BACKUP\n version 3\n advert_int 0.1\n virtual_router_id 51\n priority %d\n %s\n virtual_ipaddress {\n %v/32\n }\n}\n", priority, lines, vip))
	}
	stand := func(p *lab.Process) {
		_ = p.Signal(syscall.SIGSTOP)
		time.Sleep(time.Second)
		_ = p.Signal(syscall.SIGCONT)
	}

	t.Run("BACKUP", func(t *testing.T) {
		n := lab.New(t)
		a, b := n.Host("a", "10.9.0.1/24"), n.Host("b", "10.9.0.2/24")
		startDirector(t, a, conf("a", 200, ""), "--ipvs", "none")
		within(t, 5*time.Second, "a holds the address", func() bool { return a.Has(vip) })
		p := startDirector(t, b, conf("b", 100, ""), "--ipvs", "none")
		for range 3 {
			stand(p)
		}
		time.Sleep(200 * time.Millisecond)
		if b.Has(vip) || strings.Contains(p.Output(), "to=MASTER") {
			t.Errorf("the one that stood still took the address:\n%s", p.Output())
		}
	})

	t.Run("MASTER", func(t *testing.T) {
		n := lab.New(t)
		a, b := n.Host("a", "10.9.0.1/24"), n.Host("b", "10.9.0.2/24")
		p := startDirector(t, a, conf("a", 200, "nopreempt\n timer_expired_backup 100"), "--ipvs", "none")
		within(t, 5*time.Second, "a holds the address", func() bool { return a.Has(vip) })
		startDirector(t, b, conf("b", 100, "nopreempt"), "--ipvs", "none")
		stand(p)
		within(t, 2*time.Second, "the one that stood still lets go", func() bool { return !a.Has(vip) })
		time.Sleep(500 * time.Millisecond)
		if !b.Has(vip) || a.Has(vip) {
			t.Errorf("after a second of standing still: a has it %v, b has it %v:\n%s", a.Has(vip), b.Has(vip), p.Output())
		}
	})
}
