// Package ipheader writes and reads IP headers (RFC 791, RFC 8200) for those who send packets with a header of their own.
package ipheader

import (
	"encoding/binary"
	"net/netip"
)

// Sizes of a header without options.
const (
	Size4 = 20
	Size6 = 40
)

// Header is what matters of an IP header.
type Header struct {
	Src, Dst netip.Addr
	// TTL is the hop limit for IPv6, Class the type of service for IPv4.
	TTL, Class uint8
	Protocol   uint8
	// ID is IPv4's identification.
	ID uint16
}

// Append appends the header of a packet with so many bytes after it, of the family of Src, without options.
func (h *Header) Append(b []byte, payload int) []byte {
	if h.Src.Is4() {
		return h.append4(b, payload)
	}
	src, dst := h.Src.As16(), h.Dst.As16()
	b = append(b, 6<<4|h.Class>>4, h.Class<<4, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(payload))
	b = append(b, h.Protocol, h.TTL)
	b = append(b, src[:]...)
	return append(b, dst[:]...)
}

func (h *Header) append4(b []byte, payload int) []byte {
	start := len(b)
	src, dst := h.Src.As4(), h.Dst.As4()
	b = append(b, 4<<4|Size4/4, h.Class)
	b = binary.BigEndian.AppendUint16(b, uint16(Size4+payload))
	b = binary.BigEndian.AppendUint16(b, h.ID)
	b = append(b, 0, 0, h.TTL, h.Protocol, 0, 0)
	b = append(b, src[:]...)
	b = append(b, dst[:]...)
	binary.BigEndian.PutUint16(b[start+10:], checksum(b[start:]))
	return b
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// Split4 splits an IPv4 packet after its header and options. ok is false when it is none.
func Split4(b []byte) (header, payload []byte, ok bool) {
	if len(b) < Size4 || b[0]>>4 != 4 {
		return nil, nil, false
	}
	n := int(b[0]&0x0f) * 4
	if n < Size4 || n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// Parse reads the header of a packet of either family. Of one that is too short or of no family it is zero.
func Parse(b []byte) Header {
	switch {
	case len(b) >= Size4 && b[0]>>4 == 4:
		return Header{
			Src: netip.AddrFrom4([4]byte(b[12:16])), Dst: netip.AddrFrom4([4]byte(b[16:20])),
			TTL: b[8], Class: b[1], Protocol: b[9], ID: binary.BigEndian.Uint16(b[4:]),
		}
	case len(b) >= Size6 && b[0]>>4 == 6:
		return Header{
			Src: netip.AddrFrom16([16]byte(b[8:24])), Dst: netip.AddrFrom16([16]byte(b[24:40])),
			TTL: b[7], Class: b[0]<<4 | b[1]>>4, Protocol: b[6],
		}
	}
	return Header{}
}
