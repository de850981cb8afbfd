package bfd

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math"
)

// AuthType is how packets are authenticated (RFC 5880, Section 4.2 to 4.4).
type AuthType uint8

// The types. Prefer MeticulousSHA1; the MD5 types are for old peers.
const (
	AuthNone AuthType = iota
	SimplePassword
	KeyedMD5
	MeticulousMD5
	KeyedSHA1
	MeticulousSHA1
)

// String is the RFC's name.
func (t AuthType) String() string {
	names := [...]string{"none", "simple password", "keyed MD5", "meticulous keyed MD5", "keyed SHA1", "meticulous keyed SHA1"}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("AuthType(%d)", uint8(t))
}

func (t AuthType) meticulous() bool { return t == MeticulousMD5 || t == MeticulousSHA1 }

// secretLen is the size of the digest, 0 for a password.
func (t AuthType) secretLen() int {
	switch t {
	case KeyedMD5, MeticulousMD5:
		return md5.Size
	case KeyedSHA1, MeticulousSHA1:
		return sha1.Size
	}
	return 0
}

// AuthSection is what a packet carries of authentication.
type AuthSection struct {
	Type  AuthType
	KeyID uint8
	// Sequence is that of the keyed types.
	Sequence uint32
	// Secret is the password, or the digest; its first Len bytes count. Len matters for a password only.
	Secret [20]byte
	Len    uint8
}

func (a *AuthSection) length() (int, error) {
	switch n := a.Type.secretLen(); {
	case a.Type == AuthNone:
		return 0, nil
	case n > 0:
		return 8 + n, nil
	case a.Type == SimplePassword && a.Len >= 1 && a.Len <= 16:
		return 3 + int(a.Len), nil
	case a.Type == SimplePassword:
		return 0, fmt.Errorf("bfd: password of %d bytes: 1 to 16", a.Len)
	}
	return 0, fmt.Errorf("bfd: authentication type %v is not known", a.Type)
}

func (a *AuthSection) append(b []byte) []byte {
	length, _ := a.length()
	if length == 0 {
		return b
	}
	b = append(b, byte(a.Type), byte(length), a.KeyID)
	if a.Type == SimplePassword {
		return append(b, a.Secret[:a.Len]...)
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint32(b, a.Sequence)
	return append(b, a.Secret[:a.Type.secretLen()]...)
}

// parse reads all that follows the header. A length that is not the type's is an error (RFC 5880, Section 6.7.2 to 6.7.4).
func (a *AuthSection) parse(b []byte) error {
	if len(b) < 2 || int(b[1]) > len(b) {
		return fmt.Errorf("%w: authentication section", ErrLength)
	}
	read := AuthSection{Type: AuthType(b[0])}
	b = b[:b[1]]
	if read.Type == SimplePassword && len(b) > 3 {
		read.Len = uint8(min(len(b)-3, 255))
	}
	if want, err := read.length(); err != nil || want == 0 || want != len(b) {
		return fmt.Errorf("%w: authentication section of type %v and %d bytes", ErrLength, read.Type, len(b))
	}
	read.KeyID = b[2]
	if read.Type == SimplePassword {
		copy(read.Secret[:], b[3:])
	} else {
		read.Sequence = binary.BigEndian.Uint32(b[4:])
		copy(read.Secret[:], b[8:])
	}
	*a = read
	return nil
}

// Auth is the key of a session. Both ends have the same.
type Auth struct {
	Type  AuthType
	KeyID uint8
	// Key is the password, 1 to 16 bytes, or the secret of a digest, 1 to 16 bytes for MD5 and 1 to 20 for SHA1.
	Key string `json:"-"`
}

// Validate reports a key that does not fit its type.
func (a *Auth) Validate() error {
	limit := max(a.Type.secretLen(), 16)
	switch {
	case a.Type == AuthNone || a.Type > MeticulousSHA1:
		return fmt.Errorf("bfd: authentication type %v: 1 to 5", a.Type)
	case len(a.Key) == 0 || len(a.Key) > limit:
		return fmt.Errorf("bfd: key of %d bytes: 1 to %d for %v", len(a.Key), limit, a.Type)
	}
	return nil
}

// section is the authentication section with the key in place of the digest, as it is hashed.
func (a *Auth) section(sequence uint32) AuthSection {
	s := AuthSection{Type: a.Type, KeyID: a.KeyID, Sequence: sequence, Len: uint8(min(len(a.Key), math.MaxUint8))}
	copy(s.Secret[:], a.Key)
	return s
}

// Sign appends the packet with its authentication section to b.
func (a *Auth) Sign(b []byte, p *Packet, sequence uint32) ([]byte, error) {
	start := len(b)
	p.Auth = a.section(sequence)
	b, err := p.AppendBinary(b)
	if err != nil || a.Type == SimplePassword {
		return b, err
	}
	digest := b[len(b)-a.Type.secretLen():]
	sum := a.digest(b[start:])
	copy(digest, sum[:])
	copy(p.Auth.Secret[:], digest)
	return b, nil
}

// digest hashes a packet that has the key in place of the digest.
func (a *Auth) digest(packet []byte) (sum [20]byte) {
	if a.Type.secretLen() == md5.Size {
		m := md5.Sum(packet)
		copy(sum[:], m[:])
		return sum
	}
	return sha1.Sum(packet)
}

// Verify says whether a received packet, parsed from raw, was signed with the key. It does not look at the sequence.
func (a *Auth) Verify(raw []byte, p *Packet) error {
	switch {
	case p.Auth.Type != a.Type:
		return fmt.Errorf("%w: type is %v, ours %v", ErrAuth, p.Auth.Type, a.Type)
	case p.Auth.KeyID != a.KeyID:
		return fmt.Errorf("%w: key id is %d, ours %d", ErrAuth, p.Auth.KeyID, a.KeyID)
	}
	want := a.section(p.Auth.Sequence)
	if a.Type != SimplePassword {
		var room [headerLen + 28]byte
		packet := append(room[:0], raw[:raw[3]]...)
		n := a.Type.secretLen()
		copy(packet[len(packet)-n:], want.Secret[:n])
		want.Secret = a.digest(packet)
	} else if want.Len != p.Auth.Len {
		return fmt.Errorf("%w: password", ErrAuth)
	}
	if subtle.ConstantTimeCompare(want.Secret[:], p.Auth.Secret[:]) == 0 {
		return fmt.Errorf("%w: %v", ErrAuth, a.Type)
	}
	return nil
}

// window keeps a packet from being played again (RFC 5880, Section 6.7.3). It is not known before the first packet.
type window struct {
	known bool
	last  uint32
}

// accepts says whether a sequence number may come next.
func (w *window) accepts(t AuthType, sequence uint32, multiplier uint8) error {
	if !w.known || t == SimplePassword {
		return nil
	}
	ahead, first := sequence-w.last, uint32(0)
	if t.meticulous() {
		first = 1
	}
	if ahead < first || ahead > 3*uint32(multiplier) {
		return fmt.Errorf("%w: sequence %d after %d", ErrAuth, sequence, w.last)
	}
	return nil
}
