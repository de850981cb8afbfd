package vrrp

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// Protocol is the IP protocol number of VRRP (RFC 9568, Section 5.1.1.4).
const Protocol = 112

// The groups that adverts are sent to (RFC 9568, Sections 5.1.1.2 and 5.1.2.2).
var (
	GroupIPv4 = netip.AddrFrom4([4]byte{224, 0, 0, 18})
	GroupIPv6 = netip.MustParseAddr("ff02::12")
)

// AuthType is the authentication of VRRP version 2 (RFC 2338, Section 5.3.6). Version 3 has none.
type AuthType uint8

// The authentication types.
const (
	AuthNone AuthType = 0
	AuthPass AuthType = 1 // a password in clear text: guards against mistakes, not against people
	AuthAH   AuthType = 2 // IP Authentication Header, HMAC-MD5-96 with the password as key; IPv4 only
)

// String returns keepalived's word for the type.
func (a AuthType) String() string {
	switch a {
	case AuthNone:
		return "none"
	case AuthPass:
		return "PASS"
	case AuthAH:
		return "AH"
	}
	return fmt.Sprintf("AuthType(%d)", uint8(a))
}

// Checksum is the form of an advert's checksum. Two are in use for version 3 over IPv4: RFC 9568 sums the message alone,
// readers of RFC 5798 (keepalived among them) put a pseudo-header first. Any of them is accepted unless an instance is strict.
type Checksum uint8

// The checksum forms.
const (
	// ChecksumDefault is for sending: what keepalived sends. Version 2: the message; version 3: with pseudo-header.
	ChecksumDefault Checksum = iota
	// ChecksumMessage covers the VRRP message only.
	ChecksumMessage
	// ChecksumPseudo covers a pseudo-header of the IP addresses first.
	ChecksumPseudo
	// ChecksumGroup covers a pseudo-header that names the multicast group, although the packet goes to a peer: version 3 by
	// unicast as keepalived sent it before 1.3.6 (old_unicast_checksum).
	ChecksumGroup
	// ChecksumBad is what ParsePacket reports when no form fits. It cannot be sent.
	ChecksumBad
)

// String names the form.
func (c Checksum) String() string {
	switch c {
	case ChecksumDefault:
		return "default"
	case ChecksumMessage:
		return "message"
	case ChecksumPseudo:
		return "pseudo-header"
	case ChecksumGroup:
		return "pseudo-header of the group"
	case ChecksumBad:
		return "bad"
	}
	return fmt.Sprintf("Checksum(%d)", uint8(c))
}

// Advertisement is one VRRP ADVERTISEMENT. The zero value is not valid: Version and VRID must be set.
type Advertisement struct {
	// Version is 2 or 3.
	Version uint8
	// VRID is the virtual router's id, 1 to 255.
	VRID uint8
	// Priority of the sender: 255 owner, 1 to 254 others, 0 it is leaving.
	Priority uint8
	// Interval between adverts. Version 2: whole seconds, 1 s to 255 s. Version 3: 10 ms to 40.95 s in steps of 10 ms.
	Interval time.Duration
	// Addrs are the virtual addresses, all of one family. ParsePacket reuses the slice's memory.
	Addrs []netip.Addr
	// AuthType and AuthData are version 2's authentication; AuthData is the zero-padded password of AuthPass.
	AuthType AuthType
	AuthData [8]byte
	// Checksum is the form to send; ParsePacket sets it to the form that was seen.
	Checksum Checksum
	// Trailer is what followed the message: 28 bytes of auth_hmac, or nothing. ParsePacket makes it a part of its buffer;
	// AppendPacket does not write it, since [Authenticator.AppendTrailer] does.
	Trailer []byte
}

// LogValue shows the advert as attributes.
func (a *Advertisement) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Int("version", int(a.Version)), slog.Int("vrid", int(a.VRID)), slog.Int("priority", int(a.Priority)),
		slog.Duration("interval", a.Interval), slog.Any("addresses", a.Addrs), slog.String("checksum", a.Checksum.String()))
}

// The message (RFC 9568, Section 5.2). Version 2 has the authentication type and the interval in seconds in bytes 4 and 5,
// and 8 bytes of authentication data after the addresses (RFC 3768, Section 5.3).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|Version| Type  | Virtual Rtr ID|   Priority    |IPvX Addr Count|
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|Reserve| Max Advertise Interval|          Checksum             |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                       IPvX Address(es)                        |
const (
	headerLen         = 8
	authLen           = 8
	typeAdvertisement = 1
	intervalMask      = 0x0fff
	checksumOffset    = 6
	centisecond       = 10 * time.Millisecond
)

// AppendPacket appends the advert's wire form to b. src and dst are the addresses of the IP header, which the checksum may
// cover; their family is the advert's. A value that does not fit the wire is an error, and b is returned as it was.
func (a *Advertisement) AppendPacket(b []byte, src, dst netip.Addr) ([]byte, error) {
	if err := a.checkEncodable(src, dst); err != nil {
		return b, err
	}
	start := len(b)
	b = append(b, a.Version<<4|typeAdvertisement, a.VRID, a.Priority, uint8(len(a.Addrs)))
	if a.Version == 2 {
		b = append(b, uint8(a.AuthType), uint8(a.Interval/time.Second))
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(a.Interval/centisecond))
	}
	b = append(b, 0, 0) // checksum
	for _, addr := range a.Addrs {
		b = appendAddr(b, addr)
	}
	if a.Version == 2 && src.Is4() {
		b = append(b, a.AuthData[:]...)
	}
	a.putChecksum(b[start:], src, dst)
	return b, nil
}

func (a *Advertisement) putChecksum(message []byte, src, dst netip.Addr) {
	message[checksumOffset], message[checksumOffset+1] = 0, 0
	sum := fold(sumBytes(a.initialSum(len(message), src, dst), message))
	binary.BigEndian.PutUint16(message[checksumOffset:], ^sum)
}

func (a *Advertisement) checkEncodable(src, dst netip.Addr) error {
	switch {
	case a.Version != 2 && a.Version != 3:
		return fmt.Errorf("%w %d: 2 and 3 exist", ErrVersion, a.Version)
	case a.VRID == 0:
		return fmt.Errorf("%w 0: must be 1 to 255", ErrVRID)
	case len(a.Addrs) > 255:
		return fmt.Errorf("%w: %d addresses, at most 255 fit", ErrLength, len(a.Addrs))
	case a.Version == 3 && a.AuthType != AuthNone:
		return fmt.Errorf("%w %v: version 3 has no authentication", ErrAuthType, a.AuthType)
	case a.Checksum > ChecksumGroup:
		return fmt.Errorf("%w form %v cannot be sent", ErrChecksum, a.Checksum)
	case !src.IsValid() || src.Is4() != dst.Is4():
		return fmt.Errorf("%w of source %v and destination %v differ", ErrAddressFamily, src, dst)
	}
	for _, addr := range a.Addrs {
		if addr.Is4() != src.Is4() {
			return fmt.Errorf("%w of virtual address %v is not that of source %v", ErrAddressFamily, addr, src)
		}
	}
	return checkInterval(a.Version, a.Interval)
}

// checkInterval says whether an interval can be written in an advert of the version.
func checkInterval(version uint8, d time.Duration) error {
	unit, most := centisecond, intervalMask*centisecond
	if version == 2 {
		unit, most = time.Second, 255*time.Second
	}
	if d < unit || d > most || d%unit != 0 {
		return fmt.Errorf("%w %v: version %d takes %v to %v in steps of %v", ErrInterval, d, version, unit, most, unit)
	}
	return nil
}

// ParsePacket reads an advert, the VRRP message without the IP header, that came from src to dst. It takes any well-formed
// message and does not judge it: see [Advertisement.Validate]. On an error the receiver is as it was.
func (a *Advertisement) ParsePacket(b []byte, src, dst netip.Addr) error {
	if len(b) < headerLen {
		return &packetError{ErrLength, "%d bytes, the header has %d", len(b), headerLen}
	}
	version, count, size := b[0]>>4, int(b[3]), addrSize(src)
	if version != 2 && version != 3 {
		return &packetError{ErrVersion, "%d, 2 and 3 exist", version, nil}
	}
	if kind := b[0] & 0x0f; kind != typeAdvertisement {
		return &packetError{ErrType, "but %d", kind, nil}
	}
	end := headerLen + count*size
	if version == 2 && src.Is4() {
		end += authLen
	}
	if len(b) < end {
		return &packetError{ErrLength, "%d bytes, its addresses need %d", len(b), end}
	}
	a.assign(b[:end], size)
	if len(b) > end {
		a.Trailer = b[end:]
	}
	a.Checksum = a.checksumSeen(b[:end], src, dst)
	if a.Checksum == ChecksumBad && src.Is6() && len(b) > end { // kernels sum all that they send
		a.Checksum = a.checksumSeen(b, src, dst)
	}
	return nil
}

func (a *Advertisement) assign(b []byte, size int) {
	*a = Advertisement{Version: b[0] >> 4, VRID: b[1], Priority: b[2], Addrs: a.Addrs[:0]}
	count := int(b[3])
	for i := range count {
		addr, _ := netip.AddrFromSlice(b[headerLen+i*size:][:size])
		a.Addrs = append(a.Addrs, addr)
	}
	if a.Version == 2 {
		a.AuthType, a.Interval = AuthType(b[4]), time.Duration(b[5])*time.Second
		copy(a.AuthData[:], b[headerLen+count*size:])
	} else {
		a.Interval = time.Duration(binary.BigEndian.Uint16(b[4:])&intervalMask) * centisecond
	}
}

// checksumSeen tells which form the packet's checksum has: summed over everything it must give all ones.
func (a *Advertisement) checksumSeen(b []byte, src, dst netip.Addr) Checksum {
	message := sumBytes(0, b)
	fits := func(group netip.Addr) bool { return fold(message+pseudoSum(len(b), src, group)) == 0xffff }
	switch {
	case src.Is4() && fold(message) == 0xffff: // over IPv6 the pseudo-header is not optional
		return ChecksumMessage
	case src.Is4() && a.Version == 2:
		return ChecksumBad
	case fits(dst):
		return ChecksumPseudo
	case src.Is4() && !dst.IsMulticast() && fits(GroupIPv4):
		return ChecksumGroup
	}
	return ChecksumBad
}

// initialSum is what the checksum to be sent starts from.
func (a *Advertisement) initialSum(length int, src, dst netip.Addr) uint32 {
	switch {
	case src.Is4() && (a.Checksum == ChecksumMessage || a.Version == 2):
		return 0
	case src.Is4() && a.Checksum == ChecksumGroup:
		dst = GroupIPv4
	}
	return pseudoSum(length, src, dst)
}

// pseudoSum is the sum of the pseudo-header of RFC 8200, Section 8.1; for IPv4 of the like one of RFC 793.
func pseudoSum(length int, src, dst netip.Addr) uint32 {
	return sumAddr(src) + sumAddr(dst) + uint32(length) + Protocol
}

func sumAddr(addr netip.Addr) uint32 {
	if addr.Is4() {
		b := addr.As4()
		return sumBytes(0, b[:])
	}
	b := addr.As16()
	return sumBytes(0, b[:])
}

// sumBytes adds big-endian 16-bit words (RFC 1071). 64 KiB cannot overflow the 32 bits.
func sumBytes(sum uint32, b []byte) uint32 {
	for len(b) > 1 {
		sum += uint32(b[0])<<8 | uint32(b[1])
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

func addrSize(family netip.Addr) int {
	if family.Is4() {
		return 4
	}
	return 16
}

func appendAddr(b []byte, addr netip.Addr) []byte {
	if addr.Is4() {
		a := addr.As4()
		return append(b, a[:]...)
	}
	a := addr.As16()
	return append(b, a[:]...)
}
