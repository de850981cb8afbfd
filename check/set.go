package check

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"time"
	"unique"

	"github.com/holdfast-lb/holdfast/internal/due"
)

// taskKey is what probes that share one check have in common.
type taskKey struct {
	question         any                   // what the checker asks, see questionOf
	policy           unique.Handle[Policy] // thousands of probes have one policy
	alpha, suspended bool
}

func keyOf(p *Probe) taskKey {
	return taskKey{questionOf(p), unique.Make(p.Policy), p.Alpha, p.Suspended}
}

// task is a check that one probe asked for, or several.
type task struct {
	due.Slot // in the schedule

	key     taskKey
	checker Checker
	sharers []*sharer // none once it is no longer wished for

	verdict  verdict
	since    time.Time
	agreed   time.Time // when the last check that spoke for the verdict began
	last     Result
	checks   uint64
	failures uint64

	fast  bool          // it is for the engine
	waits bool          // it is in the list of those who wait for a slot
	late  time.Duration // of the latest start
	run   *run          // nil when it does not run
	next  time.Time     // when to start again, for a run whose result is not wanted
}

func (t *task) policy() Policy { return t.key.policy.Value() }

func (t *task) gone() bool { return len(t.sharers) == 0 }

// name is for logs.
func (t *task) name() string {
	if t.gone() {
		return ""
	}
	return t.sharers[0].probe.ID
}

// sharer is a probe and the task that it shares.
type sharer struct {
	probe Probe
	plain bool // its checker can be compared
	task  *task
	round int // of the call of Set that has it
}

type (
	keyed struct {
		kind reflect.Type
		key  string
	}
	unshared struct{ id string }
)

// questionOf is equal for checkers that ask the same question. A checker that cannot be told from others is taken for the
// one that the probe had before.
func questionOf(p *Probe) any {
	kind := reflect.TypeOf(p.Checker)
	if k, ok := p.Checker.(Keyer); ok {
		return keyed{kind, k.Key()}
	}
	if kind.Comparable() && sameAsItself(p.Checker) {
		return p.Checker
	}
	return unshared{p.ID}
}

// sameAsItself says whether Go can compare the checker. Of a type that can be, a value cannot when an interface in it holds
// what cannot. reflect would say so too, at a price for each field.
func sameAsItself(c Checker) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return c == c
}

// Set makes the given probes the ones that run. An invalid list changes nothing. It may be called before and during Run, and
// touches only what changed.
//
// Probes are matched by ID. One that is there already keeps its verdict: unchanged, its place in the schedule too; under
// another policy, the failures counted so far; with a checker that asks something else, until that is answered, and if it
// was down the first answer decides. One that is gone is cancelled. A probe that is there when Run starts is decided by its
// first result; one that is added later needs its retries, unless somebody else asks the same already: then it begins with
// the verdict that is known, and a [Transition] tells it.
func (m *Monitor) Set(probes []Probe) error {
	if err := validate(probes); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.round++
	for i := range probes {
		s := m.sharers[probes[i].ID]
		if s == nil {
			s = &sharer{}
			m.sharers[probes[i].ID] = s
		}
		s.round = m.round
		if !s.same(&probes[i]) {
			m.place(s, &probes[i], now)
		}
	}
	for id, s := range m.sharers {
		if s.round != m.round {
			m.leave(s)
			delete(m.sharers, id)
		}
	}
	m.closeUnused()
	m.poke()
	return nil
}

// Update is [Monitor.Set] for some: the given probes come, or take the place of those of their IDs, and those named in gone go. All
// others are left alone, at no cost. It returns the verdicts that the given probes begin with, in their order.
func (m *Monitor) Update(probes []Probe, gone ...string) ([]Verdict, error) {
	if err := validate(probes); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expect(len(probes))
	now, verdicts := time.Now(), make([]Verdict, len(probes))
	some := make([]*sharer, len(probes))
	for i := range probes {
		if some[i] = m.sharers[probes[i].ID]; some[i] == nil {
			some[i] = &sharer{}
			m.sharers[probes[i].ID] = some[i]
		}
	}
	left := m.joinAll(some, probes)
	for i, s := range some {
		if !s.same(&probes[i]) {
			m.place(s, &probes[i], now)
		}
		verdicts[i] = Verdict{s.task.verdict.up, s.task.verdict.weight}
	}
	for _, l := range left {
		m.detach(l.task, l.sharer)
	}
	for _, id := range gone {
		if s := m.sharers[id]; s != nil {
			m.leave(s)
			delete(m.sharers, id)
		}
	}
	m.closeUnused()
	m.poke()
	return verdicts, nil
}

// expect makes room for the first probes: they come at once.
func (m *Monitor) expect(probes int) {
	if len(m.sharers) == 0 {
		m.sharers, m.tasks = make(map[string]*sharer, probes), make(map[taskKey]*task, probes)
	}
}

// membership is a sharer in a task.
type membership struct {
	task   *task
	sharer *sharer
}

// joinAll has probes join what others ask already, as [Monitor.Known] says: before any of those others changes or goes. It
// returns what they leave for that.
func (m *Monitor) joinAll(some []*sharer, probes []Probe) (left []membership) {
	for i, s := range some {
		p := &probes[i]
		key := keyOf(p)
		t := m.tasks[key]
		if s.same(p) || t == nil || s.task == t {
			continue
		}
		s.probe, s.plain = *p, plain(reflect.TypeOf(p.Checker))
		before := verdict{up: !p.Alpha}
		if s.task != nil {
			left = append(left, membership{s.task, s})
			before = s.task.verdict
		}
		m.attach(s, t, before)
	}
	return left
}

// Verdict is what a probe says.
type Verdict struct {
	Up     bool
	Weight Weight
}

// Known is the verdict that a probe would begin with because another one asks the same already. It is not known when nobody asks
// that, nor for a probe that is there as it is.
func (m *Monitor) Known(p *Probe) (v Verdict, known bool) {
	if p.Checker == nil {
		return v, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := keyOf(p)
	t := m.tasks[key]
	if s := m.sharers[p.ID]; t == nil || s != nil && s.task.key == key {
		return v, false
	}
	return Verdict{t.verdict.up, t.verdict.weight}, true
}

func validate(probes []Probe) error {
	var errs []error
	seen := make(map[string]struct{}, len(probes))
	for i := range probes {
		p := &probes[i]
		if err := p.Validate(); err != nil {
			errs = append(errs, err)
		}
		if _, twice := seen[p.ID]; twice {
			errs = append(errs, fmt.Errorf("check: two probes have the ID %s", p.ID))
		}
		seen[p.ID] = struct{}{}
	}
	return errors.Join(errs...)
}

// same says that nothing changed, as far as that is seen without effort.
func (s *sharer) same(p *Probe) bool {
	old := &s.probe
	return s.plain && old.Policy == p.Policy && old.Alpha == p.Alpha && old.Suspended == p.Suspended && old.LogFailures == p.LogFailures &&
		reflect.TypeOf(old.Checker) == reflect.TypeOf(p.Checker) && old.Checker == p.Checker
}

// plain says that Go can compare all values of the checker's type.
func plain(kind reflect.Type) bool {
	switch kind.Kind() {
	case reflect.Interface:
		return false
	case reflect.Array:
		return plain(kind.Elem())
	case reflect.Struct:
		for i := range kind.NumField() {
			if !plain(kind.Field(i).Type) {
				return false
			}
		}
	}
	return kind.Comparable()
}

// place gives a probe the task that it asks for.
func (m *Monitor) place(s *sharer, p *Probe, now time.Time) {
	key := keyOf(p)
	t := s.task
	s.probe, s.plain = *p, plain(reflect.TypeOf(p.Checker))
	if t != nil && t.key == key {
		m.use(t, -1)
		t.checker = p.Checker
		m.use(t, 1)
		return
	}
	switch other := m.tasks[key]; {
	case other != nil:
		m.join(s, other)
	case t != nil && len(t.sharers) == 1:
		m.change(t, key, p.Checker, now)
	default:
		m.create(s, key, now)
	}
}

// join lets a probe share a task. What is known there is news to it.
func (m *Monitor) join(s *sharer, t *task) {
	before := verdict{up: !s.probe.Alpha}
	if s.task != nil {
		before = s.task.verdict
		m.leave(s)
	}
	m.attach(s, t, before)
}

// attach tells what differs from what the probe said before.
func (m *Monitor) attach(s *sharer, t *task, before verdict) {
	s.task, t.sharers = t, append(t.sharers, s)
	if v := t.verdict; v.checked && (v.up != before.up || v.weight != before.weight) {
		m.announce(s.probe.ID, t, change{turned: v.up != before.up, attempts: 1})
	}
}

// create makes a task for a probe, which brings along what it knows.
func (m *Monitor) create(s *sharer, key taskKey, now time.Time) {
	t := &task{key: key, checker: s.probe.Checker, fast: fast(s.probe.Checker), since: now}
	t.verdict = verdict{up: !key.alpha, decide: m.running == nil}
	old := s.task
	if old != nil {
		t.verdict, t.since, t.last = old.verdict.under(key.policy.Value()), old.since, old.last
		if old.key.question != key.question {
			t.verdict = old.verdict.ofAnother()
		}
		m.leave(s)
	}
	s.task, t.sharers = t, []*sharer{s}
	m.tasks[key] = t
	m.use(t, 1)
	if old != nil && old.key.question == key.question && !key.suspended && old.Queued() {
		m.schedule(t, earlier(old.Due(), now.Add(key.policy.Value().delayLoop())))
		return
	}
	m.first(t, now)
}

// change turns a task that only one probe has into what it asks for now.
func (m *Monitor) change(t *task, key taskKey, checker Checker, now time.Time) {
	before := t.key
	another := before.question != key.question
	delete(m.tasks, before)
	m.tasks[key] = t
	m.use(t, -1)
	t.key, t.checker = key, checker
	m.use(t, 1)
	if kind := fast(checker); kind != t.fast { // it is in the other schedule
		m.abandon(t)
		t.fast = kind && t.run == nil
		another = true
	}
	if another {
		t.verdict = t.verdict.ofAnother()
	} else {
		t.verdict = t.verdict.under(key.policy.Value())
	}
	switch {
	case another || before.suspended != key.suspended:
		m.again(t, now)
	case t.run == nil && t.Queued():
		m.schedule(t, earlier(t.Due(), now.Add(key.policy.Value().delayLoop())))
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// again lets a task begin anew, once what runs has ended.
func (m *Monitor) again(t *task, now time.Time) {
	if m.abandon(t) {
		t.next = now.Add(startDelay)
		return
	}
	m.first(t, now)
}

// abandon takes a task out of the schedule, and ends what runs, whose result is not wanted any more. It says whether
// something runs.
func (m *Monitor) abandon(t *task) (runs bool) {
	t.waits = false
	if t.run == nil {
		m.unschedule(t)
		return false
	}
	if t.run.cancel == nil {
		m.engine.drop(t.run)
		return false
	}
	t.run.discard = true
	t.run.cancel()
	return true
}

// leave takes a probe away from its task.
func (m *Monitor) leave(s *sharer) { m.detach(s.task, s) }

// detach takes a probe away from a task, which ends with the last one.
func (m *Monitor) detach(t *task, s *sharer) {
	t.sharers = slices.DeleteFunc(t.sharers, func(other *sharer) bool { return other == s })
	if !t.gone() {
		return
	}
	if m.tasks[t.key] == t {
		delete(m.tasks, t.key)
	}
	m.abandon(t)
	m.use(t, -1)
}

// use counts who needs a checker that wants to be closed. Of several that ask the same all use the one that is there already, so
// that one is closed, and it is the one in use.
func (m *Monitor) use(t *task, n int) {
	if _, ok := t.checker.(io.Closer); !ok {
		return
	}
	entry := m.closers[t.key.question]
	if entry == nil {
		entry = &closer{checker: t.checker}
		m.closers[t.key.question] = entry
	}
	if _, untold := t.key.question.(unshared); untold {
		entry.checker = t.checker
	}
	t.checker = entry.checker
	entry.uses += n
}

// closeUnused closes what nobody needs any more.
func (m *Monitor) closeUnused() {
	for question, c := range m.closers {
		if c.uses == 0 {
			delete(m.closers, question)
			m.runs.Go(func() { m.close(c) })
		}
	}
}

func (m *Monitor) closeAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for question, c := range m.closers {
		delete(m.closers, question)
		m.close(c)
	}
}

func (m *Monitor) close(c *closer) {
	if err := c.checker.(io.Closer).Close(); err != nil {
		m.log.Warn("closing a checker", "error", err)
	}
}
