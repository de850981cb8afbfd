//go:build !race

package holdfast

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
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

// dice makes random Specs of few names, so that things come, go, change and come back.
type dice struct {
	*rand.Rand
	checkers [6]*checktest.Script
	steady   bool // a check that stays asks the same: then plans are exact
}

func (d *dice) oneIn(n int) bool { return d.IntN(n) == 0 }

func (d *dice) spec() (spec Spec) {
	for i := range 3 {
		if d.oneIn(2) {
			in := vrrp.Instance{Name: fmt.Sprint("I", i), Interface: vrrptest.Interface, VRID: uint8(i + 1), Priority: uint8(100 + d.IntN(3))}
			in.Addrs = vrrp.MustAddresses(fmt.Sprintf("10.0.0.%d", 100+10*i+d.IntN(2)))
			spec.Instances = append(spec.Instances, in)
		}
	}
	for i := range 4 {
		if d.oneIn(3) {
			continue
		}
		s := Service{Service: ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}), 80)}}}
		s.Scheduler = []string{"rr", "wlc"}[d.IntN(2)]
		s.Quorum = 1 + d.IntN(2)
		s.Servers = d.servers()
		if d.oneIn(3) {
			s.Sorry = &ipvs.RealServer{Destination: ipvs.Destination{Addr: netip.MustParseAddrPort("10.9.9.9:80"), Weight: 1}, Inhibit: d.oneIn(2)}
		}
		spec.Services = append(spec.Services, s)
	}
	for i := range 2 { // groups, which share a mark
		if d.oneIn(2) {
			s := Service{Name: fmt.Sprint("group ", i), Service: ipvs.Service{ServiceKey: ipvs.ServiceKey{FWMark: 7}, Scheduler: "rr"}, Servers: d.servers()}
			s.Keys = []ipvs.ServiceKey{{FWMark: 7}, {FWMark: uint32(10 + i + d.IntN(2)*10)}}
			spec.Services = append(spec.Services, s)
		}
	}
	d.Shuffle(len(spec.Services), func(i, j int) { spec.Services[i], spec.Services[j] = spec.Services[j], spec.Services[i] })
	if len(spec.Instances) > 0 && d.oneIn(2) {
		probe := check.Probe{Checker: d.checkers[0], Policy: check.Policy{DelayLoop: time.Second, Warmup: -1}}
		spec.Trackers = []Tracker{{Name: "T", Probe: probe, Effects: []Effect{{Instance: spec.Instances[0].Name, Weight: 10 + d.IntN(2)}}}}
	}
	return spec
}

func (d *dice) servers() (list []Server) {
	for i := range 3 {
		if d.oneIn(3) {
			continue
		}
		s := Server{RealServer: ipvs.RealServer{Destination: ipvs.Destination{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, 0, byte(i)}), 80), Weight: 1 + d.IntN(2)}, Inhibit: d.oneIn(3)}}
		for range d.IntN(3) {
			n, delay := d.IntN(len(d.checkers)), time.Duration(1+d.IntN(2))*time.Second
			p := check.Probe{Checker: d.checkers[n], Policy: check.Policy{DelayLoop: delay, Warmup: -1}, Alpha: d.oneIn(2)}
			if d.steady {
				p.ID = fmt.Sprint(n, delay, p.Alpha)
			}
			s.Checks = append(s.Checks, p)
		}
		list = append(list, s)
	}
	return list
}

// TestAnyOrderOfWishes: whatever came before, after an Apply the table, the addresses and the status are what the Spec and the
// health of the servers say, the plan was exact, and events add up.
//
// It runs without the race detector, whose own tables now and then do not survive this many goroutines; make unit has a line for it.
func TestAnyOrderOfWishes(t *testing.T) {
	seed := uint64(1) // the same wishes each time; TEST_SEED picks others
	if s, err := strconv.ParseUint(os.Getenv("TEST_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("TEST_SEED=%d", seed)
	for round := range uint64(10) {
		synctest.Test(t, func(t *testing.T) { wishes(t, &dice{Rand: rand.New(rand.NewPCG(seed, round)), steady: round%2 == 0}) })
	}
}

func wishes(t *testing.T, d *dice) {
	for i := range d.checkers {
		d.checkers[i] = &checktest.Script{}
	}
	lan, table := vrrptest.NewLAN(), &ipvstest.Fake{}
	c := New(Options{Network: lan.Host("10.0.0.1"), Table: table})
	events := c.Subscribe(100000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	<-c.Ready()
	var spec Spec
	for step := range 15 {
		switch {
		case d.oneIn(4):
			if up := d.checkers[d.IntN(len(d.checkers))]; d.oneIn(2) {
				up.Down()
			} else {
				up.Up()
			}
		case d.oneIn(4):
			d.operate(t, c, &spec)
		default:
			spec = d.spec()
			plan, err := c.Plan(ctx, spec)
			before := len(table.Ops())
			if err = errors.Join(err, c.Apply(ctx, spec)); err != nil {
				t.Fatal(err)
			}
			if done := table.Ops()[before:]; d.steady && !sameOps(done, plan.Table) {
				t.Fatalf("step %d: planned\n%vdone\n%v", step, plan.Table, done)
			}
			if again, err := c.Plan(ctx, spec); err != nil || !again.Empty() {
				t.Fatalf("step %d: applied, and still to do: %v%v", step, again, err)
			}
		}
		time.Sleep(30 * time.Second) // all checks have spoken, all elections are over
		d.judge(t, step, c, &spec, table, lan)
	}
	cancel()
	if err := <-ended; err != nil || table.Dump() != "" {
		t.Errorf("%v; left behind:\n%s", err, table.Dump())
	}
	addUp(t, events)
}

// operate says something over the Spec.
func (d *dice) operate(t *testing.T, c *Controller, spec *Spec) {
	var err error
	for i := range spec.Services {
		for _, server := range spec.Services[i].Servers {
			if key := (ServerKey{spec.Services[i].String(), server.Addr}); d.oneIn(4) {
				err = errors.Join(err, c.SetWeight(t.Context(), key, d.IntN(6)-1))
			} else if d.oneIn(4) {
				err = errors.Join(err, c.SetServerMaintenance(t.Context(), key, d.oneIn(2)))
			}
		}
	}
	for i := range spec.Instances {
		err = errors.Join(err, c.SetPriority(t.Context(), spec.Instances[i].Name, uint8(d.IntN(3)*50)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func sameOps(a, b ipvs.Plan) bool {
	lines := func(p ipvs.Plan) []string { l := strings.Split(p.String(), "\n"); slices.Sort(l); return l }
	return slices.Equal(lines(a), lines(b))
}

// judge holds what is to what should be, worked out anew from nothing.
func (d *dice) judge(t *testing.T, step int, c *Controller, spec *Spec, table *ipvstest.Fake, lan *vrrptest.LAN) {
	t.Helper()
	c.mu.Lock()
	over := c.over
	verdicts := &state{probes: make(map[string]*probeState)}
	for id, p := range c.state.probes {
		verdicts.probes[id] = &probeState{up: p.up, weight: p.weight}
	}
	for _, s := range c.state.services {
		verdicts.services = append(verdicts.services, &serviceState{name: s.name, quorum: s.quorum})
	}
	wish := spec.with(over)
	fresh := newState(&wish, verdicts)
	for id, p := range fresh.probes {
		if verdicts.probes[id] == nil || c.state.probes[id].up != p.up {
			t.Errorf("step %d: probe %s is not known, or not %v", step, id, p.up)
		}
	}
	if len(fresh.probes) != len(c.state.probes) || !reflect.DeepEqual(owners(fresh), owners(c.state)) {
		t.Errorf("step %d: %d probes, want %d; owners %v, want %v", step, len(c.state.probes), len(fresh.probes), owners(c.state), owners(fresh))
	}
	c.mu.Unlock()
	var want ipvstest.Fake
	if err := ipvs.NewReconciler(&want, ipvs.ReconcilerOptions{}).Set(t.Context(), fresh.want()); err != nil {
		t.Fatal(err)
	}
	if got, want := sorted(table.Dump()), sorted(want.Dump()); got != want {
		t.Fatalf("step %d: table:\n%s\nwant:\n%s", step, got, want)
	}
	status := c.Status()
	for id, p := range c.monitor.Status() {
		if fresh.probes[id] == nil || fresh.probes[id].up != p.Up {
			t.Errorf("step %d: the Monitor says of %s that it is up: %v", step, id, p.Up)
		}
	}
	if len(status.Instances) != len(spec.Instances) || len(status.Services) != len(spec.Services) {
		t.Errorf("step %d: status %+v", step, status)
	}
	for i := range wish.Instances {
		in := &wish.Instances[i]
		if h := lan.Holders(in.Addrs[0].Addr().String()); len(h) != 1 || status.Instances[i].State != vrrp.Master {
			t.Errorf("step %d: %s is on %v", step, in.Addrs[0], h)
		}
		if got, want := int(status.Instances[i].Priority), int(in.Priority)+fresh.tracking(in.Name).Priority; got != want {
			t.Errorf("step %d: %s has priority %d, want %d", step, in.Name, got, want)
		}
	}
}

func owners(s *state) map[string]int {
	counts := make(map[string]int)
	for key, list := range s.owners {
		counts[key.String()] = len(list)
	}
	return counts
}

func sorted(dump string) string {
	lines := strings.Split(dump, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// addUp holds that every change of an object begins where the one before ended, with no number left out.
func addUp(t *testing.T, events *Subscription) {
	state, seq := make(map[string]string), uint64(0)
	for _, e := range drained(t, events) {
		if e.Seq != seq+1 || e.Missed != 0 {
			t.Errorf("event %d after %d", e.Seq, seq)
		}
		seq = e.Seq
		if e.Kind != EventServer && e.Kind != EventInstance && e.Kind != EventTracker {
			continue
		}
		key := string(e.Kind) + e.Object
		if before, ok := state[key]; ok && before != e.From && e.Kind == EventInstance {
			t.Errorf("%v: it was %s", e, before)
		}
		state[key] = e.To
	}
}
