package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

// BenchmarkAdvert writes an advert, reads it and judges it, by each authentication.
func BenchmarkAdvert(b *testing.B) {
	seen := map[string]bool{}
	for _, r := range recordings(b) {
		if seen[r.mode] || r.ah != nil {
			continue
		}
		seen[r.mode] = true
		b.Run(r.mode, func(b *testing.B) {
			in := r.as()
			var w writer
			w.configure(in)
			reader, buf, now := NewAuthenticator(in), make([]byte, 0, 128), signedAt
			a := Advertisement{Addrs: make([]netip.Addr, 0, 8)}
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Second)
				w.begin(100)
				packet, err := w.append(buf, now, r.src, r.dst)
				if err != nil || a.ParsePacket(packet, r.src, r.dst) != nil || a.Validate(&in, r.src, r.dst, 255) != nil ||
					reader.Verify(now, &a, packet, r.src) != nil || a.Compare(&in) != nil {
					b.Fatal("not accepted")
				}
			}
		})
	}
}

// BenchmarkEqual is what an unchanged instance costs on a reload.
func BenchmarkEqual(b *testing.B) {
	in := recordings(b)[0].as()
	other := in.Clone()
	b.ReportAllocs()
	for b.Loop() {
		if !in.Equal(&other) {
			b.Fatal("differs")
		}
	}
}
