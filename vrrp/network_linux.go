package vrrp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

type hostNetwork struct {
	mu    sync.Mutex // guards conns
	conns map[frameKey]*packet.Conn
}

func newHostNetwork() Network { return &hostNetwork{conns: make(map[frameKey]*packet.Conn)} }

func (*hostNetwork) Link(name string) (Link, error) {
	link, err := linkByName(name)
	if err != nil {
		return Link{}, err
	}
	attrs := link.Attrs()
	l := Link{Index: attrs.Index, Up: attrs.RawFlags&unix.IFF_UP != 0 && attrs.RawFlags&unix.IFF_LOWER_UP != 0}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return Link{}, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		if a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0 {
			l.Addrs = append(l.Addrs, netip.PrefixFrom(ip.Unmap(), bits))
		}
	}
	return l, nil
}

func linkByName(name string) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing {
		return nil, fmt.Errorf("interface %s: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	return link, nil
}

// Watch subscribes anew when the kernel had to drop notifications: the Router reads everything afresh anyway.
func (h *hostNetwork) Watch(ctx context.Context, changed func()) error {
	for ctx.Err() == nil {
		if err := h.watchOnce(ctx, changed); err != nil {
			return err
		}
		changed()
	}
	return nil
}

func (*hostNetwork) watchOnce(ctx context.Context, changed func()) error {
	done := make(chan struct{})
	links, addrs := make(chan netlink.LinkUpdate, 64), make(chan netlink.AddrUpdate, 64)
	lost := func(error) {} // the channel is closed then
	if err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ErrorCallback: lost}); err != nil {
		return err
	}
	if err := netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{ErrorCallback: lost}); err != nil {
		close(done)
		return err
	}
	defer drainUpdates(links, addrs)
	defer close(done)
	for {
		var ok bool
		select {
		case _, ok = <-links:
		case _, ok = <-addrs:
		case <-ctx.Done():
			return nil
		}
		if !ok {
			return nil
		}
		changed()
	}
}

// drainUpdates lets the subscriptions end: their senders block until someone reads.
func drainUpdates(links <-chan netlink.LinkUpdate, addrs <-chan netlink.AddrUpdate) {
	go func() {
		for range links {
		}
	}()
	go func() {
		for range addrs {
		}
	}()
}

func (*hostNetwork) AddAddr(name string, addr netip.Prefix) error {
	link, err := linkByName(name)
	if err != nil {
		return err
	}
	err = netlink.AddrAdd(link, netlinkAddr(addr))
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

func (*hostNetwork) RemoveAddr(name string, addr netip.Prefix) error {
	link, err := linkByName(name)
	if err != nil {
		return err
	}
	err = netlink.AddrDel(link, netlinkAddr(addr))
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	return err
}

func netlinkAddr(p netip.Prefix) *netlink.Addr {
	ip := p.Addr().AsSlice()
	a := &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(p.Bits(), len(ip)*8)}}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD // the election has decided whose it is
		if p.IsSingleIP() {
			a.ValidLft = math.MaxUint32 // and PreferedLft 0: not a source of what this host sends on its own behalf
		}
	}
	return a
}

var ethernetBroadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Announce tells the link by ARP, or by neighbour discovery.
func (h *hostNetwork) Announce(name string, addr netip.Addr) error {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	if ifi.Flags&net.FlagLoopback != 0 || len(ifi.HardwareAddr) != 6 {
		return nil
	}
	if addr.Is6() {
		return h.announceND(ifi, addr)
	}
	return h.announceARP(ifi, addr)
}

// announceARP broadcasts an ARP request whose sender and target are the address (RFC 5227, Section 3 calls it an
// announcement): it renews the entry of everyone who has one, and moves the MAC in switches.
func (h *hostNetwork) announceARP(ifi *net.Interface, addr netip.Addr) error {
	frame, err := arp.NewPacket(arp.OperationRequest, ifi.HardwareAddr, addr, ethernetBroadcast, addr)
	if err != nil {
		return err
	}
	payload, err := frame.MarshalBinary()
	if err != nil {
		return err
	}
	return h.sendFrame(ifi, unix.ETH_P_ARP, payload, ethernetBroadcast)
}

// sendFrame sends on a socket that is kept for sending.
func (h *hostNetwork) sendFrame(ifi *net.Interface, protocol int, payload []byte, to net.HardwareAddr) error {
	conn, err := h.frameConn(ifi, protocol)
	if err != nil {
		return err
	}
	if _, err = conn.WriteTo(payload, &packet.Addr{HardwareAddr: to}); err != nil {
		h.forget(frameKey{ifi.Index, protocol})
	}
	return err
}

// frameKey is an interface and a protocol.
type frameKey struct{ index, protocol int }

func (h *hostNetwork) frameConn(ifi *net.Interface, protocol int) (*packet.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := frameKey{ifi.Index, protocol}
	if conn, ok := h.conns[key]; ok {
		return conn, nil
	}
	conn, err := packet.Listen(ifi, packet.Datagram, protocol, nil)
	if err == nil {
		err = conn.SetBPF([]bpf.RawInstruction{{Op: 6}}) // ret 0: nothing that arrives is for us
	}
	if err == nil {
		h.conns[key] = conn
	}
	return conn, err
}

func (h *hostNetwork) forget(key frameKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if conn, ok := h.conns[key]; ok {
		_ = conn.Close()
		delete(h.conns, key)
	}
}

// Open makes a raw socket that is bound to the interface, hears the group on it alone, and hears not itself.
func (*hostNetwork) Open(name string, group netip.Addr) (Conn, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	family := unix.AF_INET
	if group.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, Protocol)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("vrrp: raw socket: %w: run as root or with CAP_NET_RAW and CAP_NET_ADMIN", err)
	}
	if err != nil {
		return nil, fmt.Errorf("vrrp: raw socket: %w", err)
	}
	if err := configure(fd, ifi, group); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("vrrp: socket on %s: %w", name, err)
	}
	file := os.NewFile(uintptr(fd), "vrrp:"+name)
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	if group.Is6() {
		return &rawConn6{rawConn{file: file, raw: raw, index: int32(ifi.Index)}}, nil
	}
	return &rawConn{file: file, raw: raw, index: int32(ifi.Index)}, nil
}

// precedence is Internetwork Control (RFC 791), as keepalived marks its adverts.
const precedence = 0xc0

func configure(fd int, ifi *net.Interface, to netip.Addr) error {
	common := errors.Join(
		unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, ifi.Name),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 6), // ahead of bulk traffic in the queues
	)
	if to.Is6() {
		return errors.Join(common, configure6(fd, ifi, to))
	}
	group := &unix.IPMreqn{Multiaddr: to.As4(), Ifindex: int32(ifi.Index)}
	return errors.Join(
		common,
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0),
		unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, group),
		unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, group),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 255),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, 255),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, precedence),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT),
	)
}

// rawConn is a raw socket in the runtime's poller.
type rawConn struct {
	file  *os.File
	raw   syscall.RawConn
	index int32
}

// Wait peeks, so that the packet stays for Recv.
func (c *rawConn) Wait() error {
	var one [1]byte
	return c.raw.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return !errors.Is(err, unix.EAGAIN)
	})
}

func (c *rawConn) Recv(buf []byte) (p Packet, ok bool, err error) {
	n := 0
	control := c.raw.Control(func(fd uintptr) {
		n, _, err = unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
	})
	if ok, err = received("recvfrom", control, err); !ok {
		return p, false, err
	}
	return parseIPv4(buf[:n]), true, nil
}

// received says whether a system call gave a packet. None to be had is no error.
func received(call string, control, err error) (ok bool, _ error) {
	switch {
	case control != nil:
		return false, control
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return false, nil
	}
	return err == nil, os.NewSyscallError(call, err)
}

// parseIPv4 splits what a raw IPv4 socket delivers. The kernel has checked the header.
func parseIPv4(b []byte) Packet {
	if len(b) < 20 {
		return Packet{}
	}
	header := min(int(b[0]&0x0f)*4, len(b))
	src, _ := netip.AddrFromSlice(b[12:16])
	dst, _ := netip.AddrFromSlice(b[16:20])
	return Packet{Message: b[header:], Src: src, Dst: dst, TTL: b[8]}
}

// Send pins source and interface by IP_PKTINFO; the kernel writes the IP header.
func (c *rawConn) Send(message []byte, src, dst netip.Addr) error {
	info := unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: c.index, Spec_dst: src.As4()})
	return c.send(message, info, &unix.SockaddrInet4{Addr: dst.As4()}, dst)
}

// send keeps multicast from leaving through a gateway.
func (c *rawConn) send(message, info []byte, to unix.Sockaddr, dst netip.Addr) error {
	flags := unix.MSG_DONTWAIT
	if dst.IsMulticast() {
		flags |= unix.MSG_DONTROUTE
	}
	var err error
	control := c.raw.Control(func(fd uintptr) { err = unix.Sendmsg(int(fd), message, info, to, flags) })
	return errors.Join(control, os.NewSyscallError("sendmsg", err))
}

func (c *rawConn) Close() error { return c.file.Close() }
