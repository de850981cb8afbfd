//go:build !linux

package check

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// open needs a raw socket here.
func (c Ping) open(ctx context.Context) (net.Conn, error) {
	if c.Interface != "" || c.Mark != 0 {
		return nil, notRun{fmt.Errorf("interface or mark: %w", errors.ErrUnsupported)}
	}
	network, d := "ip4:icmp", net.Dialer{}
	if c.Addr.Is6() {
		network = "ip6:ipv6-icmp"
	}
	if c.Source.IsValid() {
		d.LocalAddr = &net.IPAddr{IP: c.Source.AsSlice()}
	}
	conn, err := d.DialContext(ctx, network, c.Addr.String())
	if err != nil {
		return nil, notAllowed(err)
	}
	return conn, nil
}
