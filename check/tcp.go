package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// Target is where a check connects to.
type Target struct {
	// Addr is the server's address and port.
	Addr netip.AddrPort
	// Source is the local address to connect from. The zero Addr leaves the choice to the kernel.
	Source netip.Addr
}

// dial connects, and says in short why it could not.
func (t Target) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	if t.Source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(t.Source, 0))
	}
	conn, err := d.DialContext(ctx, "tcp", t.Addr.String())
	if err != nil {
		return nil, fmt.Errorf("connect to %v: %w", t.Addr, cause(err))
	}
	return conn, nil
}

// cause cuts away the layers that only repeat the address.
func cause(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return errors.New("timed out")
	}
	return err
}

// TCP is well when the server takes a connection (TCP_CHECK). It sees only that the port answers: a proxy in front of a dead
// application passes.
type TCP struct {
	Target
}

// Check implements [Checker].
func (c TCP) Check(ctx context.Context) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}
