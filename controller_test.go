package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// world is a Controller on a LAN and a table in memory, with two scripted servers.
type world struct {
	lan     *vrrptest.LAN
	table   *ipvstest.Fake
	servers [2]*checktest.Script
	c       *holdfast.Controller
	events  *holdfast.Subscription
	cancel  context.CancelFunc
	ended   chan error
}

func newWorld(t *testing.T) *world {
	w := &world{lan: vrrptest.NewLAN(), table: &ipvstest.Fake{}, ended: make(chan error, 1)}
	w.servers = [2]*checktest.Script{{}, {}}
	w.c = holdfast.New(holdfast.Options{Network: w.lan.Host("10.0.0.1"), Table: w.table})
	w.events = w.c.Subscribe(1000)
	return w
}

func (w *world) run(t *testing.T) {
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(t.Context())
	go func() { w.ended <- w.c.Run(ctx) }()
	<-w.c.Ready()
}

// start applies a Spec and runs it.
func (w *world) start(t *testing.T, spec holdfast.Spec) {
	t.Helper()
	if err := w.c.Apply(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	w.run(t)
}

func (w *world) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	if err := <-w.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func (w *world) spec() holdfast.Spec {
	return holdfast.Spec{
		Instances: []vrrp.Instance{{Name: "VI", Interface: vrrptest.Interface, VRID: 7, Addrs: vrrp.MustAddresses("10.0.0.100")}},
		Services:  []holdfast.Service{w.service("10.0.0.100:80")},
	}
}

func (w *world) service(addr string) holdfast.Service {
	s := holdfast.Service{Service: ipvs.Service{ServiceKey: key(addr), Scheduler: "rr"}}
	for i, script := range w.servers {
		s.Servers = append(s.Servers, holdfast.Server{
			RealServer: ipvs.RealServer{Destination: ipvs.Destination{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(11 + i)}), 80), Weight: 1}},
			Checks:     []check.Probe{{Checker: script, Policy: check.Policy{DelayLoop: 2 * time.Second, Retry: 1, Warmup: -1}}},
		})
	}
	return s
}

func key(addr string) ipvs.ServiceKey {
	return ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort(addr)}
}

// seen drains the events as "kind object to".
func (w *world) seen(t *testing.T) (lines []string) {
	for _, e := range w.drain(t) {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Kind, e.Object, e.To)))
	}
	return lines
}

func (w *world) drain(t *testing.T) (events []holdfast.Event) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for {
		e, err := w.events.Next(ctx)
		if err != nil {
			return events
		}
		events = append(events, e)
	}
}

const (
	bothServers = "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.0.0.11:80 -m -w 1\n-a -t 10.0.0.100:80 -r 10.0.0.12:80 -m -w 1"
	onlyFirst   = "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.0.0.11:80 -m -w 1"
)

func (w *world) wantTable(t *testing.T, want string) {
	t.Helper()
	if got := strings.TrimSuffix(w.table.Dump(), "\n"); got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
}

func TestLifeOfAController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if err := w.c.Apply(t.Context(), w.spec()); err != nil {
			t.Fatal(err)
		}
		w.wantTable(t, "") // nothing is touched before Run
		w.run(t)
		time.Sleep(10 * time.Second)
		w.wantTable(t, bothServers)
		if h := w.lan.Holders("10.0.0.100"); len(h) != 1 {
			t.Errorf("holders of the address: %v", h)
		}
		w.servers[1].Down()
		time.Sleep(10 * time.Second)
		w.wantTable(t, onlyFirst)
		w.servers[0].Down()
		time.Sleep(10 * time.Second)
		w.servers[0].Up()
		time.Sleep(10 * time.Second)
		w.servers[1].Up()
		time.Sleep(10 * time.Second)
		w.wantTable(t, bothServers)
		w.stop(t)
		w.wantTable(t, "")
		if h := w.lan.Holders("10.0.0.100"); len(h) != 0 {
			t.Errorf("after the end the address is on %v", h)
		}
		got := strings.Join(w.seen(t), "\n")
		want := strings.Join([]string{
			"apply spec", "instance VI BACKUP", "instance VI MASTER",
			"server TCP 10.0.0.100:80 10.0.0.12:80 DOWN",
			"server TCP 10.0.0.100:80 10.0.0.11:80 DOWN", "service TCP 10.0.0.100:80 DOWN",
			"server TCP 10.0.0.100:80 10.0.0.11:80 UP", "service TCP 10.0.0.100:80 UP", "server TCP 10.0.0.100:80 10.0.0.12:80 UP",
			"instance VI INIT",
		}, "\n")
		if got != want {
			t.Errorf("events:\n%s\nwant:\n%s", got, want)
		}
		if _, err := w.events.Next(t.Context()); !errors.Is(err, holdfast.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
		if err := w.c.Apply(t.Context(), w.spec()); !errors.Is(err, holdfast.ErrEnded) {
			t.Errorf("Apply after the end: %v", err)
		}
	})
}

// TestApplyTouchesOnlyWhatDiffers: the state machine, the verdicts and the table entries of what stays are kept.
func TestApplyTouchesOnlyWhatDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start(t, w.spec())
		defer w.stop(t)
		w.servers[1].Down()
		time.Sleep(10 * time.Second)
		ops, since := len(w.table.Ops()), w.c.Status().Instances[0].Since

		next := w.spec()
		next.Services[0].Servers[0].Weight = 5
		next.Services[0].Servers[1].Checks[0].Policy.DelayLoop = time.Hour
		next.Services = append(next.Services, w.service("10.0.0.100:443"))
		plan, err := w.c.Plan(t.Context(), next)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.c.Apply(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		if done := w.table.Ops()[ops:]; done.String() != plan.Table.String() || len(done) != 3 {
			t.Errorf("done:\n%vplanned:\n%v", done, plan.Table)
		}
		if len(plan.Instances) != 0 || len(plan.Checks) != 1 {
			t.Errorf("plan:\n%v", plan)
		}
		s := w.c.Status()
		if s.Instances[0].Since != since || s.Services[0].Servers[1].Up {
			t.Errorf("state was lost: %+v", s)
		}
		if again, err := w.c.Plan(t.Context(), next); err != nil || !again.Empty() {
			t.Errorf("applied, and still to do: %v %v", again, err)
		}
	})
}

func TestInvalidSpecChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start(t, w.spec())
		defer w.stop(t)
		time.Sleep(10 * time.Second)
		for name, spoil := range map[string]func(*holdfast.Spec){
			"no VRID":        func(s *holdfast.Spec) { s.Instances[0].VRID = 0 },
			"is there twice": func(s *holdfast.Spec) { s.Services = append(s.Services, s.Services[0]) },
			"hysteresis":     func(s *holdfast.Spec) { s.Services[0].Hysteresis = 1 },
			"no checker":     func(s *holdfast.Spec) { s.Services[0].Servers[0].Checks[0].Checker = nil },
			"no instance nobody": func(s *holdfast.Spec) {
				s.Trackers = []holdfast.Tracker{{Name: "a", Probe: check.Probe{Checker: w.servers[0]}, Effects: []holdfast.Effect{{Instance: "nobody"}}}}
			},
			"two instances are": func(s *holdfast.Spec) { s.Instances = append(s.Instances, s.Instances[0]) },
		} {
			bad := w.spec()
			spoil(&bad)
			if err := w.c.Apply(t.Context(), bad); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
		w.wantTable(t, bothServers)
		if h := w.lan.Holders("10.0.0.100"); len(h) != 1 {
			t.Errorf("holders of the address: %v", h)
		}
	})
}

// TestRefusedEntry: the rest is in force, the error is told once, and what was refused follows when it can.
func TestRefusedEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var refuse atomic.Bool
		refuse.Store(true)
		w.table.Fail = func(op ipvs.Op) error {
			if refuse.Load() && op.Action == ipvs.AddDestination && op.Destination.Addr.Addr().String() == "10.0.0.12" {
				return errors.New("no memory")
			}
			return nil
		}
		w.run(t)
		defer w.stop(t)
		if err := w.c.Apply(t.Context(), w.spec()); err == nil || !strings.Contains(err.Error(), "10.0.0.12") {
			t.Errorf("Apply: %v", err)
		}
		time.Sleep(10 * time.Second)
		w.wantTable(t, onlyFirst)
		if n := strings.Count(strings.Join(w.seen(t), "\n"), "error table"); n != 1 {
			t.Errorf("told %d times", n)
		}
		refuse.Store(false)
		time.Sleep(2 * time.Second)
		w.wantTable(t, bothServers)
	})
}

func TestDriftIsRepairedAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start(t, w.spec())
		defer w.stop(t)
		time.Sleep(10 * time.Second)
		w.seen(t)
		stranger := ipvs.Service{ServiceKey: key("10.0.0.200:80"), Scheduler: "rr"}
		err := w.table.Apply(t.Context(), ipvs.Plan{
			{Action: ipvs.DeleteService, Service: ipvs.Service{ServiceKey: key("10.0.0.100:80")}},
			{Action: ipvs.AddService, Service: stranger},
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		w.wantTable(t, bothServers+"\n-A -t 10.0.0.200:80 -s rr")
		if got := w.seen(t); len(got) != 1 || got[0] != "repair TCP 10.0.0.100:80" {
			t.Errorf("events: %v", got)
		}
	})
}

// TestTrackersMoveInstances: a tracker's verdict is in the priority, or takes to FAULT; the host's own word counts beside it.
func TestTrackersMoveInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		spec := holdfast.Spec{Instances: w.spec().Instances}
		policy := check.Policy{DelayLoop: time.Second, Warmup: -1}
		spec.Trackers = []holdfast.Tracker{
			{Name: "app", Probe: check.Probe{Checker: w.servers[0], Policy: policy, Alpha: true}, Effects: []holdfast.Effect{{Instance: "VI", Weight: 20}}},
			{Name: "disk", Probe: check.Probe{Checker: w.servers[1], Policy: policy}, Effects: []holdfast.Effect{{Instance: "VI"}}},
		}
		w.start(t, spec)
		defer w.stop(t)
		want := func(priority uint8, state vrrp.State) {
			t.Helper()
			time.Sleep(10 * time.Second)
			if s := w.c.Status().Instances[0]; s.Priority != priority || s.State != state {
				t.Errorf("priority %d, %v; want %d, %v", s.Priority, s.State, priority, state)
			}
		}
		want(120, vrrp.Master)
		w.servers[0].Down()
		want(100, vrrp.Master)
		if err := w.c.SetTracking("VI", vrrp.Tracking{Priority: -30}); err != nil {
			t.Error(err)
		}
		if err := w.c.SetTracking("nobody", vrrp.Tracking{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("of an instance that there is not: %v", err)
		}
		want(70, vrrp.Master)
		w.servers[1].Down()
		want(70, vrrp.Fault)
		w.servers[1].Up()
		w.servers[0].Up()
		want(90, vrrp.Master)
		if got := strings.Join(w.seen(t), "\n"); !strings.Contains(got, "tracker disk DOWN\ninstance VI FAULT\n") {
			t.Errorf("events:\n%s", got)
		}
		spec.Trackers = nil
		if err := w.c.Apply(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		want(70, vrrp.Master)
	})
}

// TestQuorumHasToBeGained: a new service begins without it, so that hysteresis counts from the start.
// TestInstancesWaitForTheFirstWord of their trackers, but not for ever.
func TestInstancesWaitForTheFirstWord(t *testing.T) {
	for takes, want := range map[time.Duration]string{300 * time.Millisecond: "BACKUP MASTER", 3 * time.Second: "FAULT BACKUP MASTER"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			slow := checktest.Script{Takes: takes}
			spec := holdfast.Spec{Instances: w.spec().Instances, Trackers: []holdfast.Tracker{{
				Name: "app", Probe: check.Probe{Checker: &slow, Alpha: true, Policy: check.Policy{DelayLoop: 10 * time.Second, AtOnce: true}},
				Effects: []holdfast.Effect{{Instance: "VI"}},
			}}}
			w.start(t, spec)
			defer w.stop(t)
			time.Sleep(20 * time.Second)
			var states []string
			for _, e := range w.seen(t) {
				if state, ok := strings.CutPrefix(e, "instance VI "); ok {
					states = append(states, state)
				}
			}
			if got := strings.Join(states, " "); got != want {
				t.Errorf("a script of %v: %s, want %s", takes, got, want)
			}
		})
	}
}

// TestChecksMoveWeights: what checks say about weight is in the table, adds up, and ends with the verdict; a tracker's is in
// the priority.
func TestChecksMoveWeights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		spec := w.spec()
		for i := range spec.Services[0].Servers {
			spec.Services[0].Servers[i].Weight = 5
		}
		var second, file checktest.Script
		checks := &spec.Services[0].Servers[0].Checks
		*checks = append(*checks, check.Probe{ID: "second", Checker: &second, Policy: (*checks)[0].Policy})
		spec.Trackers = []holdfast.Tracker{{Name: "file", Probe: check.Probe{Checker: &file, Policy: (*checks)[0].Policy}, Effects: []holdfast.Effect{{Instance: "VI"}}}}
		w.start(t, spec)
		defer w.stop(t)
		weights := func() string {
			synctest.Wait()
			text := ""
			table, err := w.table.Services(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range table[0].Destinations {
				text += fmt.Sprint(" ", d.Weight)
			}
			return text
		}
		priority := func() int { return int(w.c.Status().Instances[0].Priority) }
		w.servers[0].Say(check.Report{Weight: check.Absolute(10)})
		second.Say(check.Report{Weight: check.Absolute(3)})
		file.Say(check.Report{Weight: check.Offset(30)})
		time.Sleep(10 * time.Second)
		if got := weights(); got != " 8 5" { // 5 + (10-5) + (3-5)
			t.Errorf("weights%s", got)
		}
		if priority() != 130 {
			t.Errorf("priority %d", priority())
		}
		second.Down()
		time.Sleep(10 * time.Second)
		if got := weights(); got != " 5" {
			t.Errorf("with one server down, weights%s", got)
		}
		second.Up()
		second.Say(check.Report{})
		w.servers[0].Say(check.Report{Weight: check.Percent(0)})
		file.Down()
		time.Sleep(10 * time.Second)
		if got := weights(); got != " 5 0" {
			t.Errorf("drained, weights%s", got)
		}
		if s := w.c.Status(); s.Instances[0].State != vrrp.Fault || s.Trackers[0].Up {
			t.Errorf("%+v", s.Instances[0])
		}
	})
}

func TestQuorumHasToBeGained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		spec := w.spec()
		spec.Services[0].Quorum, spec.Services[0].Hysteresis = 2, 1
		spec.Services[0].Sorry = &ipvs.RealServer{Destination: ipvs.Destination{Addr: netip.MustParseAddrPort("10.0.0.99:80"), Weight: 1}}
		w.start(t, spec)
		defer w.stop(t)
		w.wantTable(t, "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.0.0.99:80 -m -w 1")
		spec.Services[0].Servers[0].Weight = 2
		if err := w.c.Apply(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		w.wantTable(t, strings.Replace(bothServers, "11:80 -m -w 1", "11:80 -m -w 2", 1))
	})
}

func TestControllerWithoutTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.c = holdfast.New(holdfast.Options{Network: w.lan.Host("10.0.0.2")})
		w.start(t, w.spec())
		defer w.stop(t)
		w.servers[0].Down()
		time.Sleep(10 * time.Second)
		if s := w.c.Status().Services[0]; s.Servers[0].Up || !s.Servers[1].Up || s.LiveWeight != 1 || s.Servers[0].Checks[0].Error == "" {
			t.Errorf("status: %+v", s)
		}
		if plan, err := w.c.Plan(t.Context(), holdfast.Spec{}); err != nil || len(plan.Table) != 1 || len(plan.Instances) != 1 {
			t.Errorf("plan: %v %v", plan, err)
		}
		if err := w.c.Run(t.Context()); err == nil {
			t.Error("a second Run is not refused")
		}
	})
}
