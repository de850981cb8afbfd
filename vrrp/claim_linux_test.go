package vrrp_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/ndp"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// stranger is a MAC address that no host has.
var stranger = [6]byte{2, 0, 0, 0xbe, 0xef, 1}

// arpFrame is an ARP packet in an Ethernet frame that the given MAC address sends and speaks of: where addr is.
func arpFrame(to, mac [6]byte, operation uint16, addr netip.Addr) []byte {
	b := append(append(append([]byte{}, to[:]...), mac[:]...), 8, 6, 0, 1, 8, 0, 6, 4)
	b = binary.BigEndian.AppendUint16(b, operation)
	b = append(append(append(b, mac[:]...), addr.AsSlice()...), to[:]...)
	return append(b, addr.AsSlice()...)
}

// naFrame is an unsolicited neighbour advertisement to all nodes. option is the MAC address that it names, the zero value none.
func naFrame(t testing.TB, mac, option [6]byte, addr netip.Addr, hopLimit uint8) []byte {
	t.Helper()
	na := &ndp.NeighborAdvertisement{Override: true, TargetAddress: addr}
	if option != [6]byte{} {
		na.Options = []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: option[:]}}
	}
	src, dst := netip.MustParseAddr("fe80::bad"), netip.MustParseAddr("ff02::1")
	m, err := ndp.MarshalMessageChecksum(na, src, dst)
	if err != nil {
		t.Fatal(err)
	}
	b := append(append([]byte{0x33, 0x33, 0, 0, 0, 1}, mac[:]...), 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(m)), 58, hopLimit)
	return append(append(append(b, src.AsSlice()...), dst.AsSlice()...), m...)
}

// sendFrame sends from a link of a host.
func sendFrame(t testing.TB, h *lab.Host, link string, frame []byte) {
	t.Helper()
	err := h.Do(func() error {
		ifi, err := net.InterfaceByName(link)
		if err != nil {
			return err
		}
		conn, err := packet.Listen(ifi, packet.Raw, unix.ETH_P_LOOP, nil)
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.WriteTo(frame, &packet.Addr{HardwareAddr: frame[:6]})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// conflicting is a Router in a host whose conflicts are kept.
type conflicting struct {
	*vrrp.Router
	mu   sync.Mutex
	told []vrrp.Conflict
}

func (c *conflicting) claims() (list []vrrp.Conflict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.told {
		if k.Kind == vrrp.ConflictClaim {
			list = append(list, k)
		}
	}
	return list
}

func runConflicting(t *testing.T, h *lab.Host, in vrrp.Instance) *conflicting {
	t.Helper()
	c := &conflicting{}
	c.Router = vrrp.NewRouter(vrrp.Options{Network: inHost{vrrp.HostNetwork(), h}, OnConflict: func(k vrrp.Conflict) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.told = append(c.told, k)
	}})
	if err := c.Set([]vrrp.Instance{in}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestNetClaims: a host that is no router says that it has a virtual address. The MASTER tells of it and announces the address
// again; of what its own host says it tells nothing.
func TestNetClaims(t *testing.T) {
	lab.Need(t, "ip", "ping")
	const six = "2001:db8::100"
	all, vmac := [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, [6]byte{0, 0, 0x5e, 0, 1, 51}
	frames := func(link string, frames ...[]byte) func(t *testing.T, from *lab.Host) {
		return func(t *testing.T, from *lab.Host) {
			for _, f := range frames {
				sendFrame(t, from, link, f)
			}
		}
	}
	useVMAC := func(in *vrrp.Instance) { in.VMAC.Use = true }
	v4, v6 := netip.MustParseAddr(vip), netip.MustParseAddr(six)
	for name, c := range map[string]claimCase{
		"gratuitous ARP":        {nil, "c", frames("eth0", arpFrame(all, stranger, 1, v4)), v4, "02:00:00:be:ef:01"},
		"ARP reply":             {nil, "c", frames("eth0", arpFrame(all, stranger, 2, v4)), v4, "02:00:00:be:ef:01"},
		"another VRID's MAC":    {nil, "c", frames("eth0", arpFrame(all, [6]byte{0, 0, 0x5e, 0, 1, 99}, 1, v4)), v4, "00:00:5e:00:01:63"},
		"VMAC":                  {useVMAC, "c", frames("eth0", arpFrame(all, stranger, 1, v4)), v4, "02:00:00:be:ef:01"},
		"VMAC, ARP reply to it": {useVMAC, "c", frames("eth0", arpFrame(vmac, stranger, 2, v4)), v4, "02:00:00:be:ef:01"},
		"excluded":              {func(in *vrrp.Instance) { in.Excluded = vrrp.MustAddresses(six) }, "c", frames("eth0", naFrame(t, stranger, stranger, v6, 255)), v6, "02:00:00:be:ef:01"},
		"another link": {func(in *vrrp.Instance) {
			in.Excluded = vrrp.MustAddresses("10.9.0.100/24")
			in.Excluded[0].Interface = "eth1"
		}, "a", frames("peer1", arpFrame(all, stranger, 1, netip.MustParseAddr("10.9.0.100"))), netip.MustParseAddr("10.9.0.100"), "02:00:00:be:ef:01"},
		"another link with a VMAC": {func(in *vrrp.Instance) {
			in.Excluded = vrrp.MustAddresses("10.9.0.100/24")
			in.Excluded[0].Interface, in.Excluded[0].VMAC = "eth1", true
		}, "a", frames("peer1", arpFrame(all, stranger, 1, netip.MustParseAddr("10.9.0.100"))), netip.MustParseAddr("10.9.0.100"), "02:00:00:be:ef:01"},
		"IPv6":            {func(in *vrrp.Instance) { in.Addrs = vrrp.MustAddresses(six) }, "c", frames("eth0", naFrame(t, stranger, stranger, v6, 255)), v6, "02:00:00:be:ef:01"},
		"IPv6, no option": {func(in *vrrp.Instance) { in.Addrs = vrrp.MustAddresses(six) }, "c", frames("eth0", naFrame(t, stranger, [6]byte{}, v6, 255)), v6, "02:00:00:be:ef:01"},
		"IPv6, VMAC": {func(in *vrrp.Instance) { in.Addrs, in.VMAC.Use = vrrp.MustAddresses(six), true }, "c",
			frames("eth0", naFrame(t, stranger, stranger, v6, 255)), v6, "02:00:00:be:ef:01"},
		"a kernel that has the address": {nil, "c", func(t *testing.T, c *lab.Host) {
			_, _ = c.Run(t.Context(), "ip", "addr", "add", vip+"/24", "dev", "eth0")
			_, _ = c.Run(t.Context(), "ip", "neigh", "flush", "dev", "eth0")
			_, _ = c.Run(t.Context(), "ping", "-c", "1", "-W", "1", "-I", vip, "10.0.0.1")
		}, v4, ""},
		"a kernel that has the address, IPv6": {func(in *vrrp.Instance) { in.Addrs = vrrp.MustAddresses(six) }, "c", func(t *testing.T, c *lab.Host) {
			c.Sysctl("net.ipv6.conf.eth0.accept_dad", "0")
			c.Sysctl("net.ipv6.conf.eth0.ndisc_notify", "1")
			_, _ = c.Run(t.Context(), "ip", "addr", "del", six+"/64", "dev", "eth0")
			c.MustRun("ip", "addr", "add", six+"/64", "dev", "eth0")
		}, v6, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

// TestKernelClaimsIPVLAN: claims of an address on an ipvlan are heard on the link below it.
func TestKernelClaimsIPVLAN(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	frame := arpFrame([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, stranger, 1, netip.MustParseAddr(vip))
	claimCase{func(in *vrrp.Instance) { in.IPVLAN.Use = true }, "c", func(t *testing.T, c *lab.Host) { sendFrame(t, c, "eth0", frame) }, netip.MustParseAddr(vip), "02:00:00:be:ef:01"}.run(t)
}

// claimCase is a stranger's claim.
type claimCase struct {
	edit  func(in *vrrp.Instance)
	from  string // the host that sends: c, or a itself
	claim func(t *testing.T, from *lab.Host)
	addr  netip.Addr // that is contested
	mac   string     // that is told of, empty for that of c
}

func (c claimCase) run(t *testing.T) {
	t.Helper()
	n := lab.New(t)
	a, other := n.Host("a", "10.0.0.1/24"), n.Host("c", "10.0.0.3/24")
	a.MustRun("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "peer1")
	a.MustRun("ip", "link", "set", "peer1", "up")
	a.MustRun("ip", "link", "set", "eth1", "up")
	from := other
	if c.from == "a" {
		from = a
	}
	in := instance(200)
	in.Interval = 100 * time.Millisecond
	in.Announce.Delay = -1
	if c.edit != nil {
		c.edit(&in)
	}
	r := runConflicting(t, a, in)
	eventually(t, 5*time.Second, "a is MASTER", func() bool { return r.Status()[0].State == vrrp.Master })
	time.Sleep(300 * time.Millisecond) // its own announcements are over
	link := "eth0"
	if c.from == "a" {
		link = "peer1"
	}
	capture := from.CaptureOn(link)
	eventually(t, 5*time.Second, "a tells of it", func() bool {
		c.claim(t, from)
		return len(r.claims()) > 0
	})
	told := r.claims()[0]
	mac := c.mac
	if mac == "" {
		mac = macOf(t, other)
	}
	if told.From != c.addr || !strings.Contains(told.Detail, mac) || r.Status()[0].Conflicts["claim"] == 0 {
		t.Errorf("told %v, want %s", told, mac)
	}
	defended := func(c *lab.Capture, addr netip.Addr) bool {
		for _, f := range c.Frames() {
			src := [6]byte(f.Data[6:12])
			if src != stranger && !strings.Contains(mac, net.HardwareAddr(src[:]).String()) && bytes.Contains(f.Data[14:], addr.AsSlice()) &&
				(f.Data[12] == 8 && f.Data[13] == 6 || f.Data[12] == 0x86 && len(f.Data) > 54 && f.Data[54] == 136) {
				return true
			}
		}
		return false
	}
	eventually(t, 5*time.Second, "a announces the address again", func() bool { return defended(capture, c.addr) })
}

// macOf is the MAC address of a host.
func macOf(t *testing.T, h *lab.Host) (mac string) {
	t.Helper()
	err := h.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err == nil {
			mac = ifi.HardwareAddr.String()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return mac
}

// TestNetOwnFrames: what comes back of this host's own frames, from other links of it on the same wire or by a loop, is no claim; nor
// is what the routers of a group announce as they take over from each other.
func TestNetOwnFrames(t *testing.T) {
	lab.Need(t, "ip")
	n := lab.New(t)
	a, b, c := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24"), n.Host("c", "10.0.0.3/24")
	wish := func(priority uint8) vrrp.Instance {
		in := instance(priority)
		in.Interval = 100 * time.Millisecond
		in.Excluded = vrrp.MustAddresses("2001:db8::100")
		in.Announce = vrrp.Announce{Delay: 300 * time.Millisecond, Refresh: 500 * time.Millisecond}
		return in
	}
	ra, rb := runConflicting(t, a, wish(50)), runConflicting(t, b, wish(100))
	eventually(t, 5*time.Second, "b is MASTER", func() bool { return rb.Status()[0].State == vrrp.Master })
	for _, priority := range []uint8{200, 50} { // a takes over, and gives back
		if err := ra.Set([]vrrp.Instance{wish(priority)}); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Second, "a takes over or gives back", func() bool { return (ra.Status()[0].State == vrrp.Master) == (priority == 200) })
		eventually(t, 5*time.Second, "the other follows", func() bool { return (rb.Status()[0].State == vrrp.Master) == (priority == 50) })
		time.Sleep(time.Second)
	}
	all := [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	mac, err := net.ParseMAC(macOf(t, b))
	if err != nil {
		t.Fatal(err)
	}
	own := [6]byte(mac)
	for range 10 {
		sendFrame(t, c, "eth0", arpFrame(all, own, 1, netip.MustParseAddr(vip)))
		sendFrame(t, c, "eth0", naFrame(t, own, own, netip.MustParseAddr("2001:db8::100"), 255))
		sendFrame(t, c, "eth0", naFrame(t, stranger, stranger, netip.MustParseAddr("2001:db8::100"), 64))
		time.Sleep(100 * time.Millisecond)
	}
	for name, r := range map[string]*conflicting{"a": ra, "b": rb} {
		if told := r.claims(); len(told) > 0 {
			t.Errorf("%s told %v", name, told)
		}
	}
	eventually(t, 5*time.Second, "b tells of a stranger", func() bool {
		sendFrame(t, c, "eth0", arpFrame(all, stranger, 1, netip.MustParseAddr(vip)))
		return len(rb.claims()) > 0
	})
}

// TestNetClaimFlood: claims at a high rate, each of another MAC address, are told once and delay no advert.
func TestNetClaimFlood(t *testing.T) {
	lab.Need(t, "ip")
	n := lab.New(t)
	a, b, c := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24"), n.Host("c", "10.0.0.3/24")
	wish := func(priority uint8) vrrp.Instance {
		in := instance(priority)
		in.Interval = 100 * time.Millisecond
		return in
	}
	ra := runConflicting(t, a, wish(200))
	eventually(t, 5*time.Second, "a is MASTER", func() bool { return ra.Status()[0].State == vrrp.Master })
	rb := runConflicting(t, b, wish(100))
	eventually(t, 5*time.Second, "b hears a", func() bool { return rb.Status()[0].Stats.AdvertsReceived > 3 })
	var frames [][]byte
	for i := range 256 {
		frames = append(frames, arpFrame([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, [6]byte{2, 0, 0, 0, 1, byte(i)}, 1, netip.MustParseAddr(vip)))
	}
	sentBefore := ra.Status()[0].Stats.AdvertsSent
	stop, total := make(chan struct{}), make(chan int)
	go func() { total <- flood(t, c, frames, 50, stop) }()
	time.Sleep(2 * time.Second)
	close(stop)
	sent := <-total
	s := ra.Status()[0]
	if n := s.Stats.AdvertsSent - sentBefore; n < 15 || s.State != vrrp.Master || rb.Status()[0].Stats.BecomeMaster != 0 {
		t.Errorf("%d adverts in 2 s, a is %v, b was MASTER %d times", n, s.State, rb.Status()[0].Stats.BecomeMaster)
	}
	if len(ra.claims()) != 1 || s.Conflicts["claim"] != 1 || len(rb.claims()) != 0 {
		t.Errorf("of %d claims a told %v and counted %d; b told %v", sent, ra.claims(), s.Conflicts["claim"], rb.claims())
	}
	t.Logf("%d claims sent", sent)
}
