package vrrp

import (
	"context"
	"time"
)

// instant is a time as the timers compare it: nanoseconds on the clock that does not jump.
type instant int64

const never = instant(1<<63 - 1)

func (r *Router) instantOf(t time.Time) instant { return instant(t.Sub(r.epoch)) }

// loop is the one place that waits for timers.
func (r *Router) loop(ctx context.Context, watchErr <-chan error) error {
	alarm := r.newAlarm()
	defer alarm.stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-watchErr:
			return watchError(err)
		case <-r.wake:
		case <-alarm.fired():
		}
		r.locked(r.turn)
		alarm.reset(r.untilDeadline())
	}
}

// locked is how everything gets at the Router's state. What was decided is carried out at its end.
func (r *Router) locked(f func(now time.Time)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(time.Now())
	r.commit()
}

func (r *Router) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// turn is one turn of the loop. Timers go first: what changed on the host may wait.
func (r *Router) turn(now time.Time) {
	r.expire(now)
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
	if len(r.timers) > 0 && at-r.timers[0].wakeAt > instant(lateness) {
		for _, p := range r.ports {
			r.drain(now, p)
		}
	}
	for len(r.timers) > 0 && r.timers[0].wakeAt <= at {
		x := r.timers[0]
		due, ok := x.machine.Deadline()
		if ok && !now.Before(due) && x.machine.State() != Master {
			r.drain(now, x.port)
			due, ok = x.machine.Deadline()
		}
		if ok && !now.Before(due) {
			r.onTimer(time.Duration(at - max(x.wakeAt, r.instantOf(due))))
			r.step(now, x, Timeout{})
		}
		if len(r.timers) > 0 && r.timers[0] == x && x.wakeAt <= at { // it was left where it was
			r.timers.remove(x)
			r.schedule(x)
			if x.wakeAt <= at && x.slot >= 0 {
				return // it is due again at once: others first
			}
		}
	}
}

// schedule sees to it that the loop wakes up by the instance's deadline. A deadline that moved away is left where it was:
// adverts move it all the time, and the loop finds out when it gets there.
func (r *Router) schedule(x *runner) {
	due, ok := x.machine.Deadline()
	if !ok {
		r.timers.remove(x)
		return
	}
	at := r.instantOf(due)
	if x.machine.State() == Master {
		grid := instant(min(x.in.interval()/32, maxGrid))
		at = (at + grid - 1) / grid * grid
	}
	switch {
	case x.slot < 0:
		r.timers.add(x, at)
	case at < x.wakeAt:
		r.timers.advance(x, at)
	}
}

// maxGrid is the most by which a MASTER's advert may be late so that those of many instances leave together. A BACKUP's timer
// is exact.
const maxGrid = 4 * time.Millisecond

// untilDeadline is how long the loop may sleep: until an instance has something to do, or the host shall be looked at again.
func (r *Router) untilDeadline() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asleep = never
	if len(r.timers) > 0 {
		r.asleep = r.timers[0].wakeAt
	}
	if !r.recheck.IsZero() {
		r.asleep = min(r.asleep, r.instantOf(r.recheck))
	}
	if r.asleep == never {
		return time.Hour
	}
	return max(time.Until(r.epoch.Add(time.Duration(r.asleep))), 0)
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
