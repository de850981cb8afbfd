package integration

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// squeeze makes one blank of many, so that what ip prints can be compared.
func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }

func show(t testing.TB, h *lab.Host, args ...string) string {
	t.Helper()
	out, err := h.Run(context.Background(), "ip", args...)
	if err != nil {
		t.Fatal(err)
	}
	return squeeze(out)
}

// TestHostAddresses: every option of virtual addresses reaches the kernel; what others take away comes back; at the end nothing
// is left.
func TestHostAddresses(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	h := lab.New(t).Host("a", "10.9.0.1/24")
	h.MustRun("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth1peer")
	h.MustRun("ip", "link", "set", "eth1", "up")
	h.MustRun("ip", "link", "set", "eth1peer", "up")
	conf := write(t, "host.conf", `
global_defs { vrrp_garp_interval 0.001
 default_interface eth1 }
garp_group { garp_interval 0.002
 interfaces { eth1 } }
interface_up_down_delays { eth0 0.1 0.1 }
static_ipaddress {
 10.20.0.1/24 brd + scope link
 10.21.0.2/24 dev eth1 label eth1:two track_group both
}
track_group both { group { web } }
vrrp_instance web {
 interface eth0
 version 3
 advert_int 0.1
 virtual_router_id 51
 priority 200
 kernel_rx_buf_size 65536
 virtual_ipaddress {
  10.9.0.100/24 brd 10.9.0.255 label eth0:vip
  10.9.0.101 peer 10.9.0.201/32 noprefixroute
  10.9.0.102 dev eth1 scope link
 }
 virtual_ipaddress_excluded {
  2001:db8::1/64 home mngtmpaddr
  2001:db8::2
  2001:db8::3 preferred_lft forever
  2001:db8::4/64 preferred_lft 0 -nodad no_track
 }
}
`)
	p := startDirector(t, h, conf, "--ipvs", "none")
	within(t, 5*time.Second, "it is MASTER", func() bool { return h.Has(vip) })
	within(t, 5*time.Second, "all addresses", func() bool { return strings.Contains(show(t, h, "-o", "addr"), "2001:db8::4") })
	eth0, eth1 := show(t, h, "-o", "addr", "show", "dev", "eth0"), show(t, h, "-o", "addr", "show", "dev", "eth1")
	for _, want := range []string{
		"10.9.0.100/24 brd 10.9.0.255 scope global secondary eth0:vip", "10.9.0.101 peer 10.9.0.201/32 scope global noprefixroute",
		"2001:db8::1/64 scope global nodad home mngtmpaddr", "2001:db8::2/128 scope global nodad deprecated", "2001:db8::3/128 scope global nodad \\",
		"2001:db8::4/64 scope global deprecated",
	} {
		if !strings.Contains(eth0, want) {
			t.Errorf("eth0 has no %q:\n%s", want, eth0)
		}
	}
	for _, want := range []string{"10.20.0.1/24 brd 10.20.0.255 scope link", "10.21.0.2/24 scope global eth1:two", "10.9.0.102/32 scope link"} {
		if !strings.Contains(eth1, want) {
			t.Errorf("eth1 has no %q:\n%s", want, eth1)
		}
	}

	h.MustRun("ip", "addr", "del", "10.20.0.1/24", "dev", "eth1")
	within(t, 5*time.Second, "a static address comes back", func() bool { return strings.Contains(show(t, h, "-o", "addr"), "10.20.0.1/24") })
	h.MustRun("ip", "addr", "del", vip.String()+"/24", "dev", "eth0")
	says(t, p, "someone removed "+vip.String())
	within(t, 5*time.Second, "the virtual address comes back", func() bool { return h.Has(vip) })

	h.MustRun("ip", "link", "set", "eth0", "down")
	h.MustRun("ip", "link", "set", "eth0", "up")
	time.Sleep(300 * time.Millisecond)
	if strings.Contains(p.Output(), "interface eth0 is down") {
		t.Errorf("a link that flaps for less than its delay moved the instance:\n%s", p.Output())
	}
	h.MustRun("ip", "link", "set", "eth1", "down")
	says(t, p, "tracked interface eth1 is down")
	h.MustRun("ip", "link", "set", "eth1", "up")
	within(t, 5*time.Second, "it is MASTER again", func() bool { return h.Has(vip) })
	if status := p.Stop(); status != 0 {
		t.Errorf("status %d", status)
	}
	if left := show(t, h, "-o", "addr"); strings.Contains(left, "10.9.0.10") || strings.Contains(left, "10.20.0") || strings.Contains(left, "10.21.0") || strings.Contains(left, "2001:db8") {
		t.Errorf("left over:\n%s", left)
	}
}

// TestNoAccept: the address is announced and answered for by ARP, and takes no traffic.
func TestNoAccept(t *testing.T) {
	lab.Need(t, "ip", "nft", "ping")
	t.Parallel()
	n := lab.New(t)
	h, c := n.Host("a", "10.9.0.1/24"), n.Host("c", "10.9.0.3/24")
	instance := func(lines string) string {
		return "global_defs {\n nftables vips\n nftables_priority -5\n}\nvrrp_instance web {\n interface eth0\n version 3\n advert_int 0.1\n virtual_router_id 51\n priority 200\n " + lines +
			"\n virtual_ipaddress { 10.9.0.100/24 }\n virtual_ipaddress_excluded { 2001:db8::100/64 }\n}\n"
	}
	conf := write(t, "accept.conf", instance("no_accept"))
	h.MustRun("nft", "add table inet vips; add chain inet vips stale") // left over from a crash
	p := startDirector(t, h, conf, "--ipvs", "none")
	within(t, 5*time.Second, "it is MASTER", func() bool { return h.Has(vip) })
	answers := func() bool {
		_, err := c.Run(t.Context(), "ping", "-c", "1", "-W", "1", vip.String())
		return err == nil
	}
	if answers() {
		t.Error("the address answers")
	}
	if neighbour, _ := c.Run(t.Context(), "ip", "neigh", "show", vip.String()); !strings.Contains(neighbour, "lladdr") {
		t.Errorf("nobody answers for it by ARP: %s", neighbour)
	}
	rules := h.MustRun("nft", "list", "ruleset")
	for _, want := range []string{"table inet vips", "priority filter - 5", "10.9.0.100", "2001:db8::100", "drop"} {
		if !strings.Contains(rules, want) {
			t.Errorf("no %q in\n%s", want, rules)
		}
	}
	if strings.Contains(rules, "stale") {
		t.Errorf("the old table is still there:\n%s", rules)
	}
	if err := os.WriteFile(conf, []byte(instance("")), 0o644); err != nil {
		t.Fatal(err)
	}
	_ = p.Signal(syscall.SIGHUP)
	within(t, 5*time.Second, "without no_accept it answers", answers)
	if err := os.WriteFile(conf, []byte(instance("no_accept")), 0o644); err != nil {
		t.Fatal(err)
	}
	_ = p.Signal(syscall.SIGHUP)
	within(t, 5*time.Second, "with it it does not", func() bool { return !answers() })
	if status := p.Stop(); status != 0 {
		t.Errorf("status %d", status)
	}
	if left := h.MustRun("nft", "list", "ruleset"); strings.Contains(left, "vips") {
		t.Errorf("left over:\n%s", left)
	}
}

// TestScheduling: the process goes before others and stays in memory; what it runs does not.
func TestScheduling(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	h := lab.New(t).Host("a", "10.9.0.1/24")
	seen := filepath.Join(t.TempDir(), "seen")
	script := write(t, "look.sh", "#!/bin/sh\ncut -d' ' -f19,40,41 /proc/$$/stat >"+seen+"\n")
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := write(t, "sched.conf", "global_defs {\n vrrp_rt_priority 7\n vrrp_priority -4\n vrrp_no_swap\n vrrp_cpu_affinity 0\n script_user root\n}\n"+
		"vrrp_script look {\n script "+script+"\n interval 1\n}\n"+
		"vrrp_instance web {\n interface eth0\n virtual_router_id 51\n priority 200\n virtual_ipaddress { 10.9.0.100/24 }\n track_script { look }\n}\n")
	p := startDirector(t, h, conf, "--ipvs", "none")
	if strings.Contains(p.Output(), "scheduling of the process") {
		lab.Missing(t, "this kernel does not allow it:\n%s", p.Output())
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID()))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // a thread that has ended
		}
		const policyRR = "2"
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if f[37] != "7" || f[38] != policyRR {
			t.Errorf("%s: real-time priority %s, policy %s", task, f[37], f[38])
		}
	}
	if status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID())); !strings.Contains(string(status), "Cpus_allowed_list:\t0\n") || strings.Contains(string(status), "VmLck:\t       0 kB") {
		t.Errorf("not pinned, or not locked:\n%s", status)
	}
	within(t, 5*time.Second, "the script runs", func() bool { text, _ := os.ReadFile(seen); return len(text) > 0 })
	time.Sleep(1500 * time.Millisecond)
	if text, _ := os.ReadFile(seen); string(text) != "0 0 0\n" {
		t.Errorf("the script's nice value, real-time priority and policy: %s", text)
	}
}

// TestRoutesAndRules: those of an instance come and go with it, static ones are always there; what others remove is put back.
func TestRoutesAndRules(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	h := lab.New(t).Host("a", "10.9.0.1/24", "2001:db8::1/64")
	conf := write(t, "routes.conf", `
static_routes { 10.30.0.0/16 via 10.9.0.2 dev eth0 }
static_rules { from 10.30.0.1 table 77 }
vrrp_instance web {
 interface eth0
 version 3
 advert_int 0.1
 virtual_router_id 51
 priority 200
 virtual_ipaddress { 10.9.0.100/24 }
 virtual_routes {
  10.31.0.0/16 via 10.9.0.2 dev eth0 src 10.9.0.100 metric 5
  default via 10.9.0.3 dev eth0 table 77
  blackhole 10.32.0.0/16
  2001:db8:1::/48 via 2001:db8::2 dev eth0
 }
 virtual_rules {
  from 10.9.0.100 table 77 preference 99
  from 10.9.0.100 fwmark 5 blackhole preference 98 no_track
 }
}
`)
	h.MustRun("ip", "route", "add", "blackhole", "10.32.0.0/16", "proto", "18") // left over from a crash
	p := startDirector(t, h, conf, "--ipvs", "none")
	all := func() string {
		return show(t, h, "route", "show", "table", "all") + " | " + show(t, h, "-6", "route") + " | " + show(t, h, "rule")
	}
	static := []string{"10.30.0.0/16 via 10.9.0.2 dev eth0 proto keepalived", "16384: from 10.30.0.1 lookup 77 proto keepalived"}
	virtual := []string{
		"10.31.0.0/16 via 10.9.0.2 dev eth0 proto keepalived src 10.9.0.100 metric 5", "default via 10.9.0.3 dev eth0 table 77 proto keepalived",
		"blackhole 10.32.0.0/16 proto keepalived", "2001:db8:1::/48 via 2001:db8::2 dev eth0 proto keepalived",
		"99: from 10.9.0.100 lookup 77 proto keepalived", "98: from 10.9.0.100 fwmark 0x5 blackhole proto keepalived",
	}
	has := func(list []string) func() bool {
		return func() bool {
			text := all()
			for _, want := range list {
				if !strings.Contains(text, want) {
					return false
				}
			}
			return true
		}
	}
	both := append(append([]string(nil), static...), virtual...)
	within(t, 5*time.Second, "all routes and rules", has(both))
	h.MustRun("ip", "route", "del", "10.31.0.0/16", "metric", "5")
	h.MustRun("ip", "rule", "del", "preference", "99")
	h.MustRun("ip", "route", "del", "10.30.0.0/16")
	within(t, 5*time.Second, "what was removed is put back", has(both))
	h.MustRun("ip", "link", "set", "eth0", "down")
	within(t, 5*time.Second, "without its link it holds nothing", func() bool { return !strings.Contains(all(), virtual[2]) && !strings.Contains(all(), virtual[4]) })
	h.MustRun("ip", "link", "set", "eth0", "up")
	h.MustRun("ip", "addr", "replace", "2001:db8::1/64", "dev", "eth0")
	within(t, 5*time.Second, "with it, all again", has(both))
	if status := p.Stop(); status != 0 {
		t.Errorf("status %d", status)
	}
	if left := all(); strings.Contains(left, "keepalived") {
		t.Errorf("left over:\n%s", left)
	}
}

// TestUnicast: without an interface, with TTLs, and two instances of one VRID that have different peers.
func TestUnicast(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	n := lab.New(t)
	a, b, c := n.Host("a", "10.9.0.1/24"), n.Host("b", "10.9.0.2/24"), n.Host("c", "10.9.0.3/24")
	instance := func(name, self, peer string, priority int, addr string, lines string) string {
		return fmt.Sprintf("vrrp_instance %s {\n version 3\n advert_int 0.1\n virtual_router_id 51\n priority %d\n unicast_src_ip %s\n unicast_peer {\n %s\n }\n %s\n virtual_ipaddress {\n %s dev eth0\n }\n}\n", name, priority, self, peer, lines, addr)
	}
	one, two := "10.9.0.101", "10.9.0.102"
	startDirector(t, a, write(t, "a.conf", instance("one", "10.9.0.1", "10.9.0.2 min_ttl 10 max_ttl 20", 200, one, "")+
		instance("two", "10.9.0.1", "10.9.0.3", 100, two, "interface eth0\n unicast_ttl 7")), "--ipvs", "none")
	pb := startDirector(t, b, write(t, "b.conf", instance("one", "10.9.0.2", "10.9.0.1", 100, one, "unicast_ttl 15")), "--ipvs", "none")
	startDirector(t, c, write(t, "c.conf", instance("two", "10.9.0.3", "10.9.0.1 max_ttl 7", 200, two, "")), "--ipvs", "none")
	has := func(h *lab.Host, addr string) bool { return h.Has(netip.MustParseAddr(addr)) }
	within(t, 5*time.Second, "a holds one, c holds two", func() bool { return has(a, one) && !has(a, two) && !has(b, one) && has(c, two) })
	time.Sleep(500 * time.Millisecond)
	if has(b, one) || has(a, two) {
		t.Error("someone does not hear its peer")
	}
	a.MustRun("ip", "addr", "del", "10.9.0.1/24", "dev", "eth0")
	within(t, 5*time.Second, "b takes over", func() bool { return has(b, one) })
	if status := pb.Stop(); status != 0 || has(b, one) {
		t.Errorf("status %d, address still there %v", status, has(b, one))
	}
}

// TestVMACWithKeepalived: the address has its virtual MAC on whichever of the two holds it.
func TestVMACWithKeepalived(t *testing.T) {
	lab.Need(t, "ip", "keepalived")
	for _, names := range [][2]string{{"director", "keepalived"}, {"keepalived", "director"}} {
		t.Run(names[0]+" is stronger", func(t *testing.T) {
			t.Parallel()
			d := dialect{"v3 VMAC", 500 * time.Millisecond, "version 3\n advert_int 0.5\n use_vmac", vip, false}
			n := lab.New(t)
			high, low := d.router(t, n, names[0], "10.9.0.1", "10.9.0.2", 200), d.router(t, n, names[1], "10.9.0.2", "10.9.0.1", 100)
			watcher := n.Host("c", "10.9.0.3/24")
			answers := func() bool {
				_, _ = watcher.Run(t.Context(), "ip", "neigh", "flush", "all")
				_, _ = watcher.Run(t.Context(), "ping", "-c", "1", "-W", "1", vip.String())
				out, _ := watcher.Run(t.Context(), "ip", "neigh", "show", vip.String())
				return strings.Contains(out, "00:00:5e:00:01:33")
			}
			low.start(t)
			within(t, 8*time.Second, names[1]+" holds it", low.holds)
			high.start(t)
			within(t, 8*time.Second, names[0]+" preempts", func() bool { return high.holds() && !low.holds() })
			within(t, 5*time.Second, "it answers with the virtual MAC address", answers)
			if status := high.process.Stop(); status != 0 {
				t.Errorf("status %d", status)
			}
			within(t, 8*time.Second, names[1]+" takes over", low.holds)
			within(t, 5*time.Second, "it answers with the same", answers)
		})
	}
}
