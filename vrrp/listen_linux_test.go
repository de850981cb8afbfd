package vrrp

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// TestClaimFilter: the kernel keeps back all but what is about the addresses, as far as their ends tell, and too many addresses, or too
// little memory for filters, only make it less exact.
func TestClaimFilter(t *testing.T) {
	lab.Need(t, "ip")
	arp := func(to byte, last byte) []byte {
		return []byte("\x02\x00\x00\x00\x00" + string(to) + "\x02\x00\x00\x00\x00\x07\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x07\x0a\x00\x00" + string(last) +
			"\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x01")
	}
	six := func(next, hops, kind, last byte) []byte {
		b := make([]byte, 78)
		copy(b, "\x33\x33\x00\x00\x00\x01\x02\x00\x00\x00\x00\x07\x86\xdd\x60\x00\x00\x00\x00\x18")
		b[20], b[21], b[54], b[77] = next, hops, kind, last
		return b
	}
	all := func(b []byte) []byte { copy(b, "\xff\xff\xff\xff\xff\xff"); return b }
	for name, c := range map[string]struct {
		protocol int
		addrs    int // that are listened to, one of which ends as .100
		last     []byte
		others   [][]byte
		passed   int // of the others
	}{
		"ARP":             {unix.ETH_P_ARP, 1, all(arp(0, 100)), [][]byte{all(arp(0, 101)), arp(9, 100), six(58, 255, 136, 100)}, 0},
		"ARP, many":       {unix.ETH_P_ARP, mostFiltered, all(arp(0, 100)), [][]byte{all(arp(0, 101)), arp(9, 100)}, 0},
		"ARP, very many":  {unix.ETH_P_ARP, 2 * mostFiltered, all(arp(0, 100)), [][]byte{all(arp(0, 101)), arp(9, 100)}, 1},
		"IPv6":            {unix.ETH_P_IPV6, 1, six(58, 255, 136, 100), [][]byte{six(58, 255, 136, 101), six(58, 254, 136, 100), six(17, 255, 136, 100), six(58, 255, 135, 100)}, 0},
		"IPv6, very many": {unix.ETH_P_IPV6, 2 * mostFiltered, six(58, 255, 136, 100), [][]byte{six(58, 255, 136, 101), six(58, 254, 136, 100)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := lab.New(t)
			a := n.Host("a", "10.0.0.1/24")
			a.MustRun("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth2")
			a.MustRun("ip", "link", "set", "eth1", "up")
			a.MustRun("ip", "link", "set", "eth2", "up")
			wanted := map[netip.Addr]bool{}
			for i := range c.addrs {
				last := [4]byte{10, 1, byte(i >> 8), byte(i)}
				switch {
				case i == 0 && c.protocol == unix.ETH_P_IPV6:
					last = [4]byte{0, 0, 0, 100}
				case i == 0:
					last = [4]byte{10, 0, 0, 100}
				}
				addr := netip.AddrFrom4(last)
				if c.protocol == unix.ETH_P_IPV6 {
					addr = netip.AddrFrom16([16]byte{0x20, 1, 12: last[0], last[1], last[2], last[3]})
				}
				wanted[addr] = true
			}
			var listener, sender *packet.Conn
			err := a.Do(func() error {
				in, err := net.InterfaceByName("eth1")
				if err != nil {
					return err
				}
				out, err := net.InterfaceByName("eth2")
				if err != nil {
					return err
				}
				if sender, err = packet.Listen(out, packet.Raw, unix.ETH_P_LOOP, nil); err != nil {
					return err
				}
				listener, err = packet.Listen(in, packet.Raw, c.protocol, &packet.Config{Filter: claimProgram(c.protocol, wanted, mostFiltered)})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			defer sender.Close()
			for _, f := range append(c.others, c.last) {
				if _, err := sender.WriteTo(f, &packet.Addr{HardwareAddr: f[:6]}); err != nil {
					t.Fatal(err)
				}
			}
			buf := make([]byte, 2048)
			if err := listener.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
				t.Fatal(err)
			}
			for i := range c.passed + 1 {
				n, _, err := listener.ReadFrom(buf)
				if err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
				if last := fmt.Sprintf("%x", buf[:n]) == fmt.Sprintf("%x", c.last); last != (i == c.passed) {
					t.Errorf("frame %d of %d that pass: %x", i, c.passed+1, buf[:n])
				}
			}
		})
	}
}

// TestIgnoredFramesCostNoMemory: neither do frames that are no claim, or of other addresses, or of this host, nor claims.
func TestIgnoredFramesCostNoMemory(t *testing.T) {
	l := &listener{
		wanted: map[netip.Addr]bool{claimedAddr: true},
		ours:   func(mac [6]byte) bool { return mac[5] == 1 },
	}
	claims := 0
	l.heard = func(netip.Addr, [6]byte) { claims++ }
	frame := func(mac, last byte) []byte {
		return []byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x07\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00" + string(mac) + "\x0a\x00\x00" + string(last) + "\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x64")
	}
	for name, c := range map[string]struct {
		frame []byte
		heard bool
	}{
		"a claim": {frame(9, 100), true}, "ours": {frame(1, 100), false}, "another address": {frame(9, 101), false}, "nothing": {nil, false},
	} {
		claims = 0
		if n := testing.AllocsPerRun(100, func() { l.frame(c.frame) }); n != 0 || (claims > 0) != c.heard {
			t.Errorf("%s: %v allocations, heard %d times", name, n, claims)
		}
	}
}
