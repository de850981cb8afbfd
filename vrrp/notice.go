package vrrp

import (
	"net/netip"
	"time"
)

// Notice tells of something in an instance that is no change of state.
type Notice struct {
	Instance string
	At       time.Time
	// State is the one that the instance is in.
	State State
	// Priority is the effective one. When it changed, Was is the one before.
	Priority, Was uint8
	// Rival is who sent a MASTER an advert that it does not yield to, of priority RivalPriority; not valid in other notices.
	Rival         netip.Addr
	RivalPriority uint8
}

// notice tells what a step did beside changing the state.
func (r *Router) notice(now time.Time, x *runner, ev Event, before State, was uint8) {
	n := Notice{At: now, State: x.machine.State(), Priority: x.machine.Priority(), Was: was}
	if n.State != before || n.State != Master && n.State != Backup {
		return
	}
	if n.Priority != was {
		r.inform(x, n)
	}
	if got, ok := ev.(Received); ok && n.State == Master && got.Advertisement.Priority > 0 && got.From != x.source {
		n.Was, n.Rival, n.RivalPriority = n.Priority, got.From, got.Advertisement.Priority
		r.inform(x, n)
	}
}

// inform hands a notice over, behind the transitions that the interface's worker has yet to tell.
func (r *Router) inform(x *runner, n Notice) {
	if r.notifier.onNotice == nil {
		return
	}
	n.Instance = x.in.String()
	r.after(x.home, func() { r.notifier.notice(n) })
}
