package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

// oneLink is a host with one link, and nothing else.
type oneLink struct{ Network }

func (oneLink) Link(string) (Link, error) { return Link{Index: 1, Up: true}, nil }

// TestTwinNeverAccepts: what comes with another protocol is refused as of another authentication, even when all else is right; so is AH
// around something else, which is not VRRP's business.
func TestTwinNeverAccepts(t *testing.T) {
	in := Instance{Name: "web", Interface: "eth0", VRID: 51, Version: 2, AuthType: AuthPass, Password: "ours", Addrs: MustAddresses("10.0.0.100")}
	a := Advertisement{Version: 2, VRID: 51, Priority: 200, Interval: time.Second, AuthType: AuthPass, AuthData: in.authData(), Addrs: []netip.Addr{claimedAddr}}
	message, err := a.AppendPacket(nil, higher, GroupIPv4)
	if err != nil {
		t.Fatal(err)
	}
	for next, want := range map[byte]uint64{Protocol: 1, 50: 0} {
		r := NewRouter(Options{Network: oneLink{}})
		if err := r.Set([]Instance{in}); err != nil {
			t.Fatal(err)
		}
		x := r.names["web"]
		r.locked(func(now time.Time) {
			x.machine.Step(now, Startup{Source: self})
			before, _ := x.machine.Deadline()
			ah := append([]byte{next, ahWords}, make([]byte, ahLen-2)...)
			r.receive(now.Add(time.Second), x.twin, &Packet{Message: append(ah, message...), Src: higher, Dst: GroupIPv4, TTL: 255, Protocol: protocolAH})
			if after, _ := x.machine.Deadline(); after != before || x.stats.AuthMismatches != want || x.stats.AdvertsReceived != want {
				t.Errorf("with next header %d: the timer moved by %v, %+v", next, after.Sub(before), x.stats)
			}
		})
	}
}
