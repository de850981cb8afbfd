package ipvs

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// says is what verbs and slow start say about the destinations of one service, over the wish.
type says struct {
	held  map[netip.AddrPort]hold
	ramps map[netip.AddrPort]ramp
}

// hold is a verb's word.
type hold uint8

const (
	holdIdle hold = iota + 1 // weight 0
	holdOut                  // not in the table
)

// ramp is the way of a destination to its weight.
type ramp struct {
	begin  time.Time
	weight int // of the moment
}

// Drain takes a destination out without cutting anyone off: it gets weight 0, and once its last connection has ended, or limit
// has passed, it is removed. It stays out, whatever Set and Update wish, until Restore. limit 0 means as long as it takes.
// Drain returns when it is out; if ctx ends before, the weight stays 0. A destination that is not wished for is an error that
// wraps ErrDestinationNotFound.
func (r *Reconciler) Drain(ctx context.Context, key ServiceKey, dest netip.AddrPort, limit time.Duration) error {
	if err := r.Maintain(ctx, key, dest); err != nil {
		return err
	}
	ticker := time.NewTicker(r.o.Interval)
	defer ticker.Stop()
	var late <-chan time.Time
	if limit > 0 {
		late = time.After(limit)
	}
	for {
		left, err := r.connections(ctx, key, dest)
		if err != nil {
			return err
		}
		if left == 0 {
			return r.hold(ctx, key, dest, holdOut)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("ipvs: drain %v destination %v: %d connections are left: %w", key, dest, left, ctx.Err())
		case <-late:
			return r.hold(ctx, key, dest, holdOut)
		case <-ticker.C:
		}
	}
}

// Maintain gives a destination weight 0, whatever Set and Update wish, until Restore: it keeps the connections that it has.
func (r *Reconciler) Maintain(ctx context.Context, key ServiceKey, dest netip.AddrPort) error {
	return r.hold(ctx, key, dest, holdIdle)
}

// Restore ends what Drain or Maintain said: the destination is as it is wished for, after a slow start if there is one.
func (r *Reconciler) Restore(ctx context.Context, key ServiceKey, dest netip.AddrPort) error {
	return r.hold(ctx, key, dest, 0)
}

// connections counts those of a destination, of any state. One that is not there has none.
func (r *Reconciler) connections(ctx context.Context, key ServiceKey, dest netip.AddrPort) (int, error) {
	s, err := r.table.Service(ctx, key)
	if err != nil {
		return 0, err
	}
	for _, d := range s.Destinations {
		if d.Addr == dest {
			return d.ActiveConnections + d.InactiveConnections, nil
		}
	}
	return 0, nil
}

func (r *Reconciler) hold(ctx context.Context, key ServiceKey, dest netip.AddrPort, h hold) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[key]
	if e == nil || e.want == nil {
		return fmt.Errorf("ipvs: service %v: %w", key, ErrServiceNotFound)
	}
	i := find(e.want.Destinations, dest)
	if i < 0 {
		return fmt.Errorf("ipvs: service %v: destination %v: %w", key, dest, ErrDestinationNotFound)
	}
	e.says.hold(e.want.Destinations[i], h, r.o.SlowStart)
	return r.change(ctx, []*entry{e})
}

func (s *says) hold(d Destination, h hold, slow time.Duration) {
	was := s.held[d.Addr]
	delete(s.held, d.Addr)
	delete(s.ramps, d.Addr)
	switch {
	case h == 0 && was != 0:
		s.rampUp(d, slow)
	case h != 0:
		if s.held == nil {
			s.held = make(map[netip.AddrPort]hold)
		}
		s.held[d.Addr] = h
	}
}

func (s *says) rampUp(d Destination, slow time.Duration) {
	if slow <= 0 || d.Weight <= 1 {
		return
	}
	if s.ramps == nil {
		s.ramps = make(map[netip.AddrPort]ramp)
	}
	s.ramps[d.Addr] = ramp{time.Now(), 1}
}

// update forgets destinations that are no longer wished for and starts those slowly that come.
func (s *says) update(before, after *Service, slow time.Duration) {
	if before == nil {
		return
	}
	for addr := range s.held {
		if find(after.Destinations, addr) < 0 {
			delete(s.held, addr)
		}
	}
	for addr := range s.ramps {
		if i := find(after.Destinations, addr); i < 0 || after.Destinations[i].Weight == 0 {
			delete(s.ramps, addr)
		}
	}
	if slow <= 0 {
		return
	}
	served := serving(before.Destinations)
	if len(served) == 0 {
		return // who comes first carries all
	}
	for _, d := range after.Destinations {
		if !served[d.Addr] && s.held[d.Addr] == 0 {
			s.rampUp(d, slow)
		}
	}
}

// serving are the destinations that get connections.
func serving(list []Destination) map[netip.AddrPort]bool {
	set := make(map[netip.AddrPort]bool, len(list))
	for _, d := range list {
		if d.Weight > 0 {
			set[d.Addr] = true
		}
	}
	return set
}

// wished is the wish with what is said over it.
func (e *entry) wished() *Service {
	if e.want == nil || len(e.says.held)+len(e.says.ramps) == 0 {
		return e.want
	}
	s := e.want.entry()
	for _, d := range e.want.Destinations {
		h := e.says.held[d.Addr]
		if h == holdOut {
			continue
		}
		if h == holdIdle {
			d.Weight = 0
		} else if up, ramping := e.says.ramps[d.Addr]; ramping {
			d.Weight = min(d.Weight, up.weight)
		}
		s.Destinations = append(s.Destinations, d)
	}
	return &s
}

// rampStep is the time between steps of slow starts.
func (r *Reconciler) rampStep() time.Duration {
	if r.o.SlowStart <= 0 {
		return time.Hour
	}
	return max(r.o.SlowStart/20, 50*time.Millisecond)
}

// ramp takes every destination that starts slowly a step further.
func (r *Reconciler) ramp(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var moved []*entry
	for _, e := range r.entries {
		if e.want != nil && len(e.says.ramps) > 0 {
			e.step(time.Now(), r.o.SlowStart)
			moved = append(moved, e)
		}
	}
	if len(moved) == 0 {
		return
	}
	if err := r.change(ctx, moved); err != nil && ctx.Err() == nil {
		r.log.Warn("slow start", "error", err)
	}
}

func (e *entry) step(now time.Time, slow time.Duration) {
	for _, d := range e.want.Destinations {
		up, ramping := e.says.ramps[d.Addr]
		if !ramping {
			continue
		}
		gone := now.Sub(up.begin)
		if gone >= slow {
			delete(e.says.ramps, d.Addr)
			continue
		}
		up.weight = max(1, int(float64(d.Weight)*float64(gone)/float64(slow)))
		e.says.ramps[d.Addr] = up
	}
}
