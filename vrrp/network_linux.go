package vrrp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"sync"

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
	l := Link{
		Index: attrs.Index, Up: attrs.RawFlags&unix.IFF_UP != 0 && attrs.RawFlags&unix.IFF_LOWER_UP != 0,
		NoMulticast: attrs.RawFlags&unix.IFF_MULTICAST == 0, MTU: attrs.MTU,
	}
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
func (h *hostNetwork) Watch(ctx context.Context, changed func(Change)) error {
	for ctx.Err() == nil {
		if err := h.watchOnce(ctx, changed); err != nil {
			return err
		}
	}
	return nil
}

func (*hostNetwork) watchOnce(ctx context.Context, changed func(Change)) error {
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
	changed(Change{})
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
		changed(Change{})
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

func (*hostNetwork) Hold(name string, h Holdings) error {
	return eachAddr(name, h.Addrs, func(link netlink.Link, a *netlink.Addr) error {
		return ignore(netlink.AddrAdd(link, a), unix.EEXIST)
	})
}

func (*hostNetwork) Release(name string, h Holdings) error {
	return eachAddr(name, h.Addrs, func(link netlink.Link, a *netlink.Addr) error {
		return ignore(netlink.AddrDel(link, a), unix.EADDRNOTAVAIL)
	})
}

func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}

func eachAddr(name string, addrs []Address, f func(netlink.Link, *netlink.Addr) error) error {
	var errs []error
	for i := range addrs {
		link, err := linkByName(cmp.Or(addrs[i].Interface, name))
		if err == nil {
			err = f(link, netlinkAddr(addrs[i].Prefix))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%v: %w", addrs[i].Prefix, err))
		}
	}
	return errors.Join(errs...)
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
func (h *hostNetwork) Announce(name string, addrs []netip.Addr) error {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	if ifi.Flags&net.FlagLoopback != 0 || len(ifi.HardwareAddr) != 6 {
		return nil
	}
	var errs []error
	for _, addr := range addrs {
		if addr.Is6() {
			errs = append(errs, h.announceND(ifi, addr))
		} else {
			errs = append(errs, h.announceARP(ifi, addr))
		}
	}
	return errors.Join(errs...)
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
