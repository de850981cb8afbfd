package check

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/internal/due"
	"github.com/holdfast-lb/holdfast/internal/serial"
)

// Options of a [Monitor]. The zero value is usable.
type Options struct {
	// Logger gets each transition, and at Debug level each failure. Nil discards.
	Logger *slog.Logger
	// OnTransition is called for each change of a verdict or weight, in order, from one goroutine at a time. It may take as
	// long as it likes: the schedule does not wait for it.
	OnTransition func(Transition)
	// OnResult is called once for each check that ends, whatever it means for the verdict and however many probes share it;
	// id is that of one of them. It must return at once, and must not call the Monitor. Nil means nobody asks.
	OnResult func(id string, r Result)
	// MaxConcurrent bounds the checks that run at once; the others wait for their turn. 0 means 4096. It is never more than
	// half of the descriptors that the process may have.
	MaxConcurrent int
	// Rand is where warm-up delays and jitter come from. Nil means a source of its own.
	Rand *rand.Rand
}

const (
	// startDelay is what every first check waits at least.
	startDelay = time.Second
	// grace is what a check has after the end of its context before it counts as stuck. Scripts need three seconds of it.
	grace = 5 * time.Second
)

// Monitor runs probes.
type Monitor struct {
	log   *slog.Logger
	call  func(Transition)
	hear  func(string, Result)
	tell  *serial.Queue
	wake  chan struct{} // holds a token when the loop shall look again
	ready chan struct{}
	runs  sync.WaitGroup

	mu      sync.Mutex // guards the fields below and those of tasks and their sharers
	rand    *rand.Rand
	sharers map[string]*sharer
	tasks   map[taskKey]*task
	closers map[any]*closer
	round   int // counts calls of Set
	queue   due.Queue[*task]
	waiting []*task         // due, and waiting for a slot
	running context.Context // nil before Run
	wakeAt  time.Time       // when the loop will look by itself
	engine  *engine         // nil before the first check that is for it
	origin  time.Time       // of the grid on which checks start
	load
}

// NewMonitor makes a Monitor without probes. It starts nothing.
func NewMonitor(o Options) *Monitor {
	m := &Monitor{
		log: o.Logger, call: o.OnTransition, hear: o.OnResult, tell: serial.NewQueue(), rand: o.Rand,
		wake: make(chan struct{}, 1), ready: make(chan struct{}),
		sharers: make(map[string]*sharer), tasks: make(map[taskKey]*task), closers: make(map[any]*closer),
		load: newLoad(o.MaxConcurrent), origin: time.Now(),
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if m.hear == nil {
		m.hear = func(string, Result) {}
	}
	if m.rand == nil {
		m.rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return m
}

// Ready is closed once Run schedules.
func (m *Monitor) Ready() <-chan struct{} { return m.ready }

// Run runs the probes until ctx ends, then cancels what runs and returns nil when the last check has ended; checks that
// ignore that are left behind after 5 s, with a log line. A Monitor runs once.
func (m *Monitor) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer m.end(cancel)
	m.begin(ctx)
	close(m.ready)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		case <-timer.C:
		}
		timer.Reset(m.advance())
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

// end waits for what runs, and closes what wants to be closed.
func (m *Monitor) end(cancel context.CancelFunc) {
	cancel()
	ended := make(chan struct{})
	go func() { m.runs.Wait(); close(ended) }()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		m.log.Warn("checks that do not end are left behind", "checks", m.Stats().Running+m.Stats().Stuck)
	}
	m.closeAll()
	m.tell.Finish()
	<-m.tell.Done()
}

func (m *Monitor) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// first schedules a task's first check.
func (m *Monitor) first(t *task, now time.Time) {
	if m.running == nil || m.running.Err() != nil || t.key.suspended {
		return
	}
	_, watches := t.checker.(Watcher)
	due := now
	if !t.policy().AtOnce && !watches {
		due = m.onGrid(now, startDelay+m.random(t.policy().warmup()))
	}
	m.schedule(t, due)
}

func (m *Monitor) random(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return time.Duration(m.rand.Int64N(int64(most) + 1))
}

// grid is how exactly checks start: waking up costs more than many a check, and so some share it. They start sooner, never
// later: a detection time is a promise.
const grid = 10 * time.Millisecond

// onGrid puts the end of a delay onto the grid, unless the delay is too short for that to be little.
func (m *Monitor) onGrid(from time.Time, delay time.Duration) time.Time {
	due := from.Add(delay)
	if delay < 10*grid {
		return due
	}
	return m.origin.Add(due.Sub(m.origin) / grid * grid)
}

// schedule makes a task due at a time: to start, or while it runs to be looked after.
func (m *Monitor) schedule(t *task, at time.Time) {
	if e := m.engineOf(t); e != nil {
		e.queue.Put(t, at)
		if !e.awake && at.Before(e.wakeAt) {
			e.wakeAt = at // once is enough
			e.wake()
		}
		return
	}
	m.queue.Put(t, at)
	if at.Before(m.wakeAt) {
		m.poke()
	}
}

// engineOf is the engine for a task that is one for it. It begins with the first.
func (m *Monitor) engineOf(t *task) *engine {
	if !t.fast {
		return nil
	}
	if m.engine == nil {
		e, err := newEngine(m)
		if err != nil {
			m.log.Debug("no engine for TCP checks", "error", err)
			t.fast = false
			return nil
		}
		m.engine = e
		m.runs.Go(func() { e.run(m.running) })
	}
	return m.engine
}

// unschedule takes a task out of the schedule.
func (m *Monitor) unschedule(t *task) {
	if t.fast && m.engine != nil {
		m.engine.queue.Remove(t)
		return
	}
	m.queue.Remove(t)
}

// advance does what is due and says how long the loop may sleep.
func (m *Monitor) advance() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for t, ok := m.queue.Next(now); ok; t, ok = m.queue.Next(now) {
		switch {
		case t.run != nil:
			m.stuck(t, now)
		case m.watch(t):
		default:
			t.waits = true
			m.waiting = append(m.waiting, t)
		}
	}
	m.startWaiting(now)
	sleep := time.Hour
	if first, ok := m.queue.First(); ok {
		sleep = first.Due().Sub(now)
	}
	m.wakeAt = now.Add(sleep)
	return sleep
}

// startWaiting gives free slots to those who wait.
func (m *Monitor) startWaiting(now time.Time) {
	for len(m.waiting) > 0 && m.busy < m.slots {
		t := m.waiting[0]
		m.waiting[0] = nil
		m.waiting = m.waiting[1:]
		if t.waits { // and was not taken away meanwhile
			t.waits = false
			m.start(t, now)
		}
	}
}

// run is one check under way, or one Watch.
type run struct {
	task    *task
	checker Checker
	began   time.Time
	cancel  context.CancelFunc // nil for the engine's
	fd      int                // the engine's
	target  Target             // that fd is for
	talk    *talk              // what is said over fd; nil when nothing is
	discard bool               // nobody wants its result any more
	stuck   bool               // its time has been over for long; it has no slot
	watch   bool
}

func (m *Monitor) start(t *task, now time.Time) {
	t.late = m.lateBy(m.log, now.Sub(t.Due()), now, len(m.waiting))
	if e := m.engineOf(t); e != nil {
		e.start(t, now)
		return
	}
	m.busy++
	r := &run{task: t, checker: t.checker, began: now}
	var ctx context.Context
	ctx, r.cancel = context.WithTimeout(m.running, t.policy().timeout())
	t.run = r
	m.schedule(t, now.Add(t.policy().timeout()+grace))
	m.runs.Go(func() {
		report, err := ask(ctx, r.checker)
		r.cancel()
		end := time.Now()
		m.finish(r, Result{At: end, Latency: end.Sub(r.began), Report: report, Err: err})
	})
}

// ask asks a checker once. One that panics takes its server out, not the process down.
func ask(ctx context.Context, c Checker) (report Report, err error) {
	defer survive(&err)
	if r, ok := c.(Reporter); ok {
		return r.Report(ctx)
	}
	return Report{}, c.Check(ctx)
}

// survive turns a panic into an error.
func survive(err *error) {
	if p := recover(); p != nil {
		*err = panicked{p, debug.Stack()}
	}
}

// panicked is a panic and where it was. What is told of it is one line.
type panicked struct {
	what  any
	stack []byte
}

func (p panicked) Error() string {
	return strings.Join(strings.Fields(fmt.Sprint("the check panicked: ", p.what)), " ")
}

// finish takes the result of a check.
func (m *Monitor) finish(r *run, result Result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := r.task
	if r.stuck {
		m.stats.Stuck--
	} else {
		m.busy--
	}
	m.unschedule(t)
	t.run = nil
	switch {
	case m.running.Err() != nil || t.gone() || t.key.suspended:
	case r.discard || r.stuck:
		m.schedule(t, later(t.next, result.At))
	default:
		m.judge(t, result)
	}
	m.startWaiting(result.At)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// errStuck is what a check that ignores the end of its context comes to.
var errStuck = errors.New("the check ignores that its time is over, and still runs")

// stuck looks after a check whose context ended long ago: it is a failure, again each time that it would be due.
func (m *Monitor) stuck(t *task, now time.Time) {
	if !t.run.stuck {
		t.run.stuck = true
		m.busy--
		m.stats.Stuck++
		m.log.Warn("check is stuck", "probe", t.name(), "for", now.Sub(t.run.began))
	}
	if t.run.discard {
		m.schedule(t, now.Add(time.Hour))
		return
	}
	m.judge(t, Result{At: now, Latency: now.Sub(t.run.began), Err: errStuck})
}

// judge takes a result into account and schedules the next check.
func (m *Monitor) judge(t *task, r Result) {
	p := t.policy()
	next := p.delayLoop()
	if m.count(t, r) {
		c := t.verdict.observe(p, r)
		next = c.next
		m.tellAll(t, c)
	}
	next = p.after(r.Latency, next) + m.random(p.Jitter)
	if t.late > p.delayLoop() { // after a standstill all are late: let them not stay together
		next = m.random(next)
	}
	m.schedule(t, m.onGrid(r.At, next))
}

// count takes note of a result, and says whether it says anything of the server.
func (m *Monitor) count(t *task, r Result) bool {
	t.last = r
	t.checks++
	m.stats.Checks++
	m.hear(t.name(), r)
	if m.inconclusive(r.Err) {
		m.log.Warn("check could not be made", "probe", t.name(), "error", r.Err)
		return false
	}
	if (r.Err == nil) == t.verdict.up {
		t.agreed = r.At.Add(-r.Latency)
	}
	if r.Err == nil {
		return true
	}
	t.failures++
	m.stats.Failures++
	if p, ok := errors.AsType[panicked](r.Err); ok {
		m.log.Error("check panicked", "probe", t.name(), "panic", p.what, "stack", string(p.stack))
	}
	for _, s := range t.sharers {
		level := slog.LevelDebug
		if s.probe.LogFailures && t.verdict.up {
			level = slog.LevelInfo
		}
		m.log.Log(context.Background(), level, "check failed", "probe", s.probe.ID, "error", r.Err, "latency", r.Latency)
	}
	return true
}

// tellAll tells everybody who shares the task what changed.
func (m *Monitor) tellAll(t *task, c change) {
	if !c.turned && !c.weighed {
		return
	}
	if c.turned {
		t.since = t.last.At
		if !t.agreed.IsZero() {
			c.took = t.last.At.Sub(t.agreed)
		}
		t.agreed = t.last.At.Add(-t.last.Latency)
	}
	for _, s := range t.sharers {
		m.announce(s.probe.ID, t, c)
	}
}

func (m *Monitor) announce(id string, t *task, c change) {
	tr := Transition{ID: id, Up: t.verdict.up, Turned: c.turned, Weight: t.verdict.weight, Attempts: c.attempts, Took: c.took, Result: t.last}
	m.log.Info("verdict", "probe", id, "up", tr.Up, "reason", tr.Reason())
	if m.call != nil {
		m.tell.Add(func() { m.call(tr) })
	}
}

// watch starts a checker that tells by itself. It takes no slot.
func (m *Monitor) watch(t *task) bool {
	w, ok := t.checker.(Watcher)
	if !ok {
		return false
	}
	r := &run{task: t, checker: t.checker, watch: true}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(m.running)
	t.run = r
	m.runs.Go(func() {
		err := listen(ctx, w, func(report Report, err error) { m.told(r, report, err) })
		r.cancel()
		m.unwatched(r, err)
	})
	return true
}

// listen lets a checker tell, and survives one that panics.
func listen(ctx context.Context, w Watcher, tell func(Report, error)) (err error) {
	defer survive(&err)
	return w.Watch(ctx, tell)
}

// told takes what a Watcher tells.
func (m *Monitor) told(r *run, report Report, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := r.task
	if r.discard || t.run != r || m.running.Err() != nil {
		return
	}
	m.take(t, Result{At: time.Now(), Report: report, Err: err})
}

// take takes what is so, without question.
func (m *Monitor) take(t *task, r Result) {
	if m.count(t, r) {
		m.tellAll(t, t.verdict.tell(r))
	}
}

// unwatched is for a Watch that has returned.
func (m *Monitor) unwatched(r *run, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := r.task
	t.run = nil
	now := time.Now()
	switch {
	case m.running.Err() != nil || t.gone() || t.key.suspended:
	case r.discard:
		m.schedule(t, now)
	default:
		if err == nil {
			err = errors.New("the watch ended")
		}
		m.take(t, Result{At: now, Err: err})
		m.schedule(t, now.Add(max(t.policy().delayBeforeRetry(), time.Second)))
	}
}

// ProbeStatus is a snapshot of one probe.
type ProbeStatus struct {
	ID string
	// Up is the verdict; Checked says whether there has been any result yet.
	Up, Checked bool
	// Weight is what the probe says about the weight of its server.
	Weight Weight
	// Since is when the verdict was reached.
	Since time.Time
	// Last is the latest result.
	Last Result
	// Checks and Failures count results since the probe, or another that asks the same, is there.
	Checks, Failures uint64
}

// Status is a snapshot of all probes, by ID.
func (m *Monitor) Status() map[string]ProbeStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[string]ProbeStatus, len(m.sharers))
	for id, s := range m.sharers {
		t := s.task
		all[id] = ProbeStatus{
			ID: id, Up: t.verdict.up, Checked: t.verdict.checked, Weight: t.verdict.weight, Since: t.since, Last: t.last,
			Checks: t.checks, Failures: t.failures,
		}
	}
	return all
}

// closer is a checker that wants to be closed, and how many tasks have it.
type closer struct {
	checker Checker
	uses    int
}
