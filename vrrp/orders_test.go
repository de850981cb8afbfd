package vrrp_test

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// TestAddressRemovedByHand: the MASTER gives up, and is MASTER again after its skew time, with the address.
func TestAddressRemovedByHand(t *testing.T) {
	for name, c := range map[string]struct {
		noTrack bool
		want    []string
	}{
		"tracked":  {false, []string{"INIT -> BACKUP", "BACKUP -> MASTER", "MASTER -> BACKUP", "BACKUP -> MASTER"}},
		"no_track": {true, []string{"INIT -> BACKUP", "BACKUP -> MASTER"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lan := vrrptest.NewLAN()
				in := instance(200)
				in.Addrs[0].NoTrack = c.noTrack
				a := boot(t, lan.Host("10.0.0.1"), in)
				b := boot(t, lan.Host("10.0.0.2"), instance(100))
				time.Sleep(5 * time.Second)
				wantHolders(t, lan, "10.0.0.1")
				a.host.Take(netip.MustParsePrefix(vip + "/32"))
				time.Sleep(5 * time.Second)
				if got := a.transitions(); !slices.Equal(got, c.want) {
					t.Errorf("a went %v, want %v", got, c.want)
				}
				if !c.noTrack {
					wantHolders(t, lan, "10.0.0.1")
				}
				if s := b.Status()[0].Stats; s.BecomeMaster != 0 || (s.PriorityZeroReceived == 1) == c.noTrack {
					t.Errorf("b: %+v", s)
				}
			})
		})
	}
}

// TestOwnRemovalIsNoLoss: what the Router itself removes and adds again is not taken for someone else's doing.
func TestOwnRemovalIsNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		a := boot(t, lan.Host("10.0.0.1"), instance(200))
		time.Sleep(5 * time.Second)
		for range 3 {
			a.SetTracking("web", vrrp.Tracking{Fault: true})
			time.Sleep(time.Second)
			a.SetTracking("web", vrrp.Tracking{})
			time.Sleep(5 * time.Second)
		}
		if s := a.Status()[0]; s.State != vrrp.Master || s.Stats.BecomeMaster != 4 {
			t.Errorf("%+v", s)
		}
	})
}

func TestFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		a := boot(t, lan.Host("10.0.0.1"), instance(200))
		b := boot(t, lan.Host("10.0.0.2"), instance(100))
		time.Sleep(5 * time.Second)
		if err := a.Failover("nobody"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("no such instance: %v", err)
		}
		if err := b.Failover("web"); err == nil {
			t.Error("a BACKUP handed over")
		}
		if err := a.Failover("web"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(700 * time.Millisecond)
		wantHolders(t, lan, "10.0.0.2")
		time.Sleep(time.Hour)
		wantHolders(t, lan, "10.0.0.2")
		b.stop()
		time.Sleep(time.Second)
		wantHolders(t, lan, "10.0.0.1")
		c := boot(t, lan.Host("10.0.0.3"), instance(100))
		time.Sleep(5 * time.Second)
		wantHolders(t, lan, "10.0.0.1")
		if state(c) != vrrp.Backup {
			t.Error("politeness outlived the next mastership")
		}
	})
}

// TestSuccessorAdopts: one process leaves everything to the next, and nobody notices.
func TestSuccessorAdopts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		host := lan.Host("10.0.0.1")
		b := boot(t, lan.Host("10.0.0.2"), instance(100))
		first := vrrp.NewRouter(vrrp.Options{Network: host})
		if err := first.Set([]vrrp.Instance{instance(200)}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- first.Run(ctx) }()
		time.Sleep(10 * time.Second)
		wantHolders(t, lan, "10.0.0.1")
		before := b.Status()[0].Stats
		traced := len(lan.Trace())
		first.KeepOnLeave(true)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		wantHolders(t, lan, "10.0.0.1")

		next := vrrp.NewRouter(vrrp.Options{Network: host})
		next.Adopt("web")
		if err := next.Set([]vrrp.Instance{instance(200)}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		go func() { done <- next.Run(ctx) }()
		time.Sleep(time.Minute)
		wantHolders(t, lan, "10.0.0.1")
		after := b.Status()[0].Stats
		if after.BecomeMaster != before.BecomeMaster || after.PriorityZeroReceived != before.PriorityZeroReceived || after.AdvertsReceived < before.AdvertsReceived+60 {
			t.Errorf("b noticed: %+v, then %+v", before, after)
		}
		for _, line := range lan.Trace()[traced:] {
			if strings.Contains(line, "10.0.0.1 remove") {
				t.Errorf("the address went: %s", line)
			}
		}
		cancel()
		<-done
		if s := next.Status()[0]; s.State != vrrp.Init {
			t.Errorf("%+v", s)
		}
	})
}
