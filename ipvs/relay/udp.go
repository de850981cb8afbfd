package relay

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast/ipvs"
)

// sessionKey finds a client's session. destination is nil but with one-packet scheduling, where a client may have several.
type sessionKey struct {
	client      netip.AddrPort
	destination *destination
}

// session is a client's datagrams to one destination, and the answers.
type session struct {
	key  sessionKey
	to   *destination
	conn *net.UDPConn
	last atomic.Int64 // when there was traffic, in nanoseconds
}

// serveUDP passes datagrams on until the service ends.
func (s *service) serveUDP(l *net.UDPConn) {
	buf := make([]byte, 64<<10)
	failures := 0
	for {
		n, client, err := l.ReadFromUDPAddrPort(buf)
		switch {
		case err == nil:
			failures = 0
			client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
			s.datagram(l, client, buf[:n])
		case s.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default: // an ICMP error of an earlier answer
			failures++
			if failures > 1 {
				time.Sleep(backoff(failures))
			}
		}
	}
}

func (s *service) datagram(l *net.UDPConn, client netip.AddrPort, data []byte) {
	one, err := s.session(l, client)
	if err != nil {
		s.relay.o.Logger.Debug("datagram dropped", "service", s.key.String(), "client", client.String(), "error", err)
		return
	}
	one.last.Store(time.Now().UnixNano())
	if _, err := one.conn.Write(data); err == nil {
		for _, c := range []*counters{&s.count, &one.to.count} {
			c.packetsIn.Add(1)
			c.bytesIn.Add(uint64(len(data)))
		}
	}
}

var (
	errNoDestination = errors.New("no destination has weight")
	errNoDescriptors = errors.New("no descriptors are left")
)

// session is the client's, or a new one. Only serveUDP calls it.
func (s *service) session(l *net.UDPConn, client netip.AddrPort) (*session, error) {
	key := sessionKey{client: client}
	onePacket := s.onePacket()
	if !onePacket {
		if one := s.known(key); one != nil {
			return one, nil
		}
	}
	d := s.take(client)
	if d == nil {
		return nil, errNoDestination
	}
	if onePacket {
		key.destination = d
		if one := s.known(key); one != nil {
			s.leave(d, client) // it counts as the session does
			return one, nil
		}
	}
	if !s.relay.take(1) {
		s.leave(d, client)
		return nil, errNoDescriptors
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(d.addr))
	if err != nil {
		s.relay.room.Release(1)
		s.leave(d, client)
		return nil, err
	}
	one := &session{key: key, to: d, conn: conn}
	one.last.Store(time.Now().UnixNano())
	if !s.hold(d, conn) {
		conn.Close()
		s.relay.room.Release(1)
		s.leave(d, client)
		return nil, errNoDestination
	}
	s.mu.Lock()
	s.udpSessions[key] = one
	s.mu.Unlock()
	s.relay.work.Go(func() { s.answers(l, one) })
	return one, nil
}

func (s *service) onePacket() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.entry.Flags&ipvs.OnePacket != 0
}

// known is the session of that key, unless its destination is gone.
func (s *service) known(key sessionKey) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.udpSessions[key]; one != nil && !one.to.gone {
		return one
	}
	return nil
}

// answers passes what the destination says to the client, until the session is idle for too long.
func (s *service) answers(l *net.UDPConn, one *session) {
	defer func() {
		one.conn.Close()
		s.relay.room.Release(1)
		s.release(one.to, one.conn)
		s.mu.Lock()
		if s.udpSessions[one.key] == one {
			delete(s.udpSessions, one.key)
		}
		s.mu.Unlock()
		s.leave(one.to, one.key.client)
	}()
	for {
		idle := time.Unix(0, one.last.Load()).Add(s.relay.o.UDPTimeout)
		if err := one.conn.SetReadDeadline(idle); err != nil {
			return
		}
		buf, n, err := readReady(one.conn)
		switch {
		case err == nil:
			s.answer(l, one, buf[:n])
		case errors.Is(err, os.ErrDeadlineExceeded):
			if time.Now().UnixNano()-one.last.Load() >= int64(s.relay.o.UDPTimeout) {
				return
			}
		case !errors.Is(err, syscall.ECONNREFUSED): // one that refuses may be there again for the next datagram
			return
		}
		if buf != nil {
			buffers.Put(buf)
		}
	}
}

func (s *service) answer(l *net.UDPConn, one *session, data []byte) {
	one.last.Store(time.Now().UnixNano())
	if _, err := l.WriteToUDPAddrPort(data, one.key.client); err != nil {
		return
	}
	for _, c := range []*counters{&s.count, &one.to.count} {
		c.packetsOut.Add(1)
		c.bytesOut.Add(uint64(len(data)))
	}
}
