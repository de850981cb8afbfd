package vrrp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

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
