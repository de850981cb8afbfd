package holdfast_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

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
