package vrrp

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"net/netip"
	"slices"
	"time"
)

// HMAC is keepalived's own authentication of adverts (auth_hmac, since 2.4): a signed trailer after the message, by which
// forged, altered and replayed adverts are refused. It holds within the time window, so clocks must agree. The zero value
// means none.
type HMAC struct {
	// Keys verify; one of them signs.
	Keys []HMACKey
	// Active is the id of the key that signs.
	Active uint8
	// Mode says what is done with adverts without trailer. One that is there and bad is refused in every mode.
	Mode HMACMode
	// Window is how old, or early, an advert may be, up to 300 s. 0 means three intervals, but at least 5 s.
	Window time.Duration
	// Monotonic asks of a sender's adverts only that their sequence grows, whatever its clock says.
	Monotonic bool
}

// HMACKey is a shared secret.
type HMACKey struct {
	// ID tells keys apart on the wire, 1 to 255.
	ID uint8
	// Secret has 32 to 64 bytes.
	Secret string `json:"-"`
}

// String does not show the secret.
func (k HMACKey) String() string { return fmt.Sprintf("key %d", k.ID) }

// HMACMode says what is signed and what must be.
type HMACMode uint8

// The modes, by which a running group is brought from none to HMAC: first every router receives, then every one sends.
const (
	HMACEnforce     HMACMode = iota // sign, and refuse what is not signed
	HMACPermissive                  // sign, and accept what is not signed
	HMACReceiveOnly                 // do not sign, and accept what is not signed
)

// String is keepalived's word for the mode.
func (m HMACMode) String() string {
	switch m {
	case HMACEnforce:
		return "enforce"
	case HMACPermissive:
		return "permissive"
	case HMACReceiveOnly:
		return "receive-only"
	}
	return fmt.Sprintf("HMACMode(%d)", uint8(m))
}

func (h *HMAC) enabled() bool { return len(h.Keys) > 0 }
func (h *HMAC) signs() bool   { return h.enabled() && h.Mode != HMACReceiveOnly }

func (h *HMAC) window(interval time.Duration) time.Duration {
	if h.Window > 0 {
		return h.Window
	}
	return min(max(3*interval.Truncate(time.Second), 5*time.Second), 300*time.Second)
}

func (h *HMAC) validate(bad func(string, ...any)) {
	active := false
	for i, k := range h.Keys {
		active = active || k.ID == h.Active
		switch n := len(k.Secret); {
		case k.ID == 0:
			bad("HMAC key 0: ids are 1 to 255")
		case n < 32 || n > 64:
			bad("HMAC key %d has %d bytes: 32 to 64 are needed", k.ID, n)
		case slices.ContainsFunc(h.Keys[:i], func(o HMACKey) bool { return o.ID == k.ID }):
			bad("HMAC key %d is there twice", k.ID)
		}
	}
	if h.signs() && !active {
		bad("HMAC key %d shall sign, and there is none of that id", h.Active)
	}
	if h.Mode > HMACReceiveOnly || h.Window < 0 || h.Window > 300*time.Second {
		bad("HMAC mode %v or window %v: the window is at most 300 s", h.Mode, h.Window)
	}
}

// The trailer:
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|   Type = 1    |    Key ID     |           Reserved            |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                            Seconds                            |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|        Second / 65536         |            Counter            |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|        first 16 bytes of the HMAC-SHA256, see signature       |
const (
	trailerLen  = 28
	trailerType = 1
	macOffset   = 12
	macLen      = trailerLen - macOffset
)

// Authenticator signs and verifies the adverts of one instance with HMAC and AH, which need a memory of what was sent and
// seen. It belongs to one goroutine at a time.
type Authenticator struct {
	in    Instance
	keys  map[uint8]hash.Hash
	sent  uint64 // sequence of the last trailer
	marks []mark // newest last
	ah    hash.Hash
	ahSeq uint32        // the highest sent or seen
	off   time.Duration // how late the clock of the last sender that was believed is
	sum   [sha256.Size]byte
	pad   [20]byte
}

// mark is the newest sequence that was accepted of a sender.
type mark struct {
	from     netip.Addr
	sequence uint64
}

// NewAuthenticator makes an Authenticator for a valid instance.
func NewAuthenticator(in Instance) *Authenticator {
	a := new(Authenticator)
	a.Reconfigure(in)
	return a
}

// Reconfigure takes new keys into use. Sequences go on.
func (a *Authenticator) Reconfigure(in Instance) {
	a.in, a.keys, a.ah = in, make(map[uint8]hash.Hash, len(in.HMAC.Keys)), nil
	for _, k := range in.HMAC.Keys {
		a.keys[k.ID] = hmac.New(sha256.New, []byte(k.Secret))
	}
	if in.AuthType == AuthAH {
		key := in.authData()
		a.ah = hmac.New(md5.New, key[:])
	}
}

// AppendTrailer appends to b the trailer of the message, if this instance signs. One trailer does for all peers.
func (a *Authenticator) AppendTrailer(b []byte, now time.Time, message []byte, src netip.Addr) []byte {
	if !a.in.HMAC.signs() {
		return b
	}
	a.sent = a.nextSequence(now)
	start := len(b)
	b = append(b, trailerType, a.in.HMAC.Active, 0, 0)
	b = binary.BigEndian.AppendUint64(b, a.sent)
	return append(b, a.signature(a.keys[a.in.HMAC.Active], message, b[start:], src)...)
}

// nextSequence never goes back, unless the clock was far ahead once and others would take us for stale.
func (a *Authenticator) nextSequence(now time.Time) uint64 {
	clock := sequenceAt(now)
	if !a.in.HMAC.Monotonic && a.sent > sequenceAt(now.Add(a.in.HMAC.window(a.in.interval()))) {
		return clock
	}
	return max(clock, a.sent+1)
}

// sequenceAt has the seconds in its upper half, then the fraction in 1/65536, and room for a counter.
func sequenceAt(t time.Time) uint64 {
	return uint64(uint32(t.Unix()))<<32 | uint64(t.Nanosecond())<<16/1_000_000_000<<16
}

// signature is over a pseudo-header (family, version, VRID, source), the message without its checksum, which the way may
// change, and the trailer's head. It is valid until the next call.
func (a *Authenticator) signature(key hash.Hash, message, head []byte, src netip.Addr) []byte {
	var zero [macLen]byte
	a.pad = [20]byte{0: 4, 1: message[0] >> 4, 2: message[1]}
	if src.Is4() {
		*(*[4]byte)(a.pad[4:]) = src.As4()
	} else {
		a.pad[0] = 6
		*(*[16]byte)(a.pad[4:]) = src.As16()
	}
	key.Reset()
	key.Write(a.pad[:])
	key.Write(message[:checksumOffset])
	clear(a.pad[:2])
	key.Write(a.pad[:2])
	key.Write(message[checksumOffset+2:])
	key.Write(head)
	a.pad = [20]byte{}
	key.Write(a.pad[:len(zero)])
	return key.Sum(a.sum[:0])[:macLen]
}

// Verify says whether the message in b, which ParsePacket read as p, came unaltered, and not twice, from a router that has
// one of the instance's keys. Without HMAC everything did. The error is one of the ErrHMAC values. It must come after
// [Advertisement.Validate].
func (a *Authenticator) Verify(now time.Time, p *Advertisement, b []byte, src netip.Addr) error {
	if !a.in.HMAC.enabled() {
		return nil
	}
	t := p.Trailer
	if len(t) == 0 {
		if a.in.HMAC.Mode == HMACEnforce {
			return &packetError{ErrHMACMissing, "and must be", nil, nil}
		}
		return nil
	}
	if len(t) != trailerLen || t[0] != trailerType || t[2] != 0 || t[3] != 0 {
		return &packetError{ErrHMACMalformed, "of %d bytes", len(t), nil}
	}
	if a.in.unicast() && !slices.ContainsFunc(a.in.Peers, func(p Peer) bool { return p.Addr == src }) {
		return &packetError{ErrPeer, "%v", src, nil}
	}
	return a.verifyTrailer(now, b[:len(b)-trailerLen], t, src)
}

func (a *Authenticator) verifyTrailer(now time.Time, message, t []byte, src netip.Addr) error {
	sequence := binary.BigEndian.Uint64(t[4:])
	off := now.Sub(time.Unix(int64(binary.BigEndian.Uint32(t[4:])), 0))
	if !a.in.HMAC.Monotonic && !a.inWindow(off) {
		return &packetError{ErrHMACStale, "by %v: clocks must agree", off, nil}
	}
	key := a.keys[t[1]]
	if key == nil {
		return &packetError{ErrHMACUnknownKey, "%d", t[1], nil}
	}
	if !hmac.Equal(a.signature(key, message, t[:macOffset], src), t[macOffset:]) {
		return &packetError{ErrHMACInvalid, "with key %d", t[1], nil}
	}
	if !a.advance(now, src, sequence) {
		return &packetError{ErrHMACReplay, "from %v", src, nil}
	}
	a.off = off
	return nil
}

// drifting says that the clock of the last sender that was believed is more than half of the window away from ours: soon it
// will not be believed. The error is for telling only.
func (a *Authenticator) drifting() error {
	if w := a.in.HMAC.window(a.in.interval()); !a.in.HMAC.enabled() || a.in.HMAC.Monotonic || a.off.Abs() <= w/2+time.Second {
		return nil
	}
	return &packetError{ErrHMACStale, "soon: clocks differ by %v of %v", a.off.Truncate(time.Second), a.in.HMAC.window(a.in.interval())}
}

// authenticate verifies a packet by what the instance is configured for.
func (a *Authenticator) authenticate(now time.Time, p *Advertisement, message, ah []byte, packet *Packet) error {
	if a.in.AuthType == AuthAH {
		return a.verifyAH(packet.Header, ah, message, packet.Src, packet.Dst.IsMulticast())
	}
	return a.Verify(now, p, message, packet.Src)
}

func (a *Authenticator) inWindow(off time.Duration) bool {
	return off.Abs() <= a.in.HMAC.window(a.in.interval())+time.Second // whole seconds are compared
}

// advance moves the sender's mark to the sequence, unless that is not newer (RFC 1982). Marks are for peers, or for the
// last 4 senders.
func (a *Authenticator) advance(now time.Time, src netip.Addr, sequence uint64) bool {
	i := slices.IndexFunc(a.marks, func(m mark) bool { return m.from == src })
	if i >= 0 {
		last := a.marks[i].sequence
		expired := !a.in.HMAC.Monotonic && !a.inWindow(now.Sub(time.Unix(int64(last>>32), 0)))
		if int64(sequence-last) <= 0 && !expired {
			return false
		}
		a.marks = slices.Delete(a.marks, i, i+1)
	} else if len(a.marks) >= max(len(a.in.Peers), 4) {
		a.marks = slices.Delete(a.marks, 0, 1)
	}
	a.marks = append(a.marks, mark{src, sequence})
	return true
}
