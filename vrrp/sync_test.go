package vrrp_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

const insideVIP, outsideVIP = "10.0.0.100", "10.0.0.101"

// group is two instances that change state together.
func group(priority uint8) []vrrp.Instance {
	inside, outside := instance(priority), instance(priority)
	inside.Name, inside.VRID, inside.Sync = "inside", 7, "G"
	outside.Name, outside.VRID, outside.Sync = "outside", 8, "G"
	inside.Addrs = vrrp.MustAddresses(insideVIP)
	outside.Addrs = vrrp.MustAddresses(outsideVIP)
	return []vrrp.Instance{inside, outside}
}

func wantBoth(t *testing.T, lan *vrrptest.LAN, inside, outside string) {
	t.Helper()
	for addr, want := range map[string]string{insideVIP: inside, outsideVIP: outside} {
		got := lan.Holders(addr)
		if len(got) > 1 || len(got) == 1 && got[0] != want || len(got) == 0 && want != "" {
			t.Errorf("%s is held by %v, want %q", addr, got, want)
		}
	}
}

// TestSyncGroup: where one member goes, all go; nobody takes half of a group.
func TestSyncGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		a := boot(t, lan.Host("10.0.0.1"), group(200)...)
		b := boot(t, lan.Host("10.0.0.2"), group(100)...)
		time.Sleep(10 * time.Second)
		wantBoth(t, lan, "10.0.0.1", "10.0.0.1")

		// A stronger router takes one of the two: the other is given up too, and nobody else takes half.
		c := boot(t, lan.Host("10.0.0.3"), group(250)[1])
		time.Sleep(10 * time.Second)
		settled := len(a.transitions()) + len(b.transitions())
		time.Sleep(30 * time.Second)
		wantBoth(t, lan, "", "10.0.0.3")
		if now := len(a.transitions()) + len(b.transitions()); now != settled {
			t.Errorf("%d changes of state while half of the group is another's: a %v, b %v", now-settled, a.transitions(), b.transitions())
		}
		c.stop()
		time.Sleep(20 * time.Second)
		wantBoth(t, lan, "10.0.0.1", "10.0.0.1")

		a.SetTracking("inside", vrrp.Tracking{Fault: true, Reason: "its uplink is down"})
		time.Sleep(10 * time.Second)
		wantBoth(t, lan, "10.0.0.2", "10.0.0.2")
		for _, s := range a.Status() {
			if s.State != vrrp.Fault {
				t.Errorf("%v is %v", &s.Instance, s.State)
			}
		}
		a.SetTracking("inside", vrrp.Tracking{})
		time.Sleep(20 * time.Second)
		wantBoth(t, lan, "10.0.0.1", "10.0.0.1")
		a.stop()
		time.Sleep(10 * time.Second)
		wantBoth(t, lan, "10.0.0.2", "10.0.0.2")
		b.stop()
		wantBoth(t, lan, "", "")
	})
}

// TestSyncGroupOfAnOwner: an owner waits for the others of its group.
func TestSyncGroupOfAnOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		mixed := group(100)
		mixed[0].Priority = 255
		boot(t, lan.Host("10.0.0.1"), mixed...)
		time.Sleep(time.Second)
		wantBoth(t, lan, "", "")
		time.Sleep(10 * time.Second)
		wantBoth(t, lan, "10.0.0.1", "10.0.0.1")
	})
}

// TestTrackedInterfaces: a weight moves the priority, none takes to FAULT.
func TestTrackedInterfaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		host := lan.Host("10.0.0.1")
		host.SetLink("uplink", true)
		host.SetLink("backup", true)
		in := instance(150)
		in.Track = []vrrp.TrackInterface{{Interface: "uplink", Weight: -100}, {Interface: "backup"}, {Interface: "spare", Weight: 20}}
		a := boot(t, host, in)
		boot(t, lan.Host("10.0.0.2"), instance(100))
		time.Sleep(10 * time.Second)
		wantHolders(t, lan, "10.0.0.1")
		want := func(priority uint8, state vrrp.State, holder string) {
			t.Helper()
			time.Sleep(20 * time.Second)
			wantHolders(t, lan, holder)
			if s := a.Status()[0]; s.Priority != priority || s.State != state {
				t.Errorf("priority %d, %v; want %d, %v", s.Priority, s.State, priority, state)
			}
		}
		host.SetLink("spare", true)
		want(170, vrrp.Master, "10.0.0.1")
		host.SetLink("uplink", false)
		want(70, vrrp.Backup, "10.0.0.2")
		host.SetLink("uplink", true)
		want(170, vrrp.Master, "10.0.0.1")
		host.SetLink("backup", false)
		want(170, vrrp.Fault, "10.0.0.2")
		host.SetLink("backup", true)
		want(170, vrrp.Master, "10.0.0.1")
	})
}

// TestEachFaultCounts: of two that are down, the first to recover ends nothing.
func TestEachFaultCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		host := lan.Host("10.0.0.1")
		host.SetLink("one", true)
		host.SetLink("two", true)
		in := instance(100)
		in.Track = []vrrp.TrackInterface{{Interface: "one"}, {Interface: "two"}}
		a := boot(t, host, in)
		want := func(state vrrp.State, what string) {
			t.Helper()
			time.Sleep(5 * time.Second)
			if s := a.Status()[0].State; s != state {
				t.Errorf("%s: %v, want %v", what, s, state)
			}
		}
		want(vrrp.Master, "all is well")
		host.SetLink("one", false)
		host.SetLink("two", false)
		a.SetTracking("web", vrrp.Tracking{Fault: true, Reason: "application is gone"})
		host.Down()
		want(vrrp.Fault, "all is down")
		host.SetLink("one", true)
		want(vrrp.Fault, "one is back")
		host.Up()
		want(vrrp.Fault, "its own is back")
		a.SetTracking("web", vrrp.Tracking{})
		want(vrrp.Fault, "the application is back")
		host.SetLink("two", true)
		want(vrrp.Master, "all is back")
	})
}

func TestContribution(t *testing.T) {
	for _, c := range []struct {
		weight      int
		reverse, up bool
		priority    int
		fault       bool
	}{
		{10, false, true, 10, false}, {10, false, false, 0, false}, {-10, false, true, 0, false}, {-10, false, false, -10, false},
		{10, true, true, -10, false}, {10, true, false, 0, false}, {-10, true, true, 0, false}, {-10, true, false, 10, false},
		{0, false, true, 0, false}, {0, false, false, 0, true}, {0, true, true, 0, true}, {0, true, false, 0, false},
	} {
		if p, f := vrrp.Contribution(c.weight, c.reverse, c.up); p != c.priority || f != c.fault {
			t.Errorf("%+v: %d, %v", c, p, f)
		}
	}
}
