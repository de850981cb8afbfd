package rtnl

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Link is what a mirror knows of an interface.
type Link struct {
	Name  string
	Index int
	// Parent is the index of the link below, 0 for none. Master is that of the bridge, bond or VRF that it is in.
	Parent, Master int
	Flags          uint32
	MTU            int
	MAC            net.HardwareAddr
	// Type is the hardware's, of ARPHRD; Kind is that of a virtual link ("macvlan").
	Type uint16
	Kind string
	// VRFTable is the routing table of a VRF.
	VRFTable uint32
	// Addrs are the addresses that can be used, in the kernel's order.
	Addrs []netip.Prefix

	unusable []netip.Prefix // being checked for duplicates, or failed
}

// Event is a change in the mirror. The zero Event means that anything may have changed.
type Event struct {
	Link string
	// Lost is an address that was removed, if that is what happened.
	Lost netip.Prefix
	// Route and Rule say that one of protocol [Protocol] was removed.
	Route, Rule bool
}

// Protocol is keepalived's number in iproute2's tables of route protocols: what marks routes, rules and addresses as ours.
const Protocol = 18

// Mirror knows the links and addresses of a network namespace. Its methods may be called from any goroutine.
type Mirror struct {
	mu    sync.Mutex // guards the fields below
	live  bool
	links map[int]*Link
	names map[string]int
	sock  *events
}

// NewMirror makes an empty Mirror.
func NewMirror() *Mirror { return &Mirror{} }

// Link tells of an interface. Unless the mirror is watching it must be filled first; see [Mirror.Fill].
func (m *Mirror) Link(name string) (Link, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, ok := m.names[name]
	if !ok {
		return Link{}, false
	}
	l := *m.links[i]
	l.Addrs = slices.Clone(l.Addrs)
	return l, true
}

// Index tells of the interface with that index.
func (m *Mirror) Index(i int) (Link, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.links[i]
	if l == nil {
		return Link{}, false
	}
	return *l, true
}

// Links lists the names of all interfaces.
func (m *Mirror) Links() (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// HasMAC says whether a link has that MAC address.
func (m *Mirror) HasMAC(mac [6]byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.links {
		if len(l.MAC) == len(mac) && [6]byte(l.MAC) == mac {
			return true
		}
	}
	return false
}

// Live says whether the mirror follows the kernel.
func (m *Mirror) Live() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live
}

// Fill reads everything.
func (m *Mirror) Fill(c *Conn) error {
	links := make(map[int]*Link)
	header := make([]byte, unix.SizeofIfInfomsg)
	err := c.Dump(Request{Type: unix.RTM_GETLINK, Data: header}, func(kind uint16, data []byte) {
		if l := parseLink(data); l != nil && kind == unix.RTM_NEWLINK {
			links[l.Index] = l
		}
	})
	if err == nil {
		err = c.Dump(Request{Type: unix.RTM_GETADDR, Data: make([]byte, unix.SizeofIfAddrmsg)}, func(kind uint16, data []byte) {
			if a, ok := parseAddr(data); ok && kind == unix.RTM_NEWADDR && links[a.index] != nil {
				links[a.index].add(a)
			}
		})
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.links, m.names = links, make(map[string]int, len(links))
	for i, l := range links {
		m.names[l.Name] = i
	}
	return nil
}

// Watch follows the kernel until ctx ends. changed is called once when the mirror is complete, and then for every change. When
// the kernel had to drop events, everything is read again.
func (m *Mirror) Watch(ctx context.Context, c *Conn, changed func(Event)) error {
	sock, err := openEvents()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { sock.file.Close() })
	defer func() {
		stop()
		sock.file.Close()
		m.mu.Lock()
		m.live, m.sock = false, nil
		m.mu.Unlock()
	}()
	if err := m.Fill(c); err != nil {
		return err
	}
	m.mu.Lock()
	m.live, m.sock = true, sock
	m.mu.Unlock()
	changed(Event{})
	for {
		switch err := sock.receive(func(h header, data []byte) { m.apply(h, data, changed) }); {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			if err := m.Fill(c); err != nil {
				return err
			}
			changed(Event{})
		case err != nil:
			return err
		}
	}
}

// WatchRoutes makes a watching mirror tell of routes and rules too. There may be many of them.
func (m *Mirror) WatchRoutes() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sock == nil {
		return nil
	}
	return m.sock.join(unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
}

func (m *Mirror) apply(h header, data []byte, changed func(Event)) {
	switch h.kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		for _, name := range m.applyLink(h.kind == unix.RTM_DELLINK, data) {
			changed(Event{Link: name})
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if e, ok := m.applyAddr(h.kind == unix.RTM_DELADDR, data); ok {
			changed(e)
		}
	case unix.RTM_DELROUTE:
		if len(data) > 5 && data[5] == Protocol {
			changed(Event{Route: true})
		}
	case unix.RTM_DELRULE:
		changed(Event{Rule: true})
	}
}

// applyLink returns the names that the change is about: two when a link was renamed.
func (m *Mirror) applyLink(gone bool, data []byte) (names []string) {
	if len(data) >= unix.SizeofIfInfomsg && data[0] == unix.AF_BRIDGE {
		return nil // of a bridge's port, not of the link
	}
	l := parseLink(data)
	if l == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.links[l.Index]
	if gone {
		if old == nil {
			return nil
		}
		delete(m.links, l.Index)
		if m.names[old.Name] == l.Index {
			delete(m.names, old.Name)
		}
		return []string{old.Name}
	}
	if old != nil {
		l.Addrs, l.unusable = old.Addrs, old.unusable
		if old.Name != l.Name {
			delete(m.names, old.Name)
			names = append(names, old.Name)
		}
	}
	m.links[l.Index], m.names[l.Name] = l, l.Index
	if old == nil || old.Name != l.Name || old.Flags != l.Flags || old.Master != l.Master || old.MTU != l.MTU || !slices.Equal(old.MAC, l.MAC) {
		names = append(names, l.Name)
	}
	return names
}

func (m *Mirror) applyAddr(gone bool, data []byte) (Event, bool) {
	a, ok := parseAddr(data)
	if !ok {
		return Event{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.links[a.index]
	if l == nil {
		return Event{}, false
	}
	if !gone {
		return Event{Link: l.Name}, l.add(a)
	}
	l.Addrs, l.unusable = without(l.Addrs, a.prefix), without(l.unusable, a.prefix)
	return Event{Link: l.Name, Lost: a.prefix}, true
}

// add takes an address over, and says whether that changed anything.
func (l *Link) add(a addr) bool {
	to, from := &l.Addrs, &l.unusable
	if !a.usable {
		to, from = from, to
	}
	*from = without(*from, a.prefix)
	if slices.Contains(*to, a.prefix) {
		return false
	}
	*to = append(*to, a.prefix)
	return true
}

func without(list []netip.Prefix, p netip.Prefix) []netip.Prefix {
	if i := slices.Index(list, p); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}

func parseLink(b []byte) *Link {
	if len(b) < unix.SizeofIfInfomsg {
		return nil
	}
	l := &Link{
		Type: binary.NativeEndian.Uint16(b[2:]), Index: int(int32(binary.NativeEndian.Uint32(b[4:]))), Flags: binary.NativeEndian.Uint32(b[8:]),
	}
	err := Attrs(b[unix.SizeofIfInfomsg:], func(kind uint16, v []byte) {
		switch {
		case kind == unix.IFLA_IFNAME && len(v) > 0:
			l.Name = string(v[:len(v)-1])
		case kind == unix.IFLA_MTU && len(v) >= 4:
			l.MTU = int(binary.NativeEndian.Uint32(v))
		case kind == unix.IFLA_LINK && len(v) >= 4:
			l.Parent = int(binary.NativeEndian.Uint32(v))
		case kind == unix.IFLA_MASTER && len(v) >= 4:
			l.Master = int(binary.NativeEndian.Uint32(v))
		case kind == unix.IFLA_ADDRESS:
			l.MAC = slices.Clone(v)
		case kind == unix.IFLA_LINKINFO:
			_ = Attrs(v, func(kind uint16, v []byte) {
				switch {
				case kind == unix.IFLA_INFO_KIND && len(v) > 0:
					l.Kind = string(v[:len(v)-1])
				case kind == unix.IFLA_INFO_DATA && l.Kind == "vrf":
					_ = Attrs(v, func(kind uint16, v []byte) {
						if kind == unix.IFLA_VRF_TABLE && len(v) >= 4 {
							l.VRFTable = binary.NativeEndian.Uint32(v)
						}
					})
				}
			})
		}
	})
	if err != nil || l.Name == "" {
		return nil
	}
	return l
}

type addr struct {
	index  int
	prefix netip.Prefix
	usable bool
}

func parseAddr(b []byte) (a addr, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return a, false
	}
	flags := uint32(b[2])
	var local, address []byte
	err := Attrs(b[unix.SizeofIfAddrmsg:], func(kind uint16, v []byte) {
		switch {
		case kind == unix.IFA_LOCAL:
			local = v
		case kind == unix.IFA_ADDRESS:
			address = v
		case kind == unix.IFA_FLAGS && len(v) >= 4:
			flags = binary.NativeEndian.Uint32(v)
		}
	})
	if local == nil {
		local = address
	}
	ip, valid := netip.AddrFromSlice(local)
	a.index, a.prefix = int(binary.NativeEndian.Uint32(b[4:])), netip.PrefixFrom(ip, int(b[1]))
	a.usable = flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0
	return a, err == nil && valid && a.prefix.IsValid()
}

// events is a netlink socket that hears of changes, in the runtime's poller.
type events struct {
	file *os.File
	in   [64 << 10]byte
}

func openEvents() (*events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("netlink socket", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("netlink bind", err)
	}
	e := &events{file: os.NewFile(uintptr(fd), "netlink events")}
	if err := e.join(unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR); err != nil {
		e.file.Close()
		return nil, err
	}
	return e, nil
}

func (e *events) join(groups ...int) error {
	raw, err := e.file.SyscallConn()
	if err != nil {
		return err
	}
	var errs []error
	control := raw.Control(func(fd uintptr) {
		for _, g := range groups {
			errs = append(errs, unix.SetsockoptInt(int(fd), unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g))
		}
	})
	return errors.Join(append(errs, control)...)
}

func (e *events) receive(f func(h header, data []byte)) error {
	n, err := e.file.Read(e.in[:])
	if err != nil {
		return err
	}
	return messages(e.in[:n], f)
}
