package integration

import (
	"net"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// BenchmarkClaims is what a MASTER of 10 instances costs while its link is quiet, full of ARP that is none of its business, and full of ARP
// that claims its addresses, which keepalived does not look at: 20,000 frames a second.
func BenchmarkClaims(b *testing.B) {
	lab.Need(b, "ip", "keepalived")
	for _, program := range []string{"director", "keepalived"} {
		for _, traffic := range []string{"quiet", "others", "claims"} {
			b.Run(program+"/"+traffic, func(b *testing.B) { claims(b, program, traffic) })
		}
	}
}

func claims(b *testing.B, program, traffic string) {
	n := lab.New(b)
	h, far := n.Host("master", "10.9.0.1/16"), n.Host("far", "10.9.0.2/16")
	p := startBench(b, h, program, write(b, "ten.conf", crowd([]string{"eth0"}, 10, 200, time.Second)))
	within(b, 30*time.Second, "it is MASTER", func() bool { return len(h.Addrs()) > 10 })
	<-time.After(8 * time.Second)
	if traffic != "quiet" {
		stop, done := make(chan struct{}), make(chan int)
		go func() { done <- arpFlood(b, far, traffic == "claims", stop) }()
		defer func() { close(stop); b.ReportMetric(float64(<-done)/10, "frames/s") }()
	}
	for b.Loop() {
		cost(b, 10*time.Second, map[string]*lab.Process{"master": p})
	}
	b.ReportMetric(0, "ns/op")
}

// arpFlood sends ARP announcements of a MAC address that nobody has, until stop is closed.
func arpFlood(b *testing.B, from *lab.Host, claim bool, stop <-chan struct{}) (sent int) {
	var conn *packet.Conn
	err := from.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err == nil {
			conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_LOOP, nil)
		}
		return err
	})
	if err != nil {
		b.Error(err)
		return 0
	}
	defer conn.Close()
	frame := []byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x07\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x07" +
		"\x0a\x64\x01\xc8\x00\x00\x00\x00\x00\x00\x0a\x64\x01\xc8") // 10.100.1.200, as crowd has it
	if !claim {
		frame[31], frame[41] = 99, 99
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return sent
		case <-tick.C:
		}
		for range 20 {
			if _, err := conn.WriteTo(frame, &packet.Addr{HardwareAddr: frame[:6]}); err == nil {
				sent++
			}
		}
	}
}
