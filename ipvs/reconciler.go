package ipvs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// ReconcilerOptions of a [Reconciler]. The zero value is usable.
type ReconcilerOptions struct {
	// Logger gets what was changed and what went wrong. Nil discards.
	Logger *slog.Logger
	// Interval between looks at the table for drift. 0 means 1 s. The kernel tells nobody when the table changes.
	Interval time.Duration
	// OnRepair is called from Run with what was done about drift, and the error of doing it; the same error is told once.
	// It must not call the Reconciler.
	OnRepair func(Plan, error)
}

// Reconciler keeps a [Table] the way it was last told to. Its methods may be called from any goroutine.
type Reconciler struct {
	table    Table
	log      *slog.Logger
	interval time.Duration
	onRepair func(Plan, error)

	mu    sync.Mutex // guards the fields below, and orders changes
	want  []Service
	owned map[ServiceKey]bool // was wished for once and not seen gone since
	have  []Service           // what the table holds of ours, as far as we know
	seen  []ServiceStatus     // ours, as last read
	known bool                // have can be relied on
	last  string              // the failure that was told last, so that it is not told every second
}

// NewReconciler makes a Reconciler that owns nothing yet. It starts nothing and does not close the table.
func NewReconciler(t Table, o ReconcilerOptions) *Reconciler {
	r := &Reconciler{table: t, log: o.Logger, interval: o.Interval, onRepair: o.OnRepair, owned: make(map[ServiceKey]bool)}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.interval == 0 {
		r.interval = time.Second
	}
	return r
}

// Set makes want the wish and puts it into the table: only what differs is sent. An invalid wish changes nothing. When the
// table refuses part of it, the rest is in force, the error says what is not, and Run tries again.
func (r *Reconciler) Set(ctx context.Context, want []Service) error {
	if err := validateAll(want); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.want = make([]Service, len(want))
	for i, s := range want {
		r.want[i] = s.clone()
		if !r.owned[s.ServiceKey] {
			r.owned[s.ServiceKey] = true
			r.known = false // it may be in the table already
		}
	}
	_, err := r.reconcile(ctx)
	r.news(nil, err)
	return err
}

func validateAll(want []Service) error {
	var errs []error
	seen := make(map[ServiceKey]bool, len(want))
	for i := range want {
		errs = append(errs, want[i].Validate())
		if seen[want[i].ServiceKey] {
			errs = append(errs, fmt.Errorf("ipvs: service %v is wished for twice", want[i].ServiceKey))
		}
		seen[want[i].ServiceKey] = true
	}
	return errors.Join(errs...)
}

// Plan tells what Set would do now. It reads the table and changes nothing.
func (r *Reconciler) Plan(ctx context.Context, want []Service) (Plan, error) {
	if err := validateAll(want); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all, err := r.table.Services(ctx)
	if err != nil {
		return nil, err
	}
	wished := make(map[ServiceKey]bool, len(want))
	for i := range want {
		wished[want[i].ServiceKey] = true
	}
	ours := slices.DeleteFunc(services(all), func(s Service) bool {
		return !wished[s.ServiceKey] && !r.owned[s.ServiceKey]
	})
	return Diff(ours, want), nil
}

// Status is what the table held of this Reconciler's services when Run last looked, with its counters. It does not read the
// table. The caller must not change it.
func (r *Reconciler) Status() []ServiceStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen
}

// Run looks for drift until ctx ends, and repairs it. It leaves the table as it is: see [Reconciler.Release].
func (r *Reconciler) Run(ctx context.Context) error {
	ticker := time.NewTicker(r.interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			r.repair(ctx)
		}
	}
}

func (r *Reconciler) repair(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.owned) == 0 {
		return
	}
	r.known = false
	plan, err := r.reconcile(ctx)
	if ctx.Err() != nil || !r.news(plan, err) {
		return
	}
	r.log.Warn("table differed from the wish", "repaired", plan.String(), "error", err)
	if r.onRepair != nil {
		r.onRepair(plan, err)
	}
}

// news says whether anything was done that was not told already.
func (r *Reconciler) news(plan Plan, err error) bool {
	if err == nil {
		r.last = ""
		return len(plan) > 0
	}
	told := r.last == err.Error()
	r.last = err.Error()
	return !told
}

// Release removes every service that this Reconciler owns, and forgets the wish.
func (r *Reconciler) Release(ctx context.Context) error {
	return r.Set(ctx, nil)
}

// reconcile brings the table from what it holds of ours to the wish.
func (r *Reconciler) reconcile(ctx context.Context) (Plan, error) {
	if !r.known {
		if err := r.read(ctx); err != nil {
			return nil, err
		}
	}
	plan := Diff(r.have, r.want)
	if len(plan) > 0 {
		if err := r.table.Apply(ctx, plan); err != nil {
			r.known = false // part of it is done
			return plan, err
		}
	}
	r.have = r.want
	clear(r.owned)
	for _, s := range r.want {
		r.owned[s.ServiceKey] = true
	}
	return plan, nil
}

func (r *Reconciler) read(ctx context.Context) error {
	all, err := r.table.Services(ctx)
	if err != nil {
		return err
	}
	r.seen = slices.DeleteFunc(all, func(s ServiceStatus) bool { return !r.owned[s.ServiceKey] })
	r.have = services(r.seen)
	r.known = true
	return nil
}
