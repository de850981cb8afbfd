package vrrp_test

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// TestNetAnnouncements holds every byte of what tells a link where an address is: the request that RFC 9568, Section 6.4.2 wants for
// IPv4 (RFC 5944, Section 4.6), and for IPv6 the unsolicited neighbour advertisement of RFC 4861, Section 4.4, whose checksum
// was computed by another program. A host that does not route must not say that it does, nor one that does the contrary.
func TestNetAnnouncements(t *testing.T) {
	lab.Need(t, "ip")
	n := lab.New(t)
	b := n.Host("b")
	capture := b.Capture()
	const allNodes, header = "333300000001" + "00005e000233" + "86dd", "60000000" + "00203aff" + address6 + "ff020000000000000000000000000001"
	for _, c := range []struct{ name, host, mac, forwarding, addr, want string }{
		{"ARP", "c", "00:00:5e:00:01:33", "0", "192.0.2.100",
			"ffffffffffff" + "00005e000133" + "0806" + "0001" + "0800" + "06" + "04" + "0001" + "00005e000133" + "c0000264" + "ffffffffffff" + "c0000264"},
		{"ND, router", "r", "00:00:5e:00:02:33", "1", "fe80::100", allNodes + header + "8800776aa0000000" + address6 + "0201" + "00005e000233"},
		{"ND, host", "h", "00:00:5e:00:02:33", "0", "fe80::100", allNodes + header + "8800f76a20000000" + address6 + "0201" + "00005e000233"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := n.Host(c.host)
			h.MustRun("ip", "link", "set", "eth0", "address", c.mac)
			h.Sysctl("net.ipv6.conf.eth0.forwarding", c.forwarding)
			want, err := hex.DecodeString(c.want)
			if err != nil {
				t.Fatal(err)
			}
			network := inHost{vrrp.HostNetwork(), h}
			eventually(t, 10*time.Second, "the announcement is on the link", func() bool { // a new port of a switch forwards nothing for a while
				if err := network.Announce("eth0", []netip.Addr{netip.MustParseAddr(c.addr)}); err != nil {
					t.Fatal(err)
				}
				var seen []string
				for _, f := range capture.Frames() {
					seen = append(seen, hex.EncodeToString(f.Data))
				}
				return strings.Contains(strings.Join(seen, "\n"), hex.EncodeToString(want))
			})
		})
	}
}

const address6 = "fe800000000000000000000000000100"
