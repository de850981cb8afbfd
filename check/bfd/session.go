package bfd

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Session is the wish for one session with one neighbour. It is a value. Names of zero values are keepalived's defaults.
type Session struct {
	// Name identifies the session in its Speaker.
	Name string
	// Peer is the neighbour's address. An IPv6 link-local one has its zone.
	Peer netip.Addr
	// Local is the address to send from, of Peer's family. The zero Addr leaves the choice to the kernel, and packets to any
	// local address are taken.
	Local netip.Addr
	// Interface that the session is bound to. Empty means any.
	Interface string
	// MinTx is the interval at which to send while Up, MinRx at which the peer may. 0 means 10 ms.
	MinTx, MinRx time.Duration
	// IdleTx is the interval at which to send while not Up, at least 1 s (RFC 5880, Section 6.8.3). 0 means 1 s.
	IdleTx time.Duration
	// Multiplier is how many of our packets the peer may miss. 0 means 5.
	Multiplier uint8
	// Passive sessions are silent until the peer was heard.
	Passive bool
	// Multihop is for peers behind routers: port 4784 (RFC 5883) in place of 3784.
	Multihop bool
	// TTL or hop limit to send with. 0 means 255.
	TTL uint8
	// MaxHops is how many routers a received packet may have passed, seen by its TTL counted down from TTL. 0 is none, as
	// RFC 5881, Section 5 has it for one hop; -1 means that it is not looked at, and so does 0 with Multihop.
	MaxHops int
	// Auth, when not nil, must be the peer's too.
	Auth *Auth
	// Disabled holds the session in AdminDown.
	Disabled bool
}

const (
	portSingle = 3784
	portMulti  = 4784

	slowest = time.Second // RFC 5880, Section 6.8.3
)

func (s *Session) minTx() time.Duration  { return cmp.Or(s.MinTx, 10*time.Millisecond) }
func (s *Session) minRx() time.Duration  { return cmp.Or(s.MinRx, 10*time.Millisecond) }
func (s *Session) idleTx() time.Duration { return max(s.IdleTx, slowest, s.minTx()) }
func (s *Session) multiplier() uint8     { return cmp.Or(s.Multiplier, 5) }
func (s *Session) ttl() uint8            { return cmp.Or(s.TTL, 255) }

// nearest is the lowest TTL to take. 0 is any.
func (s *Session) nearest() int {
	if s.MaxHops < 0 || s.MaxHops >= 255 || s.Multihop && s.MaxHops == 0 {
		return 0
	}
	return max(int(s.ttl())-s.MaxHops, 0)
}

// samePath says whether two wishes are for the same session, and not for another under the same name.
func (s *Session) samePath(t *Session) bool {
	return s.Peer == t.Peer && s.Local == t.Local && s.Interface == t.Interface && s.Multihop == t.Multihop && s.ttl() == t.ttl()
}

// clone shares nothing with the session.
func (s *Session) clone() Session {
	c := *s
	if s.Auth != nil {
		c.Auth = new(*s.Auth)
	}
	return c
}

// Validate reports everything that is wrong with the session, joined.
func (s *Session) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("bfd: session %q: "+format, append([]any{s.Name}, args...)...))
	}
	if s.Name == "" {
		bad("it needs a name")
	}
	switch {
	case !s.Peer.IsValid() || s.Peer.IsUnspecified() || s.Peer.IsMulticast():
		bad("peer %v: one host's address is needed", s.Peer)
	case s.Local.IsValid() && s.Local.Is4() != s.Peer.Is4():
		bad("local address %v is not of the family of peer %v", s.Local, s.Peer)
	case s.Peer.IsLinkLocalUnicast() && s.Peer.Is6() && s.Peer.Zone() == "" && s.Interface == "":
		bad("peer %v: a link-local address needs a zone or an interface", s.Peer)
	}
	for _, t := range []struct {
		name  string
		value time.Duration
		least time.Duration
	}{{"MinTx", s.MinTx, time.Millisecond}, {"MinRx", s.MinRx, time.Millisecond}, {"IdleTx", s.IdleTx, slowest}} {
		if t.value != 0 && (t.value < t.least || t.value > 4294967*time.Millisecond) {
			bad("%s %v: %v to 4294967 ms", t.name, t.value, t.least)
		}
	}
	if s.MaxHops < -1 || s.MaxHops > 255 {
		bad("MaxHops %d: -1 to 255", s.MaxHops)
	}
	if s.Auth != nil {
		if err := s.Auth.Validate(); err != nil {
			bad("%w", err)
		}
	}
	return errors.Join(errs...)
}
