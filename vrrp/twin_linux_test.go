package vrrp_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// TestNetAHAgainstPASS is TestAHAgainstNone on real sockets, by multicast and unicast.
func TestNetAHAgainstPASS(t *testing.T) {
	lab.Need(t, "ip")
	for name, peers := range map[string][2][]vrrp.Peer{
		"multicast": {},
		"unicast":   {{{Addr: netip.MustParseAddr("10.0.0.2")}}, {{Addr: netip.MustParseAddr("10.0.0.1")}}},
	} {
		t.Run(name, func(t *testing.T) {
			n := lab.New(t)
			a, stopA := runInHost(t, n.Host("a", "10.0.0.1/24"), with(200, vrrp.AuthAH, peers[0]...))
			b, stopB := runInHost(t, n.Host("b", "10.0.0.2/24"), with(201, vrrp.AuthPass, peers[1]...))
			for name, r := range map[string]*vrrp.Router{"a": a, "b": b} {
				eventually(t, 10*time.Second, name+" is MASTER and knows why the other is too", func() bool {
					s := r.Status()[0]
					return s.State == vrrp.Master && s.Stats.AuthMismatches > 0 && s.Conflicts["auth"] > 0
				})
			}
			stopA()
			stopB()
		})
	}
}
