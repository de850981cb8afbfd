package holdfast

import (
	"fmt"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// state is the verdict on every server, and what follows from it for the table. It is pure: no clock, no goroutine.
type state struct {
	services []*serviceState
	trackers []*trackerState
	probes   map[string]*probeState
	list     []check.Probe // all probes, for the Monitor
}

type serviceState struct {
	key     ipvs.ServiceKey
	pool    *ipvs.Pool
	servers []*serverState
	quorum  bool
	want    ipvs.Service
}

type serverState struct {
	service *serviceState
	name    string // the service's key and its own address
	probes  []*probeState
	out     bool // in maintenance
}

// probeState is a check of a server, or of a tracker.
type probeState struct {
	server  *serverState
	tracker *trackerState
	id      string
	up      bool
}

type trackerState struct {
	name    string
	effects []Effect
	probe   *probeState
}

// newState begins with the verdicts of old where the service or probe is the same, and else with what the probe starts as.
func newState(spec *Spec, old *state) *state {
	services := spec.Services
	s := &state{probes: make(map[string]*probeState)}
	quorums := make(map[ipvs.ServiceKey]bool, len(old.services))
	for _, service := range old.services {
		quorums[service.key] = service.quorum
	}
	for i := range services {
		service := s.addService(&services[i], old)
		service.evaluate(quorums[service.key]) // a new service has its quorum to gain
	}
	for i := range spec.Trackers {
		t := &trackerState{name: spec.Trackers[i].Name, effects: spec.Trackers[i].Effects}
		t.probe = s.addProbe(spec.Trackers[i].probe(), old)
		t.probe.tracker = t
		s.trackers = append(s.trackers, t)
	}
	return s
}

// addProbe begins with the verdict that there is already.
func (s *state) addProbe(p check.Probe, old *state) *probeState {
	state := &probeState{id: p.ID, up: !p.Alpha}
	if before := old.probes[p.ID]; before != nil {
		state.up = before.up
	}
	s.probes[p.ID] = state
	s.list = append(s.list, p)
	return state
}

// tracking is what the trackers say of an instance.
func (s *state) tracking(instance string) (t vrrp.Tracking) {
	for _, tracker := range s.trackers {
		for _, e := range tracker.effects {
			if e.Instance != instance {
				continue
			}
			weight, fault := vrrp.Contribution(e.Weight, e.Reverse, tracker.probe.up)
			t.Priority += weight
			if fault {
				t.Fault, t.Reason = true, tracker.name+" is "+upDown(tracker.probe.up)
			}
		}
	}
	return t
}

func (s *state) addService(spec *Service, old *state) *serviceState {
	service := &serviceState{key: spec.ServiceKey, pool: spec.pool()}
	for i, probes := range spec.probes() {
		server := &serverState{service: service, name: fmt.Sprintf("%v %v", spec.ServiceKey, spec.Servers[i].Addr), out: spec.Servers[i].Maintenance}
		for _, p := range probes {
			state := s.addProbe(p, old)
			state.server = server
			server.probes = append(server.probes, state)
		}
		service.servers = append(service.servers, server)
	}
	s.services = append(s.services, service)
	return service
}

func (s *serverState) up() bool {
	if s.out {
		return false
	}
	for _, p := range s.probes {
		if !p.up {
			return false
		}
	}
	return true
}

func (s *serviceState) evaluate(had bool) {
	up := make([]bool, len(s.servers))
	for i, server := range s.servers {
		up[i] = server.up()
	}
	s.want, s.quorum = s.pool.Want(up, had)
}

// want is the table as the verdicts want it.
func (s *state) want() []ipvs.Service {
	table := make([]ipvs.Service, len(s.services))
	for i, service := range s.services {
		table[i] = service.want
	}
	return table
}

// verdict takes a probe's new verdict and returns what it means for its server and its service. A probe that is no longer
// wished for means nothing.
func (s *state) verdict(t check.Transition) (events []Event) {
	probe := s.probes[t.ID]
	if probe == nil || probe.up == t.Up {
		return nil
	}
	if probe.tracker != nil {
		probe.up = t.Up
		return []Event{{Time: t.At, Kind: EventTracker, Object: probe.tracker.name, From: upDown(!t.Up), To: upDown(t.Up), Reason: t.Reason(), Took: t.Took}}
	}
	service, was := probe.server.service, probe.server.up()
	probe.up = t.Up
	up := probe.server.up()
	if up == was {
		return nil
	}
	events = append(events, Event{
		Time: t.At, Kind: EventServer, Object: probe.server.name, From: upDown(was), To: upDown(up), Reason: t.Reason(), Took: t.Took,
	})
	had := service.quorum
	service.evaluate(had)
	if service.quorum != had {
		events = append(events, Event{
			Time: t.At, Kind: EventService, Object: service.key.String(), From: upDown(had), To: upDown(service.quorum),
			Reason: fmt.Sprintf("live weight %d, quorum %d, hysteresis %d", service.liveWeight(), max(service.pool.Quorum, 1), service.pool.Hysteresis),
		})
	}
	return events
}

func (s *serviceState) liveWeight() (weight int) {
	for i, server := range s.servers {
		if server.up() {
			weight += s.pool.Servers[i].Weight
		}
	}
	return weight
}

func upDown(up bool) string {
	if up {
		return "UP"
	}
	return "DOWN"
}
