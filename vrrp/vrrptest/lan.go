// Package vrrptest has a LAN in memory, on which any number of Routers meet without a socket, a privilege or a real clock:
// in a testing/synctest bubble a day of adverts takes moments.
//
//	synctest.Test(t, func(t *testing.T) {
//		lan := vrrptest.NewLAN()
//		one, two := lan.Host("10.0.0.1"), lan.Host("10.0.0.2")
//		a := vrrp.NewRouter(vrrp.Options{Network: one})
//		b := vrrp.NewRouter(vrrp.Options{Network: two})
//		... // Set, and go Run
//		one.Cut()
//		time.Sleep(4 * time.Second)
//		synctest.Wait()
//		... // b.Status says MASTER
//	})
//
// Every host has one interface, eth0, and hears what the others announce. Packets arrive after [LAN.Delay], 100 µs if that is zero.
package vrrptest

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/internal/ipheader"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// Interface is the name of every host's interface.
const Interface = "eth0"

// LAN is one link. Its methods may be called from any goroutine.
type LAN struct {
	// Delay is how long a packet travels. 0 means 100 µs. Set it before the first packet.
	Delay time.Duration
	// Drop, when not nil, is asked for each packet and each receiver. Set it before the first packet.
	Drop func(from, to netip.Addr) bool

	mu    sync.Mutex // guards the fields below and those of hosts
	hosts []*Host
	trace []string
}

// NewLAN makes a LAN without hosts.
func NewLAN() *LAN { return new(LAN) }

// Host adds a host with one address on the LAN's /24, or /64 for IPv6. Its interface is up.
func (l *LAN) Host(addr string) *Host {
	a := netip.MustParseAddr(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	h := &Host{lan: l, addr: a, index: 1, up: true, addrs: []netip.Prefix{own(a)}}
	l.hosts = append(l.hosts, h)
	return h
}

func own(a netip.Addr) netip.Prefix {
	if a.Is6() {
		return netip.PrefixFrom(a, 64)
	}
	return netip.PrefixFrom(a, 24)
}

// Trace lists what was announced and which addresses came and went, in order, as "10.0.0.1 add 10.0.0.100/32".
func (l *LAN) Trace() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.trace)
}

// Holders lists the hosts that have the address now.
func (l *LAN) Holders(addr string) (holders []string) {
	a := netip.MustParseAddr(addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.hosts {
		if slices.ContainsFunc(h.addrs, func(p netip.Prefix) bool { return p.Addr() == a }) {
			holders = append(holders, h.addr.String())
		}
	}
	return holders
}

// Host is one host's network, a [vrrp.Network].
type Host struct {
	lan     *LAN
	addr    netip.Addr
	index   int
	up      bool
	missing bool
	cut     bool
	addrs   []netip.Prefix
	links   map[string]bool // other interfaces, up or down
	dark    map[string]bool // links whose drivers say that they have no carrier
	conns   []*conn
	watch   []func(vrrp.Change)

	listeners []*listener
}

var _ vrrp.Network = (*Host)(nil)

// Cut takes the host off the LAN without its noticing; Restore undoes it.
func (h *Host) Cut() { h.set(func() { h.cut = true }) }

// Restore puts the host back on the LAN.
func (h *Host) Restore() { h.set(func() { h.cut = false }) }

// Down takes the carrier away, Up gives it back.
func (h *Host) Down() { h.change(func() { h.up = false }) }

// Up gives the carrier back.
func (h *Host) Up() { h.change(func() { h.up = true }) }

// SetLink makes another interface of that name, or changes it, for tests of tracking. Nothing can be sent there.
func (h *Host) SetLink(name string, up bool) {
	h.change(func() {
		if h.links == nil {
			h.links = make(map[string]bool)
		}
		h.links[name] = up
	})
}

// Take removes an address from the interface, as someone else on the host might.
func (h *Host) Take(addr netip.Prefix) {
	h.set(func() { h.addrs = slices.DeleteFunc(h.addrs, func(p netip.Prefix) bool { return p == addr }) })
	for _, changed := range h.watchers() {
		changed(vrrp.Change{Interface: Interface, Lost: addr})
	}
}

// Remove deletes the interface with its addresses, Create makes it anew.
func (h *Host) Remove() { h.change(func() { h.missing, h.addrs = true, nil }) }

// Create makes the interface anew, with the host's own address only.
func (h *Host) Create() {
	h.change(func() { h.missing, h.index, h.addrs = false, h.index+1, []netip.Prefix{own(h.addr)} })
}

func (h *Host) set(f func()) {
	h.lan.mu.Lock()
	defer h.lan.mu.Unlock()
	f()
}

// change is set, and tells those who watch.
func (h *Host) change(f func()) {
	h.set(f)
	for _, changed := range h.watchers() {
		changed(vrrp.Change{})
	}
}

func (h *Host) watchers() []func(vrrp.Change) {
	h.lan.mu.Lock()
	defer h.lan.mu.Unlock()
	return slices.Clone(h.watch)
}

// Link implements [vrrp.Network].
func (h *Host) Link(name string) (vrrp.Link, error) {
	h.lan.mu.Lock()
	defer h.lan.mu.Unlock()
	if name == "" { // whatever there is
		return vrrp.Link{Up: true, Addrs: slices.Clone(h.addrs)}, nil
	}
	if up, other := h.links[name]; other {
		return vrrp.Link{Index: 2, Up: up}, nil
	}
	if name != Interface || h.missing {
		return vrrp.Link{}, fmt.Errorf("interface %s: %w", name, fs.ErrNotExist)
	}
	return vrrp.Link{Index: h.index, Up: h.up, Addrs: slices.Clone(h.addrs)}, nil
}

// Watch implements [vrrp.Network].
func (h *Host) Watch(ctx context.Context, changed func(vrrp.Change)) error {
	h.set(func() { h.watch = append(h.watch, changed) })
	changed(vrrp.Change{})
	<-ctx.Done()
	return nil
}

// Sockets implements [vrrp.Network].
func (h *Host) Sockets() (vrrp.Sockets, error) {
	return &sockets{host: h, wake: make(chan struct{}, 1)}, nil
}

// Hold implements [vrrp.Network].
func (h *Host) Hold(_ string, what vrrp.Holdings) error {
	h.lan.mu.Lock()
	defer h.lan.mu.Unlock()
	if h.missing {
		return fs.ErrNotExist
	}
	for _, a := range what.Addrs {
		if !slices.Contains(h.addrs, a.Prefix) {
			h.addrs = append(h.addrs, a.Prefix)
			h.lan.note(h, "add", a)
		}
	}
	return nil
}

// Release implements [vrrp.Network].
func (h *Host) Release(_ string, what vrrp.Holdings) error {
	h.lan.mu.Lock()
	defer h.lan.mu.Unlock()
	for _, a := range what.Addrs {
		if i := slices.Index(h.addrs, a.Prefix); i >= 0 {
			h.addrs = slices.Delete(h.addrs, i, i+1)
			h.lan.note(h, "remove", a)
		}
	}
	return nil
}

// MakeLink implements [vrrp.Network].
func (h *Host) MakeLink(v vrrp.VirtualLink) error {
	h.SetLink(v.Name, true)
	return nil
}

// RemoveLink implements [vrrp.Network].
func (h *Host) RemoveLink(name string) error {
	h.change(func() { delete(h.links, name) })
	return nil
}

// Promote implements [vrrp.Network].
func (h *Host) Promote(string, bool) error { return nil }

// Carrier implements [vrrp.Network]: see [Host.SetCarrier].
func (h *Host) Carrier(name, _ string) (bool, error) {
	h.lan.mu.Lock()
	defer h.lan.mu.Unlock()
	return !h.dark[name], nil
}

// SetCarrier changes what a link's driver says when it is asked. Nobody is told.
func (h *Host) SetCarrier(name string, up bool) {
	h.set(func() {
		if h.dark == nil {
			h.dark = make(map[string]bool)
		}
		h.dark[name] = !up
	})
}

// QuietIGMP implements [vrrp.Network].
func (h *Host) QuietIGMP(bool) error { return nil }

// Refuse implements [vrrp.Network].
func (h *Host) Refuse(vrrp.Firewall, []netip.Addr, bool) error { return nil }

// Announce implements [vrrp.Network].
func (h *Host) Announce(_ string, addrs []netip.Addr) error {
	h.set(func() {
		for _, a := range addrs {
			h.lan.note(h, "announce", a)
		}
	})
	h.lan.claim(h, h.MAC(), slices.Clone(addrs)...)
	return nil
}

func (l *LAN) note(h *Host, what string, about any) {
	l.trace = append(l.trace, fmt.Sprintf("%v %s %v", h.addr, what, about))
}

// Inject delivers a message to every host as if from had sent it to the group of its family, whoever that is: for tests of hostile packets.
func (l *LAN) Inject(from netip.Addr, ttl uint8, message []byte) {
	group := vrrp.GroupIPv4
	if from.Is6() {
		group = vrrp.GroupIPv6
	}
	header := ipheader.Header{Src: from, Dst: group, TTL: ttl, Class: 0xc0, Protocol: vrrp.Protocol}
	l.deliver(nil, datagram{header: header, bytes: append(header.Append(nil, len(message)), message...)})
}

// datagram is a packet on its way.
type datagram struct {
	header ipheader.Header
	bytes  []byte // header first
}

func (l *LAN) deliver(sender *Host, d datagram) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sender != nil && !sender.connected() {
		return
	}
	for _, h := range l.hosts {
		if h == sender || !h.connected() || l.Drop != nil && l.Drop(d.header.Src, h.addr) {
			continue
		}
		for _, c := range h.conns {
			if c.hears(&d.header) {
				c.push(d)
			}
		}
	}
}

// sockets are those of one Router.
type sockets struct {
	host *Host
	wake chan struct{} // holds a token when Wait shall look

	mu    sync.Mutex // guards conns, and their fields
	conns []*conn
}

func (s *sockets) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Open implements [vrrp.Sockets].
func (s *sockets) Open(socket vrrp.Socket, ready func()) (vrrp.Conn, error) {
	c := &conn{sockets: s, socket: socket, ready: ready, listening: true}
	s.mu.Lock()
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	s.host.set(func() { s.host.conns = append(s.host.conns, c) })
	return c, nil
}

// Wait implements [vrrp.Sockets].
func (s *sockets) Wait(until time.Time) error {
	var timer <-chan time.Time
	if !until.IsZero() {
		timer = time.After(time.Until(until))
	}
	select {
	case <-s.wake:
	case <-timer:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		if c.listening && len(c.queue) > 0 {
			c.ready()
			s.Wake() // as long as something is there
		}
	}
	return nil
}

func (s *sockets) Close() error { return nil }

// conn is a socket on a host.
type conn struct {
	*sockets
	socket    vrrp.Socket
	ready     func()
	listening bool
	queue     []arrival
}

// arrival is a datagram that has come.
type arrival struct {
	datagram
	at time.Time
}

// hears says whether a packet reaches the socket: by its group, or by an address of its host.
func (c *conn) hears(h *ipheader.Header) bool {
	if h.Protocol != c.socket.Protocol || h.Dst.Is6() != c.socket.IPv6 {
		return false
	}
	if h.Dst.IsMulticast() {
		return h.Dst == c.socket.Group
	}
	return !c.socket.Group.IsValid() && slices.ContainsFunc(c.host.addrs, func(p netip.Prefix) bool { return p.Addr() == h.Dst })
}

func (c *conn) push(d datagram) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, arrival{d, time.Now()})
	if c.listening {
		c.Wake()
	}
}

// Listen implements [vrrp.Conn].
func (c *conn) Listen(on bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listening = on
	c.Wake()
	return nil
}

func (c *conn) Recv(packets []vrrp.Packet) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n < len(packets) && len(c.queue) > 0 {
		c.queue[0].into(&packets[n])
		packets[n].Age = time.Since(c.queue[0].at)
		c.queue = c.queue[1:]
		n++
	}
	return n, nil
}

// into is what a socket tells of a packet: the header's bytes only for IPv4.
func (d *datagram) into(p *vrrp.Packet) {
	h := &d.header
	data := p.Buf[:copy(p.Buf, d.bytes)]
	*p = vrrp.Packet{Buf: p.Buf, Src: h.Src, Dst: h.Dst, TTL: h.TTL, Protocol: h.Protocol}
	if h.Src.Is6() {
		p.Message = data[ipheader.Size6:]
		return
	}
	p.Header, p.Message, _ = ipheader.Split4(data)
}

func (c *conn) Send(datagrams []vrrp.Datagram) {
	delay := c.host.lan.Delay
	if delay == 0 {
		delay = 100 * time.Microsecond
	}
	batch := make([]datagram, len(datagrams))
	for i, one := range datagrams {
		datagrams[i].Err = nil
		batch[i] = datagram{ipheader.Parse(one.Data), slices.Clone(one.Data)}
	}
	time.AfterFunc(delay, func() { // in order
		for _, d := range batch {
			c.host.lan.deliver(c.host, d)
		}
	})
}

// Want implements [vrrp.Conn]: everything is heard.
func (c *conn) Want(*[256]bool, int) error { return nil }

func (c *conn) Close() error {
	same := func(other *conn) bool { return other == c }
	c.mu.Lock()
	c.conns = slices.DeleteFunc(c.conns, same)
	c.mu.Unlock()
	c.host.set(func() { c.host.conns = slices.DeleteFunc(c.host.conns, same) })
	return nil
}
