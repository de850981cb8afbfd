package vrrp

import (
	"fmt"
	"net/netip"
	"time"
)

// State of an instance.
type State uint8

// The states of RFC 9568, Section 6.3, in keepalived's words, and FAULT.
const (
	Init   State = iota // not started, or shut down
	Backup              // waits for the MASTER to fail
	Master              // holds the addresses ("Active" in RFC 9568)
	Fault               // takes no part: its interface or something it tracks is down
)

// String returns keepalived's word for the state.
func (s State) String() string {
	switch s {
	case Init:
		return "INIT"
	case Backup:
		return "BACKUP"
	case Master:
		return "MASTER"
	case Fault:
		return "FAULT"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText is String, so that a State reads well in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *State) UnmarshalText(text []byte) error {
	for known := Init; known <= Fault; known++ {
		if known.String() == string(text) {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("vrrp: no state %q", text)
}

// Event is what happens to a [Machine]: one of Startup, Shutdown, Received, Timeout, SetPriority, FaultBegin, FaultEnd,
// Reconfigure, and for members of a sync group Hold, Promote and Demote.
type Event interface{ event() }

type (
	// Startup begins: Init becomes BACKUP, or MASTER for an owner that need not wait for its group. Source is the address that
	// adverts will come from.
	Startup struct {
		Source netip.Addr
		Wait   bool
	}
	// Shutdown ends: a MASTER says so with priority 0.
	Shutdown struct{}
	// Received is a valid advert from another router. The Machine does not keep the Advertisement.
	Received struct {
		From          netip.Addr
		Advertisement *Advertisement
	}
	// Timeout says that the deadline may have passed. Too early, it does nothing.
	Timeout struct{}
	// SetPriority changes the effective priority, 1 to 254. An owner's does not change.
	SetPriority struct{ Priority uint8 }
	// FaultBegin takes the instance out, for the given reason.
	FaultBegin struct{ Reason string }
	// FaultEnd lets it take part again. Source and Wait are as in Startup.
	FaultEnd struct {
		Source netip.Addr
		Wait   bool
	}
	// Reconfigure changes what may change in office: everything but VRID, interface and version.
	Reconfigure struct{ Instance Instance }
	// Hold is a Timeout that must wait for the rest of the group: the Machine is ready to be MASTER from then on, until it
	// hears of one.
	Hold struct{}
	// Promote makes a BACKUP the MASTER, with its group.
	Promote struct{ Reason string }
	// Demote makes a MASTER a BACKUP, with its group. It does not say priority 0.
	Demote struct{ Reason string }
)

func (Startup) event()     {}
func (Shutdown) event()    {}
func (Received) event()    {}
func (Timeout) event()     {}
func (SetPriority) event() {}
func (FaultBegin) event()  {}
func (FaultEnd) event()    {}
func (Reconfigure) event() {}
func (Hold) event()        {}
func (Promote) event()     {}
func (Demote) event()      {}

// Action is what a [Machine] wants done: one of SendAdvert, AddAddrs, AnnounceAddrs, RemoveAddrs and Transition. The order
// of a Step's actions is part of the protocol.
type Action interface{ action() }

type (
	// SendAdvert sends one advert with the given priority.
	SendAdvert struct{ Priority uint8 }
	// AddAddrs puts the virtual addresses on the interface.
	AddAddrs struct{}
	// AnnounceAddrs sends so many rounds of gratuitous ARP for the virtual addresses.
	AnnounceAddrs struct{ Rounds uint8 }
	// RemoveAddrs takes the virtual addresses off the interface and forgets announcements not yet sent.
	RemoveAddrs struct{}
	// Transition tells that the state changed.
	Transition struct {
		// Instance is the name of the instance.
		Instance string
		// At is the time of the Step that caused it.
		At       time.Time
		From, To State
		// Reason is one line for a person.
		Reason string
		// Priority is the effective priority of that moment. The Router sets it.
		Priority uint8
		// Took is how long the former MASTER had been silent when this one became it, 0 when nobody was ever heard. The
		// Router sets it.
		Took time.Duration
	}
)

func (SendAdvert) action()    {}
func (AddAddrs) action()      {}
func (AnnounceAddrs) action() {}
func (RemoveAddrs) action()   {}
func (Transition) action()    {}

// String reads like a log line.
func (t Transition) String() string {
	return fmt.Sprintf("%s: %v -> %v: %s", t.Instance, t.From, t.To, t.Reason)
}

// Machine is the state machine of one instance: RFC 9568, Section 6.4, with the differences of version 2 and keepalived's
// preempt delay. It has no clock, starts no goroutine and logs nothing; every method takes the present time. It belongs
// to one goroutine at a time.
type Machine struct {
	in       Instance
	priority uint8      // effective
	source   netip.Addr // of own adverts
	state    State

	// Active_Adver_Interval: learned from the MASTER while BACKUP (version 3).
	masterInterval time.Duration
	master         netip.Addr // who was heard last as MASTER
	timer          time.Time  // Active_Down_Timer or Adver_Timer
	preemptAt      time.Time  // end of the preempt delay, zero when none runs
	announceAt     time.Time  // next announcement, zero when none is due
	secondBurst    bool       // the next announcement is the second burst
	leaving        bool       // the MASTER said priority 0
	ready          bool       // the timer ran out, and the group was not ready

	actions []Action // reused by every Step
}

// NewMachine makes a Machine in state Init.
func NewMachine(in Instance) (*Machine, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return &Machine{in: in, priority: in.priority(), masterInterval: in.interval()}, nil
}

// State is the present state.
func (m *Machine) State() State { return m.state }

// Ready says whether the instance is a BACKUP that waits for its group only; see [Hold].
func (m *Machine) Ready() bool { return m.ready }

// Priority is the effective priority.
func (m *Machine) Priority() uint8 { return m.priority }

// MasterAddr is the source address of the MASTER: our own while MASTER, else that of the last one heard. It is not valid
// before the first advert.
func (m *Machine) MasterAddr() netip.Addr {
	if m.state == Master {
		return m.source
	}
	return m.master
}

// Deadline is the time by which the next [Timeout] is due, and whether there is one.
func (m *Machine) Deadline() (time.Time, bool) {
	if m.state != Master && m.state != Backup {
		return time.Time{}, false
	}
	if !m.announceAt.IsZero() && m.announceAt.Before(m.timer) {
		return m.announceAt, true
	}
	return m.timer, true
}

// Step tells the Machine what happened at the given time and returns what to do now, in order. The slice is valid until
// the next Step.
func (m *Machine) Step(now time.Time, ev Event) []Action {
	m.actions = m.actions[:0]
	switch ev := ev.(type) {
	case Startup:
		m.startup(now, ev.Source, ev.Wait)
	case Shutdown:
		m.shutdown(now)
	case Received:
		m.received(now, ev.From, ev.Advertisement)
	case Timeout:
		m.timeout(now)
	case SetPriority:
		m.setPriority(ev.Priority)
	case FaultBegin:
		m.faultBegin(now, ev.Reason)
	case FaultEnd:
		m.faultEnd(now, ev.Source, ev.Wait)
	case Reconfigure:
		m.reconfigure(now, ev.Instance)
	case Hold:
		m.hold(now)
	case Promote:
		m.promote(now, ev.Reason)
	case Demote:
		m.demote(now, ev.Reason)
	}
	return m.actions
}

func (m *Machine) do(a Action) { m.actions = append(m.actions, a) }

func (m *Machine) goTo(now time.Time, to State, reason string) {
	from := m.state
	m.state = to
	m.do(Transition{Instance: m.in.String(), At: now, From: from, To: to, Reason: reason})
}

// startup is RFC 9568, Section 6.4.1. Addresses left over from a crash are removed before anything else.
func (m *Machine) startup(now time.Time, source netip.Addr, wait bool) {
	if m.state != Init {
		return
	}
	m.source = source
	if m.in.owner() && !wait {
		m.becomeMaster(now, "owner of the addresses")
		return
	}
	m.do(RemoveAddrs{})
	m.becomeBackup(now, m.in.interval(), "started")
}

// shutdown is 6.4.2 (6) and 6.4.3 (9).
func (m *Machine) shutdown(now time.Time) {
	if m.state == Init {
		return
	}
	m.resign(true)
	m.goTo(now, Init, "shut down")
}

// resign gives up the addresses, if held. With priority 0 the others need not wait for our silence.
func (m *Machine) resign(tell bool) {
	if m.state != Master {
		return
	}
	if tell {
		m.do(SendAdvert{Priority: 0})
	}
	m.do(RemoveAddrs{})
	m.announceAt = time.Time{}
}

// becomeMaster is 6.4.1 (1) and 6.4.2 (7): the advert goes first, so that the old MASTER drops the addresses before the
// link learns of the new one.
func (m *Machine) becomeMaster(now time.Time, reason string) {
	m.do(SendAdvert{Priority: m.priority})
	m.do(AddAddrs{})
	m.do(AnnounceAddrs{Rounds: uint8(min(m.in.Announce.rounds(), 255))})
	m.timer = now.Add(m.in.interval())
	m.scheduleAnnounce(now, true)
	m.leaving, m.ready, m.preemptAt = false, false, time.Time{}
	m.masterInterval = m.in.interval()
	m.goTo(now, Master, reason)
}

func (m *Machine) scheduleAnnounce(now time.Time, second bool) {
	m.secondBurst = second && m.in.Announce.delay() > 0
	switch {
	case m.secondBurst:
		m.announceAt = now.Add(m.in.Announce.delay())
	case m.in.Announce.Refresh > 0:
		m.announceAt = now.Add(m.in.Announce.Refresh)
	default:
		m.announceAt = time.Time{}
	}
}

// becomeBackup starts to wait for a MASTER that sends every interval.
func (m *Machine) becomeBackup(now time.Time, interval time.Duration, reason string) {
	m.masterInterval = interval
	m.timer = now.Add(m.masterDown())
	m.leaving, m.ready, m.preemptAt = false, false, time.Time{}
	m.goTo(now, Backup, reason)
}

func (m *Machine) masterDown() time.Duration {
	return masterDownInterval(m.in.version(), m.priority, m.masterInterval)
}

func (m *Machine) skew() time.Duration {
	return skewTime(m.in.version(), m.priority, m.masterInterval)
}

func (m *Machine) received(now time.Time, from netip.Addr, a *Advertisement) {
	switch m.state {
	case Backup:
		m.backupReceived(now, from, a)
	case Master:
		m.masterReceived(now, from, a)
	}
}

// backupReceived is 6.4.2 (8) to (10). Addresses are never compared here.
func (m *Machine) backupReceived(now time.Time, from netip.Addr, a *Advertisement) {
	switch {
	case a.Priority == 0:
		m.timer = now.Add(m.skew())
		m.leaving = true
	case m.yields(now, a.Priority):
		m.master, m.leaving, m.ready = from, false, false
		m.learn(a)
		m.timer = now.Add(m.masterDown())
	}
	// Otherwise the advert is discarded and the timer runs on: that is how preemption happens.
}

// yields says whether a BACKUP lets a MASTER of that priority stay in office.
func (m *Machine) yields(now time.Time, priority uint8) bool {
	if priority >= m.priority {
		m.preemptAt = time.Time{}
		return true
	}
	if m.in.owner() {
		return false
	}
	if m.in.NoPreempt {
		return true
	}
	if m.in.PreemptDelay == 0 {
		return false
	}
	if m.preemptAt.IsZero() {
		m.preemptAt = now.Add(m.in.PreemptDelay)
	}
	return now.Before(m.preemptAt)
}

// learn takes the MASTER's interval over (version 3). In version 2 they are equal.
func (m *Machine) learn(a *Advertisement) {
	if m.in.version() == 3 {
		m.masterInterval = a.Interval
	}
}

// masterReceived is 6.4.3 (11) to (13).
func (m *Machine) masterReceived(now time.Time, from netip.Addr, a *Advertisement) {
	switch {
	case a.Priority == 0:
		m.do(SendAdvert{Priority: m.priority})
		m.timer = now.Add(m.in.interval())
	case a.Priority > m.priority:
		m.yieldTo(now, from, a, "higher priority")
	case a.Priority == m.priority && m.source.Less(from):
		m.yieldTo(now, from, a, "equal priority and higher address")
	default:
		m.assert(from)
	}
}

// assert answers a MASTER that must yield to us: the advert tells it, the announcement repairs bridges and neighbours
// that it misled. The periodic schedule goes on unchanged. An equal sender with our own address is a misconfiguration
// that no answer can settle; answering it would be answered for ever.
func (m *Machine) assert(from netip.Addr) {
	if from == m.source {
		return
	}
	m.do(SendAdvert{Priority: m.priority})
	m.do(AnnounceAddrs{Rounds: 1})
}

func (m *Machine) yieldTo(now time.Time, from netip.Addr, a *Advertisement, why string) {
	m.resign(false)
	m.master = from
	interval := m.in.interval()
	if m.in.version() == 3 {
		interval = a.Interval
	}
	m.becomeBackup(now, interval, fmt.Sprintf("advert from %v with %s (%d, ours %d)", from, why, a.Priority, m.priority))
}

func (m *Machine) timeout(now time.Time) {
	if m.state == Master {
		m.masterTimeout(now)
	} else if m.state == Backup && !now.Before(m.timer) {
		m.becomeMaster(now, m.takeoverReason())
	}
}

func (m *Machine) takeoverReason() string {
	switch {
	case m.leaving:
		return fmt.Sprintf("%v left with priority 0", m.master)
	case !m.master.IsValid():
		return fmt.Sprintf("no advert within %v", m.masterDown())
	}
	return fmt.Sprintf("no advert of sufficient priority within %v, last from %v", m.masterDown(), m.master)
}

// masterTimeout is 6.4.3 (10), and the announcements that are due. A MASTER that was held up sends one advert, not all
// that it missed.
func (m *Machine) masterTimeout(now time.Time) {
	if !now.Before(m.timer) {
		m.do(SendAdvert{Priority: m.priority})
		m.timer = m.timer.Add(m.in.interval())
		if m.timer.Before(now) {
			m.timer = now.Add(m.in.interval())
		}
	}
	if !m.announceAt.IsZero() && !now.Before(m.announceAt) {
		rounds := 1
		if m.secondBurst {
			rounds = m.in.Announce.rounds()
		}
		m.do(AnnounceAddrs{Rounds: uint8(min(rounds, 255))})
		m.scheduleAnnounce(now, false)
	}
}

// The members of a sync group.

func (m *Machine) hold(now time.Time) {
	if m.state == Backup && !now.Before(m.timer) {
		m.ready = true
		m.timer = now.Add(m.masterDown())
	}
}

func (m *Machine) promote(now time.Time, reason string) {
	if m.state == Backup {
		m.becomeMaster(now, reason)
	}
}

func (m *Machine) demote(now time.Time, reason string) {
	if m.state == Master {
		m.resign(false)
		m.becomeBackup(now, m.in.interval(), reason)
	}
}

// setPriority moves a running down timer by the difference of the old and the new skew.
func (m *Machine) setPriority(priority uint8) {
	if m.in.owner() {
		return
	}
	before := m.skew()
	m.priority = min(max(priority, 1), 254)
	if m.state == Backup {
		m.timer = m.timer.Add(m.skew() - before)
	}
}

// faultBegin leaves the election. A MASTER says so, once.
func (m *Machine) faultBegin(now time.Time, reason string) {
	if m.state == Fault {
		return
	}
	if m.state == Init {
		m.do(RemoveAddrs{})
	}
	m.resign(true)
	m.ready = false
	m.goTo(now, Fault, reason)
}

func (m *Machine) faultEnd(now time.Time, source netip.Addr, wait bool) {
	if m.state != Fault {
		return
	}
	m.source = source
	if m.in.owner() && !wait {
		m.becomeMaster(now, "fault is over, owner of the addresses")
		return
	}
	m.becomeBackup(now, m.in.interval(), "fault is over")
}

// reconfigure keeps the state. A MASTER advertises the change at once; the driver brings the addresses up to date.
func (m *Machine) reconfigure(now time.Time, in Instance) {
	m.in = in
	m.priority = in.priority()
	switch m.state {
	case Master:
		m.do(SendAdvert{Priority: m.priority})
		m.timer = now.Add(in.interval())
	case Backup:
		m.timer = now.Add(m.masterDown())
	}
}
