package vrrp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ndp"
	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/rtnl"
)

// announceARP broadcasts an ARP request whose sender and target are the address (RFC 5227, Section 3 calls it an
// announcement): it renews the entry of everyone who has one, and moves the MAC in switches.
func (h *hostNetwork) announceARP(l *rtnl.Link, addr netip.Addr) error {
	frame, err := arp.NewPacket(arp.OperationRequest, l.MAC, addr, ethernetBroadcast, addr)
	if err != nil {
		return err
	}
	payload, err := frame.MarshalBinary()
	if err != nil {
		return err
	}
	return h.sendFrame(l, unix.ETH_P_ARP, payload, ethernetBroadcast)
}

// sendFrame sends on a socket that is kept for sending.
func (h *hostNetwork) sendFrame(l *rtnl.Link, protocol int, payload []byte, to net.HardwareAddr) error {
	conn, err := h.frameConn(l, protocol)
	if err != nil {
		return err
	}
	if _, err = conn.WriteTo(payload, &packet.Addr{HardwareAddr: to}); err != nil {
		h.forget(frameKey{l.Index, protocol})
	}
	return err
}

// frameKey is an interface and a protocol.
type frameKey struct{ index, protocol int }

func (h *hostNetwork) frameConn(l *rtnl.Link, protocol int) (*packet.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := frameKey{l.Index, protocol}
	if conn, ok := h.frames[key]; ok {
		return conn, nil
	}
	ifi := &net.Interface{Index: l.Index, Name: l.Name, HardwareAddr: l.MAC, MTU: l.MTU}
	conn, err := packet.Listen(ifi, packet.Datagram, protocol, nil)
	if err == nil {
		err = conn.SetBPF([]bpf.RawInstruction{{Op: 6}}) // ret 0: nothing that arrives is for us
	}
	if err == nil {
		h.frames[key] = conn
	}
	return conn, err
}

func (h *hostNetwork) forget(key frameKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if conn, ok := h.frames[key]; ok {
		_ = conn.Close()
		delete(h.frames, key)
	}
}

var (
	allNodes    = netip.MustParseAddr("ff02::1")
	allNodesMAC = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
)

// announceND sends an unsolicited neighbour advertisement to all nodes (RFC 4861, Section 7.2.6), as a whole packet: its source
// is the address itself, which need not be bound for that.
func (h *hostNetwork) announceND(l *rtnl.Link, addr netip.Addr) error {
	message, err := ndp.MarshalMessageChecksum(&ndp.NeighborAdvertisement{
		Router: h.forwards6(l.Name), Override: true, TargetAddress: addr,
		Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: l.MAC}},
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
	return h.sendFrame(l, unix.ETH_P_IPV6, append(header, message...), allNodesMAC)
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
