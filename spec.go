package holdfast

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/bfd"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// Spec is everything that a Controller should hold. It is a value: the Controller copies what it keeps. The zero value holds
// nothing.
type Spec struct {
	// Instances are the VRRP instances. Their names are unique.
	Instances []vrrp.Instance
	// Host is what the instances share on their host.
	Host vrrp.Host
	// Services are the entries of the load balancer's table. Their keys are unique.
	Services []Service
	// Tuning is what the table is to have beside services.
	Tuning Tuning
	// Trackers move the priorities of instances. Their names are unique.
	Trackers []Tracker
	// Sessions are BFD sessions with neighbours. A [bfd.Follow] without a Speaker, as the checker of a server or a tracker, is
	// about the one of its name.
	Sessions []bfd.Session
	// Notify says who is told of what happens.
	Notify Notify
	// Startup is run before anything else, Shutdown after everything. Their failure is told and changes nothing. Nil means none.
	Startup, Shutdown *Program
}

// Tracker is a check of whatever kind whose verdict moves instances: a vrrp_script, or any Checker. One without effects is only told,
// such as a check of a service at its virtual address.
type Tracker struct {
	Name string
	// Probe looks. Its ID need not be set.
	Probe check.Probe
	// Effects say what its verdict does, and to which instances.
	Effects []Effect
}

// Effect is what a Tracker does to an instance; see [vrrp.Contribution]. What the tracker's check says about weight is added
// to the priority beside it.
type Effect struct {
	Instance string
	Weight   int
	Reverse  bool
}

func (t *Tracker) probe() check.Probe {
	p := t.Probe
	p.ID = "track " + t.Name
	return p
}

// Service is an entry of the load balancer's table with the servers behind it, or several entries with the same servers.
type Service struct {
	// Service is the entry itself; its Destinations are not looked at.
	ipvs.Service
	// Name is what the service is called in events, in Status and in the IDs of its checks. It is unique, and a service that
	// keeps its name keeps its verdicts and its quorum. Empty means the text of its key.
	Name string
	// Keys, Servers, Sorry, Quorum and Hysteresis are those of an [ipvs.Pool]. With Keys there must be a Name, and ServiceKey is
	// one of them: verbs call the service so.
	Keys               []ipvs.ServiceKey
	Servers            []Server
	Sorry              *ipvs.RealServer
	Quorum, Hysteresis int
	// Omega says that at the end of Run the service and its servers are told as DOWN.
	Omega bool
	// HASuspend lets the checks rest while this host has none of the service's addresses: verdicts stay as they are. Addresses that
	// count are those on interfaces of instances and, without an [Options.Network], any of the host's.
	HASuspend bool
}

// String is the name.
func (s *Service) String() string {
	if s.Name == "" {
		return s.ServiceKey.String()
	}
	return s.Name
}

func (s *Service) keys() []ipvs.ServiceKey {
	if len(s.Keys) == 0 {
		return []ipvs.ServiceKey{s.ServiceKey}
	}
	return s.Keys
}

// Server is a real server and what says whether it is well.
type Server struct {
	ipvs.RealServer
	// Checks must all be of the opinion that the server is well. None means that it always is. A probe's ID need not be
	// set; it is made unique by the Controller, and with the server's address identifies the check: one whose ID stays the
	// same keeps its verdict when its Checker or Policy changes.
	Checks []check.Probe
	// Maintenance keeps the server out of the table and of the quorum, whatever its checks say.
	Maintenance bool
	// Drain gives the server no new connections and lets it finish those that it has: see [ipvs.Health].
	Drain bool
}

func (s *Service) pool() *ipvs.Pool { return s.poolIn(make([]ipvs.RealServer, 0, len(s.Servers))) }

// poolIn is the pool with its servers in room.
func (s *Service) poolIn(room []ipvs.RealServer) *ipvs.Pool {
	for i := range s.Servers {
		room = append(room, s.Servers[i].RealServer)
	}
	p := &ipvs.Pool{Service: s.Service, Keys: s.Keys, Servers: room, Sorry: s.Sorry, Quorum: s.Quorum, Hysteresis: s.Hysteresis}
	p.Service.Destinations = nil
	return p
}

// probes are the checks of a server of that name, with the IDs by which the Monitor knows them.
func (s *Server) probes(name string) iter.Seq[check.Probe] {
	return func(yield func(check.Probe) bool) {
		for i, p := range s.Checks {
			p.ID = name + " " + s.checkName(i)
			if !yield(p) {
				return
			}
		}
	}
}

// checkName is the ID of a check as it is set, with a number when an earlier one has the same.
func (s *Server) checkName(i int) string {
	name, count := cmp.Or(s.Checks[i].ID, "check"), 1
	for j := range i {
		if cmp.Or(s.Checks[j].ID, "check") == name {
			count++
		}
	}
	if count > 1 {
		return name + "#" + strconv.Itoa(count)
	}
	return name
}

// Validate reports everything that is wrong with the Spec, joined.
func (s *Spec) Validate() error {
	errs := []error{s.Host.Validate(), vrrp.ValidateAll(s.Instances), s.Tuning.validate(s)}
	names := make(map[string]bool)
	owners := make(map[ipvs.ServiceKey]*Service, len(s.Services))
	var room []ipvs.RealServer // for one service after the other
	for i := range s.Services {
		service := &s.Services[i]
		twice := owners[service.ServiceKey]
		if twice != nil && twice.id() == service.id() || names[service.Name] {
			errs = append(errs, fmt.Errorf("holdfast: service %v is there twice", service))
		}
		if service.Name != "" {
			names[service.Name] = true
		}
		room = slices.Grow(room[:0], len(service.Servers))
		if err := service.validate(room); err != nil {
			errs = append(errs, err)
		}
		for _, key := range service.keys() {
			if other := owners[key]; other != nil && other != service && !sharing(key, other, service) {
				errs = append(errs, fmt.Errorf("holdfast: services %v and %v both have the entry %v: put their servers into one", other, service, key))
			}
			owners[key] = service
		}
	}
	errs = append(errs, s.validateTrackers(), s.Notify.validate(), bfd.ValidateAll(s.Sessions), s.validateFollowers())
	return errors.Join(errs...)
}

// validateFollowers looks for the sessions that checks are about.
func (s *Spec) validateFollowers() error {
	var errs []error
	look := func(of string, p *check.Probe) {
		f, follows := p.Checker.(bfd.Follow)
		if follows && f.Speaker == nil && !slices.ContainsFunc(s.Sessions, func(b bfd.Session) bool { return b.Name == f.Session }) {
			errs = append(errs, fmt.Errorf("holdfast: check of %s: there is no BFD session %q", of, f.Session))
		}
	}
	for i := range s.Trackers {
		look(s.Trackers[i].Name, &s.Trackers[i].Probe)
	}
	for i := range s.Services {
		for j := range s.Services[i].Servers {
			for k := range s.Services[i].Servers[j].Checks {
				look("a server of a service", &s.Services[i].Servers[j].Checks[k])
			}
		}
	}
	return errors.Join(errs...)
}

// sharing says whether two services may have an entry in common: a mark has no protocol, so groups for several protocols do.
func sharing(key ipvs.ServiceKey, a, b *Service) bool {
	return key.FWMark != 0 && len(a.Keys) > 0 && len(b.Keys) > 0
}

func (s *Service) validate(room []ipvs.RealServer) error {
	errs := []error{s.poolIn(room).Validate()}
	if len(s.Keys) > 0 && (s.Name == "" || !slices.Contains(s.Keys, s.ServiceKey)) {
		errs = append(errs, fmt.Errorf("holdfast: service %q of several keys: it needs a name, and %v must be one of its keys", s.Name, s.ServiceKey))
	}
	for i := range s.Servers {
		for j := range s.Servers[i].Checks {
			p := s.Servers[i].Checks[j]
			p.ID = cmp.Or(p.ID, "check")
			if err := p.Validate(); err != nil {
				errs = append(errs, fmt.Errorf("holdfast: service %v: server %v: %w", s, s.Servers[i].Addr, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (s *Spec) validateTrackers() error {
	var errs []error
	seen := make(map[string]bool)
	for i := range s.Trackers {
		t := &s.Trackers[i]
		if t.Name == "" || seen[t.Name] {
			errs = append(errs, fmt.Errorf("holdfast: tracker %q: names must be there and unique", t.Name))
		}
		seen[t.Name] = true
		errs = append(errs, t.probe().Validate())
		for _, e := range t.Effects {
			if !slices.ContainsFunc(s.Instances, func(in vrrp.Instance) bool { return in.String() == e.Instance }) {
				errs = append(errs, fmt.Errorf("holdfast: tracker %s: there is no instance %s", t.Name, e.Instance))
			}
		}
	}
	return errors.Join(errs...)
}

// clone copies what a caller could change.
func (s *Spec) clone() Spec {
	c := *s
	c.Instances, c.Services, c.Trackers, c.Notify = slices.Clone(s.Instances), slices.Clone(s.Services), slices.Clone(s.Trackers), s.Notify.clone()
	c.Host, c.Sessions = s.Host.Clone(), slices.Clone(s.Sessions)
	for i := range c.Trackers {
		c.Trackers[i].Effects = slices.Clone(c.Trackers[i].Effects)
	}
	for i := range c.Instances {
		c.Instances[i] = c.Instances[i].Clone()
	}
	for i := range c.Services {
		c.Services[i] = c.Services[i].clone()
	}
	return c
}

func (s Service) clone() Service {
	s.Keys = slices.Clone(s.Keys)
	s.Servers = slices.Clone(s.Servers)
	for i := range s.Servers {
		s.Servers[i].Checks = slices.Clone(s.Servers[i].Checks)
	}
	if s.Sorry != nil {
		sorry := *s.Sorry
		s.Sorry = &sorry
	}
	return s
}
