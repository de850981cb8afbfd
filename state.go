package holdfast

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// state is the verdict on every server, and what follows from it for the table. It is pure: no clock, no goroutine.
type state struct {
	services []*serviceState
	trackers []*trackerState
	probes   map[string]*probeState
	list     []check.Probe // those that came, for the Monitor

	owners map[ipvs.ServiceKey][]*serviceState // of each entry: one, or several that share a mark
	dirty  []*serviceState                     // what changed since changed was asked

	// known is asked for the verdict that a probe would begin with because another one asks the same. Nil knows nothing.
	known func(*check.Probe) (check.Verdict, bool)

	present    map[netip.Addr]bool // addresses of this host when it was looked last
	suspending bool                // there are services whose checks depend on them
}

type serviceState struct {
	name    string
	pool    *ipvs.Pool
	servers []*serverState
	quorum  bool
	want    []ipvs.Service // one for each entry
	rests   bool           // its checks are suspended
}

type serverState struct {
	service *serviceState
	name    string // the service's and its own address
	weight  int    // as configured
	probes  []*probeState
	out     bool // in maintenance
	drain   bool
}

// probeState is a check of a server, or of a tracker.
type probeState struct {
	server  *serverState
	tracker *trackerState
	id      string
	up      bool
	alpha   bool // it counts as down until it has spoken
	weight  check.Weight
}

type trackerState struct {
	name    string
	effects []Effect
	probe   *probeState
}

// newState begins with the verdicts of old where the service or probe is the same, and else with what the probe starts as.
func newState(spec *Spec, old *state) *state {
	s := &state{probes: make(map[string]*probeState), owners: make(map[ipvs.ServiceKey][]*serviceState), known: old.known, present: old.present}
	quorums := make(map[string]bool, len(old.services))
	for _, service := range old.services {
		quorums[service.name] = service.quorum
	}
	for i := range spec.Services {
		service := s.addService(&spec.Services[i], old)
		service.evaluate(quorums[service.name]) // a new service has its quorum to gain
		s.own(service)
		s.services = append(s.services, service)
	}
	s.addTrackers(spec, old)
	return s
}

func (s *state) addTrackers(spec *Spec, old *state) {
	for i := range spec.Trackers {
		t := &trackerState{name: spec.Trackers[i].Name, effects: spec.Trackers[i].Effects}
		t.probe = s.addProbe(spec.Trackers[i].probe(), old)
		t.probe.tracker = t
		s.trackers = append(s.trackers, t)
	}
}

func (s *state) own(service *serviceState) {
	for _, entry := range service.want {
		s.owners[entry.ServiceKey] = append(s.owners[entry.ServiceKey], service)
	}
}

// move is a service before and after a change of the Spec; nil where there is none.
type move struct{ was, is *serviceState }

// change is what came of a change of the Spec.
type change struct {
	moves []move
	// probes are those to run, of what changed; gone are the IDs of those to run no more.
	probes []check.Probe
	gone   []string
	// entries that nobody wants any more. What is to be in the table is what changed tells.
	removed []ipvs.ServiceKey
}

// update brings the state from the Spec that it is of to another. Services that are the same are not touched.
func (s *state) update(spec *Spec, d *delta) (c change) {
	old := &state{services: s.services, trackers: s.trackers, probes: s.probes, known: s.known}
	s.list, s.trackers, s.services = make([]check.Probe, 0, probesOf(spec, d.changed)), nil, make([]*serviceState, len(spec.Services))
	if len(old.services) == 0 { // all of it comes at once
		s.probes = grown(s.probes, cap(s.list))
		s.owners = make(map[ipvs.ServiceKey][]*serviceState, len(spec.Services))
		s.dirty = make([]*serviceState, 0, len(spec.Services))
	}
	for i, same := range d.same {
		if same {
			s.services[i] = old.services[d.before[i]]
		}
	}
	gone := make(map[string]bool)
	c.moves = make([]move, 0, len(d.gone)+len(d.changed))
	for _, i := range d.gone {
		c.moves = append(c.moves, move{was: old.services[i]})
	}
	for _, i := range d.changed {
		m := move{}
		if d.before[i] >= 0 {
			m.was = old.services[d.before[i]]
		}
		c.moves = append(c.moves, m)
	}
	for _, m := range c.moves {
		s.disown(m.was, gone)
	}
	for _, t := range old.trackers {
		gone[t.probe.id] = true
	}
	s.add(spec, d, old, c.moves[len(d.gone):])
	s.addTrackers(spec, old)
	for _, p := range s.list {
		delete(gone, p.ID)
	}
	for id := range gone {
		delete(s.probes, id)
		c.gone = append(c.gone, id)
	}
	c.probes, c.removed = s.list, s.unowned(c.moves)
	s.list = nil
	return c
}

// grown is a map with room for so many more.
func grown[K comparable, V any](old map[K]V, more int) map[K]V {
	m := make(map[K]V, len(old)+more)
	maps.Copy(m, old)
	return m
}

// probesOf counts the checks of some services, and those of the trackers.
func probesOf(spec *Spec, services []int) int {
	n := len(spec.Trackers)
	for _, i := range services {
		for j := range spec.Services[i].Servers {
			n += len(spec.Services[i].Servers[j].Checks)
		}
	}
	return n
}

// begin takes the verdicts that probes of a change really begin with.
func (s *state) begin(c *change, verdicts []check.Verdict) {
	for i, v := range verdicts {
		p := s.probes[c.probes[i].ID]
		if p.up == v.Up && p.weight == v.Weight {
			continue
		}
		if p.up, p.weight = v.Up, v.Weight; p.server != nil {
			service := p.server.service
			service.evaluate(service.quorum)
		}
	}
}

// disown takes a service out, but for its probes: those that are not needed any more are known later.
func (s *state) disown(service *serviceState, gone map[string]bool) {
	if service == nil {
		return
	}
	for _, entry := range service.want {
		s.owners[entry.ServiceKey] = slices.DeleteFunc(s.owners[entry.ServiceKey], func(o *serviceState) bool { return o == service })
		s.dirty = append(s.dirty, s.owners[entry.ServiceKey]...) // they have it for themselves now
	}
	s.dirty = slices.DeleteFunc(s.dirty, func(o *serviceState) bool { return o == service })
	for _, server := range service.servers {
		for _, p := range server.probes {
			gone[p.id] = true
		}
	}
}

// add puts in what changed.
func (s *state) add(spec *Spec, d *delta, old *state, moves []move) {
	for n, i := range d.changed {
		service := s.addService(&spec.Services[i], old)
		service.evaluate(moves[n].was != nil && moves[n].was.quorum)
		s.own(service)
		s.services[i], moves[n].is = service, service
		s.dirty = append(s.dirty, service)
	}
}

// unowned are the entries of what was that nobody wants any more.
func (s *state) unowned(moves []move) (keys []ipvs.ServiceKey) {
	for _, m := range moves {
		if m.was == nil {
			continue
		}
		for _, entry := range m.was.want {
			if len(s.owners[entry.ServiceKey]) == 0 && !slices.Contains(keys, entry.ServiceKey) {
				delete(s.owners, entry.ServiceKey)
				keys = append(keys, entry.ServiceKey)
			}
		}
	}
	return keys
}

// addProbe begins with the verdict that there is already.
func (s *state) addProbe(p check.Probe, old *state) *probeState {
	s.list = append(s.list, p)
	state := &probeState{id: p.ID, up: !p.Alpha, alpha: p.Alpha}
	if before := old.probes[p.ID]; before != nil {
		state.up, state.weight = before.up, before.weight
	}
	if old.known != nil {
		if v, known := old.known(&s.list[len(s.list)-1]); known {
			state.up, state.weight = v.Up, v.Weight
		}
	}
	s.probes[p.ID] = state
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
			t.Priority += weight + tracker.probe.weight.Change(0)
			if fault {
				t.Fault, t.Reason = true, tracker.name+" is "+upDown(tracker.probe.up)
			}
		}
	}
	return t
}

func (s *state) addService(spec *Service, old *state) *serviceState {
	service := &serviceState{name: spec.String(), pool: spec.pool(), servers: make([]*serverState, len(spec.Servers)), rests: spec.suspends(s.present)}
	s.suspending = s.suspending || spec.HASuspend
	for i := range spec.Servers {
		from := &spec.Servers[i]
		server := &serverState{
			service: service, name: ServerKey{service.name, from.Addr}.String(), probes: make([]*probeState, 0, len(from.Checks)),
			weight: from.Weight, out: from.Maintenance, drain: from.Drain,
		}
		for p := range from.probes(server.name) {
			p.Suspended = p.Suspended || service.rests
			state := s.addProbe(p, old)
			state.server = server
			server.probes = append(server.probes, state)
		}
		service.servers[i] = server
	}
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

// alpha says whether what keeps the server down may be that nothing was asked yet.
func (s *serverState) alpha() bool {
	for _, p := range s.probes {
		if !p.up && !p.alpha {
			return false
		}
	}
	return true
}

// offset is what the checks together add to the weight.
func (s *serverState) offset() (sum int) {
	for _, p := range s.probes {
		sum += p.weight.Change(s.weight)
	}
	return sum
}

func (s *serverState) health() ipvs.Health {
	return ipvs.Health{Up: s.up(), Offset: s.offset(), Drain: s.drain}
}

func (s *serviceState) health() []ipvs.Health {
	all := make([]ipvs.Health, len(s.servers))
	for i, server := range s.servers {
		all[i] = server.health()
	}
	return all
}

func (s *serviceState) evaluate(had bool) {
	s.want, s.quorum = s.pool.Want(s.health(), had)
}

// want is the table as the verdicts want it.
func (s *state) want() []ipvs.Service { return s.entries(s.services) }

// changed is what verdicts made of the entries of their services since it was asked last.
func (s *state) changed() []ipvs.Service {
	dirty := s.dirty
	s.dirty = nil
	return s.entries(dirty)
}

// entries are those of the given services, each once.
func (s *state) entries(services []*serviceState) []ipvs.Service {
	list := make([]ipvs.Service, 0, len(services))
	seen := make(map[ipvs.ServiceKey]bool, len(services))
	for _, service := range services {
		for _, entry := range service.want {
			if seen[entry.ServiceKey] {
				continue
			}
			seen[entry.ServiceKey] = true
			list = append(list, s.shared(entry))
		}
	}
	return list
}

// shared adds to an entry what other services want of it.
func (s *state) shared(entry ipvs.Service) ipvs.Service {
	owners := s.owners[entry.ServiceKey]
	if len(owners) == 1 {
		return entry
	}
	var all []ipvs.Service
	for _, owner := range owners {
		for _, e := range owner.want {
			if e.ServiceKey == entry.ServiceKey {
				all = append(all, e)
			}
		}
	}
	return ipvs.MergeServices(all...)
}

// verdict takes what a probe now says and returns what it means for its server and its service, or its tracker. A probe that
// is no longer wished for means nothing.
func (s *state) verdict(t check.Transition) (events []Event) {
	probe := s.probes[t.ID]
	if probe == nil || probe.up == t.Up && probe.weight == t.Weight {
		return nil
	}
	tell := func(kind EventKind, object, from, to string) {
		if from != to {
			events = append(events, Event{Time: t.At, Kind: kind, Object: object, From: from, To: to, Reason: t.Reason(), Took: t.Took})
		}
	}
	if probe.tracker != nil {
		was, added := probe.up, probe.weight.Change(0)
		probe.up, probe.weight = t.Up, t.Weight
		tell(EventTracker, probe.tracker.name, upDown(was), upDown(t.Up))
		tell(EventWeight, probe.tracker.name, fmt.Sprint(added), fmt.Sprint(probe.weight.Change(0)))
		return events
	}
	server := probe.server
	was, weight := server.up(), server.weight+server.offset()
	probe.up, probe.weight = t.Up, t.Weight
	up, now := server.up(), server.weight+server.offset()
	tell(EventServer, server.name, upDown(was), upDown(up))
	if up {
		tell(EventWeight, server.name, fmt.Sprint(max(weight, 0)), fmt.Sprint(max(now, 0)))
	}
	if up == was && now == weight {
		return nil
	}
	return append(events, s.reevaluate(server.service, t)...)
}

// reevaluate is for a service of which a server changed.
func (s *state) reevaluate(service *serviceState, t check.Transition) []Event {
	had := service.quorum
	service.evaluate(had)
	s.dirty = append(s.dirty, service)
	if service.quorum == had {
		return nil
	}
	return []Event{{
		Time: t.At, Kind: EventService, Object: service.name, From: upDown(had), To: upDown(service.quorum),
		Reason: fmt.Sprintf("live weight %d, quorum %d, hysteresis %d", service.liveWeight(), max(service.pool.Quorum, 1), service.pool.Hysteresis),
	}}
}

func (s *serviceState) liveWeight() int { return s.pool.LiveWeight(s.health()) }

func upDown(up bool) string {
	if up {
		return "UP"
	}
	return "DOWN"
}
