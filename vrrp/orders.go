package vrrp

import (
	"net/netip"
	"time"
)

// Orders are events that come from outside of the protocol.
type (
	// Lost says that someone else took away what the MASTER holds. It says priority 0, gives up the rest, and tries again
	// after its skew time: whoever is better placed is first.
	Lost struct{ Reason string }
	// Yield makes a MASTER say priority 0 and become a BACKUP that does not preempt, however low the priority of those that it
	// hears, until it was MASTER again.
	Yield struct{ Reason string }
	// Readdress changes the source of adverts without changing the state: the host has another address.
	Readdress struct{ Source netip.Addr }
)

func (Lost) event()      {}
func (Yield) event()     {}
func (Readdress) event() {}

func (m *Machine) lost(now time.Time, reason string) {
	if m.state != Master {
		return
	}
	m.resign(now, true)
	m.becomeBackup(now, m.in.interval(), reason)
	m.timer = now.Add(m.skew())
}

func (m *Machine) yield(now time.Time, reason string) {
	if m.state != Master {
		return
	}
	m.resign(now, true)
	m.becomeBackup(now, m.in.interval(), reason)
	m.polite = true
}

// all gives every member of the group the same order.
func (g Group) all(now time.Time, ev Event, do func(*Machine, Action)) {
	for _, m := range g {
		g.run(now, m, ev, do)
	}
}
