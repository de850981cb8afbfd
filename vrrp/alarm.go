package vrrp

import "time"

// alarm wakes the loop after a while.
type alarm interface {
	// fired gets something once the time has come. It may come too early.
	fired() <-chan time.Time
	reset(d time.Duration)
	stop()
}

// runtimeAlarm is that of the runtime. On a process that is idle otherwise it is up to a millisecond late, for its poller counts
// in those.
type runtimeAlarm struct{ *time.Timer }

func (a runtimeAlarm) fired() <-chan time.Time { return a.C }
func (a runtimeAlarm) reset(d time.Duration)   { a.Reset(d) }
func (a runtimeAlarm) stop()                   { a.Stop() }

// newAlarm makes an alarm that is due at once: the host's own for adverts that leave the process, the runtime's else.
func (r *Router) newAlarm() alarm {
	if host, ok := r.net.(interface{ alarm() (alarm, error) }); ok {
		a, err := host.alarm()
		if err == nil {
			a.reset(0)
			return a
		}
		r.log.Warn("no exact timer", "error", err)
	}
	return runtimeAlarm{time.NewTimer(0)}
}
