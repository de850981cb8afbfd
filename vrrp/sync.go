package vrrp

import (
	"fmt"
	"time"
)

// Sync groups: members change state together. The rules are keepalived's.

// others are the other members of an instance's group.
func (r *Router) others(x *runner) (list []*runner) {
	if x.in.Sync == "" {
		return nil
	}
	for _, y := range r.runners {
		if y != x && y.in.Sync == x.in.Sync {
			list = append(list, y)
		}
	}
	return list
}

// timeout lets a member take over when all the others are ready for it or there already. Else it waits once more.
func (r *Router) timeout(now time.Time, x *runner) {
	if x.machine.State() == Backup {
		for _, y := range r.others(x) {
			if y.machine.State() != Master && !y.machine.Ready() {
				r.step(now, x, Hold{})
				return
			}
		}
	}
	r.step(now, x, Timeout{})
}

// follow takes the rest of the group where one member went.
func (r *Router) follow(now time.Time, x *runner, before State) {
	state, reason := x.machine.State(), fmt.Sprintf("sync group %s: %s is %v", x.in.Sync, &x.in, x.machine.State())
	for _, y := range r.others(x) {
		switch {
		case state == Master:
			r.step(now, y, Promote{Reason: reason})
		case state == Backup && before == Master:
			r.step(now, y, Demote{Reason: reason})
		case state == Fault && y.machine.State() != Init:
			r.step(now, y, FaultBegin{Reason: reason})
		}
	}
}

// groupFault is why an instance that is well itself cannot take part.
func (r *Router) groupFault(x *runner) string {
	for _, y := range r.others(x) {
		if y.fault != "" {
			return fmt.Sprintf("sync group %s: %s is FAULT", x.in.Sync, &y.in)
		}
	}
	return ""
}

// allOwners says whether the whole group may be MASTER from the start.
func (r *Router) allOwners(x *runner) bool {
	for _, y := range r.others(x) {
		if !y.in.owner() {
			return false
		}
	}
	return true
}
