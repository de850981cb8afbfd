package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// ReconcilerOptions of a [Reconciler]. The zero value is usable.
type ReconcilerOptions struct {
	// Logger gets what was changed and what went wrong. Nil discards.
	Logger *slog.Logger
	// Interval is the longest time between looks at the table for drift; up to a tenth less at random, so that not all machines
	// look at once. 0 means 1 s. The kernel tells nobody when the table changes. A look at a large table takes longer: it is
	// followed by a rest of two hundred times as long as the shortest of the last four took, up to a minute.
	Interval time.Duration
	// OnRepair is called from Run with what was done about drift, and the error of doing it; the same error is told once.
	// It must not call the Reconciler.
	OnRepair func(Plan, error)
	// SlowStart is the time in which a destination that comes back, or that is new in a service that has others, goes from
	// weight 1 to its own. 0 means at once.
	SlowStart time.Duration
	// Ledger is the path of a file in which the Reconciler remembers what it owns, for the next one after a crash. It must not
	// outlive the kernel's table: /run is the place. Each Reconciler has its own. Empty means none.
	Ledger string
}

// Reconciler keeps a [Table] the way it was last told to. Its methods may be called from any goroutine.
type Reconciler struct {
	table Table
	log   *slog.Logger
	o     ReconcilerOptions

	mu      sync.Mutex // guards the fields below, and orders changes
	entries map[ServiceKey]*entry
	ledger  ledger
	opened  bool                // the ledger was read
	seen    []ServiceStatus     // ours, as last read
	looking bool                // Run reads the table
	touched map[ServiceKey]bool // what changed meanwhile
	last    string              // the failure that was told last, so that it is not told every second
}

// entry is a service that the Reconciler owns: it was wished for once, and not seen gone since.
type entry struct {
	key   ServiceKey
	want  *Service // nil when it is to go
	have  *Service // what the table holds as far as we know, nil for nothing
	known bool     // have can be relied on
	says  says     // what verbs and slow start say about destinations
}

// NewReconciler makes a Reconciler that owns nothing yet. It starts nothing and does not close the table.
func NewReconciler(t Table, o ReconcilerOptions) *Reconciler {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	return &Reconciler{table: t, log: o.Logger, o: o, entries: make(map[ServiceKey]*entry), ledger: ledger{path: o.Ledger}}
}

// Set makes want the wish and puts it into the table: only what differs is sent. An invalid wish changes nothing. When the
// table refuses part of it, the rest is in force, the error says what is not, and Run tries again. Services that the ledger of
// an earlier Reconciler has, and want has not, are removed.
func (r *Reconciler) Set(ctx context.Context, want []Service) error {
	if err := validateAll(want); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open()
	wished := make(map[ServiceKey]bool, len(want))
	for i := range want {
		wished[want[i].ServiceKey] = true
		r.wish(&want[i])
	}
	all := make([]*entry, 0, len(r.entries))
	for key, e := range r.entries {
		if !wished[key] {
			e.want = nil
		}
		all = append(all, e)
	}
	return r.change(ctx, all)
}

// Update changes the wish for the given services only, and adds those that are new. What it costs depends on them alone, not
// on how many there are in force.
func (r *Reconciler) Update(ctx context.Context, services ...Service) error {
	if err := validateAll(services); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open()
	some := make([]*entry, len(services))
	for i := range services {
		some[i] = r.wish(&services[i])
	}
	return r.change(ctx, some)
}

// Delete takes services out of the wish and out of the table. Those that are not wished for are left alone.
func (r *Reconciler) Delete(ctx context.Context, keys ...ServiceKey) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var some []*entry
	for _, key := range keys {
		if e := r.entries[key]; e != nil {
			e.want = nil
			some = append(some, e)
		}
	}
	return r.change(ctx, some)
}

// Release removes every service that this Reconciler owns, and forgets the wish.
func (r *Reconciler) Release(ctx context.Context) error {
	return r.Set(ctx, nil)
}

// Flush removes from the table every service that is not wished for, whoever made it (lvs_flush, lvs_flush_on_stop).
func (r *Reconciler) Flush(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, err := r.table.Services(ctx)
	if err != nil {
		return err
	}
	var plan Plan
	for i := range all {
		s := all[i].Wish()
		if e := r.entries[s.ServiceKey]; e == nil {
			plan = AppendDiff(plan, &s, nil)
		}
	}
	if len(plan) == 0 {
		return nil
	}
	r.log.Info("flushed what is not ours", "services", len(plan))
	return r.table.Apply(ctx, plan)
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

// open reads the ledger, once: what it has is ours.
func (r *Reconciler) open() {
	if r.opened {
		return
	}
	r.opened = true
	if err := r.ledger.open(); err != nil {
		r.log.Error("what an earlier run owned is not all known", "error", err)
	}
	for key := range r.ledger.owned {
		r.entries[key] = &entry{key: key}
	}
}

// wish takes one service into the wish.
func (r *Reconciler) wish(s *Service) *entry {
	e := r.entries[s.ServiceKey]
	if e == nil {
		e = &entry{key: s.ServiceKey} // it may be in the table already
		r.entries[s.ServiceKey] = e
	}
	next := s.clone()
	e.says.update(e.want, &next, r.o.SlowStart)
	e.want = &next
	return e
}

// Plan tells what Set would do now. It reads the table and changes nothing.
func (r *Reconciler) Plan(ctx context.Context, want []Service) (Plan, error) {
	if err := validateAll(want); err != nil {
		return nil, err
	}
	all, err := r.table.Services(ctx)
	if err != nil {
		return nil, err
	}
	wished := make(map[ServiceKey]bool, len(want))
	for i := range want {
		wished[want[i].ServiceKey] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ours := slices.DeleteFunc(services(all), func(s Service) bool { return !wished[s.ServiceKey] && r.entries[s.ServiceKey] == nil })
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
	timer := time.NewTimer(r.pause(0))
	defer timer.Stop()
	steps := time.NewTicker(r.rampStep())
	defer steps.Stop()
	var recent looks
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-steps.C:
			r.ramp(ctx)
		case <-timer.C:
			begin := time.Now()
			r.look(ctx)
			timer.Reset(r.pause(recent.cost(time.Since(begin))))
		}
	}
}

// lookShare bounds the part of the time that is spent looking: half a hundredth.
const lookShare = 200

// pause is the time to the next look when one took so long.
func (r *Reconciler) pause(took time.Duration) time.Duration {
	return max(r.o.Interval-rand.N(r.o.Interval/10+1), min(lookShare*took, time.Minute))
}

// looks are how long the last ones took, the eldest first or not.
type looks struct {
	took [4]time.Duration
	n    int
}

// cost is that of a look, of which the last took so long: the shortest of a few, for some wait for a lock or a processor, and a
// busy moment is no reason to look away for long.
func (l *looks) cost(last time.Duration) time.Duration {
	l.took[l.n%len(l.took)] = last
	l.n++
	return slices.Min(l.took[:min(l.n, len(l.took))])
}

// look reads the table and repairs what differs. What changes while it reads is left to the next time: nobody waits for a look.
func (r *Reconciler) look(ctx context.Context) {
	r.mu.Lock()
	if len(r.entries) == 0 {
		r.seen = nil
		r.mu.Unlock()
		return
	}
	r.looking, r.touched = true, make(map[ServiceKey]bool)
	r.mu.Unlock()
	all, err := r.table.Services(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looking = false
	var plan Plan
	if err == nil {
		looked := r.learn(all)
		doubt(looked)
		plan, err = r.settle(ctx, looked)
	}
	if ctx.Err() != nil || !r.news(plan, err) {
		return
	}
	r.log.Warn("table differed from the wish", "repaired", plan.String(), "error", err)
	if r.o.OnRepair != nil {
		r.o.OnRepair(plan, err)
	}
}

// learn takes what a look found, and returns the entries that it is about.
func (r *Reconciler) learn(all []ServiceStatus) []*entry {
	r.seen = slices.DeleteFunc(all, func(s ServiceStatus) bool { return r.entries[s.ServiceKey] == nil })
	found := make(map[ServiceKey]*ServiceStatus, len(r.seen))
	for i := range r.seen {
		found[r.seen[i].ServiceKey] = &r.seen[i]
	}
	looked := make([]*entry, 0, len(r.entries))
	for key, e := range r.entries {
		if !r.touched[key] {
			e.learn(found[key])
			looked = append(looked, e)
		}
	}
	return looked
}

// doubt has those entries read once more that are not as they should be: a list of the table may miss some when others change it
// meanwhile.
func doubt(looked []*entry) {
	for _, e := range looked {
		if e.want != nil && len(AppendDiff(nil, e.have, e.wished())) > 0 || e.want == nil && e.have != nil {
			e.known = false
		}
	}
}

func (e *entry) learn(s *ServiceStatus) {
	e.known = true
	switch {
	case s == nil:
		e.have = nil
	case e.have == nil || !e.have.is(s):
		e.have = new(s.Wish())
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

// change settles entries that somebody changed. When the table was not what we thought, it is read and settled again.
func (r *Reconciler) change(ctx context.Context, some []*entry) error {
	if r.looking {
		for _, e := range some {
			r.touched[e.key] = true
		}
	}
	_, err := r.settle(ctx, some)
	if err != nil && ctx.Err() == nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist)) && !errors.Is(err, ErrSchedulerNotFound) {
		r.log.Warn("table was not as it was left; reading it again", "error", err)
		_, err = r.settle(ctx, some)
	}
	r.news(nil, err)
	return err
}

// settle brings entries from what the table holds of them to the wish.
func (r *Reconciler) settle(ctx context.Context, some []*entry) (Plan, error) {
	if err := r.read(ctx, some); err != nil {
		return nil, err
	}
	slices.SortFunc(some, func(a, b *entry) int { return a.key.compare(&b.key) })
	plan, changed, goes := planOf(some)
	if len(changed) == 0 {
		return nil, nil
	}
	r.note(r.ledger.add(changed))
	if len(plan) > 0 {
		if err := r.table.Apply(ctx, plan); err != nil {
			for _, e := range changed {
				e.known = false // part of it is done
			}
			return plan, err
		}
	}
	for _, e := range changed {
		e.have = e.wished()
	}
	for _, e := range goes {
		delete(r.entries, e.key)
	}
	r.note(r.ledger.remove(goes))
	return plan, nil
}

// planOf is what is to be done about entries, and for which. Services go last.
func planOf(some []*entry) (plan Plan, changed, goes []*entry) {
	size, news := 0, 0
	for _, e := range some {
		if e.want != nil && e.have == nil {
			news++
			size += 1 + len(e.want.Destinations)
		}
	}
	plan, changed = make(Plan, 0, size), make([]*entry, 0, news)
	for _, e := range some {
		if e.want == nil {
			continue
		}
		length := len(plan)
		if plan = AppendDiff(plan, e.have, e.wished()); len(plan) > length {
			changed = append(changed, e)
		}
	}
	for _, e := range some {
		if e.want == nil {
			plan = AppendDiff(plan, e.have, nil)
			changed, goes = append(changed, e), append(goes, e)
		}
	}
	return plan, changed, goes
}

// note tells of a ledger that cannot be written. The table goes on.
func (r *Reconciler) note(err error) {
	if err != nil {
		r.log.Error("what is ours is not written down: a crash would leave it behind", "error", err)
	}
}

// readSingly is how many services are read one by one; more are read with all the others.
const readSingly = 8

// read learns what is not known of the entries.
func (r *Reconciler) read(ctx context.Context, some []*entry) error {
	var unknown []*entry
	for _, e := range some {
		if !e.known {
			unknown = append(unknown, e)
		}
	}
	if len(unknown) > readSingly {
		all, err := r.table.Services(ctx)
		if err != nil {
			return err
		}
		found := make(map[ServiceKey]*ServiceStatus, len(all))
		for i := range all {
			found[all[i].ServiceKey] = &all[i]
		}
		for _, e := range unknown {
			e.learn(found[e.key])
		}
		return nil
	}
	for _, e := range unknown {
		s, err := r.table.Service(ctx, e.key)
		switch {
		case err == nil:
			e.learn(&s)
		case errors.Is(err, ErrServiceNotFound):
			e.learn(nil)
		default:
			return err
		}
	}
	return nil
}
