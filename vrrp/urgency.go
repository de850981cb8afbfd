package vrrp

import (
	"cmp"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sched"
)

// urgency is the real-time priority that the process has come to, because its timers were late.
type urgency struct {
	priority int
	since    time.Time
}

// raise says which priority to have when a timer was late, and whether that is another one. What was late before the last
// change does not count for the next.
func (u *urgency) raise(now time.Time, late time.Duration, p *Process) (priority int, changed bool) {
	delay := cmp.Or(p.AutoDelay, time.Second)
	from := max(u.priority, p.RealTime)
	if late < delay || from >= p.AutoRealTime || now.Add(-late).Before(u.since) {
		return from, false
	}
	u.priority, u.since = from+1, now
	return u.priority, true
}

// heldUp is told how late each timer was.
func (r *Router) heldUp(now time.Time, late time.Duration) {
	if r.host.Process.AutoRealTime == 0 {
		return
	}
	if priority, changed := r.urgency.raise(now, late, &r.host.Process); changed {
		r.log.Warn("a timer was late: the process is scheduled before others", "late", late, "priority", priority)
		r.takePlace(priority)
	}
}

// takePlace gives the process its place on the processor.
func (r *Router) takePlace(realTime int) {
	p := r.host.Process
	err := sched.Apply(sched.Options{RealTime: realTime, Nice: p.Nice, LockMemory: p.LockMemory, CPUs: p.CPUs})
	if err != nil {
		r.log.Error("scheduling of the process", "error", err)
	}
}
