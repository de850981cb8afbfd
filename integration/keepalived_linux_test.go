package integration

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
)

var vip, vip6 = netip.MustParseAddr("10.9.0.100"), netip.MustParseAddr("fe80::9:100")

// dialect is a way to speak VRRP, in the words of the configuration that both peers get.
type dialect struct {
	name     string
	interval time.Duration
	lines    string
	vip      netip.Addr
	unicast  bool
}

var dialects = []dialect{
	{"v2", time.Second, "version 2\n advert_int 1", vip, false},
	{"v2 PASS", time.Second, "version 2\n advert_int 1\n authentication {\n auth_type PASS\n auth_pass s3cret\n }", vip, false},
	{"v2 AH", time.Second, "version 2\n advert_int 1\n authentication {\n auth_type AH\n auth_pass s3cret\n }", vip, false},
	{"v3", 500 * time.Millisecond, "version 3\n advert_int 0.5", vip, false},
	{"v3 IPv6", 500 * time.Millisecond, "version 3\n advert_int 0.5", vip6, false},
	{"v2 unicast", time.Second, "version 2\n advert_int 1", vip, true},
	{"v3 unicast", 500 * time.Millisecond, "version 3\n advert_int 0.5", vip, true},
	{"v3 unicast old checksum", 500 * time.Millisecond, "version 3\n advert_int 0.5\n old_unicast_checksum", vip, true},
	{"v2 IPv6", time.Second, "version 2\n advert_int 1", vip6, false},
	{"v3 IPv6 unicast", 500 * time.Millisecond, "version 3\n advert_int 0.5", vip6, true},
	{"v3 VMAC", 500 * time.Millisecond, "version 3\n advert_int 0.5\n use_vmac", vip, false},
}

// router is one of the two peers: the same file, read by one program or the other.
type router struct {
	name     string
	host     *lab.Host
	priority int
	vip      netip.Addr
	file     string
	process  *lab.Process
	dialect  dialect
	frr      *lab.FRR // that of a router of the name frr
	frrConf  string
}

// vmac says whether the address has a virtual MAC address, on a link of its own.
func (d dialect) vmac() bool { return strings.Contains(d.lines, "use_vmac") }

func (d dialect) version() int {
	if strings.HasPrefix(d.lines, "version 2") {
		return 2
	}
	return 3
}

func (d dialect) router(t *testing.T, n *lab.Net, name, addr, peer string, priority int) *router {
	lines, host := d.lines, n.Host(name, addr+"/24")
	if d.unicast && d.vip.Is6() {
		addr, peer = strings.Replace(addr, "10.9.0.", "fd09::", 1), strings.Replace(peer, "10.9.0.", "fd09::", 1)
		host.MustRun("ip", "addr", "add", addr+"/64", "dev", "eth0", "nodad")
	}
	if d.unicast {
		lines += fmt.Sprintf("\n unicast_src_ip %s\n unicast_peer {\n %s\n }", addr, peer)
	}
	conf := fmt.Sprintf("vrrp_instance web {\n interface eth0\n state BACKUP\n virtual_router_id 51\n priority %d\n %s\n virtual_ipaddress {\n %v/%d\n }\n}\n",
		priority, lines, d.vip, d.vip.BitLen())
	return &router{name: name, host: host, priority: priority, vip: d.vip, dialect: d, file: write(t, name+".conf", conf)}
}

func (r *router) start(t *testing.T) {
	t.Helper()
	switch r.name {
	case "director":
		r.process = startDirector(t, r.host, r.file, "--ipvs", "none")
		return
	case "frr":
		r.startFRR(t)
		return
	}
	dir := t.TempDir() // pid files of its own, for several run at once
	r.process = r.host.Start(t.Context(), "keepalived", "-n", "-l", "-D", "-f", r.file,
		"-p", filepath.Join(dir, "p"), "-r", filepath.Join(dir, "r"), "-c", filepath.Join(dir, "c"))
	says(t, r.process, "Entering BACKUP STATE")
}

func (r *router) holds() bool {
	if r.name == "frr" {
		return r.frrState() == "Master"
	}
	if r.dialect.vmac() {
		return has(r.host, "vrrp.51", r.vip)
	}
	return r.host.Has(r.vip)
}

// has says whether an interface of the host has the address now.
func has(h *lab.Host, iface string, addr netip.Addr) (found bool) {
	_ = h.Do(func() error {
		i, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		addrs, err := i.Addrs()
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			found = found || err == nil && p.Addr() == addr
		}
		return err
	})
	return found
}

func (r *router) skew(d dialect) time.Duration {
	return time.Duration(256-r.priority) * d.interval / 256 // version 2 says seconds, and its interval is one
}

func (r *router) masterDown(d dialect) time.Duration { return 3*d.interval + r.skew(d) }

// slack is for a busy machine, on top of what the protocol allows.
const slack = 700 * time.Millisecond

// TestDirectorAndKeepalived puts both on one link, under both dialects, with either of them the stronger, started in either
// order.
func TestDirectorAndKeepalived(t *testing.T) {
	lab.Need(t, "ip", "keepalived")
	for _, d := range dialects {
		for _, names := range [][2]string{{"director", "keepalived"}, {"keepalived", "director"}} {
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

func pair(t *testing.T, d dialect, strong, weak string) (high, low *router, wire *lab.Capture) {
	n := lab.New(t)
	high, low = d.router(t, n, strong, "10.9.0.1", "10.9.0.2", 200), d.router(t, n, weak, "10.9.0.2", "10.9.0.1", 100)
	return high, low, low.host.Capture()
}

// strongFirst: the weaker one finds a MASTER and leaves it alone.
func strongFirst(t *testing.T, d dialect, strong, weak string) {
	high, low, wire := pair(t, d, strong, weak)
	high.start(t)
	within(t, high.masterDown(d)+slack, strong+" becomes MASTER alone", high.holds)
	low.start(t)
	staysMaster(t, wire, high, low, low.masterDown(d)+slack)
}

// life is one of start, preemption, leaving, a cut link and its healing.
func life(t *testing.T, d dialect, strong, weak string) {
	high, low, wire := pair(t, d, strong, weak)
	low.start(t)
	within(t, low.masterDown(d)+slack, weak+" becomes MASTER alone", low.holds)

	high.start(t)
	within(t, high.masterDown(d)+slack, strong+" preempts", func() bool { return high.holds() && !low.holds() })
	staysMaster(t, wire, high, low, 2*d.interval)

	if status := high.process.Stop(); status != 0 {
		t.Errorf("%s ended with status %d", strong, status)
	}
	took := within(t, low.masterDown(d)+slack, weak+" takes over", low.holds)
	left, taken := handover(wire.Frames(), high, low)
	if handed := taken.Sub(left); left.IsZero() || handed > low.skew(d)+slack/2 {
		t.Errorf("%s left at %v with priority 0 and %s sent its first advert %v later (in all %v); skew time is %v", strong, left, weak, handed, took, low.skew(d))
	}
	if high.holds() {
		t.Errorf("%s has left and still holds the address", strong)
	}

	high.start(t)
	within(t, high.masterDown(d)+slack, strong+" preempts again", func() bool { return high.holds() && !low.holds() })
	high.host.Cut()
	took = within(t, low.masterDown(d)+slack, weak+" takes over from a cut link", low.holds)
	if earliest := 2 * d.interval; took < earliest {
		t.Errorf("%s took over after %v: less than three adverts are missing", weak, took)
	}
	high.host.Restore()
	within(t, 2*d.interval+slack, "one MASTER after healing", func() bool { return high.holds() && !low.holds() })
	staysMaster(t, wire, high, low, low.masterDown(d)+slack)
}

// staysMaster holds for a while that high alone has the address and sends adverts.
func staysMaster(t *testing.T, wire *lab.Capture, high, low *router, while time.Duration) {
	t.Helper()
	from := time.Now().Add(100 * time.Millisecond) // an advert may be on its way
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for time.Since(from) < while {
		<-tick.C
		if !high.holds() || low.holds() {
			t.Fatalf("%s holds the address: %v, %s: %v", high.name, high.holds(), low.name, low.holds())
		}
	}
	sent := 0
	for _, a := range adverts(wire.Frames()) {
		switch {
		case a.at.Before(from):
		case a.priority != uint8(high.priority):
			t.Errorf("an advert of priority %d while %s is MASTER", a.priority, high.name)
		default:
			sent++
		}
	}
	if sent == 0 {
		t.Errorf("%s sends no adverts", high.name)
	}
}

type advert struct {
	at       time.Time
	priority uint8
	src      netip.Addr
}

// adverts finds the VRRP packets among frames.
func adverts(frames []lab.Frame) (list []advert) {
	for _, f := range frames {
		message, src, dst := vrrpOf(f.Data)
		var a vrrp.Advertisement
		if message != nil && a.ParsePacket(message, src, dst) == nil {
			list = append(list, advert{f.At, a.Priority, src})
		}
	}
	return list
}

// vrrpOf takes the message out of an Ethernet frame: IPv4 or IPv6, protocol 112, or behind an Authentication Header.
func vrrpOf(frame []byte) (message []byte, src, dst netip.Addr) {
	const ah, ahLen = 51, 24
	switch {
	case len(frame) >= 34 && frame[12] == 0x08 && frame[13] == 0x00 && (frame[23] == vrrp.Protocol || frame[23] == ah):
		src, _ = netip.AddrFromSlice(frame[26:30])
		dst, _ = netip.AddrFromSlice(frame[30:34])
		message = frame[14+int(frame[14]&15)*4:]
		if frame[23] == ah && len(message) > ahLen {
			message = message[ahLen:]
		}
		return message, src, dst
	case len(frame) >= 54 && frame[12] == 0x86 && frame[13] == 0xdd && frame[20] == vrrp.Protocol:
		src, _ = netip.AddrFromSlice(frame[22:38])
		dst, _ = netip.AddrFromSlice(frame[38:54])
		return frame[54:], src, dst
	}
	return nil, src, dst
}

// handover is when the last MASTER said that it leaves, and when the other spoke up.
func handover(frames []lab.Frame, from, to *router) (left, taken time.Time) {
	for _, a := range adverts(frames) {
		switch {
		case a.priority == 0:
			left, taken = a.at, time.Time{}
		case a.priority == uint8(to.priority) && !left.IsZero() && taken.IsZero():
			taken = a.at
		}
	}
	return left, taken
}

// TestAgentAndKeepalived: the VRRP-only agent holds an address against keepalived, and gives it up when told to.
func TestAgentAndKeepalived(t *testing.T) {
	lab.Need(t, "ip", "keepalived")
	t.Parallel()
	d := dialect{"v3", time.Second, "version 3\n advert_int 1", vip, false}
	n := lab.New(t)
	peer := d.router(t, n, "keepalived", "10.9.0.2", "10.9.0.1", 100)
	peer.start(t)
	agent := n.Host("agent", "10.9.0.1/24")
	flag := filepath.Join(t.TempDir(), "out")
	p := agent.Start(t.Context(), lab.Bin("haagent"), "-interface", "eth0", "-vrid", "51", "-priority", "200", "-unless", flag, vip.String()+"/24")
	within(t, 8*time.Second, "the agent takes the address", func() bool { return agent.Has(vip) && !peer.holds() })
	agent.MustRun("touch", flag)
	within(t, 8*time.Second, "the agent gives it up", func() bool { return !agent.Has(vip) && peer.holds() })
	agent.MustRun("rm", flag)
	within(t, 8*time.Second, "the agent is back", func() bool { return agent.Has(vip) && !peer.holds() })
	if status := p.Stop(); status != 0 || agent.Has(vip) {
		t.Errorf("status %d, the address is still there: %v; it printed:\n%s", status, agent.Has(vip), p.Output())
	}
}

// TestScriptMovesTheAddress: a vrrp_script of the stronger director fails, and keepalived takes over; a script that succeeds
// again brings the address back.
func TestScriptMovesTheAddress(t *testing.T) {
	lab.Need(t, "ip", "keepalived")
	t.Parallel()
	d := dialect{"v3", 500 * time.Millisecond, "version 3\n advert_int 0.5", vip, false}
	n := lab.New(t)
	flag := filepath.Join(t.TempDir(), "broken")
	low := d.router(t, n, "keepalived", "10.9.0.2", "10.9.0.1", 100)
	high := d.router(t, n, "director", "10.9.0.1", "10.9.0.2", 110)
	text, err := os.ReadFile(high.file)
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("vrrp_script app {\n script \"test ! -e %s\"\n interval 1\n weight -20\n}\n", flag)
	tracked := strings.Replace(string(text), "virtual_ipaddress", "track_script {\n app\n }\n virtual_ipaddress", 1)
	high.file = write(t, "scripted.conf", script+tracked)
	low.start(t)
	high.start(t)
	within(t, 10*time.Second, "director has the address", func() bool { return high.holds() && !low.holds() })
	high.host.MustRun("touch", flag)
	within(t, 10*time.Second, "keepalived takes over", func() bool { return low.holds() && !high.holds() })
	high.host.MustRun("rm", flag)
	within(t, 10*time.Second, "director is back", func() bool { return high.holds() && !low.holds() })
}
