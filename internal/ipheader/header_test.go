package ipheader_test

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/ipheader"
)

func TestRoundTrip(t *testing.T) {
	for _, h := range []ipheader.Header{
		{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("224.0.0.18"), TTL: 255, Class: 0xc0, Protocol: 112, ID: 7},
		{Src: netip.MustParseAddr("fe80::1"), Dst: netip.MustParseAddr("ff02::12"), TTL: 254, Class: 0xc0, Protocol: 112},
	} {
		b := append(h.Append(nil, 3), 1, 2, 3)
		if got := ipheader.Parse(b); got != h {
			t.Errorf("%+v came back as %+v", h, got)
		}
		for n := range b {
			_ = ipheader.Parse(b[:n])
			_, _, _ = ipheader.Split4(b[:n])
		}
	}
}

// TestBytes has the header of an advert as it is on the wire.
func TestBytes(t *testing.T) {
	h := ipheader.Header{Src: netip.MustParseAddr("192.168.0.30"), Dst: netip.MustParseAddr("224.0.0.18"), TTL: 255, Class: 0xc0, Protocol: 112, ID: 1}
	b := h.Append(nil, 20)
	want, _ := hex.DecodeString("45c0002800010000ff70194bc0a8001ee0000012")
	if sum := checksumOf(b); sum != 0xffff || !bytes.Equal(append(b[:10:10], b[12:]...), append(want[:10:10], want[12:]...)) {
		t.Errorf("%x (sum %x), want %x", b, sum, want)
	}
	header, payload, ok := ipheader.Split4(append(b, 9))
	if !ok || len(header) != 20 || len(payload) != 1 {
		t.Errorf("split: %x %x %v", header, payload, ok)
	}
}

func checksumOf(b []byte) (sum uint32) {
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum
}
