package vrrp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// groupTest drives a Group of Machines a, b, ... and makes the test claim every action.
type groupTest struct {
	t       *testing.T
	g       Group
	now     time.Time
	pending []string
}

func newGroupTest(t *testing.T, edits ...func(in *Instance)) *groupTest {
	t.Helper()
	gt := &groupTest{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for i, edit := range edits {
		in := Instance{Name: string(rune('a' + i)), Interface: "eth0", VRID: uint8(i + 1), Sync: "G", Addrs: MustAddresses("10.0.0.100")}
		if edit != nil {
			edit(&in)
		}
		m, err := NewMachine(in)
		if err != nil {
			t.Fatal(err)
		}
		gt.g = append(gt.g, m)
	}
	t.Cleanup(func() { gt.want() })
	return gt
}

func (gt *groupTest) step(i int, ev Event) {
	gt.t.Helper()
	gt.want()
	gt.g.Step(gt.now, gt.g[i], ev, func(m *Machine, a Action) {
		switch a := a.(type) {
		case Transition:
			gt.pending = append(gt.pending, fmt.Sprintf("%s %v", m.in.Name, a.To))
		case SendAdvert:
			gt.pending = append(gt.pending, fmt.Sprintf("%s sends %d", m.in.Name, a.Priority))
		case AnnounceAddrs:
			gt.pending = append(gt.pending, fmt.Sprintf("%s announces %d", m.in.Name, a.Rounds))
		}
	})
}

func (gt *groupTest) want(actions ...string) {
	gt.t.Helper()
	if !slices.Equal(gt.pending, actions) {
		gt.t.Fatalf("did %q, want %q", gt.pending, actions)
	}
	gt.pending = nil
}

func (gt *groupTest) start() {
	gt.t.Helper()
	for i := range gt.g {
		gt.step(i, Startup{Source: self})
		gt.pending = nil
	}
}

// takeOver lets the timer of each member run out.
func (gt *groupTest) takeOver() {
	gt.t.Helper()
	gt.now = gt.now.Add(down100)
	for i := range gt.g {
		gt.step(i, Timeout{})
		gt.pending = nil
	}
	gt.states(Master)
}

func (gt *groupTest) states(want State) {
	gt.t.Helper()
	for _, m := range gt.g {
		if m.state != want {
			gt.t.Errorf("%s is %v, want %v", m.in.Name, m.state, want)
		}
	}
}

func TestRequirementsGroup(t *testing.T) {
	advert := func(priority uint8) Received {
		return Received{From: higher, Advertisement: &Advertisement{Version: 3, Priority: priority, Interval: time.Second}}
	}
	t.Run("a group of owners is MASTER from the start", func(t *testing.T) {
		gt := newGroupTest(t, owner, owner)
		gt.step(0, Startup{Source: self})
		gt.want("a sends 255", "a announces 5", "a MASTER")
		gt.step(1, Startup{Source: self})
		gt.want("b sends 255", "b announces 5", "b MASTER")
	})
	t.Run("an owner in a mixed group, or that shall start as BACKUP, waits", func(t *testing.T) {
		for _, other := range []func(*Instance){nil, func(in *Instance) { in.Priority, in.StartBackup = 255, true }} {
			gt := newGroupTest(t, owner, other)
			gt.step(0, Startup{Source: self})
			gt.want("a BACKUP")
			gt.step(1, Startup{Source: self})
			gt.want("b BACKUP")
		}
	})
	t.Run("a group takes over when its last member is ready, which goes first", func(t *testing.T) {
		gt := newGroupTest(t, nil, nil, nil)
		gt.start()
		gt.now = gt.now.Add(down100)
		gt.step(0, Timeout{}) // waits once more
		gt.step(1, advert(200))
		gt.step(2, Timeout{})
		gt.now = gt.now.Add(down100)
		gt.step(0, Timeout{})
		gt.step(1, Timeout{}) // the last one is ready: it goes first
		gt.want("b sends 100", "b announces 5", "b MASTER", "a sends 100", "a announces 5", "a MASTER", "c sends 100", "c announces 5", "c MASTER")
	})
	t.Run("a member is not ready any more once a MASTER is heard", func(t *testing.T) {
		gt := newGroupTest(t, nil, nil)
		gt.start()
		gt.now = gt.now.Add(down100)
		gt.step(0, Timeout{})
		gt.step(0, advert(200)) // there is a MASTER after all
		gt.step(1, Timeout{})
		gt.states(Backup)
	})
	t.Run("one that yields takes the others along, and nobody says priority 0", func(t *testing.T) {
		gt := newGroupTest(t, nil, nil)
		gt.start()
		gt.takeOver()
		gt.step(1, advert(200))
		gt.want("b BACKUP", "a BACKUP") // nobody says priority 0
	})
	t.Run("a fault of one takes all out of office, each with one priority 0", func(t *testing.T) {
		gt := newGroupTest(t, nil, nil)
		gt.start()
		gt.takeOver()
		gt.step(1, FaultBegin{"x"})
		gt.want("b sends 0", "b FAULT", "a sends 0", "a FAULT")
	})
	t.Run("a group leaves FAULT when no member has a reason of its own", func(t *testing.T) {
		gt := newGroupTest(t, nil, nil, nil)
		gt.start()
		gt.step(0, FaultBegin{"x"})
		gt.want("a FAULT", "b FAULT", "c FAULT")
		gt.step(1, FaultBegin{"y"})
		gt.step(0, FaultEnd{Source: self}) // b has a reason of its own
		gt.step(2, FaultEnd{Source: self})
		gt.states(Fault)
		gt.step(1, FaultEnd{Source: self})
		gt.want("a BACKUP", "b BACKUP", "c BACKUP")
	})
	t.Run("a group with a fault starts in FAULT, in whatever order", func(t *testing.T) { // each has its address, whatever the order in which they start
		for _, order := range [][]int{{0, 1}, {1, 0}} {
			gt := newGroupTest(t, nil, nil)
			for _, i := range order {
				if i == 0 {
					gt.step(0, FaultBegin{"x"})
				} else {
					gt.step(1, Startup{Source: higher})
				}
				gt.pending = nil
			}
			gt.states(Fault)
			gt.step(0, FaultEnd{Source: self})
			gt.want("a BACKUP", "b BACKUP")
			if gt.g[0].source != self || gt.g[1].source != higher {
				t.Errorf("sources %v and %v", gt.g[0].source, gt.g[1].source)
			}
		}
	})
	t.Run("all members announce when one hears a lesser MASTER", func(t *testing.T) {
		gt := newGroupTest(t, nil, func(in *Instance) { in.Announce.LowerPrioRounds = 2 })
		gt.start()
		gt.takeOver()
		gt.step(0, Received{From: lower, Advertisement: &Advertisement{Version: 3, Priority: 50, Interval: time.Second}})
		gt.want("a sends 100", "a announces 5", "b announces 2")
	})
	t.Run("only a lesser MASTER makes all announce", func(t *testing.T) {
		gt := newGroupTest(t, nil, nil)
		gt.start()
		gt.takeOver()
		gt.now = gt.now.Add(time.Minute)
		gt.step(0, advert(0))
		gt.want("a sends 100")
	})
	t.Run("nobody is ready before its time", func(t *testing.T) {
		gt := newGroupTest(t, nil, nil)
		gt.start()
		gt.step(0, Timeout{})
		gt.step(1, Timeout{})
		gt.now = gt.now.Add(down100)
		gt.step(1, Timeout{}) // a did not wait
		gt.step(0, Timeout{})
		gt.want("a sends 100", "a announces 5", "a MASTER", "b sends 100", "b announces 5", "b MASTER")
	})
	t.Run("one that starts beside a MASTER joins in its own time, and is left alone until then", func(t *testing.T) {
		gt := newGroupTest(t, nil, nil)
		gt.g[0].Step(gt.now, Startup{Source: self, Adopt: true})
		gt.step(1, Startup{Source: self})
		gt.want("b BACKUP")
		gt.now = gt.now.Add(time.Second)
		gt.step(0, Timeout{})
		gt.want("a sends 100")
		gt.step(0, Received{From: lower, Advertisement: &Advertisement{Version: 3, Priority: 50, Interval: time.Second}})
		gt.want("a sends 100", "a announces 5")
		gt.step(0, advert(200))
		gt.want("a BACKUP")
	})
	t.Run("one that joins and hears of another MASTER takes the others along", func(t *testing.T) {
		gt := newGroupTest(t, nil, nil, nil)
		gt.g[0].Step(gt.now, Startup{Source: self, Adopt: true})
		gt.step(1, Startup{Source: self})
		gt.want("b BACKUP")
		gt.step(2, Startup{Source: self})
		gt.want("c BACKUP")
		gt.step(1, advert(50)) // which it will preempt
		gt.step(1, advert(0))
		gt.step(1, advert(200))
		gt.want("a BACKUP")
	})
	t.Run("a fault that was there before its member came takes the others along", func(t *testing.T) {
		gt := newGroupTest(t, nil, nil)
		gt.g[0].Step(gt.now, FaultBegin{"x"})
		gt.g[1].Step(gt.now, Startup{Source: self, Adopt: true})
		gt.step(0, FaultBegin{"x"})
		gt.want("b sends 0", "b FAULT")
	})
	t.Run("a new member of a group with a fault starts in FAULT", func(t *testing.T) {
		gt := newGroupTest(t, nil, nil)
		whole := gt.g
		gt.g = whole[:1]
		gt.step(0, FaultBegin{"x"})
		gt.want("a FAULT")
		gt.g = whole
		gt.step(1, Startup{Source: higher})
		gt.want("b FAULT")
	})
	t.Run("a member that had a fault before it joined has none any more", func(t *testing.T) {
		gt := newGroupTest(t, nil, nil)
		gt.g[0].Step(gt.now, FaultBegin{"x"})
		gt.g[0].Step(gt.now, FaultEnd{Source: self})
		gt.step(1, Startup{Source: self})
		gt.want("b BACKUP")
	})
	t.Run("one that is started again does that alone", func(t *testing.T) {
		gt := newGroupTest(t, nil, nil)
		gt.start()
		gt.takeOver()
		gt.step(0, Shutdown{})
		gt.want("a sends 0", "a INIT")
		gt.step(0, Startup{Source: self})
		gt.want("a BACKUP")
	})
	t.Run("what one member lost all give up, and are back in their skew time", func(t *testing.T) { // what one lost, all give up, and are back in their skew
		gt := newGroupTest(t, nil, nil)
		gt.start()
		gt.takeOver()
		gt.step(0, Lost{"someone removed 10.0.0.100"})
		gt.states(Backup)
		if n := strings.Count(strings.Join(gt.pending, ","), "sends 0"); n != 2 {
			t.Errorf("did %q", gt.pending)
		}
		gt.pending = nil
		gt.now = gt.now.Add(609375 * time.Microsecond)
		gt.step(0, Timeout{})
		gt.step(1, Timeout{})
		gt.pending = nil
		gt.states(Master)
	})
}

// FuzzMachine throws events at a Group of two. Whatever happens, its members agree, hold addresses only as MASTER, and do not
// ask to be woken in the past for ever.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, uint8(100), uint8(0))
	f.Add([]byte{0, 1, 4, 4, 200, 16, 17, 8, 9, 4, 5, 2, 3}, uint8(255), uint8(255))
	f.Fuzz(func(t *testing.T, script []byte, priority, options uint8) {
		edit := func(in *Instance) {
			in.Priority, in.NoPreempt, in.LowerPrioNoAdvert = max(priority, 1), options&1 != 0, options&2 != 0
			in.HigherPrioSendAdvert, in.StartBackup, in.IgnoreAdverts = options&4 != 0, options&8 != 0, options&16 != 0
			in.PreemptDelay = time.Duration(options>>5) * time.Second
			if in.NoPreempt {
				in.TimerExpiredBackup = options >> 2
			}
		}
		gt := newGroupTest(t, edit, edit)
		held := map[*Machine]bool{}
		do := func(m *Machine, a Action) {
			switch a.(type) {
			case AddAddrs:
				held[m] = true
			case RemoveAddrs:
				held[m] = false
			}
		}
		joining := false // one that starts beside a MASTER joins it in its own time
		for i, b := range script {
			gt.now = gt.now.Add(time.Duration(b) * 20 * time.Millisecond)
			m := gt.g[b&1]
			before := m.state
			gt.g.Step(gt.now, m, fuzzEvent(b>>1, m, script[(i+1)%len(script)]), do)
			joining = joining && gt.g[0].state != gt.g[1].state || before == Init && m.state == Backup
			for _, m := range gt.g {
				if held[m] != (m.state == Master) {
					t.Fatalf("%v: %s is %v and holds: %v", script[:i+1], m.in.Name, m.state, held[m])
				}
			}
			if a, b := gt.g[0].state, gt.g[1].state; a != b && a != Init && b != Init && !joining {
				t.Fatalf("%v: %v and %v", script[:i+1], a, b)
			}
		}
	})
}

func fuzzEvent(kind byte, m *Machine, more byte) Event {
	switch kind % 12 {
	case 0:
		return Startup{Source: self}
	case 1:
		return Shutdown{}
	case 2:
		return SetPriority{more}
	case 3:
		return FaultBegin{"x"}
	case 4:
		return FaultEnd{Source: self}
	case 5:
		return Reconfigure{Instance: m.in, Priority: more}
	case 6:
		return Lost{"x"}
	case 7:
		return Yield{"x"}
	case 8, 9:
		from := []netip.Addr{lower, self, higher}[more%3]
		return Received{From: from, Advertisement: &Advertisement{Version: 3, Priority: more, Interval: time.Duration(1+int(more)) * 10 * time.Millisecond}}
	}
	return Timeout{}
}
