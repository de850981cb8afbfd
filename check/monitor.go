package check

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/internal/serial"
)

// Options of a [Monitor]. The zero value is usable.
type Options struct {
	// Logger gets each transition, and at Debug level each failure. Nil discards.
	Logger *slog.Logger
	// OnTransition is called for each change of verdict, in order, from one goroutine at a time. It may take as long as it
	// likes: the schedule does not wait for it.
	OnTransition func(Transition)
	// OnResult is called for each check that ends, whatever it means for the verdict. It is called by the loop that
	// schedules, so it must return at once, and must not call the Monitor. Nil means nobody asks.
	OnResult func(id string, r Result)
	// MaxConcurrent bounds the checks that run at once. 0 means 1024.
	MaxConcurrent int
	// Rand is where warm-up delays come from. Nil means a source of its own.
	Rand *rand.Rand
}

// startDelay is what every first check waits at least.
const startDelay = time.Second

// Monitor runs probes.
type Monitor struct {
	log      *slog.Logger
	call     func(Transition)
	told     func(string, Result)
	tell     *serial.Queue
	slots    int
	results  chan result
	wake     chan struct{} // holds a token when the loop shall look again
	ready    chan struct{}
	checkers sync.WaitGroup

	mu      sync.Mutex // guards the fields below and those of tasks
	rand    *rand.Rand
	tasks   map[string]*task
	queue   schedule
	busy    int
	running context.Context // nil before Run
}

// task is a probe at work.
type task struct {
	probe            Probe
	verdict          verdict
	due              time.Time
	index            int // in the schedule, -1 while the check runs
	cancel           context.CancelFunc
	since            time.Time
	agreed           time.Time // when the last check that spoke for the verdict began
	last             Result
	checks, failures uint64
}

// Result is the outcome of one check.
type Result struct {
	// At is when the check ended, zero before the first.
	At time.Time
	// Latency is how long it took.
	Latency time.Duration
	// Err is nil when the server is well.
	Err error
}

type result struct {
	task *task
	Result
}

// NewMonitor makes a Monitor without probes. It starts nothing.
func NewMonitor(o Options) *Monitor {
	m := &Monitor{
		log: o.Logger, call: o.OnTransition, told: o.OnResult, tell: serial.NewQueue(), slots: o.MaxConcurrent, rand: o.Rand,
		results: make(chan result), wake: make(chan struct{}, 1), ready: make(chan struct{}), tasks: make(map[string]*task),
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if m.told == nil {
		m.told = func(string, Result) {}
	}
	if m.slots == 0 {
		m.slots = 1024
	}
	if m.rand == nil {
		m.rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return m
}

// Ready is closed once Run schedules.
func (m *Monitor) Ready() <-chan struct{} { return m.ready }

// Set makes the given probes the ones that run. An invalid list changes nothing. Probes are matched by ID: one that is
// there already keeps its verdict and its place in the schedule and goes on with the given checker and policy; one that is
// gone is cancelled. It may be called before and during Run. A probe that is there when Run starts is decided by its first
// result; one that is added later needs its retries.
func (m *Monitor) Set(probes []Probe) error {
	if err := validate(probes); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now, old := time.Now(), m.tasks
	m.tasks = make(map[string]*task, len(probes))
	for _, p := range probes {
		t, known := old[p.ID]
		if !known {
			t = m.newTask(p, now)
		}
		t.probe = p
		m.tasks[p.ID] = t
		delete(old, p.ID)
	}
	for _, t := range old {
		m.retire(t)
	}
	m.poke()
	return nil
}

func validate(probes []Probe) error {
	var errs []error
	seen := make(map[string]bool, len(probes))
	for _, p := range probes {
		errs = append(errs, p.Validate())
		if seen[p.ID] {
			errs = append(errs, fmt.Errorf("check: two probes have the ID %s", p.ID))
		}
		seen[p.ID] = true
	}
	return errors.Join(errs...)
}

func (m *Monitor) newTask(p Probe, now time.Time) *task {
	t := &task{probe: p, index: -1, since: now, verdict: verdict{up: !p.Alpha, initial: m.running == nil}}
	if m.running != nil {
		m.first(t, now)
	}
	return t
}

// first schedules a task's first check.
func (m *Monitor) first(t *task, now time.Time) {
	t.due = now.Add(startDelay)
	if w := t.probe.Policy.warmup(); w > 0 {
		t.due = t.due.Add(time.Duration(m.rand.Int64N(int64(w) + 1)))
	}
	heap.Push(&m.queue, t)
}

func (m *Monitor) retire(t *task) {
	if t.index >= 0 {
		heap.Remove(&m.queue, t.index)
	}
	if t.cancel != nil {
		t.cancel()
	}
}

// Run runs the probes until ctx ends, then cancels what runs and returns nil when the last check has ended. A Monitor runs
// once.
func (m *Monitor) Run(ctx context.Context) error {
	defer func() { m.tell.Finish(); <-m.tell.Done() }()
	ctx, cancel := context.WithCancel(ctx)
	defer m.checkers.Wait()
	defer cancel()
	m.begin(ctx)
	close(m.ready)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-m.results:
			m.finish(r)
		case <-m.wake:
		case <-timer.C:
		}
		timer.Reset(m.startDue(ctx))
	}
}

func (m *Monitor) begin(ctx context.Context) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running = ctx
	now := time.Now()
	for _, t := range m.tasks {
		m.first(t, now)
	}
}

func (m *Monitor) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// startDue starts the checks that are due and says how long the loop may sleep. When all slots are taken the rest waits
// for a result.
func (m *Monitor) startDue(ctx context.Context) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for m.queue.Len() > 0 && !m.queue[0].due.After(now) {
		if m.busy >= m.slots {
			return time.Hour
		}
		m.start(ctx, heap.Pop(&m.queue).(*task))
	}
	if m.queue.Len() == 0 {
		return time.Hour
	}
	return m.queue[0].due.Sub(now)
}

func (m *Monitor) start(ctx context.Context, t *task) {
	m.busy++
	checker := t.probe.Checker
	check, cancel := context.WithTimeout(ctx, t.probe.Policy.timeout())
	t.cancel = cancel
	m.checkers.Go(func() {
		defer cancel()
		begin := time.Now()
		err := checker.Check(check)
		end := time.Now()
		select {
		case m.results <- result{t, Result{At: end, Latency: end.Sub(begin), Err: err}}:
		case <-ctx.Done():
		}
	})
}

func (m *Monitor) finish(r result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy--
	t := r.task
	t.cancel = nil
	if m.tasks[t.probe.ID] != t {
		return // no longer wished for
	}
	t.last = r.Result
	m.told(t.probe.ID, r.Result)
	if t.verdict.up == (r.Err == nil) {
		t.agreed = r.At.Add(-r.Latency)
	}
	t.checks++
	if r.Err != nil {
		t.failures++
		m.log.Debug("check failed", "probe", t.probe.ID, "error", r.Err, "latency", r.Latency)
	}
	changed, next := t.verdict.observe(t.probe.Policy, r.Err == nil)
	t.due = r.At.Add(next)
	heap.Push(&m.queue, t)
	if changed {
		m.transition(t, r)
	}
}

func (m *Monitor) transition(t *task, r result) {
	t.since = r.At
	tr := Transition{ID: t.probe.ID, Up: t.verdict.up, Err: r.Err, At: r.At, Latency: r.Latency, Attempts: t.verdict.streak}
	if !t.agreed.IsZero() {
		tr.Took = r.At.Sub(t.agreed)
	}
	t.agreed, t.verdict.streak = r.At.Add(-r.Latency), 0
	m.log.Info("verdict", "probe", tr.ID, "up", tr.Up, "reason", tr.Reason())
	if m.call != nil {
		m.tell.Add(func() { m.call(tr) })
	}
}

// ProbeStatus is a snapshot of one probe.
type ProbeStatus struct {
	ID string
	// Up is the verdict; Checked says whether any check has ended yet.
	Up, Checked bool
	// Since is when the verdict was reached.
	Since time.Time
	// Last is the latest result.
	Last Result
	// Checks counts those that have ended since the probe was first set, Failures those of them that failed.
	Checks, Failures uint64
}

// Status is a snapshot of all probes, by ID.
func (m *Monitor) Status() map[string]ProbeStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[string]ProbeStatus, len(m.tasks))
	for id, t := range m.tasks {
		all[id] = ProbeStatus{ID: id, Up: t.verdict.up, Checked: t.verdict.checked, Since: t.since, Last: t.last, Checks: t.checks, Failures: t.failures}
	}
	return all
}

// schedule is a heap of tasks by the time at which they are due.
type schedule []*task

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].due.Before(s[j].due) }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

func (s *schedule) Push(x any) {
	t := x.(*task)
	t.index = len(*s)
	*s = append(*s, t)
}

func (s *schedule) Pop() any {
	old := *s
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	t.index = -1
	return t
}
