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

// Event is what happens to a [Machine]: one of Startup, Shutdown, Received, Timeout, SetPriority, FaultBegin, FaultEnd, Reconfigure,
// Lost, Yield, Readdress and Claimed.
type Event interface{ event() }

type (
	// Startup begins: Init becomes BACKUP, or MASTER for an owner. Source is the address that adverts will come from.
	// Until NotBefore, if it is set, nothing is sent, and adverts are not heard.
	Startup struct {
		Source    netip.Addr
		NotBefore time.Time
		// Adopt makes it MASTER at once: a predecessor on the same host was, and kept the addresses.
		Adopt bool
	}
	// Shutdown ends: a MASTER says so with priority 0 and gives up its addresses. With Keep it does neither: a successor on
	// the same host adopts them.
	Shutdown struct{ Keep bool }
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
	// FaultEnd lets it take part again, or for the first time. Source is as in Startup, and so is NotBefore for the first time.
	FaultEnd struct {
		Source    netip.Addr
		NotBefore time.Time
	}
	// Reconfigure changes what may change in office: everything but VRID, interface and version. Priority is the effective
	// one, 0 for the instance's own. NotBefore is as in Startup: it moves a delay that is running, and begins none.
	Reconfigure struct {
		Instance  Instance
		Priority  uint8
		NotBefore time.Time
	}

	// What happens to the members of a [Group] by its rules.
	hold       struct{}                // a Timeout that must wait for the rest of the group
	promote    struct{ reason string } // a BACKUP becomes MASTER with its group
	demote     struct{ reason string } // a MASTER becomes BACKUP with its group, without priority 0
	drag       struct{ reason string } // FaultBegin for another's fault
	reannounce struct{}                // a lesser MASTER was heard by another member
)

func (Startup) event()     {}
func (Shutdown) event()    {}
func (Received) event()    {}
func (Timeout) event()     {}
func (SetPriority) event() {}
func (FaultBegin) event()  {}
func (FaultEnd) event()    {}
func (Reconfigure) event() {}
func (hold) event()        {}
func (promote) event()     {}
func (demote) event()      {}
func (drag) event()        {}
func (reannounce) event()  {}

// Action is what a [Machine] wants done: one of SendAdvert, AddAddrs, AnnounceAddrs, AnnounceExtra, DefendAddr, RemoveAddrs,
// Transition and Conflict. The order of a Step's actions is part of the protocol.
type Action interface{ action() }

type (
	// SendAdvert sends one advert with the given priority.
	SendAdvert struct{ Priority uint8 }
	// AddAddrs puts the virtual addresses on the interface.
	AddAddrs struct{}
	// AnnounceAddrs sends so many rounds of gratuitous ARP for the virtual addresses.
	AnnounceAddrs struct{ Rounds uint8 }
	// AnnounceExtra sends one for one virtual address of each interface that [Announce.Extra] is about.
	AnnounceExtra struct{}
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
func (AnnounceExtra) action() {}
func (RemoveAddrs) action()   {}
func (Transition) action()    {}
func (Conflict) action()      {}

// String reads like a log line.
func (t Transition) String() string {
	return fmt.Sprintf("%s: %v -> %v: %s", t.Instance, t.From, t.To, t.Reason)
}

// Machine is the state machine of one instance: RFC 9568, Section 6.4, with the differences of version 2 and what keepalived
// adds. It has no clock, starts no goroutine and logs nothing; every method takes the present time. It belongs to one
// goroutine at a time. Instances of a sync group are driven through their [Group].
type Machine struct {
	in       Instance
	priority uint8      // effective
	source   netip.Addr // of own adverts
	state    State
	fault    string // why it cannot take part, by itself; in a group another's may be the reason of FAULT

	// Active_Adver_Interval: learned from the MASTER while BACKUP (version 3).
	masterInterval time.Duration
	master         netip.Addr // who was heard last as MASTER
	silent         netip.Addr // whose silence made us MASTER
	since          time.Time  // when the state was entered
	heardAt        time.Time  // the last advert heard while BACKUP
	acceptedAt     time.Time  // the last one of them whose sender we let stay in office
	timer          time.Time  // Active_Down_Timer or Adver_Timer
	notBefore      time.Time  // end of the start delay
	lesserAt       time.Time  // the first advert of a lesser MASTER, when the preempt delay began, zero when none runs
	sentAt         time.Time  // of the last own advert
	answeredAt     time.Time  // of the last answer to a lesser MASTER
	answersSince   time.Time  // since when they are counted
	answers        int
	leaving        bool // the MASTER said priority 0
	ready          bool // the timer ran out, and the group was not ready
	polite         bool // it was told to yield, and was not MASTER since

	// The next announcements, zero when none is due: the second burst, the refresh, the second burst for a lesser MASTER, and
	// those of other interfaces.
	burstAt, refreshAt, lowerAt, extraAt time.Time

	claims     []claim   // of our addresses by others, while MASTER
	claimAt    time.Time // when the next of them counts, zero when none is waiting
	rivalUntil time.Time // until when claims may be those of another MASTER whose adverts are heard

	conflicts conflicts
	actions   []Action // reused by every Step
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
	switch m.state {
	case Backup:
		return m.timer, true
	case Master:
		next := m.timer
		for _, at := range [...]time.Time{m.burstAt, m.refreshAt, m.lowerAt, m.extraAt, m.claimAt} {
			if !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		return next, true
	}
	return time.Time{}, false
}

// Step tells the Machine what happened at the given time and returns what to do now, in order. The slice is valid until
// the next Step.
func (m *Machine) Step(now time.Time, ev Event) []Action {
	m.actions = m.actions[:0]
	switch ev := ev.(type) {
	case Startup:
		m.startup(now, ev, false)
	case Shutdown:
		m.shutdown(now, ev.Keep)
	case Lost:
		m.lost(now, ev.Reason)
	case Yield:
		m.yield(now, ev.Reason)
	case Readdress:
		m.source = ev.Source
	case Received:
		m.received(now, ev.From, ev.Advertisement)
	case Claimed:
		m.claimed(now, ev)
	case Timeout:
		m.timeout(now)
	case SetPriority:
		m.setPriority(ev.Priority)
	case FaultBegin:
		m.fault = ev.Reason
		m.faultBegin(now, ev.Reason)
	case FaultEnd:
		m.fault = ""
		m.firstDelay(ev.NotBefore)
		m.faultEnd(now, ev.Source, false)
	case Reconfigure:
		m.moveDelay(now, ev.NotBefore)
		m.reconfigure(now, ev.Instance, ev.Priority)
	default:
		m.groupStep(now, ev)
	}
	return m.actions
}

func (m *Machine) do(a Action) { m.actions = append(m.actions, a) }

func (m *Machine) goTo(now time.Time, to State, reason string) {
	from := m.state
	m.state, m.since = to, now
	m.conflicts.forget()
	m.do(Transition{Instance: m.in.String(), At: now, From: from, To: to, Reason: reason})
}

// conflict tells of another router that does not agree, unless that was told lately.
func (m *Machine) conflict(now time.Time, kind ConflictKind, from netip.Addr, detail string) {
	if m.conflicts.note(now, kind) {
		m.do(Conflict{Instance: m.in.String(), At: now, Kind: kind, From: from, Detail: detail})
	}
}

// startup is RFC 9568, Section 6.4.1. Addresses left over from a crash are removed before anything else. An owner that has to
// wait for its group, or for the end of the start delay, waits as BACKUP.
func (m *Machine) startup(now time.Time, ev Startup, wait bool) {
	if m.state != Init {
		return
	}
	m.source, m.notBefore = ev.Source, ev.NotBefore
	if ev.Adopt {
		m.becomeMaster(now, "adopted from a predecessor")
		return
	}
	atOnce := m.in.owner() && !m.in.StartBackup && !wait
	if atOnce && !m.quiet(now) {
		m.becomeMaster(now, "owner of the addresses")
		return
	}
	m.do(RemoveAddrs{})
	m.becomeBackup(now, m.in.interval(), "started")
	if atOnce {
		m.timer = m.notBefore
	}
}

// quiet says whether the start delay is not over.
func (m *Machine) quiet(now time.Time) bool { return now.Before(m.notBefore) }

// firstDelay is the start delay of one that was in FAULT from the start.
func (m *Machine) firstDelay(end time.Time) {
	if m.notBefore.IsZero() {
		m.notBefore = end
	}
}

// moveDelay moves the end of a start delay that is running, and the timer that counts from there. What should be over already ends
// now.
func (m *Machine) moveDelay(now, end time.Time) {
	if !m.quiet(now) {
		return
	}
	if end.Before(now) {
		end = now
	}
	if m.state == Backup {
		m.timer = m.timer.Add(end.Sub(m.notBefore))
	}
	m.notBefore = end
}

// shutdown is 6.4.2 (6) and 6.4.3 (9).
func (m *Machine) shutdown(now time.Time, keep bool) {
	if m.state == Init {
		return
	}
	if !keep {
		m.resign(now, true)
	}
	m.goTo(now, Init, "shut down")
}

// resign gives up the addresses, if held. With priority 0 the others need not wait for our silence.
func (m *Machine) resign(now time.Time, tell bool) {
	if m.state != Master {
		return
	}
	if tell {
		m.advertise(now, 0)
	}
	m.do(RemoveAddrs{})
}

func (m *Machine) advertise(now time.Time, priority uint8) {
	m.do(SendAdvert{Priority: priority})
	m.sentAt = now
}

func (m *Machine) announce(rounds int) {
	if rounds > 0 {
		m.do(AnnounceAddrs{Rounds: uint8(rounds)})
	}
}

// becomeMaster is 6.4.1 (1) and 6.4.2 (7): the advert goes first, so that the old MASTER drops the addresses before the
// link learns of the new one.
func (m *Machine) becomeMaster(now time.Time, reason string) {
	m.advertise(now, m.priority)
	m.do(AddAddrs{})
	m.announce(m.in.Announce.rounds())
	m.timer = now.Add(m.in.interval())
	m.burstAt, m.refreshAt, m.lowerAt = time.Time{}, time.Time{}, time.Time{}
	m.dropClaims()
	delay := m.in.Announce.delay()
	if delay > 0 {
		m.burstAt = now.Add(delay)
	}
	if m.in.Announce.Refresh > 0 {
		m.refreshAt = now.Add(delay + m.in.Announce.Refresh)
	}
	m.extraAt = after(now, m.in.Announce.Extra)
	m.silent = netip.Addr{}
	if m.state == Backup && !m.leaving && now.Sub(m.heardAt) >= 2*m.masterInterval {
		m.silent = m.master // and not one that we preempt
	}
	m.polite = false
	m.goTo(now, Master, reason)
}

// becomeBackup starts to wait for a MASTER that sends every interval.
func (m *Machine) becomeBackup(now time.Time, interval time.Duration, reason string) {
	m.masterInterval = interval
	m.timer = now.Add(m.masterDown())
	if m.quiet(now) {
		m.timer = m.notBefore.Add(m.masterDown())
	}
	m.leaving, m.ready, m.lesserAt = false, false, time.Time{}
	m.goTo(now, Backup, reason)
}

func (m *Machine) masterDown() time.Duration {
	return masterDownInterval(m.in.version(), m.priority, m.in.downAdverts(), m.masterInterval)
}

func (m *Machine) skew() time.Duration {
	return skewTime(m.in.version(), m.priority, m.masterInterval)
}

func (m *Machine) received(now time.Time, from netip.Addr, a *Advertisement) {
	m.expired(now) // and hears the advert as BACKUP
	switch {
	case m.quiet(now), m.in.deaf(), m.state != Backup && m.state != Master:
	case from == m.source:
		// An answer would be answered for ever, and nothing in it can settle the matter.
		m.conflict(now, ConflictSource, from, "another router sends adverts from our address, or ours come back")
	case m.state == Backup:
		m.backupReceived(now, from, a)
	default:
		m.masterReceived(now, from, a)
	}
}

// backupReceived is 6.4.2 (8) to (10). Addresses are never compared here.
func (m *Machine) backupReceived(now time.Time, from netip.Addr, a *Advertisement) {
	m.heardAt = now
	switch {
	case a.Priority == 0:
		m.timer = now.Add(m.skew())
		m.leaving = true
	case m.yields(now, a.Priority):
		m.master, m.acceptedAt, m.leaving, m.ready = from, now, false, false
		m.learn(a)
		m.timer = now.Add(m.masterDown())
	}
	// Otherwise the advert is discarded and the timer runs on: that is how preemption happens.
}

// yields says whether a BACKUP lets a MASTER of that priority stay in office.
func (m *Machine) yields(now time.Time, priority uint8) bool {
	if priority >= m.priority {
		m.lesserAt = time.Time{}
		return true
	}
	if m.polite {
		return true
	}
	if m.in.owner() {
		return false
	}
	if m.in.NoPreempt {
		return true
	}
	if m.lesserAt.IsZero() {
		m.lesserAt = now
	}
	return now.Sub(m.lesserAt) < m.in.PreemptDelay
}

// learn takes the MASTER's interval over (version 3). In version 2 they are equal.
func (m *Machine) learn(a *Advertisement) {
	if m.in.version() == 3 {
		m.masterInterval = a.Interval
	}
}

// masterReceived is 6.4.3 (11) to (13).
func (m *Machine) masterReceived(now time.Time, from netip.Addr, a *Advertisement) {
	if a.Priority == 255 && m.in.owner() {
		m.conflict(now, ConflictOwner, from, "it has priority 255 as we have: only one router can own the addresses")
	}
	switch {
	case a.Priority == 0:
		m.advertise(now, m.priority)
		m.timer = now.Add(m.in.interval())
	case a.Priority > m.priority:
		m.yieldTo(now, from, a, "higher priority")
	case a.Priority == m.priority && m.source.Less(from):
		m.yieldTo(now, from, a, "equal priority and higher address")
	default:
		m.assert(now, from, a)
	}
}

// assert answers a MASTER that must yield to us: the advert tells it, the announcement repairs bridges and neighbours
// that it misled. The periodic schedule goes on unchanged. A flood is not answered by a flood.
func (m *Machine) assert(now time.Time, from netip.Addr, a *Advertisement) {
	m.rival(now, a)
	if now.Sub(m.since) >= m.in.interval() { // one that we have just preempted may say so much
		m.conflict(now, ConflictMaster, from, fmt.Sprintf("it is MASTER with priority %d, and should yield to our %d", a.Priority, m.priority))
	}
	if now.Sub(m.answersSince) >= m.in.interval() {
		m.answersSince, m.answers = now, 0
	}
	if m.answers++; m.answers > answersPerInterval {
		return
	}
	m.answeredAt = now
	if !m.in.LowerPrioNoAdvert && !m.in.Strict {
		m.advertise(now, m.priority)
	}
	m.reannounce(now)
}

// answersPerInterval bounds the answers to lesser MASTERs.
const answersPerInterval = 10

// reannounce repeats the announcement, now and once more when the other has had time to read our advert.
func (m *Machine) reannounce(now time.Time) {
	rounds, delay := m.in.lowerPrio()
	m.announce(rounds)
	if rounds > 0 && delay > 0 {
		m.lowerAt = now.Add(delay)
	}
}

// yieldTo gives up office. If the other is who was silent when we took over, both may have been MASTER on either side of a cut
// link: one more advert tells it so, and makes it announce the addresses to those who learned them from us.
func (m *Machine) yieldTo(now time.Time, from netip.Addr, a *Advertisement, why string) {
	if (m.in.HigherPrioSendAdvert || from == m.silent) && !m.in.Strict {
		m.advertise(now, m.priority)
	}
	m.resign(now, false)
	m.master = from
	interval := m.in.interval()
	if m.in.version() == 3 {
		interval = a.Interval
	}
	m.becomeBackup(now, interval, fmt.Sprintf("advert from %v with %s (%d, ours %d)", from, why, a.Priority, m.priority))
}

func (m *Machine) timeout(now time.Time) {
	m.expired(now) // and has all the time of a BACKUP again
	switch {
	case m.state == Master:
		m.masterTimeout(now)
	case m.state == Backup && !now.Before(m.timer):
		m.becomeMaster(now, m.takeoverReason())
	}
}

// expired makes a BACKUP of a MASTER that was held up for so long that another must have taken over. It does not say
// priority 0: the other is in office.
func (m *Machine) expired(now time.Time) {
	if m.state != Master || m.in.TimerExpiredBackup == 0 ||
		now.Sub(m.sentAt) <= expiredInterval(m.in.version(), m.in.TimerExpiredBackup, m.in.interval()) {
		return
	}
	late := now.Sub(m.sentAt)
	m.resign(now, false)
	m.becomeBackup(now, m.in.interval(), fmt.Sprintf("held up for %v: another must have taken over", late))
}

func (m *Machine) takeoverReason() string {
	switch {
	case m.in.owner() && !m.notBefore.IsZero() && m.timer.Equal(m.notBefore):
		return "owner of the addresses"
	case m.leaving && m.master.IsValid():
		return fmt.Sprintf("%v left with priority 0", m.master)
	case m.leaving:
		return "the MASTER left with priority 0"
	case !m.master.IsValid():
		return fmt.Sprintf("no advert within %v", m.masterDown())
	}
	return fmt.Sprintf("no advert of sufficient priority within %v, last from %v", m.masterDown(), m.master)
}

// masterTimeout is 6.4.3 (10), and the announcements that are due. A MASTER that was held up sends one advert, not all
// that it missed.
func (m *Machine) masterTimeout(now time.Time) {
	if !now.Before(m.timer) {
		m.advertise(now, m.priority)
		m.timer = m.timer.Add(m.in.interval())
		if m.timer.Before(now) {
			m.timer = now.Add(m.in.interval())
		}
	}
	if due(now, m.burstAt) {
		m.burstAt = time.Time{}
		m.announce(m.in.Announce.rounds())
	}
	if due(now, m.lowerAt) {
		m.lowerAt = time.Time{}
		rounds, _ := m.in.lowerPrio()
		m.announce(rounds)
	}
	if due(now, m.claimAt) {
		m.settleClaims(now)
	}
	if due(now, m.refreshAt) {
		m.refreshAt = now.Add(m.in.Announce.Refresh)
		m.announce(m.in.Announce.refreshRounds())
	}
	if due(now, m.extraAt) {
		m.extraAt = after(now, m.in.Announce.Extra)
		m.do(AnnounceExtra{})
	}
}

// after is when a period is over, zero without one.
func after(now time.Time, period time.Duration) time.Time {
	if period <= 0 {
		return time.Time{}
	}
	return now.Add(period)
}

// mostStep and leastSteps bound the steps that an interval is divided into, for align.
const mostStep, leastSteps = 25 * time.Millisecond, 4

// align brings a MASTER's next advert forward to a step of its interval, counted from an epoch, so that those of many instances
// leave together. As intervals are whole steps, all that follow are in time.
func (m *Machine) align(epoch time.Time) {
	interval := m.in.interval()
	step := interval / max((interval+mostStep-1)/mostStep, leastSteps)
	m.timer = m.timer.Add(-(m.timer.Sub(epoch) % step))
}

func due(now, at time.Time) bool { return !at.IsZero() && !now.Before(at) }

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
	m.resign(now, true)
	m.goTo(now, Fault, reason)
}

func (m *Machine) faultEnd(now time.Time, source netip.Addr, wait bool) {
	if m.state != Fault {
		return
	}
	m.source = source
	atOnce := m.in.owner() && !m.in.StartBackup && !wait
	if atOnce && !m.quiet(now) {
		m.becomeMaster(now, "fault is over, owner of the addresses")
		return
	}
	m.becomeBackup(now, m.in.interval(), "fault is over")
	if atOnce {
		m.timer = m.notBefore
	}
}

// reconfigure keeps the state. A MASTER advertises the change at once; the driver brings the addresses up to date. The timer
// of a BACKUP moves by what the wait has become longer or shorter.
func (m *Machine) reconfigure(now time.Time, in Instance, priority uint8) {
	before := m.masterDown()
	if m.masterInterval == m.in.interval() || in.version() == 2 {
		m.masterInterval = in.interval() // not learned
	}
	m.in, m.priority = in, in.priority()
	if priority != 0 && !in.owner() {
		m.priority = min(priority, 254)
	}
	switch m.state {
	case Master:
		m.advertise(now, m.priority)
		m.timer = now.Add(in.interval())
		m.refreshAt, m.extraAt = after(now, in.Announce.Refresh), after(now, in.Announce.Extra)
	case Backup:
		m.timer = m.timer.Add(m.masterDown() - before)
	}
}
