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

// Dial opens a TCP connection to the target, with TLS unless secure is nil: for checkers of your own. host is the name that
// TLS asks for; it may be empty. What is read and written ends with ctx. Errors say in short what went wrong.
//
// An error that is not the server's doing says that the check could not run. When it may pass (no such source address or
// interface now, no socket or port left) it wraps [ErrInconclusive], and when it cannot (no permission, another family) it
// counts against the server: what is never checked must not pass for well.
func (t Target) Dial(ctx context.Context, secure *TLS, host string) (net.Conn, error) {
	conn, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	bound := &boundConn{Conn: conn, stop: until(ctx, conn)}
	if secure == nil {
		return bound, nil
	}
	if bound.Conn, err = handshake(ctx, conn, secure.Config(t, host)); err != nil {
		bound.stop()
		conn.Close()
		return nil, err
	}
	return bound, nil
}

// boundConn is a connection that ends with a context.
type boundConn struct {
	net.Conn
	stop func() bool
}

func (c *boundConn) Close() error {
	c.stop()
	return c.Conn.Close()
}

// dial opens a TCP connection.
func (t Target) dial(ctx context.Context) (net.Conn, error) {
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
	return notRun{short}
}

// notRun is why a check could not run.
type notRun struct{ err error }

func (e notRun) Error() string { return "the check could not run: " + e.err.Error() }

func (e notRun) Unwrap() []error {
	if e.passes() {
		return []error{e.err, ErrInconclusive}
	}
	return []error{e.err}
}

// passes says whether another try may go well without anybody changing the check or this process.
func (e notRun) passes() bool {
	errno, ok := errors.AsType[syscall.Errno](e.err)
	switch errno {
	case syscall.EPERM, syscall.EACCES, syscall.EINVAL, syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT:
		return false
	}
	return ok
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
