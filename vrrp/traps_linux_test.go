package vrrp_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// TestNetSameVRIDOnAnotherLink: an advert concerns the link that it came in on. And where nobody answers, leaving is no matter of
// waiting, and said all the same.
func TestNetSameVRIDOnAnotherLink(t *testing.T) {
	lab.Need(t, "ip")
	n := lab.New(t)
	a, b := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24")
	a.MustRun("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "far")
	a.MustRun("ip", "link", "set", "far", "up")
	a.MustRun("ip", "link", "set", "eth1", "up")
	a.MustRun("ip", "addr", "add", "10.1.0.1/24", "dev", "eth1")
	wish := func(name, iface string, priority uint8, addr string) vrrp.Instance {
		in := instance(priority)
		in.Name, in.Interface, in.Interval, in.Addrs = name, iface, 100*time.Millisecond, vrrp.MustAddresses(addr)
		return in
	}
	_, stopB := runInHost(t, b, wish("b", "eth0", 200, "10.0.0.100"))
	eventually(t, 5*time.Second, "b is MASTER", func() bool { return b.Has(netip.MustParseAddr("10.0.0.100")) })
	here, stopHere := runInHost(t, a, wish("here", "eth0", 100, "10.0.0.100"))
	there, stopThere := runInHost(t, a, wish("there", "eth1", 100, "10.1.0.100"))
	eventually(t, 5*time.Second, "the other link's is MASTER", func() bool { return there.Status()[0].State == vrrp.Master })
	time.Sleep(time.Second) // the real link: nothing may change
	if s := there.Status()[0]; s.State != vrrp.Master || s.Stats.AdvertsReceived != 0 {
		t.Errorf("on the other link: %v, %+v", s.State, s.Stats)
	}
	if s := here.Status()[0]; s.State != vrrp.Backup || s.Stats.AdvertsReceived == 0 {
		t.Errorf("on the link of b: %v, %+v", s.State, s.Stats)
	}
	begin := time.Now()
	stopThere()
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("on a silent link the end took %v", took)
	}
	if s := there.Status()[0].Stats; s.PriorityZeroSent != 1 {
		t.Errorf("%d adverts of priority 0", s.PriorityZeroSent)
	}
	stopHere()
	stopB()
}
