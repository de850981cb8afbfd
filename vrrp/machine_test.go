package vrrp

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// machineTest drives a Machine and makes the test claim every action.
type machineTest struct {
	t       *testing.T
	m       *Machine
	now     time.Time
	pending []string
}

var (
	self   = netip.MustParseAddr("10.0.0.5")
	lower  = netip.MustParseAddr("10.0.0.4")
	higher = netip.MustParseAddr("10.0.0.6")
)

func newMachineTest(t *testing.T, edit func(in *Instance)) *machineTest {
	t.Helper()
	in := Instance{Name: "i", Interface: "eth0", VRID: 1, Priority: 100, Addrs: MustAddresses("10.0.0.100")}
	if edit != nil {
		edit(&in)
	}
	m, err := NewMachine(in)
	if err != nil {
		t.Fatal(err)
	}
	mt := &machineTest{t: t, m: m, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	t.Cleanup(func() { mt.want() })
	return mt
}

func (mt *machineTest) step(ev Event) {
	mt.t.Helper()
	mt.want()
	for _, a := range mt.m.Step(mt.now, ev) {
		text := strings.TrimPrefix(fmt.Sprintf("%T%+v", a, a), "vrrp.")
		switch a := a.(type) {
		case Transition:
			text = fmt.Sprintf("%v -> %v", a.From, a.To)
		case Conflict:
			text = fmt.Sprintf("conflict %v %v", a.Kind, a.From)
		}
		mt.pending = append(mt.pending, text)
	}
}

// want claims exactly these actions, the outcome of the last step.
func (mt *machineTest) want(actions ...string) {
	mt.t.Helper()
	if !reflect.DeepEqual(append([]string{}, mt.pending...), append([]string{}, actions...)) {
		mt.t.Fatalf("did %q, want %q", mt.pending, actions)
	}
	mt.pending = nil
}

func (mt *machineTest) hear(from netip.Addr, priority uint8, interval time.Duration) {
	mt.t.Helper()
	mt.step(Received{From: from, Advertisement: &Advertisement{Version: mt.m.in.version(), VRID: 1, Priority: priority, Interval: interval}})
}

// fireIn says when the timer must fire, goes there, and lets it.
func (mt *machineTest) fireIn(d time.Duration) {
	mt.t.Helper()
	mt.want()
	due, ok := mt.m.Deadline()
	if got := due.Sub(mt.now); !ok || got != d {
		mt.t.Fatalf("deadline in %v (%v), want %v", got, ok, d)
	}
	mt.now = due
	mt.step(Timeout{})
}

func (mt *machineTest) wait(d time.Duration) { mt.now = mt.now.Add(d) }

func (mt *machineTest) start() {
	mt.t.Helper()
	mt.step(Startup{Source: self})
	mt.want("RemoveAddrs{}", "INIT -> BACKUP")
}

const down100 = 3*time.Second + 609375*time.Microsecond // priority 100, interval 1 s

func (mt *machineTest) takeOver() {
	mt.t.Helper()
	mt.fireIn(down100)
	mt.want("SendAdvert{Priority:100}", "AddAddrs{}", "AnnounceAddrs{Rounds:5}", "BACKUP -> MASTER")
}

// RFC 9568, Section 6.4.1 (1): an owner becomes MASTER at once, advert first.
func TestOwnerStartsAsMaster(t *testing.T) {
	mt := newMachineTest(t, func(in *Instance) { in.Priority = 255 })
	mt.step(Startup{Source: self})
	mt.want("SendAdvert{Priority:255}", "AddAddrs{}", "AnnounceAddrs{Rounds:5}", "INIT -> MASTER")
	mt.fireIn(time.Second)
	mt.want("SendAdvert{Priority:255}")
}

// RFC 9568, Sections 6.4.1 (2) and 6.4.2 (7): BACKUP for Active_Down_Interval, then advert, addresses, announcement.
func TestBackupTakesOverAfterMasterDown(t *testing.T) {
	mt := newMachineTest(t, nil)
	mt.start()
	mt.wait(time.Second)
	mt.step(Timeout{}) // too early: nothing
	mt.now = mt.now.Add(-time.Second)
	mt.takeOver()
	mt.fireIn(time.Second)
	mt.want("SendAdvert{Priority:100}")
}

// RFC 9568, Section 6.4.2 (8): priority 0 shortens the wait to Skew_Time, once.
func TestBackupHonoursPriorityZero(t *testing.T) {
	mt := newMachineTest(t, nil)
	mt.start()
	mt.hear(higher, 200, time.Second)
	mt.hear(higher, 0, time.Second)
	mt.hear(higher, 200, time.Second) // it came back
	mt.fireIn(down100)
	mt.want("SendAdvert{Priority:100}", "AddAddrs{}", "AnnounceAddrs{Rounds:5}", "BACKUP -> MASTER")

	mt = newMachineTest(t, nil)
	mt.start()
	mt.hear(higher, 0, time.Second)
	mt.fireIn(609375 * time.Microsecond)
	mt.want("SendAdvert{Priority:100}", "AddAddrs{}", "AnnounceAddrs{Rounds:5}", "BACKUP -> MASTER")
}

// RFC 9568, Section 6.4.2 (9): equal or higher priority restarts the timer with the sender's interval; addresses are not compared.
func TestBackupLearnsTheInterval(t *testing.T) {
	for _, from := range []netip.Addr{lower, higher} {
		mt := newMachineTest(t, nil)
		mt.start()
		mt.hear(from, 100, 100*time.Millisecond)
		mt.fireIn(300*time.Millisecond + 60937500*time.Nanosecond)
		mt.want("SendAdvert{Priority:100}", "AddAddrs{}", "AnnounceAddrs{Rounds:5}", "BACKUP -> MASTER")
		mt.fireIn(time.Second) // own interval, not the learned one
		mt.want("SendAdvert{Priority:100}")
	}
}

// The longest interval must not overflow anything.
func TestBackupWithLongestInterval(t *testing.T) {
	mt := newMachineTest(t, nil)
	mt.start()
	mt.hear(higher, 200, 40950*time.Millisecond)
	if due, _ := mt.m.Deadline(); due.Sub(mt.now) != 3*40950*time.Millisecond+156*40950*time.Millisecond/256 {
		t.Fatalf("deadline in %v", due.Sub(mt.now))
	}
}

// RFC 9568, Section 6.4.2 (10): lower priority is discarded, the timer runs on.
func TestBackupPreempts(t *testing.T) {
	mt := newMachineTest(t, nil)
	mt.start()
	mt.wait(time.Second)
	mt.hear(lower, 50, time.Second)
	mt.fireIn(down100 - time.Second)
	mt.want("SendAdvert{Priority:100}", "AddAddrs{}", "AnnounceAddrs{Rounds:5}", "BACKUP -> MASTER")
}

// RFC 9568, Section 6.4.2 (9), Preempt_Mode False.
func TestNoPreempt(t *testing.T) {
	mt := newMachineTest(t, func(in *Instance) { in.NoPreempt = true })
	mt.start()
	mt.wait(time.Second)
	mt.hear(lower, 50, time.Second)
	mt.fireIn(down100)
	mt.want("SendAdvert{Priority:100}", "AddAddrs{}", "AnnounceAddrs{Rounds:5}", "BACKUP -> MASTER")
}

// RFC 9568, Section 6.1: an owner preempts whatever Preempt_Mode says.
func TestOwnerPreemptsInSpiteOfNoPreempt(t *testing.T) {
	mt := newMachineTest(t, func(in *Instance) { in.NoPreempt, in.Priority = true, 255 })
	mt.step(FaultBegin{Reason: "x"})
	mt.want("RemoveAddrs{}", "INIT -> FAULT")
	mt.step(FaultEnd{Source: self})
	mt.want("SendAdvert{Priority:255}", "AddAddrs{}", "AnnounceAddrs{Rounds:5}", "FAULT -> MASTER")
}

func TestPreemptDelayCountsFromTheFirstLowerAdvert(t *testing.T) {
	mt := newMachineTest(t, func(in *Instance) { in.PreemptDelay = 10 * time.Second })
	mt.start()
	for range 10 {
		mt.hear(lower, 50, time.Second)
		mt.wait(time.Second)
	}
	mt.hear(lower, 50, time.Second) // the delay is over: discarded
	mt.fireIn(down100 - time.Second)
	mt.want("SendAdvert{Priority:100}", "AddAddrs{}", "AnnounceAddrs{Rounds:5}", "BACKUP -> MASTER")
}

// RFC 9568, Section 6.4.3 (9): shutting down a MASTER says so and gives up the addresses; Section 6.4.2 (6): a BACKUP is silent.
func TestShutdown(t *testing.T) {
	mt := newMachineTest(t, nil)
	mt.start()
	mt.step(Shutdown{})
	mt.want("BACKUP -> INIT")
	mt.start()
	mt.takeOver()
	mt.step(Shutdown{})
	mt.want("SendAdvert{Priority:0}", "RemoveAddrs{}", "MASTER -> INIT")
	if _, ok := mt.m.Deadline(); ok {
		t.Fatal("a machine that was shut down has a deadline")
	}
}

// RFC 9568, Section 6.4.3 (11): priority 0 is answered, and we stay.
func TestMasterAnswersPriorityZero(t *testing.T) {
	mt := newMachineTest(t, nil)
	mt.start()
	mt.takeOver()
	mt.wait(time.Second / 2)
	mt.hear(higher, 0, time.Second)
	mt.want("SendAdvert{Priority:100}")
	mt.fireIn(time.Second)
	mt.want("SendAdvert{Priority:100}")
}

// RFC 9568, Section 6.4.3 (12): a better MASTER wins: higher priority, or equal priority and higher address, as numbers.
func TestMasterYields(t *testing.T) {
	for _, c := range []struct {
		from     netip.Addr
		priority uint8
	}{{lower, 101}, {higher, 100}, {netip.MustParseAddr("10.0.0.10"), 100}} {
		mt := newMachineTest(t, nil)
		mt.start()
		mt.takeOver()
		mt.hear(c.from, c.priority, 2*time.Second)
		mt.want("RemoveAddrs{}", "MASTER -> BACKUP")
		mt.fireIn(6*time.Second + 2*609375*time.Microsecond)
		mt.want("SendAdvert{Priority:100}", "AddAddrs{}", "AnnounceAddrs{Rounds:5}", "BACKUP -> MASTER")
	}
}

// RFC 9568, Section 6.4.3 (13): a lesser MASTER is answered at once, and the schedule of adverts goes on unchanged.
func TestMasterAsserts(t *testing.T) {
	for _, c := range []struct {
		from     netip.Addr
		priority uint8
	}{{higher, 99}, {lower, 100}} {
		mt := newMachineTest(t, nil)
		mt.start()
		mt.takeOver()
		mt.wait(time.Second / 4)
		mt.m.since = mt.now.Add(-time.Hour)
		mt.hear(c.from, c.priority, time.Second)
		mt.want("conflict master "+c.from.String(), "SendAdvert{Priority:100}", "AnnounceAddrs{Rounds:5}")
		mt.fireIn(time.Second * 3 / 4)
		mt.want("SendAdvert{Priority:100}")
	}
}

// A sender with our own address and priority is not answered: it would answer back for ever.
func TestMasterIgnoresItsDouble(t *testing.T) {
	mt := newMachineTest(t, nil)
	mt.start()
	mt.takeOver()
	mt.hear(self, 100, time.Second)
	mt.want("conflict source 10.0.0.5")
	mt.hear(self, 200, time.Second) // told of already
}

func TestAnnouncementsAreRepeated(t *testing.T) {
	mt := newMachineTest(t, func(in *Instance) {
		in.Announce = Announce{Rounds: 2, Delay: 1500 * time.Millisecond, Refresh: time.Minute}
	})
	mt.start()
	mt.fireIn(down100)
	mt.want("SendAdvert{Priority:100}", "AddAddrs{}", "AnnounceAddrs{Rounds:2}", "BACKUP -> MASTER")
	mt.fireIn(time.Second)
	mt.want("SendAdvert{Priority:100}")
	mt.fireIn(time.Second / 2)
	mt.want("AnnounceAddrs{Rounds:2}")
	mt.wait(61500 * time.Millisecond)
	mt.step(Timeout{})
	mt.want("SendAdvert{Priority:100}", "AnnounceAddrs{Rounds:1}") // held up for a minute: one advert, not sixty
}

func TestPriorityMovesTheRunningTimer(t *testing.T) {
	mt := newMachineTest(t, nil)
	mt.start()
	mt.step(SetPriority{Priority: 228}) // skew 28/256 instead of 156/256
	mt.fireIn(down100 - time.Second/2)
	mt.want("SendAdvert{Priority:228}", "AddAddrs{}", "AnnounceAddrs{Rounds:5}", "BACKUP -> MASTER")
}

func TestFault(t *testing.T) {
	mt := newMachineTest(t, nil)
	mt.start()
	mt.takeOver()
	mt.step(FaultBegin{Reason: "eth0 is down"})
	mt.want("SendAdvert{Priority:0}", "RemoveAddrs{}", "MASTER -> FAULT")
	mt.step(FaultBegin{Reason: "again"})
	mt.hear(higher, 200, time.Second)
	if _, ok := mt.m.Deadline(); ok {
		t.Fatal("a machine in FAULT has a deadline")
	}
	mt.step(FaultEnd{Source: self})
	mt.want("FAULT -> BACKUP")
	mt.takeOver()
}

// RFC 3768, Section 6.1: the skew of version 2 is in parts of a second, whatever the interval; the MASTER's interval is not learned.
func TestVersion2Timers(t *testing.T) {
	mt := newMachineTest(t, func(in *Instance) { in.Version, in.Interval = 2, 5*time.Second })
	mt.start()
	mt.hear(higher, 200, time.Second)
	mt.fireIn(15*time.Second + 609375*time.Microsecond)
	mt.want("SendAdvert{Priority:100}", "AddAddrs{}", "AnnounceAddrs{Rounds:5}", "BACKUP -> MASTER")
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	for _, state := range []State{Backup, Master} {
		mt := newMachineTest(t, nil)
		mt.start()
		if state == Master {
			mt.takeOver()
		}
		advert := &Advertisement{Version: 3, Priority: 200, Interval: time.Second}
		allocs := testing.AllocsPerRun(100, func() {
			if state == Master {
				mt.now = mt.now.Add(time.Second)
				mt.m.Step(mt.now, Timeout{})
			} else {
				mt.m.Step(mt.now, Received{From: higher, Advertisement: advert})
			}
		})
		if allocs != 0 {
			t.Errorf("%v: %v allocations per step", state, allocs)
		}
	}
}

func TestInstanceValidateTellsEverything(t *testing.T) {
	in := Instance{Version: 3, Interval: time.Minute, AuthType: AuthPass, Addrs: MustAddresses("10.0.0.9", "fe80::1/64")}
	err := in.Validate()
	for _, want := range []string{"no interface", "no VRID", "interval 1m0s", "version 3 has none of version 2's", "not of the family"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}
