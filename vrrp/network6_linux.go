package vrrp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

// configure6 is configure for IPv6, where what the header said comes as control messages.
func configure6(fd int, ifi *net.Interface, group netip.Addr) error {
	return errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0),
		unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(ifi.Index)}),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, ifi.Index),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 255),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, precedence),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1),
	)
}

// rawConn6 is rawConn for IPv6.
type rawConn6 struct{ rawConn }

func (c *rawConn6) Recv(buf []byte) (p Packet, ok bool, err error) {
	var n, nControl int
	var from unix.Sockaddr
	var messages [128]byte
	control := c.raw.Control(func(fd uintptr) {
		n, nControl, _, from, err = unix.Recvmsg(int(fd), buf, messages[:], unix.MSG_DONTWAIT)
	})
	if ok, err = received("recvmsg", control, err); !ok {
		return p, false, err
	}
	if sa, isIPv6 := from.(*unix.SockaddrInet6); isIPv6 {
		p.Src = netip.AddrFrom16(sa.Addr)
	}
	p.Message = buf[:n]
	p.readControl(messages[:nControl])
	return p, true, nil
}

// readControl takes destination and hop limit from control messages.
func (p *Packet) readControl(b []byte) {
	messages, err := unix.ParseSocketControlMessage(b)
	if err != nil {
		return // TTL 0 is rejected
	}
	for _, m := range messages {
		switch {
		case m.Header.Level != unix.IPPROTO_IPV6:
		case m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= 16:
			p.Dst = netip.AddrFrom16([16]byte(m.Data[:16]))
		case m.Header.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4:
			p.TTL = uint8(binary.NativeEndian.Uint32(m.Data))
		}
	}
}

func (c *rawConn6) Send(message []byte, src, dst netip.Addr) error {
	info := unix.PktInfo6(&unix.Inet6Pktinfo{Ifindex: uint32(c.index), Addr: src.As16()})
	return c.send(message, info, &unix.SockaddrInet6{Addr: dst.As16(), ZoneId: uint32(c.index)}, dst)
}

var (
	allNodes    = netip.MustParseAddr("ff02::1")
	allNodesMAC = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
)

// announceND sends an unsolicited neighbour advertisement to all nodes (RFC 4861, Section 7.2.6), as a whole packet: its source
// is the address itself, which need not be bound for that.
func (h *hostNetwork) announceND(ifi *net.Interface, addr netip.Addr) error {
	message, err := ndp.MarshalMessageChecksum(&ndp.NeighborAdvertisement{
		Router: forwards6(ifi.Name), Override: true, TargetAddress: addr,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: ifi.HardwareAddr}},
	}, addr, allNodes)
	if err != nil {
		return err
	}
	header := make([]byte, 40, 40+len(message))
	header[0] = 6 << 4
	binary.BigEndian.PutUint16(header[4:], uint16(len(message)))
	header[6], header[7] = unix.IPPROTO_ICMPV6, 255
	src, dst := addr.As16(), allNodes.As16()
	copy(header[8:], src[:])
	copy(header[24:], dst[:])
	return h.sendFrame(ifi, unix.ETH_P_IPV6, append(header, message...), allNodesMAC)
}

// forwards6 says whether the interface's host is a router: the advertisement must not deny it.
func forwards6(name string) bool {
	text, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + name + "/forwarding")
	return err == nil && strings.TrimSpace(string(text)) == "1"
}
