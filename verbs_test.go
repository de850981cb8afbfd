package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
	"github.com/holdfast-lb/holdfast/vrrp"
)

func serverKey(service, addr string) holdfast.ServerKey {
	return holdfast.ServerKey{Service: key(service).String(), Addr: netip.MustParseAddrPort(addr)}
}

// TestVerbsEditTheSpec: each changes one thing and leaves the rest alone; Apply takes everything back.
func TestVerbsEditTheSpec(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ctx := newWorld(t), t.Context()
		w.start(t, w.spec())
		defer w.stop(t)
		time.Sleep(10 * time.Second)
		since := w.c.Status().Instances[0].Since
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		second := w.service("10.0.0.100:443")
		do(w.c.SetService(ctx, second))
		do(w.c.SetInstance(ctx, vrrp.Instance{Name: "two", Interface: "eth0", VRID: 8, Addrs: vrrp.MustAddresses("10.0.0.101/32")}))
		third := second.Servers[0]
		third.Addr, third.Weight, third.Checks = netip.MustParseAddrPort("10.0.0.13:80"), 7, nil
		do(w.c.SetServer(ctx, "TCP 10.0.0.100:80", third))
		do(w.c.RemoveServer(ctx, serverKey("10.0.0.100:80", "10.0.0.12:80")))
		time.Sleep(10 * time.Second)
		w.wantTable(t, onlyFirst+"\n-a -t 10.0.0.100:80 -r 10.0.0.13:80 -m -w 7\n"+strings.ReplaceAll(bothServers, "100:80", "100:443"))
		if h := w.lan.Holders("10.0.0.101"); len(h) != 1 {
			t.Errorf("holders of the new address: %v", h)
		}
		do(w.c.RemoveService(ctx, "TCP 10.0.0.100:443"))
		do(w.c.RemoveInstance(ctx, "two"))
		do(w.c.Apply(ctx, w.spec()))
		time.Sleep(10 * time.Second)
		w.wantTable(t, bothServers)
		if h := w.lan.Holders("10.0.0.101"); len(h) != 0 || w.c.Status().Instances[0].Since != since {
			t.Errorf("holders of the old address: %v, status %+v", h, w.c.Status())
		}
		for what, err := range map[string]error{
			"service 1":  w.c.RemoveService(ctx, "TCP 10.0.0.100:1"),
			"server 1":   w.c.RemoveServer(ctx, serverKey("10.0.0.100:80", "10.0.0.1:1")),
			"weight":     w.c.SetWeight(ctx, serverKey("10.0.0.100:80", "10.0.0.1:1"), 1),
			"drain":      w.c.Drain(ctx, serverKey("10.0.0.100:1", "10.0.0.1:1")),
			"instance":   w.c.RemoveInstance(ctx, "nobody"),
			"priority":   w.c.SetPriority(ctx, "nobody", 7),
			"set server": w.c.SetServer(ctx, "TCP 10.0.0.100:1", third),
		} {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := w.c.SetWeight(ctx, serverKey("10.0.0.100:80", "10.0.0.11:80"), 1<<40); err == nil {
			t.Error("a weight that no kernel takes was taken")
		}
		w.wantTable(t, bothServers)
	})
}

// TestOverridesOutliveApply and end with what they are about.
func TestOverridesOutliveApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ctx := newWorld(t), t.Context()
		w.start(t, w.spec())
		defer w.stop(t)
		time.Sleep(10 * time.Second)
		first, second := serverKey("10.0.0.100:80", "10.0.0.11:80"), serverKey("10.0.0.100:80", "10.0.0.12:80")
		for _, err := range []error{
			w.c.SetWeight(ctx, first, 9), w.c.SetServerMaintenance(ctx, second, true), w.c.SetPriority(ctx, "VI", 33), w.c.Apply(ctx, w.spec()),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		w.wantTable(t, strings.Replace(onlyFirst, "-w 1", "-w 9", 1))
		if s := w.c.Status(); s.Instances[0].Priority != 33 || s.Services[0].LiveWeight != 9 || !s.Services[0].Servers[1].Maintenance {
			t.Errorf("status: %+v", s)
		}
		if plan, err := w.c.Plan(ctx, w.spec()); err != nil || !plan.Empty() {
			t.Errorf("plan of what is in force: %v, %v", plan, err)
		}
		if err := w.c.SetInstanceMaintenance(ctx, "VI", true); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		if h := w.lan.Holders("10.0.0.100"); len(h) != 0 {
			t.Errorf("in maintenance the address is on %v", h)
		}
		for _, err := range []error{
			w.c.SetInstanceMaintenance(ctx, "VI", false), w.c.SetWeight(ctx, first, -1), w.c.SetServerMaintenance(ctx, second, false), w.c.SetPriority(ctx, "VI", 0),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		time.Sleep(10 * time.Second)
		w.wantTable(t, bothServers)
		if s := w.c.Status().Instances[0]; s.Priority != 100 || s.State != vrrp.Master {
			t.Errorf("status: %+v", s)
		}
		for _, err := range []error{w.c.SetWeight(ctx, first, 9), w.c.Apply(ctx, holdfast.Spec{}), w.c.Apply(ctx, w.spec())} {
			if err != nil {
				t.Error(err)
			}
		}
		w.wantTable(t, bothServers)
	})
}

// TestMaintenanceKeepsTheWeight that an operator gave, and so does a drain; the state file has it all.
func TestMaintenanceKeepsTheWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, ctx := newWorld(t), t.Context()
		options := holdfast.Options{Network: w.lan.Host("10.0.0.2"), Table: w.table, StateFile: filepath.Join(t.TempDir(), "state")}
		first := serverKey("10.0.0.100:80", "10.0.0.11:80")
		again := func() { // another Controller, which knows what the state file says
			w.c.Handover()
			if err := <-w.ended; err != nil {
				t.Error(err)
			}
			w.c = holdfast.New(options)
			w.start(t, w.spec())
			time.Sleep(time.Second)
		}
		w.c = holdfast.New(options)
		w.start(t, w.spec())
		defer w.stop(t)
		time.Sleep(10 * time.Second)
		weight := strings.Replace(bothServers, "11:80 -m -w 1", "11:80 -m -w %s", 1)
		gone := strings.Replace(bothServers, "-a -t 10.0.0.100:80 -r 10.0.0.11:80 -m -w 1\n", "", 1)
		for _, step := range []struct {
			what string
			do   func() error
			want string
		}{
			{"weight", func() error { return w.c.SetWeight(ctx, first, 5) }, fmt.Sprintf(weight, "5")},
			{"maintenance", func() error { return w.c.SetServerMaintenance(ctx, first, true) }, gone},
			{"back", func() error { return w.c.SetServerMaintenance(ctx, first, false) }, fmt.Sprintf(weight, "5")},
			{"start of a drain", func() error { return w.c.StartDrain(ctx, first) }, fmt.Sprintf(weight, "0")},
			{"drain", func() error { return w.c.Drain(ctx, first) }, gone},
			{"back from a drain", func() error { return w.c.SetServerMaintenance(ctx, first, false) }, fmt.Sprintf(weight, "5")},
			{"reset", func() error { return w.c.SetWeight(ctx, first, -1) }, bothServers},
		} {
			for _, who := range []string{"", ", in the next Controller"} {
				if who == "" {
					if err := step.do(); err != nil {
						t.Errorf("%s: %v", step.what, err)
					}
				} else {
					again()
				}
				if got := strings.TrimSuffix(w.table.Dump(), "\n"); got != step.want {
					t.Errorf("%s%s:\n%s\nwant:\n%s", step.what, who, got, step.want)
				}
			}
		}
	})
}

// TestFailover: the peer takes over at once, and stays until it goes.
func TestFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start(t, w.spec())
		defer w.stop(t)
		peer := vrrp.NewRouter(vrrp.Options{Network: w.lan.Host("10.0.0.2")})
		lesser := w.spec().Instances
		lesser[0].Priority = 50
		if err := peer.Set(lesser); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- peer.Run(ctx) }()
		time.Sleep(10 * time.Second)
		if err := w.c.Failover("VI"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if h := w.lan.Holders("10.0.0.100"); len(h) != 1 || h[0] != "10.0.0.2" {
			t.Errorf("after a failover the address is on %v", h)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		if h := w.lan.Holders("10.0.0.100"); len(h) != 1 || h[0] != "10.0.0.1" {
			t.Errorf("when the peer has gone the address is on %v", h)
		}
		if err := w.c.Failover("nobody"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("of an instance that is not there: %v", err)
		}
	})
}

// busyTable says that every destination has connections.
type busyTable struct {
	*ipvstest.Fake
	connections atomic.Int64
}

func (b *busyTable) Services(ctx context.Context) ([]ipvs.ServiceStatus, error) {
	all, err := b.Fake.Services(ctx)
	for i := range all {
		for j := range all[i].Destinations {
			all[i].Destinations[j].ActiveConnections = int(b.connections.Load())
		}
	}
	return all, err
}

func (b *busyTable) Service(ctx context.Context, key ipvs.ServiceKey) (ipvs.ServiceStatus, error) {
	s, err := b.Fake.Service(ctx, key)
	for i := range s.Destinations {
		s.Destinations[i].ActiveConnections = int(b.connections.Load())
	}
	return s, err
}

// TestDrainWaitsForConnections.
func TestDrainWaitsForConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		busy := &busyTable{Fake: w.table}
		w.c = holdfast.New(holdfast.Options{Network: w.lan.Host("10.0.0.2"), Table: busy})
		w.start(t, w.spec())
		defer w.stop(t)
		time.Sleep(10 * time.Second)
		first := serverKey("10.0.0.100:80", "10.0.0.11:80")
		busy.connections.Store(2)
		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		if err := w.c.Drain(ctx, first); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 connections") {
			t.Errorf("drain with connections: %v", err)
		}
		w.wantTable(t, strings.Replace(bothServers, "11:80 -m -w 1", "11:80 -m -w 0", 1))
		go func() {
			time.Sleep(10 * time.Second)
			busy.connections.Store(0)
		}()
		begin := time.Now()
		if err := w.c.Drain(t.Context(), first); err != nil || time.Since(begin) < 10*time.Second {
			t.Errorf("drain: %v after %v", err, time.Since(begin))
		}
		w.wantTable(t, strings.Replace(bothServers, "-a -t 10.0.0.100:80 -r 10.0.0.11:80 -m -w 1\n", "", 1))
		if err := w.c.SetServerMaintenance(t.Context(), first, false); err != nil {
			t.Error(err)
		}
		w.wantTable(t, bothServers)
	})
}

// TestDrainKeepsConnectionsWhenTheSorryServerTakesOver: the last server is drained; the sorry server gets what is new, and what
// there is is not cut.
func TestDrainKeepsConnectionsWhenTheSorryServerTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		spec := w.spec()
		spec.Services[0].Servers = spec.Services[0].Servers[:1]
		spec.Services[0].Sorry = &ipvs.RealServer{Destination: ipvs.Destination{Addr: netip.MustParseAddrPort("10.0.0.99:80"), Weight: 1}}
		w.start(t, spec)
		if err := w.c.SetWeight(t.Context(), serverKey("10.0.0.100:80", "10.0.0.11:80"), 0); err != nil {
			t.Fatal(err)
		}
		w.wantTable(t, "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.0.0.11:80 -m -w 0\n-a -t 10.0.0.100:80 -r 10.0.0.99:80 -m -w 1")
		w.stop(t)
	})
}

// TestDrainCountsAllEntries of a group.
func TestDrainCountsAllEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		busy := &busyTable{Fake: w.table}
		w.c = holdfast.New(holdfast.Options{Network: w.lan.Host("10.0.0.2"), Table: busy})
		s := w.service("10.0.0.100:80")
		s.Name, s.Keys = "group G", append(s.Keys, s.ServiceKey, key("10.0.0.101:80"))
		w.start(t, holdfast.Spec{Services: []holdfast.Service{s}})
		defer w.stop(t)
		time.Sleep(10 * time.Second)
		busy.connections.Store(2)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		err := w.c.Drain(ctx, holdfast.ServerKey{Service: "group G", Addr: netip.MustParseAddrPort("10.0.0.11:80")})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "4 connections") {
			t.Errorf("drain: %v", err)
		}
	})
}

// TestWordsOfVerbs: what is not there is said to be so, and giving the Spec's number back has a word of its own.
func TestWordsOfVerbs(t *testing.T) {
	c := holdfast.New(holdfast.Options{})
	key := holdfast.ServerKey{Service: "TCP 10.0.0.100:80", Addr: netip.MustParseAddrPort("10.0.0.11:80")}
	for want, err := range map[string]error{
		"holdfast: there is no service s":                 c.RemoveService(t.Context(), "s"),
		"holdfast: there is no instance web":              c.SetPriority(t.Context(), "web", 5),
		"holdfast: there is no service TCP 10.0.0.100:80": c.SetWeight(t.Context(), key, 5),
	} {
		if err == nil || err.Error() != want || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	service := holdfast.Service{Service: ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort("10.0.0.100:80")}}}
	service.Servers = []holdfast.Server{{RealServer: ipvs.RealServer{Destination: ipvs.Destination{Addr: key.Addr, Weight: 1}}}}
	if err := c.SetService(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	events := c.Subscribe(10)
	for _, weight := range []int{5, -1} {
		if err := c.SetWeight(t.Context(), key, weight); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{key.String() + " weight 5", key.String() + " weight reset"} {
		for {
			e, err := events.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind != holdfast.EventOverride {
				continue
			}
			if e.Object != want {
				t.Errorf("%s, want %s", e.Object, want)
			}
			break
		}
	}
}
