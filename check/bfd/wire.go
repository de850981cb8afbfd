package bfd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// hostWire is this host's network, in the namespace of the process.
type hostWire struct{}

// precedence is Internetwork Control (RFC 791), ahead of bulk traffic.
const precedence = 0xc0

func (hostWire) listen(k kind, heard func(datagram)) (stop func(), err error) {
	conn, err := net.ListenUDP(k.network(), &net.UDPAddr{Port: int(k.port())})
	if err != nil {
		return nil, err
	}
	read, err := reader(conn, k)
	if err != nil {
		conn.Close()
		return nil, err
	}
	go func() {
		for {
			d, err := read()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				heard(d)
			}
		}
	}()
	return func() { conn.Close() }, nil
}

func (k kind) network() string {
	if k.six {
		return "udp6"
	}
	return "udp4"
}

// reader reads one packet a call, into the same buffer.
func reader(conn *net.UDPConn, k kind) (func() (datagram, error), error) {
	buf := make([]byte, 512)
	if k.six {
		c := ipv6.NewPacketConn(conn)
		err := c.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagDst|ipv6.FlagInterface, true)
		return func() (datagram, error) {
			n, cm, src, err := c.ReadFrom(buf)
			d := datagram{payload: buf[:n], src: addrOf(src), multihop: k.multihop}
			if cm != nil {
				d.ttl, d.dst, d.index = cm.HopLimit, fromSlice(cm.Dst), cm.IfIndex
			}
			return d, err
		}, err
	}
	c := ipv4.NewPacketConn(conn)
	err := c.SetControlMessage(ipv4.FlagTTL|ipv4.FlagDst|ipv4.FlagInterface, true)
	return func() (datagram, error) {
		n, cm, src, err := c.ReadFrom(buf)
		d := datagram{payload: buf[:n], src: addrOf(src), multihop: k.multihop}
		if cm != nil {
			d.ttl, d.dst, d.index = cm.TTL, fromSlice(cm.Dst), cm.IfIndex
		}
		return d, err
	}, err
}

func addrOf(a net.Addr) netip.Addr {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.Addr{}
	}
	return u.AddrPort().Addr().Unmap()
}

func fromSlice(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// indexOf is 0 for an interface that is not there.
func indexOf(name string) int {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return 0
	}
	return ifi.Index
}

// The range of source ports (RFC 5881, Section 4).
const (
	firstPort = 49152
	lastPort  = 65535
)

// open tries ports at random, the session's own first.
func (hostWire) open(s *Session, port uint16) (sender, error) {
	if port == 0 {
		port = randomPort()
	}
	var last error
	for range 64 {
		out, err := openPort(s, port)
		if err == nil {
			return out, nil
		}
		if last = err; !portTaken(err) {
			break
		}
		port = randomPort()
	}
	return nil, fmt.Errorf("bfd: open a socket to %v: %w", s.Peer, last)
}

func randomPort() uint16 { return uint16(firstPort + rand.IntN(lastPort-firstPort+1)) }

type hostSender struct {
	conn *net.UDPConn
	to   netip.AddrPort
	from uint16
}

func openPort(s *Session, port uint16) (*hostSender, error) {
	k := s.kind()
	config := net.ListenConfig{Control: bindTo(s.Interface)}
	host := ""
	if s.Local.IsValid() {
		host = s.Local.String()
	}
	c, err := config.ListenPacket(context.Background(), k.network(), net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		return nil, err
	}
	conn := c.(*net.UDPConn)
	if k.six {
		p := ipv6.NewConn(conn)
		err = errors.Join(p.SetHopLimit(int(s.ttl())), p.SetTrafficClass(precedence))
	} else {
		p := ipv4.NewConn(conn)
		err = errors.Join(p.SetTTL(int(s.ttl())), p.SetTOS(precedence))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &hostSender{conn: conn, to: netip.AddrPortFrom(s.Peer, k.port()), from: port}, nil
}

func (h *hostSender) port() uint16 { return h.from }

func (h *hostSender) send(payload []byte) error {
	_, err := h.conn.WriteToUDPAddrPort(payload, h.to)
	return err
}

func (h *hostSender) close() { h.conn.Close() }
