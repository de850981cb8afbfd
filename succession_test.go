package holdfast

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// TestSuccessorGoesOn: a peer that would take over sees nothing, addresses and table entries stay, a server that was down stays
// down, what operators said stays said, and nobody is told.
func TestSuccessorGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		table := &ipvstest.Fake{}
		file := filepath.Join(t.TempDir(), "state")
		spec := pair()
		var dead checktest.Script
		dead.Down()
		var s scene
		service := s.service()
		service.Servers[0].Checks[0].Checker = &checktest.Script{}
		down := service.Servers[0]
		down.Addr = service.Addr
		down.Checks = []check.Probe{{Checker: &dead, Policy: check.Policy{DelayLoop: time.Second, Warmup: -1}}}
		service.Servers = append(service.Servers, down)
		spec.Services = []Service{service}

		peer := vrrp.NewRouter(vrrp.Options{Network: lan.Host("10.0.0.2")})
		lesser := spec.Instances[:1]
		lesser[0].Priority = 90
		if err := peer.Set(lesser); err != nil {
			t.Fatal(err)
		}
		spec.Instances = pair().Instances
		watching, unwatch := context.WithCancel(t.Context())
		watched := make(chan error, 1)
		go func() { watched <- peer.Run(watching) }()

		host := lan.Host("10.0.0.1")
		start := func() *scene {
			s := &scene{host: host, server: &checktest.Script{}}
			s.options = Options{Network: host, Table: table, StateFile: file, Takeover: time.Minute}
			s.start(t, spec)
			return s
		}
		first := start()
		time.Sleep(20 * time.Second)
		if err := first.c.SetPriority(t.Context(), "A", 110); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		dump, trace, ops, since := table.Dump(), len(lan.Trace()), len(table.Ops()), peer.Status()[0].Since
		first.programs()

		successor := New(Options{Network: host, Table: table, StateFile: file})
		if err := successor.Run(t.Context()); !errors.Is(err, ErrHeld) {
			t.Errorf("a second Controller: %v", err)
		}
		time.AfterFunc(time.Second, first.c.Handover)
		second := start()
		first.stop()
		time.Sleep(300 * time.Millisecond)
		if now := second.c.Status(); now.Instances[0].State != vrrp.Master || now.Instances[0].Priority != 110 || now.Services[0].Servers[1].Up {
			t.Errorf("status: %+v", now)
		}
		if table.Dump() != dump || len(table.Ops()) != ops {
			t.Errorf("table:\n%s\nwas:\n%s\nafter %v", table.Dump(), dump, table.Ops()[ops:])
		}
		dead.Up() // before the successor asks for the first time
		time.Sleep(20 * time.Second)
		if st := peer.Status()[0]; st.State != vrrp.Backup || st.Since != since || st.Stats.PriorityZeroReceived != 0 {
			t.Errorf("the peer saw it: %+v", st)
		}
		for _, line := range lan.Trace()[trace:] {
			if strings.Contains(line, "remove") {
				t.Errorf("on the link: %s", line)
			}
		}
		wantLines(t, "told by the first", first.programs())
		wantLines(t, "told by the second", second.programs())
		if !second.c.Status().Services[0].Servers[1].Up {
			t.Error("the server that was down is well, and not taken back")
		}
		second.stop()
		if len(table.Dump()) > 0 || len(lan.Holders("10.0.0.101")) > 0 {
			t.Errorf("after the end:\n%s\nand an address is on %v", table.Dump(), lan.Holders("10.0.0.101"))
		}
		if _, err := os.Stat(file); err == nil {
			t.Error("the state file is still there")
		}
		unwatch()
		if err := <-watched; err != nil {
			t.Error(err)
		}
	})
}

// TestHeirs: whoever is late begins as BACKUP, for its peers have found it missing.
func TestHeirs(t *testing.T) {
	now := time.Now()
	instances := []vrrp.Instance{{Name: "fast", Interval: 100 * time.Millisecond}, {Name: "slow"}, {Name: "other"}}
	for silent, want := range map[time.Duration][]string{
		0: {"fast", "slow"}, 199 * time.Millisecond: {"fast", "slow"}, 200 * time.Millisecond: {"slow"}, 1999 * time.Millisecond: {"slow"}, 2 * time.Second: nil,
	} {
		e := estate{Masters: []string{"fast", "slow", "gone"}, seen: now.Add(-silent)}
		if got := e.heirs(instances, now); !slices.Equal(got, want) {
			t.Errorf("silent for %v: %v, want %v", silent, got, want)
		}
	}
}

// TestBadStateFiles are told and cost no more than what was in them.
func TestBadStateFiles(t *testing.T) {
	for text, fails := range map[string]bool{"": true, "{": true, "[]": true, `{"format":99}`: false, `{"format":1,"boot":"other","kept":true}`: false} {
		file := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := readEstate(file)
		if (err != nil) != fails || e.Format != 0 || e.Kept {
			t.Errorf("%q: %+v, %v", text, e, err)
		}
	}
	if e, err := readEstate(filepath.Join(t.TempDir(), "none")); err != nil || e.Format != 0 {
		t.Errorf("no file: %+v, %v", e, err)
	}
}

func FuzzEstate(f *testing.F) {
	f.Add([]byte(`{"format":1,"masters":["A"],"probes":{"x":true},"servers":[{"Service":"a","Addr":"192.0.2.1:80","weight":3}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		e, _ := readEstate(file)
		e.heirs([]vrrp.Instance{{Name: "A"}}, time.Now())
		newState(&Spec{Services: []Service{{Service: ipvs.Service{}}}}, e.state())
		e.overrides().within(&Spec{})
	})
}
