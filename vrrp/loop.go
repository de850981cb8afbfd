package vrrp

import (
	"context"
	"fmt"
	"time"
)

// instant is a time as the timers compare it: nanoseconds on the clock that does not jump.
type instant int64

func (r *Router) instantOf(t time.Time) instant { return instant(t.Sub(r.epoch)) }

// loop is the one place that waits, for timers, adverts and news.
func (r *Router) loop(ctx context.Context, watchErr <-chan error) error {
	defer context.AfterFunc(ctx, r.poke)()
	for until := time.Now(); ; until = r.untilDeadline() {
		if err := r.sockets.Wait(until); err != nil {
			return fmt.Errorf("vrrp: wait for adverts: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-watchErr:
			return watchError(err)
		default:
		}
		r.locked(r.turn)
	}
}

// locked is how everything gets at the Router's state. What was decided is carried out at its end.
func (r *Router) locked(f func(now time.Time)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(time.Now())
	r.commit()
}

// poke has the loop look.
func (r *Router) poke() {
	if s := r.sleeper.Load(); s != nil {
		(*s).Wake()
	}
}

// turn is one turn of the loop. Timers go first, and what changed on the host may wait.
func (r *Router) turn(now time.Time) {
	r.expire(now)
	r.read(now)
	r.hear(now)
	r.judge(now)
	r.settle(now)
}

// lateness is how late a timer may be before the Router believes that it was held up, and reads all adverts before it acts.
const lateness = 5 * time.Millisecond

// expire serves the timers that are due. A Router that was paused finds its timers late and its sockets full: adverts are
// therefore always read before a timer makes an instance MASTER, so that waking up does not steal mastership.
func (r *Router) expire(now time.Time) {
	at := r.instantOf(now)
	r.turns++
	if len(r.timers) > 0 && at-r.timers[0].wakeAt > instant(lateness) {
		for _, p := range r.ports {
			r.drain(now, p)
		}
	}
	for r.front(); len(r.timers) > 0 && r.timers[0].wakeAt <= at; r.front() {
		x := r.timers[0]
		if x.machine.State() != Master && x.port.drained != r.turns {
			r.drain(now, x.port)
			continue // it may have moved
		}
		late := time.Duration(at - x.wakeAt)
		r.onTimer(late)
		r.heldUp(now, late)
		r.step(now, x, Timeout{})
		if due, ok := x.machine.Deadline(); ok && r.instantOf(due) <= at {
			return // it is due again at once: others first
		}
	}
}

// schedule sees to it that the loop wakes up by the instance's deadline. A deadline that moved away is left where it was, for
// adverts move it all the time: front finds out.
func (r *Router) schedule(x *runner) {
	if x.machine.State() == Master {
		x.machine.align(r.epoch)
	}
	due, ok := x.machine.Deadline()
	if !ok {
		r.timers.remove(x)
		return
	}
	switch at := r.instantOf(due); {
	case x.slot < 0:
		r.timers.add(x, at)
	case at < x.wakeAt:
		r.timers.advance(x, at)
	}
}

// front puts timers whose deadlines moved away where they belong, until the first one is.
func (r *Router) front() {
	for len(r.timers) > 0 {
		x := r.timers[0]
		if due, ok := x.machine.Deadline(); ok && r.instantOf(due) <= x.wakeAt {
			return
		}
		r.timers.remove(x)
		r.schedule(x)
	}
}

// untilDeadline is how long the loop may sleep: until an instance has something to do, a socket shall be looked at, or the host
// shall be. The zero Time is for ever.
func (r *Router) untilDeadline() (until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.front()
	if len(r.timers) > 0 {
		until = r.epoch.Add(time.Duration(r.timers[0].wakeAt))
	}
	for _, p := range r.unheard {
		until = earlier(until, p.patience.next)
	}
	return earlier(until, r.recheck)
}

// earlier takes the zero Time for never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// timers is a heap of runners by wakeAt, each of which knows its slot.
type timers []*runner

func (t timers) set(i int, x *runner) { t[i], x.slot = x, i }

func (t *timers) add(x *runner, at instant) {
	x.wakeAt = at
	*t = append(*t, x)
	t.set(len(*t)-1, x)
	t.up(x.slot)
}

func (t timers) advance(x *runner, at instant) {
	x.wakeAt = at
	t.up(x.slot)
}

func (t *timers) remove(x *runner) {
	if x.slot < 0 {
		return
	}
	i, last := x.slot, len(*t)-1
	moved := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	x.slot = -1
	if i == last {
		return
	}
	t.set(i, moved)
	t.up(i)
	t.down(moved.slot)
}

func (t timers) up(i int) {
	x := t[i]
	for i > 0 {
		parent := (i - 1) / 2
		if t[parent].wakeAt <= x.wakeAt {
			break
		}
		t.set(i, t[parent])
		i = parent
	}
	t.set(i, x)
}

func (t timers) down(i int) {
	x := t[i]
	for {
		child := 2*i + 1
		if child+1 < len(t) && t[child+1].wakeAt < t[child].wakeAt {
			child++
		}
		if child >= len(t) || x.wakeAt <= t[child].wakeAt {
			break
		}
		t.set(i, t[child])
		i = child
	}
	t.set(i, x)
}
