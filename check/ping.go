package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Ping is well when the host answers an ICMP echo request (PING_CHECK). It says nothing of any service there. It needs the
// sysctl net.ipv4.ping_group_range to have the process's group, or CAP_NET_RAW.
type Ping struct {
	// Addr is the host.
	Addr netip.Addr
	// Source is the local address to ask from. The zero Addr leaves the choice to the kernel.
	Source netip.Addr
}

// Check implements [Checker].
func (c Ping) Check(ctx context.Context) error {
	conn, to, err := c.open()
	if err != nil {
		return fmt.Errorf("ping %v: %w", c.Addr, err)
	}
	defer conn.Close()
	token := fmt.Appendf(nil, "holdfast %016x", rand.Uint64())
	if err := c.ask(conn, to, token); err != nil {
		return fmt.Errorf("ping %v: %w", c.Addr, cause(err))
	}
	read := func(b []byte) (int, error) {
		n, _, err := conn.ReadFrom(b)
		return n, err
	}
	answered, err := await(ctx, conn.SetDeadline, read, make([]byte, 1500), func(b []byte) bool { return c.answers(b, token) })
	switch {
	case err != nil:
		return fmt.Errorf("ping %v: %w", c.Addr, err)
	case !answered:
		return fmt.Errorf("ping %v: no answer", c.Addr)
	}
	return nil
}

// open prefers the socket that needs no privilege.
func (c Ping) open() (*icmp.PacketConn, net.Addr, error) {
	datagram, raw, local := "udp4", "ip4:icmp", "0.0.0.0"
	if c.Addr.Is6() {
		datagram, raw, local = "udp6", "ip6:ipv6-icmp", "::"
	}
	if c.Source.IsValid() {
		local = c.Source.String()
	}
	ip := net.IP(c.Addr.AsSlice())
	conn, err := icmp.ListenPacket(datagram, local)
	if err == nil {
		return conn, &net.UDPAddr{IP: ip, Zone: c.Addr.Zone()}, nil
	}
	conn, rawErr := icmp.ListenPacket(raw, local)
	if rawErr != nil {
		if errors.Is(rawErr, os.ErrPermission) {
			err = fmt.Errorf("%w: set net.ipv4.ping_group_range, or give CAP_NET_RAW", rawErr)
		}
		return nil, nil, err
	}
	return conn, &net.IPAddr{IP: ip, Zone: c.Addr.Zone()}, nil
}

func (c Ping) ask(conn *icmp.PacketConn, to net.Addr, token []byte) error {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: 1, Data: token}}
	if c.Addr.Is6() {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	b, err := m.Marshal(nil) // the kernel fills the checksum of IPv6
	if err != nil {
		return err
	}
	_, err = conn.WriteTo(b, to)
	return err
}

// answers knows an answer by what we had it send back: a raw socket hears the pings of others too.
func (c Ping) answers(b, token []byte) bool {
	protocol := 1
	if c.Addr.Is6() {
		protocol = 58
	}
	m, err := icmp.ParseMessage(protocol, b)
	if err != nil || m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply {
		return false
	}
	echo, ok := m.Body.(*icmp.Echo)
	return ok && bytes.Equal(echo.Data, token)
}
