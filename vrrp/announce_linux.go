package vrrp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/rtnl"
)

// announcer sends frames in batches, on any interface. Its socket is of no protocol: nothing that arrives is for us.
type announcer struct {
	mu   sync.Mutex // guards the fields below
	fd   int        // 0 before it is opened
	buf  []byte     // of all frames of a batch
	ends []int      // of each in buf

	headers [batch]mmsghdr
	iovecs  [batch]unix.Iovec
	names   [batch]unix.RawSockaddrLinklayer
}

// announce tells of each address on the link.
func (a *announcer) announce(l *rtnl.Link, addrs []netip.Addr, router bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.open(); err != nil {
		return err
	}
	var errs []error
	for part := range slices.Chunk(addrs, batch) {
		a.buf, a.ends = a.buf[:0], a.ends[:0]
		for i, addr := range part {
			if err := a.add(l, addr, router, &a.names[i]); err != nil {
				return err
			}
		}
		errs = append(errs, a.send(len(part)))
	}
	return errors.Join(errs...)
}

// open does so in the namespace of whoever needs it first.
func (a *announcer) open() (err error) {
	if a.fd == 0 {
		a.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		a.fd = 0
	}
	return os.NewSyscallError("packet socket", err)
}

// add writes one announcement, and where it goes.
func (a *announcer) add(l *rtnl.Link, addr netip.Addr, router bool, to *unix.RawSockaddrLinklayer) (err error) {
	*to = unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Ifindex: int32(l.Index), Halen: 6}
	if addr.Is6() {
		to.Protocol = networkOrder(unix.ETH_P_IPV6)
		copy(to.Addr[:], allNodesMAC)
		a.buf, err = appendND(a.buf, l.MAC, addr, router)
	} else {
		to.Protocol = networkOrder(unix.ETH_P_ARP)
		copy(to.Addr[:], ethernetBroadcast)
		a.buf = appendARP(a.buf, l.MAC, addr)
	}
	a.ends = append(a.ends, len(a.buf))
	return err
}

// networkOrder is a number as it is in memory when its bytes are in the order of the wire.
func networkOrder(v uint16) uint16 { return binary.NativeEndian.Uint16([]byte{byte(v >> 8), byte(v)}) }

// send sends the batch. A frame that cannot be sent keeps none of the others back.
func (a *announcer) send(count int) error {
	start := 0
	for i := range count {
		a.iovecs[i].Base = &a.buf[start]
		a.iovecs[i].SetLen(a.ends[i] - start)
		start = a.ends[i]
		h := &a.headers[i].Msghdr
		*h = unix.Msghdr{Iov: &a.iovecs[i], Name: (*byte)(unsafe.Pointer(&a.names[i])), Namelen: unix.SizeofSockaddrLinklayer}
		h.SetIovlen(1)
	}
	var failed error
	for done := 0; done < count; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(a.fd), uintptr(unsafe.Pointer(&a.headers[done])), uintptr(count-done), 0, 0, 0)
		switch errno {
		case 0:
			done += int(n)
		case unix.EINTR:
		default:
			failed = os.NewSyscallError("sendmmsg", errno)
			done++
		}
	}
	return failed
}

// appendARP writes an ARP request whose sender and target are the address (RFC 5227, Section 3 calls it an announcement): it
// renews the entry of everyone who has one, and moves the MAC in switches.
func appendARP(b []byte, mac net.HardwareAddr, addr netip.Addr) []byte {
	ip := addr.As4()
	b = append(b, 0, 1, 8, 0, 6, 4, 0, 1) // Ethernet, IPv4, a request
	b = append(append(b, mac...), ip[:]...)
	return append(append(b, ethernetBroadcast...), ip[:]...)
}

var (
	allNodes    = netip.MustParseAddr("ff02::1")
	allNodesMAC = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
)

// appendND writes an unsolicited neighbour advertisement to all nodes (RFC 4861, Section 7.2.6), as a whole packet: its source
// is the address itself, which need not be bound for that.
func appendND(b []byte, mac net.HardwareAddr, addr netip.Addr, router bool) ([]byte, error) {
	message, err := ndp.MarshalMessageChecksum(&ndp.NeighborAdvertisement{
		Router: router, Override: true, TargetAddress: addr,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: mac}},
	}, addr, allNodes)
	if err != nil {
		return b, err
	}
	src, dst := addr.As16(), allNodes.As16()
	b = append(b, 6<<4, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(message)))
	b = append(b, unix.IPPROTO_ICMPV6, 255)
	b = append(append(b, src[:]...), dst[:]...)
	return append(b, message...), nil
}

// forwarding is whether an interface's host is a router, as of some time.
type forwarding struct {
	on bool
	at time.Time
}

// forwards6 says whether the interface's host is a router: the advertisement must not deny it. It is looked up again every
// 5 s.
func (h *hostNetwork) forwards6(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.routers[name]
	if now := time.Now(); now.Sub(f.at) > 5*time.Second {
		text, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + name + "/forwarding")
		f = forwarding{err == nil && strings.TrimSpace(string(text)) == "1", now}
		h.routers[name] = f
	}
	return f.on
}
