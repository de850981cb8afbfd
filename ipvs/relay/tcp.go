package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// serveTCP accepts connections until the service ends.
func (s *service) serveTCP(l *net.TCPListener) {
	failures := 0
	for {
		conn, err := l.AcceptTCP()
		switch {
		case err == nil:
			failures = 0
			if !s.relay.take(2) && s.relay.room.Acquire(s.ctx, 2) != nil {
				reset(conn)
				return
			}
			s.relay.work.Go(func() { defer s.relay.room.Release(2); s.relayTCP(conn) })
		case s.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default: // no descriptors left, mostly: some will be free soon
			failures++
			s.relay.o.Logger.Warn("accept", "service", s.key.String(), "error", err)
			select {
			case <-time.After(backoff(failures)):
			case <-s.ctx.Done():
			}
		}
	}
}

// relayTCP passes one connection on.
func (s *service) relayTCP(client *net.TCPConn) {
	from := client.RemoteAddr().(*net.TCPAddr).AddrPort()
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	d := s.take(from)
	if d == nil {
		reset(client)
		return
	}
	defer s.leave(d, from)
	ctx, cancel := context.WithTimeout(s.ctx, s.relay.o.DialTimeout)
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", d.addr.String())
	cancel()
	if err != nil {
		s.relay.o.Logger.Debug("connect", "service", s.key.String(), "client", from.String(), "error", err)
		reset(client)
		return
	}
	p := &pair{client: client, server: conn.(*net.TCPConn)}
	if !s.hold(d, p) {
		p.Close()
		return
	}
	defer s.release(d, p)
	p.run(func(n int) { d.count.bytesIn.Add(uint64(n)); s.count.bytesIn.Add(uint64(n)) },
		func(n int) { d.count.bytesOut.Add(uint64(n)); s.count.bytesOut.Add(uint64(n)) })
}

// pair is a client's connection and the one to its destination.
type pair struct{ client, server *net.TCPConn }

// Close resets both ends.
func (p *pair) Close() error {
	reset(p.client)
	reset(p.server)
	return nil
}

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// run moves bytes both ways until both have ended. When one side has no more to say the other is told, and may go on talking;
// when one side breaks, so does the other.
func (p *pair) run(in, out func(int)) {
	var other sync.WaitGroup
	var broken atomic.Bool
	move := func(dst, src *net.TCPConn, count func(int)) {
		if err := pump(dst, src, count); err != nil {
			broken.Store(true)
			p.Close()
		} else if dst.CloseWrite() != nil {
			p.Close()
		}
	}
	other.Go(func() { move(p.client, p.server, out) })
	move(p.server, p.client, in)
	other.Wait()
	if !broken.Load() {
		_ = p.client.Close()
		_ = p.server.Close()
	}
}

// buffer holds the largest datagram.
type buffer = [64 << 10]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

const (
	// spliceSize is the most that is moved between two counts, and spliceWait how long a pause may be that does not end it.
	spliceSize = 1 << 20
	spliceWait = time.Second
)

// pump copies until src ends. It holds a buffer only while there is something in it. A buffer that gets full says that there
// is more: that is moved within the kernel, until it pauses.
func pump(dst, src *net.TCPConn, count func(int)) error {
	for {
		full, err := pumpOnce(dst, src, count)
		for full && err == nil {
			full, err = splice(dst, src, count)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func pumpOnce(dst, src *net.TCPConn, count func(int)) (full bool, err error) {
	buf, n, err := readReady(src)
	if buf == nil {
		return false, err
	}
	defer buffers.Put(buf)
	if err == nil && n == 0 {
		return false, io.EOF
	}
	if n > 0 {
		if _, werr := dst.Write(buf[:n]); werr != nil {
			return false, werr
		}
		count(n)
	}
	return n == len(buf), err
}

// splice moves what comes without pause. It says whether there is likely to be more.
func splice(dst, src *net.TCPConn, count func(int)) (more bool, err error) {
	if err := src.SetReadDeadline(time.Now().Add(spliceWait)); err != nil {
		return false, err
	}
	n, err := io.CopyN(dst, src, spliceSize)
	count(int(n))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	if derr := src.SetReadDeadline(time.Time{}); err == nil {
		err = derr
	}
	return n == spliceSize, err
}
