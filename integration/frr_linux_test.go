package integration

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// startFRR runs FRR's vrrpd. It wants the virtual MAC addresses and the virtual address on a macvlan of the operator's, whose
// carrier is then up while it is MASTER.
func (r *router) startFRR(t *testing.T) {
	t.Helper()
	if r.frr == nil {
		mac, name, family, bits := "00:00:5e:00:01:33", "vrrp4-51", "ip", 24
		if r.vip.Is6() {
			mac, name, family, bits = "00:00:5e:00:02:33", "vrrp6-51", "ipv6", 64
		}
		r.host.MustRun("ip", "link", "add", "link", "eth0", "name", name, "type", "macvlan", "mode", "bridge")
		r.host.MustRun("ip", "link", "set", "dev", name, "address", mac, "addrgenmode", "random")
		r.host.MustRun("ip", "addr", "add", fmt.Sprintf("%v/%d", r.vip, bits), "dev", name)
		r.host.MustRun("ip", "link", "set", "dev", name, "up")
		r.frrConf = fmt.Sprintf("interface eth0\n vrrp 51 version %d\n vrrp 51 priority %d\n vrrp 51 advertisement-interval %d\n vrrp 51 %s %v\n!\n",
			r.dialect.version(), r.priority, r.dialect.interval.Milliseconds(), family, r.vip)
	}
	r.frr = r.host.FRR(r.frrConf, "zebra", "vrrpd")
	r.process = r.frr.Process
	within(t, 10*time.Second, "vrrpd is at work", func() bool { s := r.frrState(); return s == "Backup" || s == "Master" })
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := r.frr.Tell("show vrrp")
			t.Logf("%s\n%s", out, r.process.Output())
		}
	})
}

// frrState asks vrrpd for the state of its instance; empty while there is no answer.
func (r *router) frrState() string {
	if r.frr == nil {
		return ""
	}
	out, err := r.frr.Tell("show vrrp json")
	if err != nil {
		return ""
	}
	var all []struct {
		V4, V6 struct{ Status string }
	}
	if json.Unmarshal([]byte(out), &all) != nil || len(all) != 1 {
		return ""
	}
	if r.vip.Is6() {
		return all[0].V6.Status
	}
	return all[0].V4.Status
}

// TestDirectorAndFRR puts both on one link, with either of them the stronger.
func TestDirectorAndFRR(t *testing.T) {
	lab.Need(t, "ip", "vtysh")
	for _, d := range []dialect{
		{"v2", time.Second, "version 2\n advert_int 1", vip, false},
		{"v3", 500 * time.Millisecond, "version 3\n advert_int 0.5", vip, false},
		{"v3 IPv6", 500 * time.Millisecond, "version 3\n advert_int 0.5", vip6, false},
	} {
		for _, names := range [][2]string{{"director", "frr"}, {"frr", "director"}} {
			t.Run(d.name+"/"+names[0]+" is stronger", func(t *testing.T) {
				t.Parallel()
				life(t, d, names[0], names[1])
			})
			t.Run(d.name+"/"+names[0]+" is stronger and first", func(t *testing.T) {
				t.Parallel()
				strongFirst(t, d, names[0], names[1])
			})
		}
	}
}
