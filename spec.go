package holdfast

import (
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// Spec is everything that a Controller should hold. It is a value: the Controller copies what it keeps. The zero value holds
// nothing.
type Spec struct {
	// Instances are the VRRP instances. Their names are unique.
	Instances []vrrp.Instance
	// Services are the entries of the load balancer's table. Their keys are unique.
	Services []Service
}

// Service is an entry of the load balancer's table with the servers behind it.
type Service struct {
	// Service is the entry itself; its Destinations are not looked at.
	ipvs.Service
	Servers []Server
	// Sorry, Quorum and Hysteresis are those of an [ipvs.Pool].
	Sorry              *ipvs.RealServer
	Quorum, Hysteresis int
}

// Server is a real server and what says whether it is well.
type Server struct {
	ipvs.RealServer
	// Checks must all be of the opinion that the server is well. None means that it always is. A probe's ID need not be
	// set; it is made unique by the Controller, and with the server's address identifies the check: one whose ID stays the
	// same keeps its verdict when its Checker or Policy changes.
	Checks []check.Probe
}

func (s *Service) pool() *ipvs.Pool {
	p := &ipvs.Pool{Service: s.Service, Sorry: s.Sorry, Quorum: s.Quorum, Hysteresis: s.Hysteresis}
	p.Service.Destinations = nil
	for _, server := range s.Servers {
		p.Servers = append(p.Servers, server.RealServer)
	}
	return p
}

// probes are the checks of all servers, with the IDs by which the Monitor knows them, in the order of servers.
func (s *Service) probes() [][]check.Probe {
	all := make([][]check.Probe, len(s.Servers))
	for i, server := range s.Servers {
		seen := make(map[string]int)
		for _, p := range server.Checks {
			name := p.ID
			if name == "" {
				name = "check"
			}
			if seen[name]++; seen[name] > 1 {
				name = fmt.Sprintf("%s#%d", name, seen[name])
			}
			p.ID = fmt.Sprintf("%v %v %s", s.ServiceKey, server.Addr, name)
			all[i] = append(all[i], p)
		}
	}
	return all
}

// Validate reports everything that is wrong with the Spec, joined.
func (s *Spec) Validate() error {
	errs := []error{vrrp.ValidateAll(s.Instances)}
	seen := make(map[ipvs.ServiceKey]bool, len(s.Services))
	for i := range s.Services {
		service := &s.Services[i]
		errs = append(errs, service.pool().Validate())
		if seen[service.ServiceKey] {
			errs = append(errs, fmt.Errorf("holdfast: service %v is there twice", service.ServiceKey))
		}
		seen[service.ServiceKey] = true
		for _, p := range slices.Concat(service.probes()...) {
			errs = append(errs, p.Validate())
		}
	}
	return errors.Join(errs...)
}

// clone copies what a caller could change.
func (s *Spec) clone() Spec {
	c := Spec{Instances: slices.Clone(s.Instances), Services: slices.Clone(s.Services)}
	for i := range c.Instances {
		c.Instances[i].Addrs = slices.Clone(c.Instances[i].Addrs)
	}
	for i := range c.Services {
		service := &c.Services[i]
		service.Servers = slices.Clone(service.Servers)
		for j := range service.Servers {
			service.Servers[j].Checks = slices.Clone(service.Servers[j].Checks)
		}
		if service.Sorry != nil {
			sorry := *service.Sorry
			service.Sorry = &sorry
		}
	}
	return c
}
