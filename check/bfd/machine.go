package bfd

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Event is what happens to a [Machine]: one of Received, Timeout, Reconfigure and Leave.
type Event interface{ event() }

type (
	// Received is a packet for this session that [Packet.Validate] and authentication let pass. The Machine does not keep it.
	Received struct{ Packet *Packet }
	// Timeout says that the deadline may have passed. Too early, it does nothing.
	Timeout struct{}
	// Reconfigure changes timers, multiplier, role and whether the session is disabled, without a flap.
	Reconfigure struct{ Session Session }
	// Leave takes the session down for good: the peer is told that an operator did it.
	Leave struct{}
)

func (Received) event()    {}
func (Timeout) event()     {}
func (Reconfigure) event() {}
func (Leave) event()       {}

// Action is what a [Machine] wants done: one of Send and Transition. They are in order.
type Action interface{ action() }

type (
	// Send sends one packet.
	Send struct{ Packet Packet }
	// Transition tells that the state changed.
	Transition struct {
		// Session is its name.
		Session string
		// At is the time of the Step that caused it.
		At       time.Time
		From, To State
		// Remote is the peer's state as it last told.
		Remote State
		// Diag is the local diagnostic; it is kept when the session comes Up.
		Diag Diag
		// Reason is one line for a person.
		Reason string
		// Alive is the verdict for those who depend on the path; see [Status].
		Alive bool
	}
)

func (Send) action()       {}
func (Transition) action() {}

// String reads like a log line.
func (t Transition) String() string {
	return fmt.Sprintf("%s: %v -> %v: %s", t.Session, t.From, t.To, t.Reason)
}

// Machine is one session: RFC 5880, Section 6.8, in asynchronous mode. It has no clock, starts no goroutine and logs
// nothing; every method takes the present time. It belongs to one goroutine at a time. Authentication is its driver's.
type Machine struct {
	s     Session
	rand  *rand.Rand
	state State
	diag  Diag
	alive bool

	mine, yours uint32
	remote      State // RemoteSessionState
	remoteMinRx time.Duration
	remoteMinTx time.Duration
	remoteMult  uint8
	demand      bool // RemoteDemandMode

	minTx, minRx time.Duration // in use; those of the session are what is told
	polling      bool          // a Poll Sequence runs
	pollAgain    bool          // another has to follow it

	sent     time.Time // last packet
	txAt     time.Time // next packet, zero while silent
	detectAt time.Time // end of the Detection Time, zero when none runs
	actions  []Action  // reused by every Step
}

// NewMachine makes a Machine in state Down, whose first packet is due at once. mine is its discriminator, not 0 and unlike that of any
// other session of this host. Jitter comes from r.
func NewMachine(now time.Time, s Session, mine uint32, r *rand.Rand) (*Machine, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	m := &Machine{s: s, rand: r, state: Down, mine: mine, remote: Down, remoteMinRx: time.Microsecond, minRx: s.minRx()}
	if s.Disabled {
		m.state, m.diag = AdminDown, DiagAdminDown
	}
	m.minTx = m.wantTx()
	if m.maySend() {
		m.txAt = now
	}
	return m, nil
}

// State is the present state.
func (m *Machine) State() State { return m.state }

// Diag is the local diagnostic.
func (m *Machine) Diag() Diag { return m.diag }

// Alive is the verdict for those who depend on the path; see [Status].
func (m *Machine) Alive() bool { return m.alive }

// Deadline is the time by which the next [Timeout] is due, and whether there is one.
func (m *Machine) Deadline() (time.Time, bool) {
	switch {
	case m.txAt.IsZero():
		return m.detectAt, !m.detectAt.IsZero()
	case m.detectAt.IsZero() || m.txAt.Before(m.detectAt):
		return m.txAt, true
	}
	return m.detectAt, true
}

// Step tells the Machine what happened at the given time and returns what to do now, in order. The slice is valid until
// the next Step.
func (m *Machine) Step(now time.Time, ev Event) []Action {
	m.actions = m.actions[:0]
	switch ev := ev.(type) {
	case Received:
		m.received(now, ev.Packet)
	case Timeout:
		m.timeout(now)
	case Reconfigure:
		m.reconfigure(now, ev.Session)
	case Leave:
		m.adminDown(now, "left")
		m.txAt, m.detectAt = time.Time{}, time.Time{}
	}
	return m.actions
}

// wantTx is DesiredMinTxInterval: slow until Up (6.8.3).
func (m *Machine) wantTx() time.Duration {
	if m.state == Up {
		return m.s.minTx()
	}
	return m.s.idleTx()
}

// Detection is the Detection Time (6.8.4): the peer's multiplier times the slower of what it sends and we can take. 0 before the
// first packet.
func (m *Machine) Detection() time.Duration {
	return time.Duration(m.remoteMult) * max(m.minRx, m.remoteMinTx)
}

// Transmission is the interval of our packets, before jitter (6.8.7).
func (m *Machine) Transmission() time.Duration { return max(m.minTx, m.remoteMinRx) }

// maySend says whether periodic packets flow (6.8.7). In AdminDown they go on, so that the peer knows.
func (m *Machine) maySend() bool {
	switch {
	case m.s.Passive && m.yours == 0, m.remoteMinRx == 0:
		return false
	case m.demand && m.state == Up && m.remote == Up:
		return m.polling
	}
	return true
}

// received is 6.8.6 from where the session is known.
func (m *Machine) received(now time.Time, p *Packet) {
	m.yours, m.remote, m.demand = p.Mine, p.State, p.Demand
	m.remoteMinTx, m.remoteMult = p.MinTx, p.Multiplier
	faster := p.MinRx < m.remoteMinRx
	m.remoteMinRx = p.MinRx
	if p.Final && m.polling {
		m.pollEnds()
	} else if !p.Final && m.pollAgain && !m.polling {
		m.polling, m.pollAgain = true, false
	}
	before := m.state
	m.follow(now, p.State)
	m.detectAt = now.Add(m.Detection())
	if m.state != before {
		m.tell(now)
	}
	if p.Poll {
		m.answer(now)
	}
	m.reschedule(now, faster)
}

// follow is the table of 6.2, as 6.8.6 has it.
func (m *Machine) follow(now time.Time, remote State) {
	switch {
	case m.state == AdminDown:
	case remote == AdminDown:
		m.down(now, DiagPeerDown, "peer is administratively down")
	case m.state == Down && remote == Down:
		m.goTo(now, Init, "peer is heard")
	case m.state == Down && remote == Init, m.state == Init && (remote == Init || remote == Up):
		m.up(now)
	case m.state == Up && remote == Down:
		m.down(now, DiagPeerDown, "peer signals down")
	}
}

func (m *Machine) goTo(now time.Time, to State, reason string) {
	from := m.state
	m.state = to
	m.actions = append(m.actions, Transition{
		Session: m.s.Name, At: now, From: from, To: to, Remote: m.remote, Diag: m.diag, Reason: reason, Alive: m.alive,
	})
}

func (m *Machine) up(now time.Time) {
	m.alive = true
	m.goTo(now, Up, "peer hears us")
	m.change()
}

// down is no failure when the peer's operator wanted it.
func (m *Machine) down(now time.Time, why Diag, reason string) {
	if m.state == Down {
		return
	}
	m.diag = why
	if m.state == Up && m.remote != AdminDown {
		m.alive = false
	}
	m.goTo(now, Down, reason)
	m.settle()
}

func (m *Machine) adminDown(now time.Time, reason string) {
	if m.state == AdminDown {
		return
	}
	m.diag = DiagAdminDown
	m.goTo(now, AdminDown, reason)
	m.settle()
	m.tell(now)
}

// settle takes the timers of a session that is not Up into use at once; there is nothing to negotiate.
func (m *Machine) settle() {
	m.polling, m.pollAgain = false, false
	m.minTx, m.minRx = m.wantTx(), m.s.minRx()
}

// change is 6.8.3: new timers are told by a Poll Sequence. What would let either end believe the other dead waits for its end.
func (m *Machine) change() {
	if m.state != Up {
		m.settle()
		return
	}
	if m.minTx == m.wantTx() && m.minRx == m.s.minRx() {
		return
	}
	m.minTx, m.minRx = min(m.minTx, m.wantTx()), max(m.minRx, m.s.minRx())
	if m.polling {
		m.pollAgain = true
	} else {
		m.polling = true
	}
}

func (m *Machine) pollEnds() {
	m.polling = false
	if !m.pollAgain { // else the peer may have answered the older values
		m.minTx, m.minRx = m.wantTx(), m.s.minRx()
	}
}

func (m *Machine) timeout(now time.Time) {
	if !m.detectAt.IsZero() && !now.Before(m.detectAt) {
		m.expired(now)
	}
	if !m.txAt.IsZero() && !now.Before(m.txAt) {
		m.tell(now)
	}
}

// expired is 6.8.4. What was known of the peer is forgotten.
func (m *Machine) expired(now time.Time) {
	silent := m.Detection()
	m.yours, m.demand, m.remoteMinRx, m.detectAt = 0, false, time.Microsecond, time.Time{}
	if m.state == Init || m.state == Up {
		m.down(now, DiagExpired, fmt.Sprintf("nothing heard for %v", silent))
		m.remote = Down
		m.tell(now)
	}
	m.remote = Down
	m.reschedule(now, false)
}

// tell sends a packet now, and the next one an interval later. A session that may not send is silent.
func (m *Machine) tell(now time.Time) {
	if !m.maySend() {
		m.txAt = time.Time{}
		return
	}
	m.actions = append(m.actions, Send{m.packet(m.polling, false)})
	m.sent, m.txAt = now, now.Add(m.jittered())
}

// answer is the Final to a Poll; it goes whatever else holds (6.8.7).
func (m *Machine) answer(now time.Time) {
	m.actions = append(m.actions, Send{m.packet(false, true)})
	m.sent = now
}

func (m *Machine) packet(poll, final bool) Packet {
	return Packet{
		State: m.state, Diag: m.diag, Poll: poll, Final: final, Multiplier: m.s.multiplier(), Mine: m.mine, Yours: m.yours,
		MinTx: m.wantTx(), MinRx: m.s.minRx(),
	}
}

// jittered is the interval less 0 to 25 %, less 10 to 25 % with a multiplier of 1 (6.8.7).
func (m *Machine) jittered() time.Duration {
	interval, least := m.Transmission(), 0.0
	if m.s.multiplier() == 1 {
		least = 0.10
	}
	return interval - time.Duration(float64(interval)*(least+m.rand.Float64()*(0.25-least)))
}

// reschedule starts or stops periodic packets, and sends sooner when the interval became shorter (6.8.3).
func (m *Machine) reschedule(now time.Time, faster bool) {
	switch next := m.sent.Add(m.jittered()); {
	case !m.maySend():
		m.txAt = time.Time{}
	case m.txAt.IsZero(), faster && next.Before(m.txAt):
		if m.txAt = next; m.txAt.Before(now) {
			m.txAt = now
		}
	}
}

func (m *Machine) reconfigure(now time.Time, s Session) {
	before := m.s
	m.s = s
	switch {
	case s.Disabled:
		m.adminDown(now, "disabled")
	case m.state == AdminDown:
		m.diag = DiagNone
		m.goTo(now, Down, "enabled")
		m.settle()
		m.tell(now)
	case before.minTx() != s.minTx() || before.minRx() != s.minRx() || before.idleTx() != s.idleTx():
		m.change()
	}
	m.reschedule(now, true)
}
