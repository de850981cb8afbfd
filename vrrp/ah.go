package vrrp

import (
	"crypto/hmac"
	"encoding/binary"
	"net/netip"
)

// The IP Authentication Header of RFC 2338, Section 5.3.6.3, in the form of RFC 2402 with HMAC-MD5-96: it stands between the
// IPv4 header and the message.
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	| Next = VRRP   |  Length = 4   |           Reserved            |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|             Security Parameters Index: the source             |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                        Sequence Number                        |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                 Integrity Check Value, 12 bytes               |
const (
	protocolAH = 51
	ahLen      = 24
	ahWords    = ahLen/4 - 2
	icvOffset  = 12
	icvLen     = ahLen - icvOffset
	ipv4Len    = 20
)

// sealAH fills in the header of an IPv4 packet that has 24 bytes of room for it after its 20-byte IP header.
func (a *Authenticator) sealAH(packet []byte, src netip.Addr, multicast bool) {
	if a.ahSeq < 1<<32-1 {
		a.ahSeq++
	}
	h := packet[ipv4Len:][:ahLen]
	clear(h)
	h[0], h[1] = Protocol, ahWords
	*(*[4]byte)(h[4:]) = src.As4()
	binary.BigEndian.PutUint32(h[8:], a.ahSeq)
	copy(h[icvOffset:], a.icv(packet[:ipv4Len], h, packet[ipv4Len+ahLen:], multicast))
}

// verifyAH checks a packet by its IP header without options, its AH and its message.
func (a *Authenticator) verifyAH(ip, h, message []byte, src netip.Addr, multicast bool) error {
	spi, sequence := src.As4(), uint32(0)
	switch {
	case len(ip) != ipv4Len || len(h) != ahLen || h[0] != Protocol || h[1] != ahWords:
		return &packetError{ErrAuthFailure, "by AH: a header of %d bytes", len(h), nil}
	case [4]byte(h[4:8]) != spi:
		return &packetError{ErrAuthFailure, "by AH: its index is not the source address", nil, nil}
	case !hmac.Equal(a.icv(ip, h, message, multicast), h[icvOffset:]):
		return &packetError{ErrAuthFailure, "by AH: wrong check value", nil, nil}
	}
	if sequence = binary.BigEndian.Uint32(h[8:]); sequence <= a.ahSeq {
		return &packetError{ErrAuthFailure, "by AH: sequence %d is not above %d", sequence, a.ahSeq}
	}
	a.ahSeq = sequence
	return nil
}

// icv covers the packet without what routers change: TOS, fragment field and header checksum; and the TTL, but only when the
// packet is not for the group, as keepalived has it. It is valid until the next call.
func (a *Authenticator) icv(ip, h, message []byte, multicast bool) []byte {
	copy(a.pad[:], ip)
	a.pad[1], a.pad[6], a.pad[7], a.pad[10], a.pad[11] = 0, 0, 0, 0, 0
	if !multicast {
		a.pad[8] = 0
	}
	a.ah.Reset()
	a.ah.Write(a.pad[:])
	a.ah.Write(h[:icvOffset])
	clear(a.pad[:])
	a.ah.Write(a.pad[:icvLen])
	a.ah.Write(message)
	return a.ah.Sum(a.sum[:0])[:icvLen]
}
