package integration

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

var groupVIPs = [2]netip.Addr{netip.MustParseAddr("10.9.0.100"), netip.MustParseAddr("10.9.0.101")}

// grouped is a router with two instances that change state together. The second one depends on a link of its own as well.
func grouped(t *testing.T, n *lab.Net, name, addr string, priority int) *router {
	conf := "vrrp_sync_group G {\n group {\n inside\n outside\n }\n}\n"
	for i, instance := range []string{"inside", "outside"} {
		track := ""
		if i == 1 {
			track = "track_interface {\n uplink\n }"
		}
		conf += fmt.Sprintf("vrrp_instance %s {\n interface eth0\n state BACKUP\n version 3\n advert_int 0.5\n virtual_router_id %d\n priority %d\n %s\n virtual_ipaddress {\n %v/32\n }\n}\n",
			instance, 51+i, priority, track, groupVIPs[i])
	}
	r := &router{name: name, host: n.Host(name, addr+"/24"), priority: priority, vip: groupVIPs[0], file: write(t, name+".conf", conf)}
	r.host.MustRun("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "far")
	r.host.MustRun("ip", "link", "set", "far", "up")
	r.host.MustRun("ip", "link", "set", "uplink", "up")
	return r
}

// holdsAll says whether all the addresses of the group are there, and holdsAny whether one is.
func (r *router) holdsAll() bool { return r.host.Has(groupVIPs[0]) && r.host.Has(groupVIPs[1]) }
func (r *router) holdsAny() bool { return r.host.Has(groupVIPs[0]) || r.host.Has(groupVIPs[1]) }

// TestSyncGroupsWithKeepalived: both sides change state as a whole, whoever is the stronger, and whatever it is for.
func TestSyncGroupsWithKeepalived(t *testing.T) {
	lab.Need(t, "ip", "keepalived")
	for _, names := range [][2]string{{"director", "keepalived"}, {"keepalived", "director"}} {
		t.Run(names[0]+" is stronger", func(t *testing.T) {
			t.Parallel()
			n := lab.New(t)
			high, low := grouped(t, n, names[0], "10.9.0.1", 200), grouped(t, n, names[1], "10.9.0.2", 100)
			wire := low.host.Capture()
			moved := func(what string, to, from *router) {
				t.Helper()
				within(t, 8*time.Second, what, func() bool { return to.holdsAll() && !from.holdsAny() })
			}
			low.start(t)
			moved(names[1]+" is alone", low, high)
			high.start(t)
			moved(names[0]+" preempts with both", high, low)

			high.host.MustRun("ip", "link", "set", "uplink", "down")
			moved("what one of them depends on is down", low, high)
			high.host.MustRun("ip", "link", "set", "uplink", "up")
			moved("and up again", high, low)

			low.host.MustRun("ip", "link", "set", "uplink", "down") // of the BACKUP
			high.host.Cut()
			within(t, 3*time.Second, names[1]+" is in FAULT and takes nothing", func() bool { return !low.holdsAny() })
			time.Sleep(3 * time.Second) // real peers: nothing may happen
			if low.holdsAny() {
				t.Errorf("%s took over with a link down", names[1])
			}
			high.host.Restore()
			low.host.MustRun("ip", "link", "set", "uplink", "up")

			before := time.Now()
			if status := high.process.Stop(); status != 0 {
				t.Errorf("%s ended with status %d", names[0], status)
			}
			moved(names[0]+" leaves", low, high)
			left := 0
			for _, a := range adverts(wire.Frames()) {
				if a.priority == 0 && a.at.After(before) {
					left++
				}
			}
			if left != 2 {
				t.Errorf("%d adverts of priority 0 from two instances", left)
			}
			high.start(t)
			moved(names[0]+" is back", high, low)
		})
	}
}
