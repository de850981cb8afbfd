package check

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Ping is well when the host answers an ICMP echo request (PING_CHECK). It says nothing of any service there. It needs the
// sysctl net.ipv4.ping_group_range to have the process's group, or CAP_NET_RAW.
type Ping struct {
	// Addr is the host (connect_ip).
	Addr netip.Addr
	// Source is the local address to ask from (bindto). The zero Addr leaves the choice to the kernel.
	Source netip.Addr
	// Interface and Mark are as in a [Target].
	Interface string
	Mark      uint32
}

// Check implements [Checker].
func (c Ping) Check(ctx context.Context) error {
	conn, err := c.open(ctx)
	if err != nil {
		return fmt.Errorf("ping %v: %w", c.Addr, err)
	}
	defer conn.Close()
	defer until(ctx, conn)()
	token := fmt.Appendf(nil, "holdfast %016x", rand.Uint64())
	if _, err := conn.Write(c.question(token)); err != nil {
		return fmt.Errorf("ping %v: %w", c.Addr, ended(ctx, err))
	}
	answered, err := await(ctx, conn.Read, make([]byte, 576), func(b []byte) bool { return c.answers(b, token) })
	switch {
	case err != nil:
		return fmt.Errorf("ping %v: %w", c.Addr, err)
	case !answered:
		return fmt.Errorf("ping %v: no answer", c.Addr)
	}
	return nil
}

// notAllowed explains a socket that this process may not have.
func notAllowed(err error) error {
	if errors.Is(err, os.ErrPermission) {
		err = fmt.Errorf("%w: set net.ipv4.ping_group_range, or give CAP_NET_RAW", cause(err))
	}
	return notRun{err}
}

// question is an echo request. A kernel that gives the socket its identifier puts that in; a kernel that does not leaves it
// to us to know our answers, by the token.
func (c Ping) question(token []byte) []byte {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: rand.IntN(1 << 16), Seq: 1, Data: token}}
	if c.Addr.Is6() {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	b, _ := m.Marshal(nil) // the kernel fills the checksum of IPv6; there is nothing that could fail
	return b
}

// answers knows an answer by what we had it send back: a raw socket hears the pings of others too. That of IPv4 has the IP
// header before it.
func (c Ping) answers(b, token []byte) bool {
	want := byte(ipv4.ICMPTypeEchoReply)
	if c.Addr.Is6() {
		want = 129
	} else if len(b) > 0 && b[0]>>4 == 4 {
		header := int(b[0]&0x0f) * 4
		if header < 20 || len(b) < header {
			return false
		}
		b = b[header:]
	}
	return len(b) >= 8+len(token) && b[0] == want && binary.BigEndian.Uint16(b[6:]) == 1 && bytes.Equal(b[8:8+len(token)], token)
}
