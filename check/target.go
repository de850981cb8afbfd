package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Target is where a check connects to, and how.
type Target struct {
	// Addr is the server's address and port (connect_ip, connect_port).
	Addr netip.AddrPort
	// Source is the local address, and unless 0 the local port, to connect from (bindto, bind_port). The zero AddrPort
	// leaves the choice to the kernel; a port without an address has no effect.
	Source netip.AddrPort
	// Interface is the only one to send by (bind_if, SO_BINDTODEVICE). Empty leaves it to the routes. Linux only.
	Interface string
	// Mark is the firewall mark of the packets sent (fwmark, SO_MARK), to route checks by. 0 means none. It needs
	// CAP_NET_ADMIN. Linux only.
	Mark uint32
}

// ErrNotRun is in the error of a check that could not run for a reason on this side: no such source address or interface,
// no permission, no socket or port left. It says nothing of the server. See [Target.Dial].
var ErrNotRun = errors.New("the check could not run")

// Dial opens a TCP connection to the target, as the checkers of this package do; it is there for checkers of your own. Its
// errors say in short what went wrong; those that are not the server's doing wrap [ErrNotRun].
func (t Target) Dial(ctx context.Context) (net.Conn, error) {
	conn, err := t.open(ctx, "tcp")
	if err != nil {
		return nil, fmt.Errorf("connect to %v: %w", t.Addr, err)
	}
	return conn, nil
}

// open connects a socket of either kind.
func (t Target) open(ctx context.Context, network string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1, LocalAddr: t.local(network)} // keep-alive probes would only cost system calls
	if t.Interface != "" || t.Mark != 0 {
		d.Control = func(_, _ string, c syscall.RawConn) error { return t.control(c) }
	}
	conn, err := d.DialContext(ctx, network, t.Addr.String())
	if err == nil {
		return conn, nil
	}
	return nil, t.whose(err)
}

func (t Target) local(network string) net.Addr {
	switch {
	case !t.Source.Addr().IsValid():
		return nil
	case network == "udp":
		return net.UDPAddrFromAddrPort(t.Source)
	}
	return net.TCPAddrFromAddrPort(t.Source)
}

// whose tells a server's failure from one of our own.
func (t Target) whose(err error) error {
	short := cause(err)
	errno, isErrno := short.(syscall.Errno)
	if isErrno && serversDoing(errno) || short == errTimedOut || short == context.Canceled {
		return short
	}
	if t.Source.Addr().IsValid() && errno == syscall.EADDRNOTAVAIL {
		short = fmt.Errorf("from %v: %w", t.Source, short)
	}
	return fmt.Errorf("%w: %w", ErrNotRun, short)
}

// serversDoing are the errors of connect(2) that tell of the server or of the way to it. All others are this side's.
func serversDoing(e syscall.Errno) bool {
	switch e {
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ECONNREFUSED, syscall.EHOSTDOWN, syscall.ENETDOWN, syscall.ECONNRESET,
		syscall.ECONNABORTED, syscall.ETIMEDOUT:
		return true
	}
	return false
}

// optionError is that of a socket option.
type optionError struct {
	option string
	err    error
}

func (e optionError) Error() string { return e.option + ": " + e.err.Error() }
func (e optionError) Unwrap() error { return e.err }

// cause cuts away the layers that only repeat the address.
func cause(err error) error {
	if option, ok := errors.AsType[optionError](err); ok {
		return option
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, os.ErrDeadlineExceeded) {
		return errTimedOut
	}
	return err
}

var errTimedOut = errors.New("timed out")

// longAgo is a deadline that ends what a socket waits for at once.
var longAgo = time.Unix(1, 0)

// until makes the end of ctx known to a connection by a deadline.
func until(ctx context.Context, c interface{ SetDeadline(time.Time) error }) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = c.SetDeadline(longAgo) })
}
