// Package ipvstest has a load-balancing table in memory, for tests without a kernel, and the suite that any table must pass.
package ipvstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-lb/holdfast/ipvs"
)

// Fake is an [ipvs.Table] with the kernel's semantics: it refuses what the kernel refuses, with the same kinds of errors.
// The zero value is an empty table. Its methods may be called from any goroutine.
type Fake struct {
	// Schedulers that exist. Nil means those of a current kernel.
	Schedulers []string
	// Fail, when not nil, is asked before each operation; an error makes that operation fail with it.
	Fail func(ipvs.Op) error

	mu       sync.Mutex // guards the fields below
	services []*entry   // in the order in which they were added
	ops      ipvs.Plan
}

type entry struct {
	service ipvs.Service
}

var _ ipvs.Table = (*Fake)(nil)

var schedulers = []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf"}

var errInvalid = errors.New("invalid argument")

// Services implements [ipvs.Table].
func (f *Fake) Services(ctx context.Context) ([]ipvs.ServiceStatus, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]ipvs.ServiceStatus, 0, len(f.services))
	for _, e := range f.services {
		all = append(all, e.status())
	}
	return all, nil
}

// Service implements [ipvs.Table].
func (f *Fake) Service(ctx context.Context, key ipvs.ServiceKey) (ipvs.ServiceStatus, error) {
	if err := ctx.Err(); err != nil {
		return ipvs.ServiceStatus{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.services {
		if e.service.ServiceKey == key {
			return e.status(), nil
		}
	}
	return ipvs.ServiceStatus{}, fmt.Errorf("ipvs: read %v: %w", key, ipvs.ErrServiceNotFound)
}

func (e *entry) status() ipvs.ServiceStatus {
	s := ipvs.ServiceStatus{Service: e.service}
	s.Service.Destinations = nil
	for _, d := range e.service.Destinations {
		s.Destinations = append(s.Destinations, ipvs.DestinationStatus{Destination: d})
	}
	return s
}

// Apply implements [ipvs.Table].
func (f *Fake) Apply(ctx context.Context, plan ipvs.Plan) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, op := range plan {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		f.ops = append(f.ops, op)
		if kind, err := f.do(op); kind != nil || err != nil {
			errs = append(errs, &ipvs.Error{Op: op, Kind: kind, Err: err})
		}
	}
	return errors.Join(errs...)
}

// Close implements [ipvs.Table]; it does nothing.
func (f *Fake) Close() error { return nil }

// Ops lists every operation that was tried so far.
func (f *Fake) Ops() ipvs.Plan {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ops)
}

// Dump is the table as ipvsadm -Sn prints it, sorted.
func (f *Fake) Dump() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []ipvs.Service
	for _, e := range f.services {
		all = append(all, e.service)
	}
	return strings.TrimSuffix(ipvs.Diff(nil, all).String(), "\n")
}

func (f *Fake) do(op ipvs.Op) (kind, err error) {
	if f.Fail != nil {
		if err := f.Fail(op); err != nil {
			return nil, err
		}
	}
	i := slices.IndexFunc(f.services, func(e *entry) bool { return e.service.ServiceKey == op.Service.ServiceKey })
	if op.Action == ipvs.AddService {
		return f.add(op.Service, i >= 0)
	}
	if i < 0 {
		return ipvs.ErrServiceNotFound, nil
	}
	switch op.Action {
	case ipvs.EditService:
		return f.edit(&f.services[i].service, op.Service)
	case ipvs.DeleteService:
		f.services = slices.Delete(f.services, i, i+1)
		return nil, nil
	}
	return destination(&f.services[i].service, op)
}

func (f *Fake) knows(s ipvs.Service) bool {
	known := f.Schedulers
	if known == nil {
		known = schedulers
	}
	return s.Scheduler == "" || slices.Contains(known, s.Scheduler)
}

func (f *Fake) add(s ipvs.Service, exists bool) (kind, err error) {
	switch {
	case exists:
		return ipvs.ErrExists, nil
	case !f.knows(s):
		return ipvs.ErrSchedulerNotFound, nil
	}
	s = normal(s)
	s.Destinations = nil
	f.services = append(f.services, &entry{service: s})
	return nil, nil
}

func (f *Fake) edit(have *ipvs.Service, s ipvs.Service) (kind, err error) {
	if !f.knows(s) {
		return ipvs.ErrSchedulerNotFound, nil
	}
	s = normal(s)
	s.Destinations = have.Destinations
	*have = s
	return nil, nil
}

// normal is how the kernel reads the service back.
func normal(s ipvs.Service) ipvs.Service {
	if s.Scheduler == "" {
		s.Scheduler = "wlc"
	}
	if s.Persistence == 0 {
		s.Granularity = 0
	}
	return s
}

func destination(s *ipvs.Service, op ipvs.Op) (kind, err error) {
	d := op.Destination
	i := slices.IndexFunc(s.Destinations, func(x ipvs.Destination) bool { return x.Addr == d.Addr })
	switch {
	case op.Action == ipvs.AddDestination && i >= 0:
		return ipvs.ErrExists, nil
	case op.Action != ipvs.AddDestination && i < 0:
		return ipvs.ErrDestinationNotFound, nil
	case op.Action == ipvs.DeleteDestination:
		s.Destinations = slices.Delete(slices.Clone(s.Destinations), i, i+1)
		return nil, nil
	case d.Weight < 0 || d.LowerThreshold > d.UpperThreshold:
		return nil, fmt.Errorf("weight %d, thresholds %d and %d: %w", d.Weight, d.LowerThreshold, d.UpperThreshold, errInvalid)
	case op.Action == ipvs.AddDestination:
		s.Destinations = append(slices.Clone(s.Destinations), d)
	default:
		s.Destinations = slices.Clone(s.Destinations)
		s.Destinations[i] = d
	}
	return nil, nil
}
