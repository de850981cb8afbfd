package holdfast_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// TestClaimIsAnEvent: a host that answers for an address of the MASTER's is one, and is counted.
func TestClaimIsAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := holdfast.New(holdfast.Options{Network: lan.Host("10.0.0.1")})
		go c.Run(ctx)
		<-c.Ready()
		err := c.Apply(ctx, holdfast.Spec{Instances: []vrrp.Instance{{Name: "web", Interface: vrrptest.Interface, VRID: 1, Addrs: vrrp.MustAddresses("10.0.0.100")}}})
		if err != nil {
			t.Fatal(err)
		}
		events := c.Subscribe(100)
		time.Sleep(10 * time.Second)
		lan.Claim(netip.MustParseAddr("10.0.0.100"), [6]byte{2, 0, 0, 0xbe, 0xef, 1})
		for {
			e, err := events.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind != holdfast.EventConflict {
				continue
			}
			if e.Object != "web" || e.To != "claim" || e.Reason != "with 10.0.0.100: the host of MAC address 02:00:00:be:ef:01 says that it has this address" {
				t.Errorf("told %+v", e)
			}
			break
		}
		if s := c.Status().Instances[0]; s.Conflicts["claim"] != 1 || s.State != vrrp.Master {
			t.Errorf("status: %v, %v", s.State, s.Conflicts)
		}
		cancel()
		synctest.Wait()
	})
}

// TestConflictIsAnEvent: two routers that were given different address lists say so.
func TestConflictIsAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		start := func(host, vip string, priority uint8) *holdfast.Controller {
			c := holdfast.New(holdfast.Options{Network: lan.Host(host)})
			go c.Run(ctx)
			<-c.Ready()
			err := c.Apply(ctx, holdfast.Spec{Instances: []vrrp.Instance{{
				Name: "web", Interface: vrrptest.Interface, VRID: 1, Priority: priority, Addrs: vrrp.MustAddresses(vip),
			}}})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		start("10.0.0.1", "10.0.0.100", 200)
		b := start("10.0.0.2", "10.0.0.101", 100)
		events := b.Subscribe(100)
		time.Sleep(90 * time.Second)
		var told []string
		for len(told) < 2 {
			e, err := events.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == holdfast.EventConflict {
				told = append(told, e.Object+" "+e.To+" "+e.Reason)
			}
		}
		if !strings.HasPrefix(told[0], "web addresses with 10.0.0.1:") || told[1] != told[0] {
			t.Errorf("told %q", told)
		}
		if s := b.Status().Instances[0]; s.Conflicts["addresses"] < 80 || s.State != vrrp.Backup {
			t.Errorf("status: %v, %v, %+v", s.State, s.Conflicts, s.Stats)
		}
		cancel()
		synctest.Wait()
	})
}
