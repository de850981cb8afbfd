package vrrp

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/ipheader"
)

// tape is a network whose one socket brings the same packets again and again, and takes whatever is sent.
type tape struct {
	Network // whatever else is not asked for
	packets [][]byte
	age     time.Duration
	left    int // packets that are there
	sent    int
}

func (t *tape) Link(string) (Link, error) {
	return Link{Index: 1, Up: true, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}}, nil
}
func (t *tape) Hold(string, Holdings) error         { return nil }
func (t *tape) Release(string, Holdings) error      { return nil }
func (t *tape) Promote(string, bool) error          { return nil }
func (t *tape) Announce(string, []netip.Addr) error { return nil }
func (t *tape) Sockets() (Sockets, error)           { return tapeSockets{t}, nil }

func (t *tape) HearClaims(string, []netip.Addr, func(netip.Addr, [6]byte)) (io.Closer, error) {
	return nil, nil
}

type tapeSockets struct{ *tape }

func (t tapeSockets) Open(Socket, func()) (Conn, error) { return tapeConn(t), nil }
func (t tapeSockets) Wait(time.Time) error              { return nil }
func (t tapeSockets) Wake()                             {}
func (t tapeSockets) Close() error                      { return nil }

type tapeConn struct{ *tape }

func (t tapeConn) Close() error               { return nil }
func (t tapeConn) Listen(bool) error          { return nil }
func (t tapeConn) Want(*[256]bool, int) error { return nil }
func (t tapeConn) Recv(packets []Packet) (n int, _ error) {
	for ; n < len(packets) && t.left > 0; n, t.left = n+1, t.left-1 {
		p := &packets[n]
		ip := ipheader.Parse(t.packets[t.left%len(t.packets)])
		data := p.Buf[:copy(p.Buf, t.packets[t.left%len(t.packets)])]
		*p = Packet{Buf: p.Buf, Src: ip.Src, Dst: ip.Dst, TTL: ip.TTL, Protocol: ip.Protocol, Age: t.age}
		p.Header, p.Message, _ = ipheader.Split4(data)
	}
	return n, nil
}

func (t tapeConn) Send(datagrams []Datagram) {
	for i := range datagrams {
		datagrams[i].Err = nil
	}
	t.sent += len(datagrams)
}

// TestPathsWithoutGarbage: from the socket to the Machine and back to the socket nothing is allocated for adverts that are accepted
// or sent, and one error for those that are rejected.
func TestPathsWithoutGarbage(t *testing.T) {
	const count = 100
	master := netip.MustParseAddr("10.0.0.1")
	packet := func(vrid uint8, ttl uint8, spoil func([]byte)) []byte {
		a := Advertisement{Version: 3, VRID: vrid, Priority: 200, Interval: 100 * time.Millisecond, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 1, vrid})}}
		message, err := a.AppendPacket(nil, master, GroupIPv4)
		if err != nil {
			t.Fatal(err)
		}
		if spoil != nil {
			spoil(message)
		}
		header := ipheader.Header{Src: master, Dst: GroupIPv4, TTL: ttl, Protocol: Protocol}
		return append(header.Append(nil, len(message)), message...)
	}
	net := new(tape)
	r := NewRouter(Options{Network: net})
	var list []Instance
	for vrid := uint8(1); vrid <= count; vrid++ {
		list = append(list, Instance{Interface: "eth0", VRID: vrid, Interval: 100 * time.Millisecond, Addrs: []Address{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 1, vrid}), 32)}}})
		net.packets = append(net.packets, packet(vrid, 255, nil))
	}
	if err := r.Set(list); err != nil {
		t.Fatal(err)
	}
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	r.running = true
	now := time.Now()
	var port *port
	for _, p := range r.ports {
		port = p
	}
	turn := func() {
		r.mu.Lock()
		r.told = append(r.told, port)
		r.turn(now)
		r.commit()
		r.mu.Unlock()
		_ = r.untilDeadline()
	}
	round := func() {
		now = now.Add(25 * time.Millisecond)
		net.left = len(net.packets)
		turn()
	}
	atMost := func(most float64, what string, f func()) {
		t.Helper()
		f()
		if n := testing.AllocsPerRun(50, f); n > most {
			t.Errorf("%s: %v allocations for %d packets", what, n, count)
		}
	}
	atMost(0, "accepted", round)
	if got := r.runners[7]; got.machine.State() != Backup || got.stats.AdvertsReceived < 50 {
		t.Fatalf("%v, %+v", got.machine.State(), got.stats)
	}
	good := net.packets
	for what, bad := range map[string][]byte{
		"wrong TTL": packet(8, 254, nil), "wrong checksum": packet(8, 255, func(b []byte) { b[6]++ }),
		"cut off": packet(8, 255, nil)[:30], "another version": packet(8, 255, func(b []byte) { b[0] = 0x21 }),
	} {
		net.packets = [][]byte{bad, good[0]}
		atMost(count/2, what, func() { net.left = count; turn() }) // the error
	}
	net.packets = nil
	for range 100 { // silence, a takeover, and what is announced then
		now = now.Add(100 * time.Millisecond)
		turn()
	}
	if got := r.runners[7]; got.machine.State() != Master {
		t.Fatalf("%v, %+v", got.machine.State(), got.stats)
	}
	before := net.sent
	atMost(0, "sent", func() { now = now.Add(100 * time.Millisecond); turn() })
	if net.sent-before < 50*count {
		t.Fatalf("%d sent", net.sent-before)
	}
	r.stop()
}
