package vrrp_test

import (
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
)

func TestMain(m *testing.M) { lab.Main(m) }

// inHost is a host's network for a Router that runs in this process.
type inHost struct {
	vrrp.Network
	host *lab.Host
}

func (h inHost) Link(name string) (l vrrp.Link, err error) {
	err = h.host.Do(func() error { l, err = h.Network.Link(name); return err })
	return l, err
}
func (h inHost) Sockets() (vrrp.Sockets, error) {
	s, err := h.Network.Sockets()
	return socketsInHost{s, h.host}, err
}
func (h inHost) Hold(name string, what vrrp.Holdings) error {
	return h.host.Do(func() error { return h.Network.Hold(name, what) })
}
func (h inHost) Release(name string, what vrrp.Holdings) error {
	return h.host.Do(func() error { return h.Network.Release(name, what) })
}
func (h inHost) MakeLink(v vrrp.VirtualLink) error {
	return h.host.Do(func() error { return h.Network.MakeLink(v) })
}
func (h inHost) RemoveLink(name string) error {
	return h.host.Do(func() error { return h.Network.RemoveLink(name) })
}
func (h inHost) Promote(name string, on bool) error {
	return h.host.Do(func() error { return h.Network.Promote(name, on) })
}
func (h inHost) Carrier(name, how string) (up bool, err error) {
	err = h.host.Do(func() error { up, err = h.Network.Carrier(name, how); return err })
	return up, err
}
func (h inHost) QuietIGMP(on bool) error {
	return h.host.Do(func() error { return h.Network.QuietIGMP(on) })
}
func (h inHost) Refuse(f vrrp.Firewall, addrs []netip.Addr, on bool) error {
	return h.host.Do(func() error { return h.Network.Refuse(f, addrs, on) })
}
func (h inHost) Announce(name string, a []netip.Addr) error {
	return h.host.Do(func() error { return h.Network.Announce(name, a) })
}
func (h inHost) HearClaims(name string, addrs []netip.Addr, heard func(netip.Addr, [6]byte)) (c io.Closer, err error) {
	err = h.host.Do(func() error { c, err = h.Network.HearClaims(name, addrs, heard); return err })
	return c, err
}
func (h inHost) Watch(ctx context.Context, changed func(vrrp.Change)) error {
	return h.host.Do(func() error { return h.Network.Watch(ctx, changed) })
}

// socketsInHost open in its namespace.
type socketsInHost struct {
	vrrp.Sockets
	host *lab.Host
}

func (s socketsInHost) Open(socket vrrp.Socket, ready func()) (c vrrp.Conn, err error) {
	err = s.host.Do(func() error { c, err = s.Sockets.Open(socket, ready); return err })
	return c, err
}

// eventually polls the real world, which has no virtual clock.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within %v: %s", within, what)
}

func runInHost(t *testing.T, h *lab.Host, in vrrp.Instance) (*vrrp.Router, context.CancelFunc) {
	t.Helper()
	r := vrrp.NewRouter(vrrp.Options{Network: inHost{vrrp.HostNetwork(), h}})
	if err := r.Set([]vrrp.Instance{in}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop := func() {
		cancel()
		if err, ok := <-done; ok && err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { cancel() })
	return r, stop
}

// TestNetTwoRouters is TestTwoRouters on real sockets, with real addresses and real ARP.
func TestNetTwoRouters(t *testing.T) {
	lab.Need(t, "ip")
	n := lab.New(t)
	a, b := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24")
	addr := netip.MustParseAddr(vip)
	fast := func(priority uint8) vrrp.Instance {
		in := instance(priority)
		in.Interval = 50 * time.Millisecond
		return in
	}
	a.MustRun("ip", "addr", "add", vip+"/32", "dev", "eth0") // left over from a crash
	ra, stopA := runInHost(t, a, fast(100))
	eventually(t, 2*time.Second, "the left-over address is removed", func() bool { return !a.Has(addr) || ra.Status()[0].State == vrrp.Master })
	eventually(t, 3*time.Second, "a holds the address", func() bool { return a.Has(addr) })

	capture := b.Capture()
	rb, stopB := runInHost(t, b, fast(200))
	eventually(t, 3*time.Second, "b preempts", func() bool { return b.Has(addr) && !a.Has(addr) })
	eventually(t, 3*time.Second, "b announces", func() bool { return announced(capture, addr) })
	if got := ra.Status()[0]; got.Stats.AdvertsReceived == 0 || got.Stats.ChecksumErrors+got.Stats.TTLErrors != 0 {
		t.Fatalf("a: %+v", got.Stats)
	}
	if got := rb.Status()[0].Source.String(); got != "10.0.0.2" {
		t.Fatalf("b sends from %s", got)
	}

	b.Unplug()
	eventually(t, 3*time.Second, "b is in FAULT, a holds the address", func() bool { return rb.Status()[0].State == vrrp.Fault && a.Has(addr) && !b.Has(addr) })
	b.Restore()
	eventually(t, 3*time.Second, "b is back", func() bool { return b.Has(addr) && !a.Has(addr) })
	stopB()
	if b.Has(addr) {
		t.Fatal("b has left and kept the address")
	}
	eventually(t, 3*time.Second, "a takes over", func() bool { return a.Has(addr) })
	stopA()
	if a.Has(addr) {
		t.Fatal("a has left and kept the address")
	}
}

// announced says whether a gratuitous ARP for addr was captured: a broadcast request whose sender and target are addr.
func announced(c *lab.Capture, addr netip.Addr) bool {
	ip := addr.As4()
	for _, f := range c.Frames() {
		d := f.Data
		if len(d) >= 42 && d[12] == 8 && d[13] == 6 && string(d[28:32]) == string(ip[:]) && string(d[38:42]) == string(ip[:]) &&
			strings.HasPrefix(string(d), "\xff\xff\xff\xff\xff\xff") && d[21] == 1 {
			return true
		}
	}
	return false
}

// TestNetIPv6 is the election by IPv6 on real sockets, with the neighbour advertisement that tells the link.
func TestNetIPv6(t *testing.T) {
	lab.Need(t, "ip")
	n := lab.New(t)
	a, b := n.Host("a"), n.Host("b")
	addr := netip.MustParseAddr("2001:db8::100")
	wish := func(priority uint8) vrrp.Instance {
		in := instance(priority)
		in.Interval, in.Addrs = 50*time.Millisecond, vrrp.MustAddresses(addr.String())
		return in
	}
	ra, stopA := runInHost(t, a, wish(100))
	eventually(t, 5*time.Second, "a holds the address", func() bool { return a.Has(addr) })
	capture := a.Capture()
	rb, stopB := runInHost(t, b, wish(200))
	eventually(t, 5*time.Second, "b preempts", func() bool { return b.Has(addr) && !a.Has(addr) })
	eventually(t, 5*time.Second, "b tells all nodes", func() bool { return advertised(capture, addr) })
	if s := ra.Status()[0]; s.Stats.AdvertsReceived == 0 || s.Stats.ChecksumErrors+s.Stats.TTLErrors != 0 || s.Master != rb.Status()[0].Source {
		t.Errorf("a: %+v", s)
	}
	stopB()
	eventually(t, 5*time.Second, "a takes over", func() bool { return a.Has(addr) && !b.Has(addr) })
	stopA()
}

// advertised says whether an unsolicited neighbour advertisement for addr was captured: from the address to all nodes, hop limit
// 255, with the override flag.
func advertised(c *lab.Capture, addr netip.Addr) bool {
	ip := addr.As16()
	for _, f := range c.Frames() {
		d := f.Data
		if len(d) >= 86 && d[12] == 0x86 && d[13] == 0xdd && d[20] == 58 && d[21] == 255 && string(d[22:38]) == string(ip[:]) &&
			d[54] == 136 && d[58]&0x60 == 0x20 && string(d[62:78]) == string(ip[:]) && strings.HasPrefix(string(d), "\x33\x33\x00\x00\x00\x01") {
			return true
		}
	}
	return false
}
