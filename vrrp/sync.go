package vrrp

import (
	"fmt"
	"time"
)

// Group are the Machines of a sync group: they change state together. The rules are keepalived's. Events for a member go
// through the Group; what is to be done comes from several Machines then.
//
//   - A BACKUP becomes MASTER when every other member is ready for it: its timer ran out too. Then all do.
//   - When one goes from MASTER to BACKUP all do, without priority 0. When one is in FAULT all are, and a MASTER says priority 0.
//     They leave FAULT together, when none has a reason of its own to be there.
//   - At start only a group of owners is MASTER at once. One that joins a group of MASTERs becomes one in its own time, and when it
//     hears that another router is MASTER for it, the others give up.
type Group []*Machine

// Step is [Machine.Step] for a member. do is called for each action, in order, and must not call Step.
func (g Group) Step(now time.Time, m *Machine, ev Event, do func(*Machine, Action)) {
	before := m.state
	switch ev := ev.(type) {
	case Startup:
		g.startup(now, m, ev, do)
	case FaultEnd:
		m.fault, m.source = "", ev.Source
		m.firstDelay(ev.NotBefore)
		g.faultEnd(now, do)
		return
	case FaultBegin:
		g.run(now, m, ev, do)
		g.follow(now, m, before, do) // also when it had the fault before it came to the group
		return
	case Lost, Yield:
		g.all(now, ev, do)
		return
	case Timeout:
		if m.state == Backup && !g.othersReady(m) {
			g.run(now, m, hold{}, do)
			return
		}
		g.run(now, m, ev, do)
	case Received:
		answered := m.answeredAt
		g.run(now, m, ev, do)
		if m.answeredAt != answered {
			g.others(now, m, reannounce{}, do)
		}
		if m.state == Backup && m.acceptedAt.Equal(now) { // another router is in office for it
			g.others(now, m, demote{g.because(m)}, do)
			return
		}
	default:
		g.run(now, m, ev, do)
	}
	if m.state != before {
		g.follow(now, m, before, do)
	}
}

func (g Group) run(now time.Time, m *Machine, ev Event, do func(*Machine, Action)) {
	for _, a := range m.Step(now, ev) {
		do(m, a)
	}
}

func (g Group) others(now time.Time, m *Machine, ev Event, do func(*Machine, Action)) {
	for _, other := range g {
		if other != m {
			g.run(now, other, ev, do)
		}
	}
}

// name is the group's, for people.
func (g Group) name() string { return g[0].in.Sync }

// startup starts one member: as MASTER with the others, or in FAULT with them, where it may be already.
func (g Group) startup(now time.Time, m *Machine, ev Startup, do func(*Machine, Action)) {
	if faulty := g.faulty(); faulty != nil {
		m.source, m.notBefore = ev.Source, ev.NotBefore
		g.run(now, m, drag{g.because(faulty)}, do)
		return
	}
	m.actions = m.actions[:0]
	m.startup(now, ev, !g.allOwners())
	for _, a := range m.actions {
		do(m, a)
	}
}

// faultEnd takes all out of FAULT, once none has a reason to be there.
func (g Group) faultEnd(now time.Time, do func(*Machine, Action)) {
	if g.faulty() != nil {
		return
	}
	wait := !g.allOwners()
	for _, m := range g {
		m.actions = m.actions[:0]
		m.faultEnd(now, m.source, wait)
		for _, a := range m.actions {
			do(m, a)
		}
	}
}

// faulty is a member that cannot take part by itself.
func (g Group) faulty() *Machine {
	for _, m := range g {
		if m.fault != "" {
			return m
		}
	}
	return nil
}

func (g Group) because(m *Machine) string {
	return fmt.Sprintf("sync group %s: %s is %v", g.name(), &m.in, m.state)
}

// othersReady says whether a member may take over: all the others are ready for it, or there already.
func (g Group) othersReady(m *Machine) bool {
	for _, other := range g {
		if other != m && other.state != Master && !other.ready {
			return false
		}
	}
	return true
}

// allOwners says whether the whole group may be MASTER from the start.
func (g Group) allOwners() bool {
	for _, m := range g {
		if !m.in.owner() || m.in.StartBackup {
			return false
		}
	}
	return true
}

// follow takes the rest of the group where one member went.
func (g Group) follow(now time.Time, m *Machine, before State, do func(*Machine, Action)) {
	switch {
	case m.state == Master:
		g.others(now, m, promote{g.because(m)}, do)
	case m.state == Backup && before == Master:
		g.others(now, m, demote{g.because(m)}, do)
	case m.state == Fault:
		g.others(now, m, drag{g.because(m)}, do)
	}
}

// groupStep is what a Machine does by the rules of its group.
func (m *Machine) groupStep(now time.Time, ev Event) {
	switch ev := ev.(type) {
	case hold:
		if !now.Before(m.timer) {
			m.ready = true
			m.timer = now.Add(m.masterDown())
		}
	case promote:
		if m.state == Backup {
			m.becomeMaster(now, ev.reason)
		}
	case demote:
		if m.state == Master {
			m.resign(now, false)
			m.becomeBackup(now, m.in.interval(), ev.reason)
		}
	case drag:
		m.faultBegin(now, ev.reason)
	case reannounce:
		if m.state == Master {
			m.reannounce(now)
		}
	}
}
