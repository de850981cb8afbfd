// Package ipvstest has a load-balancing table in memory, for tests without a kernel, and the suite that any table must pass.
package ipvstest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast/ipvs"
)

// Fake is an [ipvs.Table] with the kernel's semantics and all methods of an [ipvs.Client]: it refuses what the kernel refuses,
// with the same kinds of errors. The zero value is an empty table. Its methods may be called from any goroutine.
type Fake struct {
	// Schedulers that exist. Nil means those of a current kernel.
	Schedulers []string
	// Fail, when not nil, is asked before each operation; an error makes that operation fail with it.
	Fail func(ipvs.Op) error

	mu       sync.Mutex // guards the fields below
	services map[ipvs.ServiceKey]*ipvs.ServiceStatus
	order    []ipvs.ServiceKey // in which they were added
	ops      ipvs.Plan
	timeouts ipvs.Timeouts
	daemons  []ipvs.SyncDaemon
	conns    []ipvs.Connection
}

var _ ipvs.Table = (*Fake)(nil)

var schedulers = []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf", "twos"}

// Services implements [ipvs.Table].
func (f *Fake) Services(ctx context.Context) ([]ipvs.ServiceStatus, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]ipvs.ServiceStatus, len(f.order))
	for i, key := range f.order {
		all[i] = clone(f.services[key])
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
	s := f.services[key]
	if s == nil {
		return ipvs.ServiceStatus{}, fmt.Errorf("ipvs: read %v: %w", key, ipvs.ErrServiceNotFound)
	}
	return clone(s), nil
}

func clone(s *ipvs.ServiceStatus) ipvs.ServiceStatus {
	c := *s
	c.Destinations = slices.Clone(s.Destinations)
	return c
}

// Apply implements [ipvs.Table].
func (f *Fake) Apply(ctx context.Context, plan ipvs.Plan) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for i, op := range plan {
		if err := ctx.Err(); err != nil {
			errs = append(errs, fmt.Errorf("ipvs: %d operations not tried: %w", len(plan)-i, err))
			break
		}
		f.ops = append(f.ops, op)
		errs = append(errs, f.try(op))
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
	all := make([]ipvs.Service, len(f.order))
	for i, key := range f.order {
		all[i] = f.services[key].Wish()
	}
	return ipvs.Diff(nil, all).String()
}

// Count changes what a destination tells of its connections and counters, or does nothing when it is not there.
func (f *Fake) Count(key ipvs.ServiceKey, addr netip.AddrPort, change func(d *ipvs.DestinationStatus)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.services[key]; s != nil {
		if i := find(s, addr); i >= 0 {
			change(&s.Destinations[i])
		}
	}
}

// Connect adds to what Connections lists.
func (f *Fake) Connect(c ...ipvs.Connection) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, c...)
}

func find(s *ipvs.ServiceStatus, addr netip.AddrPort) int {
	return slices.IndexFunc(s.Destinations, func(d ipvs.DestinationStatus) bool { return d.Addr == addr })
}

func (f *Fake) try(op ipvs.Op) error {
	if f.Fail != nil {
		if err := f.Fail(op); err != nil {
			return &ipvs.Error{Op: op, Err: err}
		}
	}
	if err := op.Validate(); err != nil {
		return err
	}
	if kind, err := f.do(op); kind != nil || err != nil {
		return &ipvs.Error{Op: op, Kind: kind, Err: err}
	}
	return nil
}

// do returns one of package ipvs's errors, and what the kernel would say.
func (f *Fake) do(op ipvs.Op) (kind, errno error) {
	s := f.services[op.Service.ServiceKey]
	switch {
	case op.Action == ipvs.AddService && s != nil:
		return ipvs.ErrExists, syscall.EEXIST
	case op.Action == ipvs.AddService:
		return f.add(op.Service)
	case s == nil:
		return ipvs.ErrServiceNotFound, syscall.ESRCH
	case op.Action == ipvs.EditService:
		return f.edit(s, op.Service)
	case op.Action == ipvs.DeleteService:
		f.remove(op.Service.ServiceKey)
		return nil, nil
	}
	return f.destination(s, op)
}

func (f *Fake) remove(key ipvs.ServiceKey) {
	delete(f.services, key)
	f.order = slices.DeleteFunc(f.order, func(k ipvs.ServiceKey) bool { return k == key })
}

func (f *Fake) add(s ipvs.Service) (kind, errno error) {
	status := &ipvs.ServiceStatus{}
	if kind, errno = f.edit(status, s); kind != nil {
		return kind, errno
	}
	if f.services == nil {
		f.services = make(map[ipvs.ServiceKey]*ipvs.ServiceStatus)
	}
	f.services[s.ServiceKey] = status
	f.order = append(f.order, s.ServiceKey)
	return nil, nil
}

// edit puts the service in as the kernel reads it back.
func (f *Fake) edit(have *ipvs.ServiceStatus, s ipvs.Service) (kind, errno error) {
	s.Scheduler = cmp.Or(s.Scheduler, "wlc")
	known := f.Schedulers
	if known == nil {
		known = schedulers
	}
	if !slices.Contains(known, s.Scheduler) || s.Engine != "" && s.Engine != "sip" {
		return ipvs.ErrSchedulerNotFound, syscall.ENOENT
	}
	if full := width(s.ServiceKey); s.Persistence == 0 || s.Granularity == full {
		s.Granularity = 0
	}
	s.Destinations = nil
	have.Service = s
	return nil, nil
}

func width(key ipvs.ServiceKey) int {
	if key.IPv6 || key.Addr.Addr().Is6() {
		return 128
	}
	return 32
}

func (f *Fake) destination(s *ipvs.ServiceStatus, op ipvs.Op) (kind, errno error) {
	d, i := op.Destination, find(s, op.Destination.Addr)
	if op.Action != ipvs.DeleteDestination && mixed(s, d) && len(f.daemons) > 0 {
		return nil, syscall.EINVAL // the messages of sync daemons cannot say it
	}
	switch {
	case op.Action == ipvs.AddDestination && i >= 0:
		return ipvs.ErrExists, syscall.EEXIST
	case op.Action == ipvs.AddDestination:
		s.Destinations = append(s.Destinations, ipvs.DestinationStatus{Destination: d})
	case i < 0:
		return ipvs.ErrDestinationNotFound, syscall.ENOENT
	case op.Action == ipvs.DeleteDestination:
		s.Destinations = slices.Delete(s.Destinations, i, i+1)
	default:
		s.Destinations[i].Destination = d
	}
	return nil, nil
}

func mixed(s *ipvs.ServiceStatus, d ipvs.Destination) bool {
	return d.Addr.Addr().BitLen() != width(s.ServiceKey)
}

// Flush is that of [ipvs.Client].
func (f *Fake) Flush(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	clear(f.services)
	f.order = nil
	return nil
}

// Zero is that of [ipvs.Client].
func (f *Fake) Zero(ctx context.Context, keys ...ipvs.ServiceKey) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(keys) == 0 {
		keys = f.order
	}
	var errs []error
	for _, key := range keys {
		s := f.services[key]
		if s == nil {
			errs = append(errs, fmt.Errorf("ipvs: zero counters of %v: %w", key, ipvs.ErrServiceNotFound))
			continue
		}
		s.Stats = ipvs.Stats{}
		for i := range s.Destinations {
			s.Destinations[i].Stats = ipvs.Stats{}
		}
	}
	return errors.Join(errs...)
}

// Info is that of [ipvs.Client].
func (f *Fake) Info(ctx context.Context) (ipvs.Info, error) {
	return ipvs.Info{Version: "1.2.1", TableSize: 4096}, ctx.Err()
}

// Timeouts is that of [ipvs.Client]. They begin as the kernel's.
func (f *Fake) Timeouts(ctx context.Context) (ipvs.Timeouts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.timeouts
	return ipvs.Timeouts{
		TCP: cmp.Or(t.TCP, 15*time.Minute), TCPFin: cmp.Or(t.TCPFin, 2*time.Minute), UDP: cmp.Or(t.UDP, 5*time.Minute),
	}, ctx.Err()
}

// SetTimeouts is that of [ipvs.Client].
func (f *Fake) SetTimeouts(ctx context.Context, t ipvs.Timeouts) error {
	if err := cmp.Or(ctx.Err(), t.Validate()); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.timeouts
	f.timeouts = ipvs.Timeouts{TCP: cmp.Or(t.TCP, old.TCP), TCPFin: cmp.Or(t.TCPFin, old.TCPFin), UDP: cmp.Or(t.UDP, old.UDP)}
	return nil
}

// SyncDaemons is that of [ipvs.Client].
func (f *Fake) SyncDaemons(ctx context.Context) ([]ipvs.SyncDaemon, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.daemons), ctx.Err()
}

// StartSync is that of [ipvs.Client]. Every interface is there. The kernel's defaults are put in for what is 0.
func (f *Fake) StartSync(ctx context.Context, d ipvs.SyncDaemon) error {
	if err := cmp.Or(ctx.Err(), d.Validate()); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.daemon(d.Role) >= 0 {
		return fmt.Errorf("ipvs: start sync daemon %v on %s: %w", d.Role, d.Interface, ipvs.ErrExists)
	}
	if !d.Group.IsValid() {
		d.Group = netip.AddrFrom4([4]byte{224, 0, 0, 81})
	}
	d.MaxLen, d.Port, d.TTL = cmp.Or(d.MaxLen, 1472), cmp.Or(d.Port, 8848), cmp.Or(d.TTL, 1)
	f.daemons = append(f.daemons, d)
	return nil
}

// StopSync is that of [ipvs.Client].
func (f *Fake) StopSync(ctx context.Context, role ipvs.SyncRole) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	i := f.daemon(role)
	if i < 0 {
		return fmt.Errorf("ipvs: stop sync daemon %v: none runs: %w", role, fs.ErrNotExist)
	}
	f.daemons = slices.Delete(f.daemons, i, i+1)
	return nil
}

func (f *Fake) daemon(role ipvs.SyncRole) int {
	return slices.IndexFunc(f.daemons, func(d ipvs.SyncDaemon) bool { return d.Role == role })
}

// Connections is that of [ipvs.Client]: what Connect added.
func (f *Fake) Connections(ctx context.Context) iter.Seq2[ipvs.Connection, error] {
	f.mu.Lock()
	conns := slices.Clone(f.conns)
	f.mu.Unlock()
	return func(yield func(ipvs.Connection, error) bool) {
		for _, c := range conns {
			if err := ctx.Err(); !yield(c, err) || err != nil {
				return
			}
		}
	}
}
