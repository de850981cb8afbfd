package bfd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// State of a session (RFC 5880, Section 4.1).
type State uint8

// The states, as numbered on the wire.
const (
	AdminDown State = iota // taken down by an operator
	Down                   // no contact
	Init                   // the peer was heard, and does not hear us yet
	Up                     // both hear each other
)

// String is the RFC's word.
func (s State) String() string {
	names := [...]string{"AdminDown", "Down", "Init", "Up"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText is String, so that a State reads well in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *State) UnmarshalText(text []byte) (err error) {
	*s, err = named(AdminDown, Up, text)
	return err
}

// named finds a number by its name.
func named[T interface {
	~uint8
	fmt.Stringer
}](first, last T, text []byte) (T, error) {
	for known := first; known <= last; known++ {
		if known.String() == string(text) {
			return known, nil
		}
	}
	return 0, fmt.Errorf("bfd: %q is none of %v to %v", text, first, last)
}

// Diag is why a session last changed its state (RFC 5880, Section 4.1). The zero value is no diagnostic.
type Diag uint8

// The diagnostics.
const (
	DiagNone Diag = iota
	DiagExpired
	DiagEchoFailed
	DiagPeerDown
	DiagReset
	DiagPathDown
	DiagConcatenatedDown
	DiagAdminDown
	DiagReverseDown
)

// String says it in a few words.
func (d Diag) String() string {
	names := [...]string{
		"no diagnostic", "control detection time expired", "echo failed", "peer signalled down", "forwarding plane reset",
		"path down", "concatenated path down", "administratively down", "reverse concatenated path down",
	}
	if int(d) < len(names) {
		return names[d]
	}
	return fmt.Sprintf("Diag(%d)", uint8(d))
}

// MarshalText is String.
func (d Diag) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Diag) UnmarshalText(text []byte) (err error) {
	*d, err = named(DiagNone, DiagReverseDown, text)
	return err
}

// Packet is a BFD Control packet (RFC 5880, Section 4.1). Times are whole microseconds on the wire, 0 to 4294.967295 s.
type Packet struct {
	State State
	Diag  Diag
	// Poll asks for an answer with Final.
	Poll, Final bool
	// Independent says that the sender's BFD survives its control plane; Demand asks for no periodic packets; Multipoint is
	// never set.
	Independent, Demand, Multipoint bool
	// Multiplier times the interval is how long the sender may be silent.
	Multiplier uint8
	// Mine identifies the session at the sender, Yours at the receiver. 0 is not known yet.
	Mine, Yours uint32
	// MinTx is the interval at which the sender would like to send, MinRx at which it can receive, 0 for none at all.
	MinTx, MinRx, MinEchoRx time.Duration
	// Auth is the authentication section, of type AuthNone when there is none.
	Auth AuthSection
}

// What makes a receiver discard a packet (RFC 5880, Section 6.8.6, and 5881, Section 5), one error per counter of [Stats].
var (
	ErrLength        = errors.New("bfd: length does not fit the packet")
	ErrVersion       = errors.New("bfd: version is not 1")
	ErrMultiplier    = errors.New("bfd: multiplier is 0")
	ErrMultipoint    = errors.New("bfd: multipoint bit is set")
	ErrDiscriminator = errors.New("bfd: discriminator")
	ErrTTL           = errors.New("bfd: TTL is too low: the packet came from too far")
	ErrAuth          = errors.New("bfd: authentication failed")
	ErrNoSession     = errors.New("bfd: no such session")
)

const (
	version   = 1
	headerLen = 24

	bitPoll        = 0x20
	bitFinal       = 0x10
	bitIndependent = 0x08
	bitAuth        = 0x04
	bitDemand      = 0x02
	bitMultipoint  = 0x01
)

//	 0                   1                   2                   3
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|Vers |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |
//	|                       My Discriminator                        |
//	|                      Your Discriminator                       |
//	|                    Desired Min TX Interval                    |
//	|                   Required Min RX Interval                    |
//	|                 Required Min Echo RX Interval                 |
//	|  Auth Type    |   Auth Len    |   Authentication Data...      |

// AppendBinary appends the packet as sent, without computing a digest: see [Auth.Sign]. It fails for a time or a password that does
// not fit.
func (p *Packet) AppendBinary(b []byte) ([]byte, error) {
	if p.State > Up || p.Diag > 31 {
		return b, fmt.Errorf("bfd: %v with %v does not fit a packet", p.State, p.Diag)
	}
	for _, d := range [...]time.Duration{p.MinTx, p.MinRx, p.MinEchoRx} {
		if d < 0 || d/time.Microsecond > math.MaxUint32 {
			return b, fmt.Errorf("bfd: interval %v does not fit a packet: 0 to 4294 s", d)
		}
	}
	authLen, err := p.Auth.length()
	if err != nil {
		return b, err
	}
	b = append(b, version<<5|byte(p.Diag), byte(p.State)<<6|p.flags(), p.Multiplier, byte(headerLen+authLen))
	for _, v := range [...]uint32{p.Mine, p.Yours, micros(p.MinTx), micros(p.MinRx), micros(p.MinEchoRx)} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return p.Auth.append(b), nil
}

func micros(d time.Duration) uint32 { return uint32(d / time.Microsecond) }

func (p *Packet) flags() (bits byte) {
	for _, f := range [...]struct {
		set bool
		bit byte
	}{
		{p.Poll, bitPoll}, {p.Final, bitFinal}, {p.Independent, bitIndependent}, {p.Auth.Type != AuthNone, bitAuth},
		{p.Demand, bitDemand}, {p.Multipoint, bitMultipoint},
	} {
		if f.set {
			bits |= f.bit
		}
	}
	return bits
}

// Parse reads a packet from the payload of a datagram; what follows the packet's own length is ignored. It takes whatever
// is well formed, and does not judge: see [Packet.Validate]. On an error p is untouched.
func (p *Packet) Parse(b []byte) error {
	if len(b) < headerLen {
		return fmt.Errorf("%w: %d bytes, at least %d: %w", ErrLength, len(b), headerLen, io.ErrUnexpectedEOF)
	}
	if v := b[0] >> 5; v != version {
		return fmt.Errorf("%w but %d", ErrVersion, v)
	}
	length := int(b[3])
	if length > len(b) {
		return fmt.Errorf("%w: %d, %d bytes came: %w", ErrLength, length, len(b), io.ErrUnexpectedEOF)
	}
	if length < headerLen {
		return fmt.Errorf("%w: %d, at least %d", ErrLength, length, headerLen)
	}
	read := Packet{
		State: State(b[1] >> 6), Diag: Diag(b[0] & 0x1f), Poll: b[1]&bitPoll != 0, Final: b[1]&bitFinal != 0,
		Independent: b[1]&bitIndependent != 0, Demand: b[1]&bitDemand != 0, Multipoint: b[1]&bitMultipoint != 0,
		Multiplier: b[2], Mine: binary.BigEndian.Uint32(b[4:]), Yours: binary.BigEndian.Uint32(b[8:]),
		MinTx: interval(b[12:]), MinRx: interval(b[16:]), MinEchoRx: interval(b[20:]),
	}
	if b[1]&bitAuth != 0 {
		if err := read.Auth.parse(b[headerLen:length]); err != nil {
			return err
		}
	}
	*p = read
	return nil
}

func interval(b []byte) time.Duration {
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Microsecond
}

// Validate is what RFC 5880, Section 6.8.6 checks before it looks for the session.
func (p *Packet) Validate() error {
	switch {
	case p.Multiplier == 0:
		return ErrMultiplier
	case p.Multipoint:
		return ErrMultipoint
	case p.Mine == 0:
		return fmt.Errorf("%w: the sender's is 0", ErrDiscriminator)
	case p.Yours == 0 && p.State != Down && p.State != AdminDown:
		return fmt.Errorf("%w: ours is 0 in state %v", ErrDiscriminator, p.State)
	}
	return nil
}
