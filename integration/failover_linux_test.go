package integration

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/packet"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// master is a MASTER that falls silent when it is told to: it only sends adverts.
type master struct {
	conn  *packet.Conn
	frame []byte
}

var masterAddr = netip.MustParseAddr("10.9.0.2")

func newMaster(b *testing.B, h *lab.Host, interval time.Duration) *master {
	b.Helper()
	a := vrrp.Advertisement{Version: 3, VRID: 51, Priority: 200, Interval: interval, Addrs: []netip.Addr{vip}}
	message, err := a.AppendPacket(nil, masterAddr, vrrp.GroupIPv4)
	if err != nil {
		b.Fatal(err)
	}
	header := []byte{0x45, 0xc0, 0, byte(20 + len(message)), 0, 1, 0, 0, 255, vrrp.Protocol, 0, 0, 10, 9, 0, 2, 224, 0, 0, 18}
	sum := uint32(0)
	for i := 0; i < len(header); i += 2 {
		sum += uint32(header[i])<<8 | uint32(header[i+1])
	}
	sum = sum>>16 + sum&0xffff
	header[10], header[11] = byte(^sum>>8), byte(^sum)
	m := &master{frame: append(header, message...)}
	if err := h.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err == nil {
			m.conn, err = packet.Listen(ifi, packet.Datagram, 0x0800, nil)
		}
		return err
	}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { m.conn.Close() })
	return m
}

func (m *master) advertise(b *testing.B) {
	if _, err := m.conn.WriteTo(m.frame, &packet.Addr{HardwareAddr: net.HardwareAddr{1, 0, 0x5e, 0, 0, 0x12}}); err != nil {
		b.Fatal(err)
	}
}

// isAnnouncement says whether a frame is a gratuitous ARP for the virtual address.
func isAnnouncement(frame []byte) bool {
	return len(frame) >= 42 && frame[12] == 0x08 && frame[13] == 0x06 && bytes.Equal(frame[28:32], vip.AsSlice())
}

// isAdvert says whether a frame is the master's advert.
func (m *master) isAdvert(frame []byte) bool {
	return len(frame) >= 34 && frame[23] == vrrp.Protocol && bytes.Equal(frame[26:30], masterAddr.AsSlice())
}

// fail lets the backup see some adverts and then silence. It returns how long after the end of the master-down interval the
// link learned of the new MASTER, by the kernel's clock.
func (m *master) fail(b *testing.B, wire *lab.Capture, interval, masterDown time.Duration) time.Duration {
	seen := len(wire.Frames())
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for range 4 {
		m.advertise(b)
		<-ticker.C
	}
	var last, announced time.Time
	for limit := time.Now().Add(masterDown + 5*time.Second); announced.IsZero(); <-time.After(interval / 4) {
		last = time.Time{}
		for _, f := range wire.Frames()[seen:] {
			switch {
			case m.isAdvert(f.Data):
				last, announced = f.At, time.Time{}
			case isAnnouncement(f.Data) && !last.IsZero() && announced.IsZero():
				announced = f.At
			}
		}
		if time.Now().After(limit) {
			b.Fatal("nobody took over")
		}
	}
	return announced.Sub(last) - masterDown
}

// BenchmarkFailover is the time that a takeover takes on top of what the protocol demands: from the last advert of the MASTER
// on the wire to the first gratuitous ARP of the new one, less the master-down interval. director and keepalived take turns
// on the same wire.
func BenchmarkFailover(b *testing.B) {
	lab.Need(b, "ip", "keepalived")
	for _, interval := range []time.Duration{time.Second, 100 * time.Millisecond, 10 * time.Millisecond} {
		for _, program := range []string{"director", "keepalived"} {
			b.Run(fmt.Sprintf("interval=%v/%s", interval, program), func(b *testing.B) { failover(b, interval, program) })
		}
	}
}

func failover(b *testing.B, interval time.Duration, program string) {
	n := lab.New(b)
	backup, silent := n.Host("backup", "10.9.0.1/24"), n.Host("master", "10.9.0.2/24")
	conf := fmt.Sprintf("vrrp_instance web {\n interface eth0\n state BACKUP\n virtual_router_id 51\n priority 100\n version 3\n advert_int %g\n"+
		" garp_master_delay 0\n virtual_ipaddress {\n %v/24\n }\n}\n", interval.Seconds(), vip)
	startBench(b, backup, program, write(b, "backup.conf", conf))
	m, wire := newMaster(b, silent, interval), backup.Capture()
	masterDown := 3*interval + interval*(256-100)/256
	var took []time.Duration
	for b.Loop() {
		took = append(took, m.fail(b, wire, interval, masterDown))
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(ms(took[len(took)/2]), "ms-median")
	b.ReportMetric(ms(took[len(took)*99/100]), "ms-p99")
	b.ReportMetric(0, "ns/op")
}

// startBench runs a configuration with either program, and waits until it is at work.
func startBench(b *testing.B, h *lab.Host, program, file string) *lab.Process {
	b.Helper()
	if program == "director" {
		p := h.Start(b.Context(), lab.Bin("director"), "run", "-f", file, "--ipvs", "none")
		says(b, p, "msg=ready")
		return p
	}
	dir := b.TempDir()
	p := h.Start(b.Context(), "keepalived", "-n", "-l", "-P", "-f", file, "-p", filepath.Join(dir, "p"), "-r", filepath.Join(dir, "r"))
	says(b, p, "Entering BACKUP STATE")
	return p
}
