package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/holdfast-lb/holdfast/ipvs"
)

// Options of a [Relay]. The zero value is usable.
type Options struct {
	// Logger gets what goes wrong, connections that fail at Debug level. Nil discards.
	Logger *slog.Logger
	// DialTimeout bounds the connection to a destination. 0 means 5 s.
	DialTimeout time.Duration
	// UDPTimeout is how long a client's datagrams go to the same destination after the last one, in either direction. 0 means
	// 300 s, which is the kernel's.
	UDPTimeout time.Duration
	// Descriptors bounds the sockets of connections: a TCP connection has two, a UDP session one. When they are in use, further
	// TCP connections wait to be accepted and datagrams of further clients are dropped. 0 means 15 of 16 that this process may
	// have, so that checks can still be made.
	Descriptors int
}

// Relay is a table in user space. Its methods may be called from any goroutine. It runs goroutines from the first service that
// is added until Close.
type Relay struct {
	o      Options
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup
	room   *semaphore.Weighted // for descriptors
	full   atomic.Int64        // when it was last told that there is none, in nanoseconds

	mu       sync.Mutex // guards the field below, and orders changes
	services map[ipvs.ServiceKey]*service
}

var _ ipvs.Table = (*Relay)(nil)

// New makes a Relay without services. It starts nothing.
func New(o Options) *Relay {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.DialTimeout = cmp.Or(o.DialTimeout, 5*time.Second)
	o.UDPTimeout = cmp.Or(o.UDPTimeout, 300*time.Second)
	if o.Descriptors == 0 {
		o.Descriptors = descriptors() / 16 * 15
	}
	r := &Relay{o: o, services: make(map[ipvs.ServiceKey]*service), room: semaphore.NewWeighted(int64(max(o.Descriptors, 2)))}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// take takes descriptors if there are any. That there are none is told every ten seconds at most.
func (r *Relay) take(count int64) bool {
	if r.room.TryAcquire(count) {
		return true
	}
	now, last := time.Now().UnixNano(), r.full.Load()
	if now-last > int64(10*time.Second) && r.full.CompareAndSwap(last, now) {
		r.o.Logger.Warn("no descriptors are left: TCP connections wait, datagrams of new clients are dropped", "descriptors", r.o.Descriptors)
	}
	return false
}

// Services implements [ipvs.Table].
func (r *Relay) Services(ctx context.Context) ([]ipvs.ServiceStatus, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]ipvs.ServiceStatus, 0, len(r.services))
	for _, s := range r.services {
		list = append(list, s.status())
	}
	return list, nil
}

// Service implements [ipvs.Table].
func (r *Relay) Service(ctx context.Context, key ipvs.ServiceKey) (ipvs.ServiceStatus, error) {
	if err := ctx.Err(); err != nil {
		return ipvs.ServiceStatus{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.services[key]
	if s == nil {
		return ipvs.ServiceStatus{}, fmt.Errorf("relay: service %v: %w", key, ipvs.ErrServiceNotFound)
	}
	return s.status(), nil
}

// Apply implements [ipvs.Table].
func (r *Relay) Apply(ctx context.Context, plan ipvs.Plan) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for i, op := range plan {
		if err := cmp.Or(ctx.Err(), r.ctx.Err()); err != nil {
			return errors.Join(append(errs, fmt.Errorf("relay: %d operations not tried: %w", len(plan)-i, err))...)
		}
		if kind, err := r.do(op); kind != nil || err != nil {
			errs = append(errs, &ipvs.Error{Op: op, Kind: kind, Err: err})
		}
	}
	return errors.Join(errs...)
}

// Close ends every connection and waits until nothing runs any more. The table is empty afterwards.
func (r *Relay) Close() error {
	r.mu.Lock()
	r.cancel()
	for key, s := range r.services {
		s.close()
		delete(r.services, key)
	}
	r.mu.Unlock()
	r.work.Wait()
	return nil
}

// do does one operation. The kind is one of package ipvs.
func (r *Relay) do(op ipvs.Op) (kind, err error) {
	s := r.services[op.Service.ServiceKey]
	if op.Action == ipvs.AddService {
		if s != nil {
			return ipvs.ErrExists, nil
		}
		return r.add(op.Service)
	}
	if s == nil {
		return ipvs.ErrServiceNotFound, nil
	}
	switch op.Action {
	case ipvs.EditService:
		return s.edit(op.Service)
	case ipvs.DeleteService:
		s.close()
		delete(r.services, s.key)
		return nil, nil
	case ipvs.AddDestination, ipvs.EditDestination, ipvs.DeleteDestination:
		return s.change(op.Action, op.Destination)
	}
	return nil, fmt.Errorf("%v: %w", op.Action, errors.ErrUnsupported)
}

func (r *Relay) add(wish ipvs.Service) (kind, err error) {
	wish.Destinations = nil
	if kind, err := check(&wish); kind != nil || err != nil {
		return kind, err
	}
	s := &service{relay: r, key: wish.ServiceKey, udpSessions: make(map[sessionKey]*session)}
	s.ctx, s.stop = context.WithCancel(r.ctx)
	s.set(wish)
	if err := s.listen(); err != nil {
		s.stop()
		return nil, err
	}
	r.services[s.key] = s
	return nil, nil
}

// check refuses what cannot be relayed.
func check(s *ipvs.Service) (kind, err error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if !slices.Contains(schedulers, cmp.Or(s.Scheduler, "wlc")) {
		return ipvs.ErrSchedulerNotFound, nil
	}
	switch {
	case s.FWMark != 0, s.Protocol != ipvs.TCP && s.Protocol != ipvs.UDP, s.Addr.Port() == 0:
		return nil, fmt.Errorf("%w: the relay serves TCP and UDP at an address and a port", errors.ErrUnsupported)
	case s.Engine != "":
		return nil, fmt.Errorf("%w: the relay has no persistence engine %s", errors.ErrUnsupported, s.Engine)
	}
	return nil, nil
}
