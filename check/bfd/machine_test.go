package bfd

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// machineTest drives one Machine. What it did and nobody claimed fails the test at the next step.
type machineTest struct {
	*testing.T
	m     *Machine
	now   time.Time
	sent  []Packet
	moves []Transition
}

const theirs, ours = 0x5555, 0x1111

func newMachineTest(t *testing.T, change func(*Session)) *machineTest {
	s := Session{Name: "s", Peer: netip.MustParseAddr("192.0.2.2"), MinTx: 100 * time.Millisecond, MinRx: 50 * time.Millisecond, Multiplier: 3}
	if change != nil {
		change(&s)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m, err := NewMachine(start, s, ours, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	return &machineTest{T: t, m: m, now: start}
}

func (t *machineTest) step(ev Event) {
	t.Helper()
	t.silent()
	for _, a := range t.m.Step(t.now, ev) {
		switch a := a.(type) {
		case Send:
			t.sent = append(t.sent, a.Packet)
		case Transition:
			t.moves = append(t.moves, a)
		}
	}
}

// silent fails when there is something that was not claimed.
func (t *machineTest) silent() {
	t.Helper()
	if len(t.sent) > 0 || len(t.moves) > 0 {
		t.Fatalf("not expected: packets %+v, transitions %v", t.sent, t.moves)
	}
}

// hear is a packet of the peer: 200 ms both ways, multiplier 4.
func (t *machineTest) hear(state State, change func(*Packet)) {
	t.Helper()
	p := Packet{State: state, Multiplier: 4, Mine: theirs, Yours: ours, MinTx: 200 * time.Millisecond, MinRx: 200 * time.Millisecond}
	if change != nil {
		change(&p)
	}
	t.step(Received{&p})
}

// packet claims the next packet.
func (t *machineTest) packet(state State) Packet {
	t.Helper()
	if len(t.sent) == 0 {
		t.Fatalf("no packet; want %v", state)
	}
	p := t.sent[0]
	t.sent = t.sent[1:]
	if p.State != state || p.Mine != ours {
		t.Fatalf("packet %+v, want %v", p, state)
	}
	return p
}

// moved claims the next transition.
func (t *machineTest) moved(from, to State, diag Diag, alive bool) {
	t.Helper()
	if len(t.moves) == 0 {
		t.Fatalf("no transition; want %v to %v", from, to)
	}
	m := t.moves[0]
	t.moves = t.moves[1:]
	if m.From != from || m.To != to || m.Diag != diag || m.Alive != alive || m.Reason == "" || !m.At.Equal(t.now) {
		t.Fatalf("%v, diag %v, alive %v; want %v to %v, %v, %v", m, m.Diag, m.Alive, from, to, diag, alive)
	}
}

// due advances to the deadline, which must be so far away.
func (t *machineTest) due(least, most time.Duration) {
	t.Helper()
	at, has := t.m.Deadline()
	if away := at.Sub(t.now); !has || away < least || away > most {
		t.Fatalf("deadline in %v (%v), want %v to %v", at.Sub(t.now), has, least, most)
	}
	t.now = at
	t.step(Timeout{})
}

func (t *machineTest) none() {
	t.Helper()
	t.silent()
	if at, has := t.m.Deadline(); has {
		t.Fatalf("deadline in %v, want none", at.Sub(t.now))
	}
}

// up is a session whose Poll Sequence is over.
func up(t *testing.T, change func(*Session)) *machineTest {
	x := newMachineTest(t, change)
	x.hear(Init, nil)
	x.moved(Down, Up, DiagNone, true)
	if p := x.packet(Up); !p.Poll {
		t.Fatal("new timers are not polled for")
	}
	x.hear(Up, func(p *Packet) { p.Final = true })
	x.silent()
	return x
}

// TestTable is the table of 6.2 and 6.8.6: 5880-6.8.6-21 to 23.
func TestTable(t *testing.T) {
	for _, c := range []struct {
		local, heard, want State
		diag               Diag
		alive              bool // afterwards
	}{
		{Down, AdminDown, Down, DiagNone, false}, {Down, Down, Init, DiagNone, false}, {Down, Init, Up, DiagNone, true}, {Down, Up, Down, DiagNone, false},
		{Init, AdminDown, Down, DiagPeerDown, false}, {Init, Down, Init, DiagNone, false}, {Init, Init, Up, DiagNone, true}, {Init, Up, Up, DiagNone, true},
		{Up, AdminDown, Down, DiagPeerDown, true}, {Up, Down, Down, DiagPeerDown, false}, {Up, Init, Up, DiagNone, true}, {Up, Up, Up, DiagNone, true},
		{AdminDown, AdminDown, AdminDown, DiagAdminDown, false}, {AdminDown, Down, AdminDown, DiagAdminDown, false},
		{AdminDown, Init, AdminDown, DiagAdminDown, false}, {AdminDown, Up, AdminDown, DiagAdminDown, false},
	} {
		t.Run(c.local.String()+" hears "+c.heard.String(), func(t *testing.T) {
			var x *machineTest
			switch c.local {
			case Up:
				x = up(t, nil)
			case AdminDown:
				x = newMachineTest(t, func(s *Session) { s.Disabled = true })
			default:
				x = newMachineTest(t, nil)
			}
			if c.local == Init {
				x.hear(Down, nil)
				x.moved(Down, Init, DiagNone, false)
				x.packet(Init)
			}
			x.hear(c.heard, nil)
			if c.want != c.local {
				x.moved(c.local, c.want, c.diag, c.alive)
				x.packet(c.want) // 5880-6.8.7-10: told at once
			}
			x.silent()
			if x.m.State() != c.want || x.m.Diag() != c.diag || x.m.Alive() != c.alive {
				t.Errorf("%v, %v, alive %v; want %v, %v, %v", x.m.State(), x.m.Diag(), x.m.Alive(), c.want, c.diag, c.alive)
			}
		})
	}
}

// 5880-6.1-1, 6.8.1-1 to 8, 6.8.3-1, 6.8.7-3: an active session speaks at once, and then slowly, 0 to 25 % early.
func TestStartsSlowly(t *testing.T) {
	x := newMachineTest(t, nil)
	x.due(0, 0)
	first := x.packet(Down)
	if first.Yours != 0 || first.MinTx != time.Second || first.MinRx != 50*time.Millisecond || first.Multiplier != 3 || first.Poll {
		t.Errorf("first packet %+v", first)
	}
	for range 50 {
		x.due(750*time.Millisecond, time.Second)
		x.packet(Down)
	}
}

// 5880-6.8.7-4: with a multiplier of 1 each packet comes at least 10 % early, or jitter alone would be a failure.
func TestMultiplierOneHasRoomForJitter(t *testing.T) {
	x := newMachineTest(t, func(s *Session) { s.Multiplier = 1 })
	x.due(0, 0)
	for range 100 {
		x.packet(Down)
		x.due(750*time.Millisecond, 900*time.Millisecond)
	}
	x.packet(Down)
}

// 5880-6.1-2, 6.8.7-5, and 17.13 of keepalived's behaviour.
func TestPassiveWaitsToBeSpokenTo(t *testing.T) {
	x := newMachineTest(t, func(s *Session) { s.Passive = true })
	x.none()
	x.hear(Down, func(p *Packet) { p.Yours = 0 })
	x.moved(Down, Init, DiagNone, false)
	x.packet(Init)
	x.now = x.now.Add(800 * time.Millisecond)
	x.step(Timeout{})
	x.moved(Init, Down, DiagExpired, false)
	x.none()
}

// 5880-6.8.2-1, 6.8.4-1, 6.8.7-1: each direction goes at the slower wish.
func TestTheSlowerWishWins(t *testing.T) {
	x := up(t, nil)
	if got := x.m.Transmission(); got != 200*time.Millisecond {
		t.Errorf("we send every %v, the peer takes 200ms", got)
	}
	if got := x.m.Detection(); got != 4*200*time.Millisecond {
		t.Errorf("detection time %v, the peer sends 4 times 200ms", got)
	}
	x.hear(Up, func(p *Packet) { p.MinTx, p.MinRx = 20*time.Millisecond, 20*time.Millisecond })
	if tx, detect := x.m.Transmission(), x.m.Detection(); tx != 100*time.Millisecond || detect != 4*50*time.Millisecond {
		t.Errorf("we send every %v and detect in %v, want 100ms and 200ms", tx, detect)
	}
}

// 5880-6.8.4-2, 6.8.1-4, 6.8.18-2: silence for the Detection Time is Down, and the peer is forgotten.
func TestSilenceIsDown(t *testing.T) {
	x := up(t, nil)
	end := x.now.Add(x.m.Detection())
	for {
		at, _ := x.m.Deadline()
		x.now = at
		x.step(Timeout{})
		if at.Equal(end) {
			break
		}
		if at.After(end) {
			t.Fatal("still up")
		}
		x.packet(Up)
	}
	x.moved(Up, Down, DiagExpired, false)
	if p := x.packet(Down); p.Yours != 0 || p.MinTx != time.Second || p.Diag != DiagExpired {
		t.Errorf("after silence %+v", p)
	}
	x.due(750*time.Millisecond, time.Second)
	x.packet(Down)
	x.hear(Up, nil) // 5880-6.1-4: comes back only after the peer left Up
	x.silent()
	x.hear(Down, nil)
	x.moved(Down, Init, DiagExpired, false)
	x.packet(Init)
}

// 5880-6.8.4-5, 6.8.6-28: every packet starts the Detection Time anew.
func TestAPacketIsLife(t *testing.T) {
	x := up(t, nil)
	for range 20 {
		x.now = x.now.Add(x.m.Detection() - time.Millisecond)
		x.hear(Up, nil)
		x.step(Timeout{})
		x.packet(Up) // it was due long ago, once
		x.silent()
	}
}

// 5880-6.5-1, 6.5-4, 6.8.6-18, 6.8.6-27, 6.5-2: Polls ride on periodic packets until a Final; a Poll is answered at once.
func TestPollSequence(t *testing.T) {
	x := newMachineTest(t, nil)
	x.hear(Init, nil)
	x.moved(Down, Up, DiagNone, true)
	if p := x.packet(Up); !p.Poll || p.Final || p.MinTx != 100*time.Millisecond {
		t.Errorf("%+v", p)
	}
	x.due(150*time.Millisecond, 200*time.Millisecond)
	if p := x.packet(Up); !p.Poll {
		t.Error("the poll ended without an answer")
	}
	x.hear(Up, func(p *Packet) { p.Poll = true })
	if p := x.packet(Up); p.Poll || !p.Final {
		t.Errorf("answer %+v", p)
	}
	x.hear(Up, func(p *Packet) { p.Final = true })
	x.due(0, 200*time.Millisecond)
	if p := x.packet(Up); p.Poll {
		t.Error("the poll goes on after its answer")
	}
}

// 5880-6.8.3-4 and 6.8.3-5: what would let an end believe the other dead waits for the end of the Poll.
func TestSlowerWaitsForThePoll(t *testing.T) {
	x := up(t, func(s *Session) { s.MinTx, s.MinRx = 300*time.Millisecond, 300*time.Millisecond })
	slow := x.m.s
	slow.MinTx, slow.MinRx = 500*time.Millisecond, 250*time.Millisecond
	x.step(Reconfigure{slow})
	if tx, detect := x.m.Transmission(), x.m.Detection(); tx != 300*time.Millisecond || detect != 4*300*time.Millisecond {
		t.Errorf("before the peer agreed we send every %v and detect in %v", tx, detect)
	}
	x.due(0, 300*time.Millisecond)
	if p := x.packet(Up); !p.Poll || p.MinTx != 500*time.Millisecond || p.MinRx != 250*time.Millisecond {
		t.Errorf("%+v", p)
	}
	x.hear(Up, func(p *Packet) { p.Final = true })
	if tx, detect := x.m.Transmission(), x.m.Detection(); tx != 500*time.Millisecond || detect != 4*250*time.Millisecond {
		t.Errorf("after the poll we send every %v and detect in %v", tx, detect)
	}
}

// 5880-6.8.3-9: a change during a Poll is polled for again, once a packet without F was heard.
func TestAChangeDuringAPollIsPolledAgain(t *testing.T) {
	x := up(t, nil)
	first, second := x.m.s, x.m.s
	first.MinTx, second.MinTx = 400*time.Millisecond, 600*time.Millisecond
	x.step(Reconfigure{first})
	x.step(Reconfigure{second})
	x.hear(Up, func(p *Packet) { p.Final = true })
	if tx := x.m.Transmission(); tx != 200*time.Millisecond {
		t.Errorf("the answer to the first poll let us send every %v", tx)
	}
	x.due(0, 200*time.Millisecond)
	if x.packet(Up).Poll {
		t.Error("polls without a round trip between")
	}
	x.hear(Up, nil)
	x.due(0, 200*time.Millisecond)
	if !x.packet(Up).Poll {
		t.Error("the second change is not polled for")
	}
	x.hear(Up, func(p *Packet) { p.Final = true })
	if tx := x.m.Transmission(); tx != 600*time.Millisecond {
		t.Errorf("we send every %v", tx)
	}
}

// 5880-6.8.3-6: a peer that can take more gets it soon.
func TestFasterAtOnce(t *testing.T) {
	x := up(t, func(s *Session) { s.MinTx = 10 * time.Millisecond })
	x.due(0, 200*time.Millisecond)
	x.packet(Up)
	x.hear(Up, func(p *Packet) { p.MinRx = 20 * time.Millisecond })
	x.due(0, 20*time.Millisecond)
	x.packet(Up)
}

// 5880-6.8.7-6: a peer that wants nothing gets nothing but answers.
func TestAPeerThatWantsNothing(t *testing.T) {
	x := up(t, nil)
	x.hear(Up, func(p *Packet) { p.MinRx = 0 })
	if at, _ := x.m.Deadline(); !at.Equal(x.m.detectAt) {
		t.Error("periodic packets are scheduled")
	}
	x.hear(Up, func(p *Packet) { p.MinRx, p.Poll = 0, true })
	x.packet(Up)
	x.hear(Up, nil)
	x.due(0, 200*time.Millisecond)
	x.packet(Up)
}

// 5880-6.8.6-25, 6.8.7-7, 6.8.14-1: a peer in Demand mode gets no periodic packets, but for a Poll, until it leaves it.
func TestDemandOfThePeer(t *testing.T) {
	x := up(t, nil)
	demand := func(p *Packet) { p.Demand = true }
	x.hear(Up, demand)
	if at, _ := x.m.Deadline(); !at.Equal(x.m.detectAt) {
		t.Error("periodic packets go on")
	}
	changed := x.m.s
	changed.MinTx = 400 * time.Millisecond
	x.step(Reconfigure{changed})
	x.due(0, 200*time.Millisecond)
	if !x.packet(Up).Poll {
		t.Error("the change is not polled for")
	}
	x.hear(Up, func(p *Packet) { p.Demand, p.Final = true, true })
	if at, _ := x.m.Deadline(); !at.Equal(x.m.detectAt) {
		t.Error("packets go on after the poll")
	}
	x.hear(Up, nil)
	x.due(0, 400*time.Millisecond)
	x.packet(Up)
}

// 5880-6.3-3, a peer that restarted: it has a new discriminator, says Down, and the session comes back.
func TestPeerRestarts(t *testing.T) {
	x := up(t, nil)
	x.hear(Down, func(p *Packet) { p.Mine, p.Yours = 0x7777, 0 })
	x.moved(Up, Down, DiagPeerDown, false)
	if p := x.packet(Down); p.Yours != 0x7777 {
		t.Errorf("%+v", p)
	}
	x.hear(Down, func(p *Packet) { p.Mine = 0x7777 })
	x.moved(Down, Init, DiagPeerDown, false)
	x.packet(Init)
	x.hear(Init, func(p *Packet) { p.Mine = 0x7777 })
	x.moved(Init, Up, DiagPeerDown, true)
	x.packet(Up)
}

// 5880-6.8.16-1 and 2: a disabled session says so, and goes on saying it; enabled again it starts over.
func TestDisableAndEnable(t *testing.T) {
	x := up(t, nil)
	off, on := x.m.s, x.m.s
	off.Disabled = true
	x.step(Reconfigure{off})
	x.moved(Up, AdminDown, DiagAdminDown, true)
	x.packet(AdminDown)
	for range 3 {
		x.now = x.now.Add(time.Second)
		x.step(Timeout{})
		x.packet(AdminDown)
	}
	x.step(Reconfigure{on})
	x.moved(AdminDown, Down, DiagNone, true)
	x.packet(Down)
}

func TestLeaveTellsThePeer(t *testing.T) {
	x := up(t, nil)
	x.step(Leave{})
	x.moved(Up, AdminDown, DiagAdminDown, true)
	x.packet(AdminDown)
	x.none()
}

// TestDetectionTimeOfNothing: an advert of zeros from a hostile peer must not make a deadline that never ends.
func TestZeroIntervals(t *testing.T) {
	x := newMachineTest(t, nil)
	x.hear(Init, func(p *Packet) { p.MinTx, p.MinRx = 0, 0 })
	x.moved(Down, Up, DiagNone, true)
	if got := x.m.Detection(); got != 4*50*time.Millisecond {
		t.Errorf("detection time %v", got)
	}
}
