package relay

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/holdfast-lb/holdfast/ipvs"
)

// BenchmarkRelay compares connections through a relay with connections to the server itself: short ones, each with a question
// and an answer, and one that moves 64 MiB.
func BenchmarkRelay(b *testing.B) {
	for _, c := range []struct {
		name string
		size int64
	}{{"short", 1}, {"bulk", 64 << 20}} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					_, _ = io.CopyN(io.Discard, conn, c.size)
					_, _ = conn.Write([]byte("x"))
				}()
			}
		}()
		server := l.Addr().(*net.TCPAddr).AddrPort()
		r := New(Options{})
		defer r.Close()
		s := ipvs.Service{
			ServiceKey:   ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), server.Port())},
			Destinations: []ipvs.Destination{{Addr: server, Weight: 1}},
		}
		if err := r.Apply(context.Background(), ipvs.Diff(nil, []ipvs.Service{s})); err != nil {
			b.Fatal(err)
		}
		for name, addr := range map[string]netip.AddrPort{"direct": server, "relayed": s.Addr} {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				chunk := make([]byte, min(c.size, 1<<20))
				b.SetBytes(c.size)
				for b.Loop() {
					if err := transfer(addr.String(), chunk, c.size); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// transfer sends so much and waits for the answer.
func transfer(addr string, chunk []byte, size int64) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	for ; size > 0; size -= int64(len(chunk)) {
		if _, err := c.Write(chunk); err != nil {
			return err
		}
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}
