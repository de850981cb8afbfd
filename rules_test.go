package holdfast_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
)

// The numbers in the names of these tests are those of the rules in docs/pools.md.

// rule is a Controller with one service, which is edited and applied again.
type rule struct {
	*testing.T
	*world
	spec holdfast.Spec
}

// holds runs a story with a service that is edited before it starts.
func holds(t *testing.T, edit func(s *holdfast.Service), story func(r *rule)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := &rule{T: t, world: w, spec: holdfast.Spec{Services: []holdfast.Service{w.service("10.0.0.100:80")}}}
		if edit != nil {
			edit(&r.spec.Services[0])
		}
		w.start(t, r.spec)
		story(r)
		w.stop(t)
	})
}

// change applies the Spec with another service in place of the first, and returns the operations that this takes.
func (r *rule) change(edit func(s *holdfast.Service)) string {
	r.Helper()
	before := len(r.table.Ops())
	r.spec.Services = slices.Clone(r.spec.Services)
	s := &r.spec.Services[0]
	s.Servers, s.Keys = slices.Clone(s.Servers), slices.Clone(s.Keys)
	edit(s)
	if err := r.c.Apply(r.Context(), r.spec); err != nil {
		r.Fatal(err)
	}
	return r.table.Ops()[before:].String()
}

// took runs something for 10 s, and returns the operations that this takes.
func (r *rule) took(what func()) string {
	before := len(r.table.Ops())
	what()
	time.Sleep(10 * time.Second)
	synctest.Wait()
	return r.table.Ops()[before:].String()
}

// told are the events since it was asked last.
func (r *rule) told() string { return strings.Join(r.seen(r.T), ", ") }

func (r *rule) want(what, got, want string) {
	r.Helper()
	if got != want {
		r.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}

func sorryServer(inhibit bool) *ipvs.RealServer {
	return &ipvs.RealServer{Destination: ipvs.Destination{Addr: netip.MustParseAddrPort("10.0.0.99:80"), Weight: 1}, Inhibit: inhibit}
}

func alpha(s *holdfast.Service) {
	for i := range s.Servers {
		s.Servers[i].Checks = slices.Clone(s.Servers[i].Checks)
		s.Servers[i].Checks[0].Alpha = true
	}
}

const dest = " -t 10.0.0.100:80 -r 10.0.0."

// TestRule12_3_QuorumAtTheStart is there at once; that receivers are told of it is tested where they are.
func TestRule12_3_QuorumAtTheStart(t *testing.T) {
	holds(t, nil, func(r *rule) {
		if s := r.c.Status().Services[0]; !s.Up || s.LiveWeight != 2 {
			r.Errorf("status: %+v", s)
		}
		r.want("told", r.told(), "apply spec")
	})
}

func TestRule12_4_NoQuorumAtTheStart(t *testing.T) {
	holds(t, func(s *holdfast.Service) { alpha(s); s.Sorry = sorryServer(false) }, func(r *rule) {
		r.wantTable(r.T, "-A -t 10.0.0.100:80 -s rr\n-a"+dest+"99:80 -m -w 1")
		if r.c.Status().Services[0].Up {
			r.Error("it has quorum")
		}
	})
	holds(t, alpha, func(r *rule) {
		r.wantTable(r.T, "-A -t 10.0.0.100:80 -s rr")
	})
}

// TestRule12_10_OrderOfEvents: first the server, then the service.
func TestRule12_10_OrderOfEvents(t *testing.T) {
	holds(t, func(s *holdfast.Service) { s.Quorum = 2 }, func(r *rule) {
		r.told()
		r.took(r.servers[0].Down)
		r.want("told", r.told(), "server TCP 10.0.0.100:80 10.0.0.11:80 DOWN, service TCP 10.0.0.100:80 DOWN")
	})
}

// TestRule14_2_Start: the service, what is up, what is inhibited with weight 0, and the idle sorry server that is inhibited.
func TestRule14_2_Start(t *testing.T) {
	holds(t, func(s *holdfast.Service) {
		s.Servers[1].Inhibit, s.Sorry = true, sorryServer(true)
		s.Servers[1].Checks = []check.Probe{s.Servers[1].Checks[0]}
		s.Servers[1].Checks[0].Alpha = true
	}, func(r *rule) {
		r.wantTable(r.T, "-A -t 10.0.0.100:80 -s rr\n-a"+dest+"11:80 -m -w 1\n-a"+dest+"12:80 -m -w 0\n-a"+dest+"99:80 -m -w 0")
	})
}

// TestRule14_4_Stop: what is ours goes, inhibited servers too, and nothing else.
func TestRule14_4_Stop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stranger := ipvs.Diff(nil, []ipvs.Service{{ServiceKey: key("10.0.0.200:80"), Scheduler: "rr"}})
		if err := w.table.Apply(t.Context(), stranger); err != nil {
			t.Fatal(err)
		}
		s := w.service("10.0.0.100:80")
		s.Servers[0].Inhibit = true
		w.servers[0].Down()
		w.start(t, holdfast.Spec{Services: []holdfast.Service{s}})
		time.Sleep(10 * time.Second)
		w.stop(t)
		w.wantTable(t, "-A -t 10.0.0.200:80 -s rr")
	})
}

// TestRule14_9_SameService: the key, or the name of a group, makes a service the same; it keeps its quorum and verdicts.
func TestRule14_9_SameService(t *testing.T) {
	holds(t, func(s *holdfast.Service) { s.Name, s.Keys = "group G", []ipvs.ServiceKey{s.ServiceKey} }, func(r *rule) {
		r.took(r.servers[0].Down)
		r.told()
		r.want("another first entry", r.change(func(s *holdfast.Service) {
			s.ServiceKey = key("10.0.0.50:80")
			s.Keys = []ipvs.ServiceKey{s.ServiceKey, key("10.0.0.100:80")}
		}), "-A -t 10.0.0.50:80 -s rr\n-a -t 10.0.0.50:80 -r 10.0.0.12:80 -m -w 1\n")
		r.want("told", r.told(), "apply spec")
	})
}

func TestRule14_11_ServiceGone(t *testing.T) {
	holds(t, nil, func(r *rule) {
		r.took(r.servers[0].Down)
		r.told()
		before := len(r.table.Ops())
		if err := r.c.Apply(r.Context(), holdfast.Spec{}); err != nil {
			t.Fatal(err)
		}
		r.want("operations", r.table.Ops()[before:].String(), "-D -t 10.0.0.100:80\n")
		r.want("told", r.told(), "server TCP 10.0.0.100:80 10.0.0.12:80 DOWN, service TCP 10.0.0.100:80 DOWN, apply spec")
	})
}

func TestRule14_12_ServerGone(t *testing.T) {
	holds(t, func(s *holdfast.Service) { s.Quorum = 2 }, func(r *rule) {
		r.told()
		r.want("operations", r.change(func(s *holdfast.Service) { s.Servers = s.Servers[:1] }), "-d -t 10.0.0.100:80 -r 10.0.0.12:80\n")
		r.want("told", r.told(), "server TCP 10.0.0.100:80 10.0.0.12:80 DOWN, service TCP 10.0.0.100:80 DOWN, apply spec")
	})
}

func TestRule14_13_ServiceKept(t *testing.T) {
	holds(t, nil, func(r *rule) {
		r.want("nothing differs", r.change(func(*holdfast.Service) {}), "")
		r.want("another scheduler", r.change(func(s *holdfast.Service) { s.Scheduler, s.Persistence = "wlc", time.Minute }), "-E -t 10.0.0.100:80 -s wlc -p 60\n")
	})
}

func TestRule14_14_ServerKept(t *testing.T) {
	holds(t, nil, func(r *rule) {
		r.want("weight", r.change(func(s *holdfast.Service) { s.Servers[0].Weight = 7 }), "-e"+dest+"11:80 -m -w 7\n")
		r.want("method", r.change(func(s *holdfast.Service) { s.Servers[0].Forward = ipvs.Direct }), "-e"+dest+"11:80 -g -w 7\n")
		r.want("thresholds", r.change(func(s *holdfast.Service) { s.Servers[0].UpperThreshold = 9 }), "-e"+dest+"11:80 -g -w 7 -x 9 -y 0\n")
	})
}

// TestRule14_15_AnotherPort: a server that moves to another port, because DR has the service's, leaves nothing behind.
func TestRule14_15_AnotherPort(t *testing.T) {
	holds(t, func(s *holdfast.Service) {
		s.Name, s.Keys = "group G", []ipvs.ServiceKey{s.ServiceKey}
		s.Servers[0].Addr = netip.MustParseAddrPort("10.0.0.11:8080")
	}, func(r *rule) {
		r.want("operations", r.change(func(s *holdfast.Service) { s.Servers[0].Forward = ipvs.Direct }),
			"-a"+dest+"11:80 -g -w 1\n-d -t 10.0.0.100:80 -r 10.0.0.11:8080\n")
	})
}

// TestRule14_16_OffsetsAreKept: what a check says about weight is added to the new one.
func TestRule14_16_OffsetsAreKept(t *testing.T) {
	holds(t, nil, func(r *rule) {
		r.want("the check's word", r.took(func() { r.servers[0].Say(check.Report{Weight: check.Offset(4)}) }), "-e"+dest+"11:80 -m -w 5\n")
		r.want("another weight", r.change(func(s *holdfast.Service) { s.Servers[0].Weight = 10 }), "-e"+dest+"11:80 -m -w 14\n")
	})
}

func TestRule14_20_FailedChecksRemoved(t *testing.T) {
	holds(t, nil, func(r *rule) {
		r.took(r.servers[0].Down)
		r.told()
		r.want("operations", r.change(func(s *holdfast.Service) { s.Servers[0].Checks = nil }), "-a"+dest+"11:80 -m -w 1\n")
		r.want("told", r.told(), "server TCP 10.0.0.100:80 10.0.0.11:80 UP, apply spec")
	})
}

func TestRule14_22_InhibitToggled(t *testing.T) {
	holds(t, nil, func(r *rule) {
		r.took(r.servers[0].Down)
		r.want("on", r.change(func(s *holdfast.Service) { s.Servers[0].Inhibit = true }), "-a"+dest+"11:80 -m -w 0\n")
		r.want("off", r.change(func(s *holdfast.Service) { s.Servers[0].Inhibit = false }), "-d -t 10.0.0.100:80 -r 10.0.0.11:80\n")
	})
}

func TestRule14_23_SorryServerChanged(t *testing.T) {
	holds(t, func(s *holdfast.Service) { s.Sorry = sorryServer(false) }, func(r *rule) {
		r.took(func() { r.servers[0].Down(); r.servers[1].Down() })
		r.wantTable(t, "-A -t 10.0.0.100:80 -s rr\n-a"+dest+"99:80 -m -w 1")
		r.want("another", r.change(func(s *holdfast.Service) {
			other := *sorryServer(false)
			other.Addr = netip.MustParseAddrPort("10.0.0.98:80")
			s.Sorry = &other
		}), "-a"+dest+"98:80 -m -w 1\n-d -t 10.0.0.100:80 -r 10.0.0.99:80\n")
		r.want("none", r.change(func(s *holdfast.Service) { s.Sorry = nil }), "-d -t 10.0.0.100:80 -r 10.0.0.98:80\n")
	})
}

func TestRule14_24_QuorumChanged(t *testing.T) {
	holds(t, func(s *holdfast.Service) { s.Sorry = sorryServer(false) }, func(r *rule) {
		r.took(r.servers[0].Down)
		r.told()
		r.want("quorum 2", r.change(func(s *holdfast.Service) { s.Quorum = 2 }), "-a"+dest+"99:80 -m -w 1\n-d -t 10.0.0.100:80 -r 10.0.0.12:80\n")
		r.want("told", r.told(), "service TCP 10.0.0.100:80 DOWN, apply spec")
		r.want("hysteresis", r.change(func(s *holdfast.Service) { s.Quorum = 1 }), "-a"+dest+"12:80 -m -w 1\n-d -t 10.0.0.100:80 -r 10.0.0.99:80\n")
	})
}

func TestRule14_25_EntriesOfAGroup(t *testing.T) {
	holds(t, func(s *holdfast.Service) {
		s.Name, s.Keys = "group G", []ipvs.ServiceKey{s.ServiceKey, key("10.0.0.101:80")}
	}, func(r *rule) {
		r.took(r.servers[0].Down)
		r.want("operations", r.change(func(s *holdfast.Service) { s.Keys[1] = key("10.0.0.102:80") }),
			"-A -t 10.0.0.102:80 -s rr\n-a -t 10.0.0.102:80 -r 10.0.0.12:80 -m -w 1\n-D -t 10.0.0.101:80\n")
	})
}

// TestOneVerdictIsOneOperation among many services: nothing is sent, and nothing but Run's looks is read, for the others.
func TestOneVerdictIsOneOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		spec := holdfast.Spec{Services: []holdfast.Service{w.service("10.0.0.100:80")}}
		for i := range 300 {
			s := w.service("10.0.1.1:80")
			s.ServiceKey.Addr = netip.AddrPortFrom(s.ServiceKey.Addr.Addr(), uint16(1000+i))
			for j := range s.Servers {
				s.Servers[j].Checks = nil
			}
			spec.Services = append(spec.Services, s)
		}
		counted := &countingTable{Fake: w.table}
		w.c = holdfast.New(holdfast.Options{Network: w.lan.Host("10.0.0.1"), Table: counted, RepairInterval: time.Hour})
		w.start(t, spec)
		time.Sleep(10 * time.Second)
		*counted = countingTable{Fake: w.table}
		before := len(w.table.Ops())
		w.servers[1].Down()
		time.Sleep(10 * time.Second)
		if got := w.table.Ops()[before:].String(); got != "-d -t 10.0.0.100:80 -r 10.0.0.12:80\n" || counted.applies != 1 || counted.reads != 0 {
			t.Errorf("one verdict: %d batches, %d reads:\n%s", counted.applies, counted.reads, got)
		}
		w.stop(t)
	})
}

// countingTable counts batches and reads.
type countingTable struct {
	*ipvstest.Fake
	applies, reads int
}

func (c *countingTable) Apply(ctx context.Context, p ipvs.Plan) error {
	c.applies++
	return c.Fake.Apply(ctx, p)
}

func (c *countingTable) Services(ctx context.Context) ([]ipvs.ServiceStatus, error) {
	c.reads++
	return c.Fake.Services(ctx)
}

func (c *countingTable) Service(ctx context.Context, key ipvs.ServiceKey) (ipvs.ServiceStatus, error) {
	c.reads++
	return c.Fake.Service(ctx, key)
}
