package vrrp

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

// One test for each rule of RFC 9568 and RFC 3768, and for what keepalived does beyond that and this package keeps.

const (
	send100, announce5 = "SendAdvert{Priority:100}", "AnnounceAddrs{Rounds:5}"
	add, remove        = "AddAddrs{}", "RemoveAddrs{}"
)

var becomesMaster = []string{send100, add, announce5, "BACKUP -> MASTER"}

// backup is a Machine of priority 100 in BACKUP, master one in MASTER.
func backup(t *testing.T, edit func(in *Instance)) *machineTest {
	t.Helper()
	mt := newMachineTest(t, edit)
	mt.start()
	return mt
}

func master(t *testing.T, edit func(in *Instance)) *machineTest {
	t.Helper()
	mt := backup(t, edit)
	due, _ := mt.m.Deadline()
	mt.now = due
	mt.step(Timeout{})
	mt.pending = nil
	if mt.m.state != Master {
		t.Fatal(mt.m.state)
	}
	mt.m.since = mt.now.Add(-time.Hour)
	return mt
}

// dueIn claims when the timer will fire.
func (mt *machineTest) dueIn(d time.Duration) {
	mt.t.Helper()
	if due, ok := mt.m.Deadline(); !ok || due.Sub(mt.now) != d {
		mt.t.Fatalf("due in %v (%v), want %v", due.Sub(mt.now), ok, d)
	}
}

func version2(in *Instance) { in.Version = 2 }
func owner(in *Instance)    { in.Priority = 255 }

func TestRequirementsTimers(t *testing.T) {
	t.Run("RFC 9568 and RFC 3768, Section 6.1: skew time and master down interval", func(t *testing.T) {
		for _, c := range []struct {
			version, priority    uint8
			interval, skew, down time.Duration
		}{
			{3, 255, time.Second, 3906250, 3003906250},
			{3, 254, time.Second, 7812500, 3007812500},
			{3, 200, time.Second, 218750000, 3218750000},
			{3, 150, time.Second, 414062500, 3414062500},
			{3, 100, time.Second, 609375000, 3609375000},
			{3, 1, time.Second, 996093750, 3996093750},
			{3, 255, 100 * time.Millisecond, 390625, 300390625},
			{3, 1, 100 * time.Millisecond, 99609375, 399609375},
			{2, 100, 5 * time.Second, 609375000, 15609375000},
			{2, 255, time.Second, 3906250, 3003906250},
		} {
			if got := skewTime(c.version, c.priority, c.interval); got != c.skew {
				t.Errorf("%+v: skew %v", c, got)
			}
			if got := masterDownInterval(c.version, c.priority, 3, c.interval); got != c.down {
				t.Errorf("%+v: down %v", c, got)
			}
		}
	})
	t.Run("RFC 9568, Section 6.1: defaults and ranges", func(t *testing.T) {
		in := Instance{Interface: "eth0", VRID: 1, Addrs: MustAddresses("10.0.0.100")}
		if err := in.Validate(); err != nil || in.priority() != 100 || in.interval() != time.Second || in.NoPreempt {
			t.Errorf("defaults: %+v, %v", in, err)
		}
		for _, interval := range []time.Duration{10 * time.Millisecond, 40950 * time.Millisecond} {
			if in.Interval = interval; in.Validate() != nil {
				t.Errorf("%v is refused", interval)
			}
		}
		for _, interval := range []time.Duration{5 * time.Millisecond, 40960 * time.Millisecond, -time.Second} {
			if in.Interval = interval; !errors.Is(in.Validate(), ErrInterval) {
				t.Errorf("%v is accepted", interval)
			}
		}
	})
	t.Run("RFC 9568, Section 6.4.1 (2): after a fault nothing is learned yet", func(t *testing.T) {
		mt := backup(t, nil)
		mt.hear(higher, 200, 10*time.Second)
		mt.step(FaultBegin{"x"})
		mt.want("BACKUP -> FAULT")
		mt.step(FaultEnd{Source: self})
		mt.want("FAULT -> BACKUP")
		mt.dueIn(down100)
	})
	t.Run("as many adverts may be missing as wished", func(t *testing.T) {
		mt := backup(t, func(in *Instance) { in.DownAdverts = 7 })
		mt.dueIn(7*time.Second + 609375*time.Microsecond)
	})
	t.Run("an interval is learned only from adverts that are accepted", func(t *testing.T) {
		mt := backup(t, func(in *Instance) { in.NoPreempt = true })
		mt.hear(higher, 200, 10*time.Second)
		mt.hear(higher, 0, 2*time.Second) // nothing is learned from priority 0
		mt.dueIn(10 * 609375 * time.Microsecond)
		mt = backup(t, nil)
		mt.wait(time.Second)
		mt.hear(lower, 50, 10*time.Second) // nor from what is discarded
		mt.dueIn(down100 - time.Second)
	})
	t.Run("RFC 3768, Section 6.1: version 2 learns no interval", func(t *testing.T) {
		mt := backup(t, version2)
		mt.hear(higher, 200, 5*time.Second)
		mt.dueIn(down100)
	})
	t.Run("RFC 9568, Section 6.2: whatever a MASTER hears, its schedule stands", func(t *testing.T) {
		mt := master(t, func(in *Instance) { in.LowerPrioNoAdvert, in.Announce = true, Announce{Delay: -1, LowerPrioRounds: -1} })
		for range 9 { // whatever is heard, the schedule stands
			mt.wait(100 * time.Millisecond)
			mt.hear(lower, 50, time.Second)
			mt.pending = nil
		}
		mt.dueIn(100 * time.Millisecond)
	})
	t.Run("RFC 9568, Section 6.4.2 (10): a discarded advert moves no timer", func(t *testing.T) {
		mt := backup(t, nil)
		mt.wait(3 * time.Second)
		mt.hear(lower, 99, time.Second)
		mt.dueIn(609375 * time.Microsecond)
	})
	t.Run("another priority moves the running timer by the difference", func(t *testing.T) {
		mt := backup(t, nil)
		mt.wait(time.Second)
		mt.step(SetPriority{228})
		mt.dueIn(down100 - 1500*time.Millisecond)
		mt.step(SetPriority{100})
		mt.dueIn(down100 - time.Second)
	})
	t.Run("a MASTER that was held up becomes BACKUP before anything else", func(t *testing.T) {
		late := func(in *Instance) { in.NoPreempt, in.TimerExpiredBackup = true, 200 }
		limit := 3*time.Second + 218750*time.Microsecond
		for _, ev := range []Event{Timeout{}, Received{lower, &Advertisement{Version: 3, Priority: 50, Interval: time.Second}}} {
			mt := master(t, late)
			mt.wait(limit + 1)
			mt.step(ev)
			mt.want(remove, "MASTER -> BACKUP")
			mt.dueIn(down100)
			mt = master(t, late)
			mt.wait(limit)
			mt.step(ev)
			if mt.pending = nil; mt.m.state != Master {
				t.Errorf("%T: not late enough, and %v", ev, mt.m.state)
			}
		}
	})
}

func TestRequirementsInitialize(t *testing.T) {
	t.Run("RFC 9568, Section 6.4.1 (1): an owner is MASTER at once", func(t *testing.T) {
		for _, edit := range []func(*Instance){owner, func(in *Instance) { in.Priority, in.Version = 255, 2 }} {
			mt := newMachineTest(t, edit)
			mt.step(Startup{Source: self})
			mt.want("SendAdvert{Priority:255}", add, announce5, "INIT -> MASTER")
			mt.dueIn(time.Second)
		}
	})
	t.Run("RFC 9568, Section 6.4.1 (2): others wait, and leftovers of a crash go", func(t *testing.T) {
		mt := newMachineTest(t, nil)
		mt.step(Startup{Source: self})
		mt.want(remove, "INIT -> BACKUP")
		mt.dueIn(down100)
		mt.step(Startup{Source: self}) // once
	})
	t.Run("an owner that shall start as BACKUP waits", func(t *testing.T) {
		mt := newMachineTest(t, func(in *Instance) { in.Priority, in.StartBackup = 255, true })
		mt.start()
		mt.fireIn(3*time.Second + 3906250)
		mt.want("SendAdvert{Priority:255}", add, announce5, "BACKUP -> MASTER")
	})
	t.Run("what is down at the start is FAULT at once", func(t *testing.T) {
		mt := newMachineTest(t, nil)
		mt.step(FaultBegin{"eth0 is down"})
		mt.want(remove, "INIT -> FAULT")
	})
	t.Run("until the start delay is over nothing is sent or heard", func(t *testing.T) {
		mt := newMachineTest(t, nil)
		mt.step(Startup{Source: self, NotBefore: mt.now.Add(time.Minute)})
		mt.want(remove, "INIT -> BACKUP")
		mt.hear(higher, 200, 10*time.Second) // not heard
		mt.dueIn(time.Minute + down100)
		mt.step(FaultBegin{"x"})
		mt.want("BACKUP -> FAULT")
		mt.step(FaultEnd{Source: self})
		mt.want("FAULT -> BACKUP")
		mt.dueIn(time.Minute + down100)
		mt = newMachineTest(t, owner)
		mt.step(Startup{Source: self, NotBefore: mt.now.Add(time.Minute)})
		mt.want(remove, "INIT -> BACKUP")
		mt.fireIn(time.Minute)
		mt.want("SendAdvert{Priority:255}", add, announce5, "BACKUP -> MASTER")
	})
}

func TestRequirementsBackup(t *testing.T) {
	t.Run("RFC 9568, Section 6.4.2 (6): a BACKUP leaves in silence", func(t *testing.T) {
		mt := backup(t, nil)
		mt.step(Shutdown{})
		mt.want("BACKUP -> INIT")
		if _, ok := mt.m.Deadline(); ok {
			t.Error("it has a deadline")
		}
	})
	t.Run("RFC 9568, Section 6.4.2 (7): the timer runs out: advert, addresses, announcement, in that order", func(t *testing.T) {
		mt := backup(t, nil)
		mt.hear(higher, 200, 2*time.Second)
		mt.fireIn(2 * down100)
		mt.want(becomesMaster...)
		mt.dueIn(time.Second) // its own interval, not the learned one
	})
	t.Run("RFC 9568, Section 6.4.2 (8): priority 0 leaves the skew time, whatever is said of preemption", func(t *testing.T) {
		for _, edit := range []func(*Instance){nil, version2, func(in *Instance) { in.NoPreempt = true }, func(in *Instance) { in.PreemptDelay = time.Minute }} {
			mt := backup(t, edit)
			mt.hear(lower, 0, time.Second) // whoever sent it
			mt.fireIn(609375 * time.Microsecond)
			mt.want(becomesMaster...)
		}
	})
	t.Run("RFC 9568, Section 6.4.2 (9): equal priority is accepted from any address, and its interval is learned", func(t *testing.T) {
		for _, from := range []netip.Addr{lower, higher} {
			mt := backup(t, nil)
			mt.hear(from, 100, 200*time.Millisecond)
			mt.dueIn(down100 / 5)
			if mt.m.MasterAddr() != from {
				t.Error(mt.m.MasterAddr())
			}
		}
	})
	t.Run("RFC 9568, Section 6.4.2 (9): without preemption any priority is accepted", func(t *testing.T) {
		mt := backup(t, func(in *Instance) { in.NoPreempt = true })
		mt.wait(3 * time.Second)
		mt.hear(lower, 1, time.Second)
		mt.dueIn(down100)
	})
	t.Run("RFC 9568, Section 6.1: an owner preempts all the same", func(t *testing.T) {
		mt := backup(t, func(in *Instance) { in.Priority, in.NoPreempt, in.StartBackup = 255, true, true })
		mt.wait(time.Second)
		mt.hear(higher, 254, time.Second)
		mt.dueIn(2*time.Second + 3906250)
	})
	t.Run("RFC 3768, Section 6.4.2: lower priority is discarded, and the timer runs on", func(t *testing.T) {
		mt := backup(t, version2)
		mt.wait(time.Second)
		mt.hear(lower, 99, time.Second)
		mt.dueIn(down100 - time.Second)
	})
	t.Run("a preempt delay begins with the first lesser advert, and a better one ends it", func(t *testing.T) {
		mt := backup(t, func(in *Instance) { in.PreemptDelay = 10 * time.Second })
		mt.wait(3 * time.Second)
		mt.hear(lower, 50, time.Second)
		mt.wait(3 * time.Second)
		mt.hear(higher, 100, time.Second) // stops the clock
		for range 10 {
			mt.wait(time.Second)
			mt.hear(lower, 50, time.Second)
		}
		mt.dueIn(down100)
		mt.wait(time.Second)
		mt.hear(lower, 50, time.Second) // 10 s after the first one: no more
		mt.dueIn(down100 - time.Second)
		for _, delay := range []time.Duration{0, 5 * time.Second} { // another delay counts from the same advert
			mt = backup(t, func(in *Instance) { in.PreemptDelay = time.Minute })
			for range 5 {
				mt.hear(lower, 50, time.Second)
				mt.wait(time.Second)
			}
			in := mt.m.in
			in.PreemptDelay = delay
			mt.step(Reconfigure{Instance: in})
			mt.hear(lower, 50, time.Second)
			mt.dueIn(down100 - time.Second)
		}
		mt = backup(t, func(in *Instance) { in.PreemptDelay = 10 * time.Second })
		mt.fireIn(down100) // nobody there: no delay
		mt.want(becomesMaster...)
	})
	t.Run("a preempt delay begins anew with each time as BACKUP", func(t *testing.T) {
		mt := backup(t, func(in *Instance) { in.PreemptDelay = 10 * time.Second })
		mt.hear(lower, 50, time.Second)
		mt.step(FaultBegin{"x"})
		mt.want("BACKUP -> FAULT")
		mt.wait(time.Minute)
		mt.step(FaultEnd{Source: self})
		mt.want("FAULT -> BACKUP")
		mt.wait(time.Second)
		mt.hear(lower, 50, time.Second)
		mt.dueIn(down100)
		mt.wait(10 * time.Second)
		mt.step(Timeout{})
		mt.want(becomesMaster...)
		mt.hear(higher, 200, time.Second)
		mt.want(remove, "MASTER -> BACKUP")
		mt.wait(time.Second)
		mt.hear(lower, 50, time.Second)
		mt.dueIn(down100)
	})
	t.Run("one that was told to yield preempts again once it was MASTER", func(t *testing.T) {
		mt := master(t, nil)
		mt.step(Yield{"maintenance"})
		mt.pending = nil
		mt.wait(time.Second)
		mt.hear(lower, 50, time.Second)
		mt.dueIn(down100)
		mt.fireIn(down100)
		mt.want(becomesMaster...)
		mt.hear(higher, 200, time.Second)
		mt.want(remove, "MASTER -> BACKUP")
		mt.wait(time.Second)
		mt.hear(lower, 50, time.Second)
		mt.dueIn(down100 - time.Second)
	})
}

func TestRequirementsMaster(t *testing.T) {
	t.Run("RFC 9568, Section 6.4.3 (9): a MASTER that leaves says priority 0 and gives up the addresses", func(t *testing.T) {
		mt := master(t, nil)
		mt.step(Shutdown{})
		mt.want("SendAdvert{Priority:0}", remove, "MASTER -> INIT")
		mt.step(Timeout{})
		mt.step(Shutdown{})
	})
	t.Run("RFC 9568, Section 6.4.3 (10): an advert each interval", func(t *testing.T) {
		mt := master(t, nil)
		for range 4 {
			mt.fireIn(time.Second)
			mt.want(send100)
		}
		mt.wait(1300 * time.Millisecond)
		mt.step(Timeout{})
		mt.want(send100, announce5)
		mt.dueIn(700 * time.Millisecond) // a little late: the schedule stands
		mt.wait(time.Minute)
		mt.step(Timeout{})
		mt.want(send100)
		mt.dueIn(time.Second) // very late: it begins anew
	})
	t.Run("RFC 9568, Section 6.4.3 (11): a MASTER answers priority 0 at once", func(t *testing.T) {
		mt := master(t, nil)
		mt.wait(700 * time.Millisecond)
		mt.hear(higher, 0, time.Second)
		mt.want(send100)
		mt.dueIn(time.Second)
	})
	t.Run("RFC 9568, Section 6.4.3 (12): a MASTER yields to higher priority, and learns its interval", func(t *testing.T) {
		for _, from := range []netip.Addr{lower, higher} {
			mt := master(t, func(in *Instance) { in.NoPreempt = true })
			mt.hear(from, 101, 2*time.Second)
			mt.want(remove, "MASTER -> BACKUP")
			mt.dueIn(2 * down100)
		}
	})
	t.Run("RFC 3768, Section 6.4.3: version 2 yields and learns no interval", func(t *testing.T) {
		mt := master(t, version2)
		mt.hear(lower, 101, 5*time.Second)
		mt.want(remove, "MASTER -> BACKUP")
		mt.dueIn(down100)
	})
	t.Run("RFC 9568, Section 6.4.3 (12): equal priority is settled by the addresses as numbers", func(t *testing.T) {
		for from, yields := range map[string]bool{"10.0.0.4": false, "10.0.0.6": true, "10.0.0.10": true, "9.255.255.255": false, "200.0.0.1": true} {
			mt := master(t, nil)
			mt.hear(netip.MustParseAddr(from), 100, time.Second)
			if mt.pending = nil; (mt.m.state == Backup) != yields {
				t.Errorf("%s: %v", from, mt.m.state)
			}
		}
	})
	t.Run("RFC 9568, Section 6.4.3 (13): a lesser MASTER is answered at once", func(t *testing.T) {
		mt := master(t, nil)
		mt.wait(time.Second / 4)
		mt.hear(lower, 99, 5*time.Second)
		mt.want("conflict master 10.0.0.4", send100, announce5)
		mt.fireIn(time.Second * 3 / 4)
		mt.want(send100)
		for range 3 {
			mt.fireIn(time.Second)
			mt.want(send100)
		}
		mt.fireIn(time.Second) // the second burst of having become MASTER
		mt.want(send100, announce5)
		mt.fireIn(time.Second / 4) // and that for the other one
		mt.want(announce5)
	})
	t.Run("answers to a lesser MASTER are bounded", func(t *testing.T) {
		mt, answers := master(t, nil), 0
		for range 1001 { // for a second, and one more
			mt.hear(lower, 99, time.Second)
			for _, a := range mt.pending {
				if a == send100 {
					answers++
				}
			}
			mt.pending = nil
			mt.wait(time.Millisecond)
		}
		if answers != answersPerInterval+1 {
			t.Errorf("%d answers", answers)
		}
	})
	t.Run("RFC 3768, Section 6.4.3: strict, or with lower_prio_no_advert, a lesser MASTER gets no answer", func(t *testing.T) {
		mt := master(t, func(in *Instance) { in.LowerPrioNoAdvert = true })
		mt.hear(lower, 99, time.Second)
		mt.want("conflict master 10.0.0.4", announce5)
		mt = master(t, func(in *Instance) { in.Strict, in.HigherPrioSendAdvert = true, true })
		mt.hear(lower, 99, time.Second)
		mt.want("conflict master 10.0.0.4")
		mt.hear(higher, 101, time.Second)
		mt.want(remove, "MASTER -> BACKUP")
	})
	t.Run("higher_prio_send_advert says one more advert before it yields", func(t *testing.T) {
		mt := master(t, func(in *Instance) { in.HigherPrioSendAdvert = true })
		mt.hear(higher, 101, time.Second)
		mt.want(send100, remove, "MASTER -> BACKUP")
	})
	t.Run("two MASTERs of a healed link settle it, and are told of", func(t *testing.T) {
		mt := backup(t, nil)
		mt.hear(higher, 200, time.Second)
		mt.fireIn(down100) // the link is cut
		mt.want(becomesMaster...)
		mt.wait(time.Minute)
		mt.hear(higher, 200, time.Second) // and healed: one more advert, so that the other announces anew
		mt.want(send100, remove, "MASTER -> BACKUP")
		mt.hear(higher, 0, time.Second)
		mt.fireIn(609375 * time.Microsecond)
		mt.want(becomesMaster...)
		mt.hear(higher, 200, time.Second) // it left, and told so
		mt.want(remove, "MASTER -> BACKUP")
		mt = backup(t, nil)
		mt.fireIn(down100)
		mt.want(becomesMaster...)
		mt.wait(500 * time.Millisecond)
		mt.hear(lower, 50, time.Second) // whom we have just preempted
		mt.want(send100, announce5)
		mt.wait(500 * time.Millisecond)
		mt.hear(lower, 50, time.Second) // it should know by now
		mt.want("conflict master 10.0.0.4", send100, announce5)
	})
	t.Run("adverts from our own address are not answered", func(t *testing.T) {
		mt := master(t, nil)
		mt.hear(self, 100, time.Second)
		mt.want("conflict source 10.0.0.5")
		mt.hear(self, 255, time.Second)
		mt.wait(time.Minute)
		mt.hear(self, 100, time.Second)
		mt.want("conflict source 10.0.0.5") // again, a minute later
	})
	t.Run("RFC 9568, Section 8.3.2: of two owners one yields, and both are told", func(t *testing.T) {
		for from, want := range map[netip.Addr][]string{
			higher: {"conflict owner 10.0.0.6", remove, "MASTER -> BACKUP"},
			lower:  {"conflict owner 10.0.0.4", "SendAdvert{Priority:255}", announce5},
		} {
			mt := newMachineTest(t, owner)
			mt.step(Startup{Source: self})
			mt.pending = nil
			mt.hear(from, 255, time.Second)
			mt.want(want...)
		}
	})
	t.Run("RFC 3768, Section 7.1: a strict owner hears nobody", func(t *testing.T) {
		for _, edit := range []func(in *Instance){func(in *Instance) { in.IgnoreAdverts = true }, func(in *Instance) { in.Strict = true }} {
			mt := newMachineTest(t, func(in *Instance) { owner(in); edit(in) })
			mt.step(Startup{Source: self})
			mt.pending = nil
			mt.hear(higher, 255, time.Second)
			mt.hear(lower, 0, time.Second)
		}
		mt := master(t, func(in *Instance) { in.IgnoreAdverts = true }) // is for owners
		mt.hear(higher, 200, time.Second)
		mt.want(remove, "MASTER -> BACKUP")
	})
	t.Run("an owner has priority 255, and others 1 to 254", func(t *testing.T) {
		mt := newMachineTest(t, owner)
		mt.step(SetPriority{50})
		mt.step(Startup{Source: self})
		mt.want("SendAdvert{Priority:255}", add, announce5, "INIT -> MASTER")
		mt = master(t, nil)
		for given, want := range map[uint8]uint8{0: 1, 1: 1, 254: 254, 255: 254} {
			if mt.step(SetPriority{given}); mt.m.Priority() != want {
				t.Errorf("%d became %d", given, mt.m.Priority())
			}
		}
	})
	t.Run("another priority is no transition and no advert of its own", func(t *testing.T) {
		mt := master(t, nil)
		mt.step(SetPriority{50}) // no transition, no advert of its own
		mt.fireIn(time.Second)
		mt.want("SendAdvert{Priority:50}")
	})
}

func TestRequirementsFault(t *testing.T) {
	t.Run("a MASTER in FAULT says priority 0 once, and hears nothing", func(t *testing.T) {
		mt := master(t, nil)
		mt.step(FaultBegin{"eth0 is down"})
		mt.want("SendAdvert{Priority:0}", remove, "MASTER -> FAULT") // once
		mt.step(FaultBegin{"and eth1"})
		mt.hear(higher, 0, time.Second)
		mt.step(Timeout{})
		mt.step(SetPriority{200})
	})
	t.Run("a BACKUP goes to FAULT in silence", func(t *testing.T) {
		mt := backup(t, nil)
		mt.step(FaultBegin{"eth0 is down"})
		mt.want("BACKUP -> FAULT")
	})
	t.Run("an owner is MASTER at once after a fault", func(t *testing.T) { // an owner is MASTER at once
		mt := newMachineTest(t, owner)
		mt.step(FaultBegin{"x"})
		mt.want(remove, "INIT -> FAULT")
		mt.step(FaultEnd{Source: self})
		mt.want("SendAdvert{Priority:255}", add, announce5, "FAULT -> MASTER")
		mt.hear(higher, 255, time.Second)
		mt.want("conflict owner 10.0.0.6", remove, "MASTER -> BACKUP")
		mt.wait(time.Minute)
		mt.step(FaultBegin{"x"})
		mt.want("BACKUP -> FAULT")
		mt.step(FaultEnd{Source: self})
		mt.want("SendAdvert{Priority:255}", add, announce5, "FAULT -> MASTER")
		mt.hear(higher, 255, time.Second) // whose silence is not what made us MASTER: no farewell
		mt.want("conflict owner 10.0.0.6", remove, "MASTER -> BACKUP")
	})
	t.Run("the end of a fault is nothing to one that has none", func(t *testing.T) {
		mt := backup(t, nil)
		mt.step(FaultEnd{Source: higher})
		mt = master(t, nil)
		mt.step(FaultEnd{Source: higher})
		mt.hear(self, 100, time.Second)
		mt.want("conflict source 10.0.0.5") // it has its address still
	})
	t.Run("what adverts come from may change, with a fault or without", func(t *testing.T) {
		for _, change := range [][]Event{{Readdress{Source: higher}}, {FaultBegin{"x"}, FaultEnd{Source: higher}}} {
			mt := backup(t, nil)
			for _, ev := range change {
				mt.step(ev)
				mt.pending = nil
			}
			mt.fireIn(down100)
			mt.want(becomesMaster...)
			mt.wait(time.Minute)
			mt.hear(self, 100, time.Second) // was ours, and is a lesser one
			mt.want("conflict master 10.0.0.5", send100, announce5)
			if mt.m.MasterAddr() != higher {
				t.Errorf("the MASTER is %v", mt.m.MasterAddr())
			}
		}
	})
}

// TestTransitionsSayWhy: each has a reason for a person.
func TestTransitionsSayWhy(t *testing.T) {
	start := Startup{Source: self}
	later := func(d time.Duration) func(mt *machineTest) { return func(mt *machineTest) { mt.wait(d) } }
	hear := func(from netip.Addr, priority uint8) func(mt *machineTest) {
		return func(mt *machineTest) { mt.hear(from, priority, time.Second); mt.pending = nil }
	}
	for name, c := range map[string]struct {
		edit   func(in *Instance)
		events []any // an Event, or what else to do
		want   string
	}{
		"started":             {nil, []any{start}, "started"},
		"owner":               {owner, []any{start}, "owner of the addresses"},
		"owner after delay":   {owner, []any{Startup{Source: self, NotBefore: time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC)}, later(time.Minute), Timeout{}}, "owner of the addresses"},
		"owner as BACKUP":     {func(in *Instance) { owner(in); in.StartBackup = true }, []any{start, later(time.Minute), Timeout{}}, "no advert within 3.00390625s"},
		"delayed, no owner":   {nil, []any{Startup{Source: self, NotBefore: time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC)}, later(2 * time.Minute), Timeout{}}, "no advert within 3.609375s"},
		"adopted":             {nil, []any{Startup{Source: self, Adopt: true}}, "adopted from a predecessor"},
		"alone":               {nil, []any{start, later(time.Minute), Timeout{}}, "no advert within 3.609375s"},
		"silence":             {nil, []any{start, hear(higher, 200), later(time.Minute), Timeout{}}, "no advert of sufficient priority within 3.609375s, last from 10.0.0.6"},
		"left":                {nil, []any{start, hear(higher, 200), hear(higher, 0), later(time.Minute), Timeout{}}, "10.0.0.6 left with priority 0"},
		"a stranger left":     {nil, []any{start, hear(higher, 0), later(time.Minute), Timeout{}}, "the MASTER left with priority 0"},
		"yields":              {nil, []any{start, later(time.Minute), Timeout{}, Received{higher, &Advertisement{Version: 3, Priority: 200, Interval: time.Second}}}, "advert from 10.0.0.6 with higher priority (200, ours 100)"},
		"yields to the equal": {nil, []any{start, later(time.Minute), Timeout{}, Received{higher, &Advertisement{Version: 3, Priority: 100, Interval: time.Second}}}, "advert from 10.0.0.6 with equal priority and higher address (100, ours 100)"},
		"held up":             {func(in *Instance) { in.NoPreempt, in.TimerExpiredBackup = true, 254 }, []any{start, later(time.Minute), Timeout{}, later(time.Minute), Timeout{}}, "held up for 1m0s: another must have taken over"},
		"fault":               {nil, []any{start, FaultBegin{"eth0 is down"}}, "eth0 is down"},
		"fault is over":       {nil, []any{start, FaultBegin{"x"}, FaultEnd{Source: self}}, "fault is over"},
		"an owner's fault":    {owner, []any{start, FaultBegin{"x"}, FaultEnd{Source: self}}, "fault is over, owner of the addresses"},
		"shut down":           {nil, []any{start, Shutdown{}}, "shut down"},
	} {
		t.Run(name, func(t *testing.T) {
			mt, reason := newMachineTest(t, c.edit), ""
			for _, ev := range c.events {
				switch ev := ev.(type) {
				case func(mt *machineTest):
					ev(mt)
				case Event:
					for _, a := range mt.m.Step(mt.now, ev) {
						if tr, ok := a.(Transition); ok {
							reason = tr.Reason
						}
					}
				}
			}
			if reason != c.want {
				t.Errorf("%q, want %q", reason, c.want)
			}
		})
	}
}

func TestNewMachineRefusesWhatCannotBe(t *testing.T) {
	if m, err := NewMachine(Instance{}); err == nil || m != nil {
		t.Errorf("%v, %v", m, err)
	}
}

func TestRequirementsAnnounce(t *testing.T) {
	t.Run("announcements have a second burst and a refresh", func(t *testing.T) {
		mt := master(t, func(in *Instance) {
			in.Interval, in.Announce = 40*time.Second, Announce{Rounds: 2, Delay: 3 * time.Second, Refresh: 10 * time.Second, RefreshRounds: 4}
		})
		mt.fireIn(3 * time.Second)
		mt.want("AnnounceAddrs{Rounds:2}")
		for range 2 {
			mt.fireIn(10 * time.Second)
			mt.want("AnnounceAddrs{Rounds:4}")
		}
		mt = backup(t, func(in *Instance) { in.Announce = Announce{Rounds: 1, Delay: -1} })
		mt.fireIn(down100)
		mt.want(send100, add, "AnnounceAddrs{Rounds:1}", "BACKUP -> MASTER")
		mt.dueIn(time.Second)
	})
	t.Run("schedules of announcements end with mastership", func(t *testing.T) { // schedules end with mastership
		mt := master(t, func(in *Instance) { in.Announce = Announce{Refresh: 10 * time.Second} })
		mt.hear(lower, 1, time.Second)
		mt.pending = nil
		mt.hear(higher, 200, time.Second)
		mt.want(remove, "MASTER -> BACKUP")
		mt.dueIn(down100)
		mt.fireIn(down100)
		mt.want(becomesMaster...)
		for _, at := range []time.Time{mt.m.lowerAt, mt.m.burstAt.Add(-5 * time.Second), mt.m.refreshAt.Add(-15 * time.Second)} {
			if !at.IsZero() && !at.Equal(mt.now) {
				t.Errorf("an old schedule lives on: %v", at)
			}
		}
	})
	t.Run("a lesser MASTER has announcements of its own", func(t *testing.T) {
		mt := master(t, func(in *Instance) { in.Announce = Announce{LowerPrioRounds: 2, LowerPrioDelay: time.Second / 2} })
		mt.hear(lower, 1, time.Second)
		mt.want("conflict master 10.0.0.4", send100, "AnnounceAddrs{Rounds:2}")
		mt.fireIn(time.Second / 2)
		mt.want("AnnounceAddrs{Rounds:2}")
		mt = master(t, func(in *Instance) { in.Announce = Announce{LowerPrioRounds: -1, LowerPrioDelay: time.Second / 2} })
		mt.hear(lower, 1, time.Second)
		mt.want("conflict master 10.0.0.4", send100)
		mt.dueIn(time.Second)
		mt = master(t, func(in *Instance) { in.Announce = Announce{LowerPrioDelay: -1} })
		mt.hear(lower, 1, time.Second)
		mt.want("conflict master 10.0.0.4", send100, announce5)
		mt.dueIn(time.Second)
	})
}

func TestRequirementsReconfigure(t *testing.T) {
	t.Run("a MASTER stays MASTER under new settings, and tells them at once", func(t *testing.T) {
		mt := master(t, nil)
		mt.wait(time.Second / 2)
		in := mt.m.in
		in.Priority = 50
		mt.step(Reconfigure{Instance: in})
		mt.want("SendAdvert{Priority:50}") // stays MASTER
		mt.dueIn(time.Second)
		mt.step(Reconfigure{Instance: in, Priority: 30}) // what is tracked still counts
		mt.want("SendAdvert{Priority:30}")
		in.Interval, in.Announce.Refresh = 40*time.Second, 10*time.Second
		mt.m.burstAt = time.Time{}
		mt.step(Reconfigure{Instance: in})
		mt.want("SendAdvert{Priority:50}")
		for range 2 {
			mt.fireIn(10 * time.Second)
			mt.want("AnnounceAddrs{Rounds:1}")
		}
		in.Announce.Refresh = 0
		mt.step(Reconfigure{Instance: in})
		mt.want("SendAdvert{Priority:50}")
		mt.dueIn(40 * time.Second)
	})
	t.Run("the timer of a BACKUP moves by what the wait has become", func(t *testing.T) {
		mt := backup(t, nil)
		mt.wait(time.Second)
		in := mt.m.in
		in.Announce.Rounds = 7
		mt.step(Reconfigure{Instance: in})
		mt.dueIn(down100 - time.Second) // nothing changed about the wait
		in.Interval = 2 * time.Second
		mt.step(Reconfigure{Instance: in})
		mt.dueIn(2*down100 - time.Second)
		mt.hear(higher, 200, 3*time.Second) // learned
		in.Interval = 5 * time.Second
		mt.step(Reconfigure{Instance: in})
		mt.dueIn(3 * down100)
	})
}

// TestRequirementsReceive has the checks of RFC 9568, Section 7.1, and RFC 3768, Section 7.1.
func TestRequirementsReceive(t *testing.T) {
	three, two := recordings(t)[6], recordings(t)[0]
	for _, c := range []struct {
		name string
		r    recording
		edit func(a *Advertisement, in *Instance, ttl *uint8)
		want error
	}{
		{"a good one", three, func(*Advertisement, *Instance, *uint8) {}, nil},
		{"RFC 9568, Section 5.1.1.3: TTL 254", three, func(_ *Advertisement, _ *Instance, ttl *uint8) { *ttl = 254 }, ErrTTL},
		{"RFC 3768, Section 5.2.3: TTL 1", two, func(_ *Advertisement, _ *Instance, ttl *uint8) { *ttl = 1 }, ErrTTL},
		{"version 3 for one of version 2", three, func(_ *Advertisement, in *Instance, _ *uint8) { in.Version = 2 }, ErrVersion},
		{"version 2 for one of version 3", two, func(_ *Advertisement, in *Instance, _ *uint8) { in.Version = 3 }, ErrVersion},
		{"wrong checksum", three, func(a *Advertisement, _ *Instance, _ *uint8) { a.Checksum = ChecksumBad }, ErrChecksum},
		{"another VRID", three, func(_ *Advertisement, in *Instance, _ *uint8) { in.VRID = 52 }, ErrVRID},
		{"RFC 9568, Section 5.2.5: no address", three, func(a *Advertisement, _ *Instance, _ *uint8) { a.Addrs = nil }, ErrAddressList},
		{"an address twice", recordings(t)[12], func(a *Advertisement, _ *Instance, _ *uint8) { a.Addrs[0] = a.Addrs[1] }, nil},
		{"RFC 9568, Section 7.1: strict, an address twice", recordings(t)[12], func(a *Advertisement, in *Instance, _ *uint8) { a.Addrs[0], in.Strict = a.Addrs[1], true }, ErrAddressList},
		{"interval 0", three, func(a *Advertisement, _ *Instance, _ *uint8) { a.Interval = 0 }, ErrInterval},
		{"for an owner", three, func(_ *Advertisement, in *Instance, _ *uint8) { in.Priority = 255 }, nil},
		{"another interval", three, func(a *Advertisement, _ *Instance, _ *uint8) { a.Interval = time.Minute / 2 }, nil},
		{"other addresses", three, func(a *Advertisement, _ *Instance, _ *uint8) { a.Addrs[0] = src4 }, nil},
		{"RFC 3768, Section 5.3.6: unknown authentication", two, func(a *Advertisement, _ *Instance, _ *uint8) { a.AuthType = 3 }, ErrAuthType},
		{"RFC 3768, Section 7.1: none, and a password is wanted", two, func(_ *Advertisement, in *Instance, _ *uint8) { in.AuthType, in.Password = AuthPass, "x" }, ErrAuthMismatch},
		{"RFC 2338, Section 5.3.6.2: another password", recordings(t)[2], func(_ *Advertisement, in *Instance, _ *uint8) { in.Password = "111112" }, ErrAuthFailure},
		{"RFC 3768, Section 7.1: version 2, another interval", two, func(a *Advertisement, _ *Instance, _ *uint8) { a.Interval = 2 * time.Second }, ErrInterval},
		{"RFC 3768, Section 5.3.10: authentication data of an advert without authentication", two, func(a *Advertisement, _ *Instance, _ *uint8) { a.AuthData = [8]byte{1} }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a Advertisement
			if err := a.ParsePacket(c.r.message, c.r.src, c.r.dst); err != nil {
				t.Fatal(err)
			}
			in, ttl := c.r.as(), c.r.ttl
			c.edit(&a, &in, &ttl)
			err := a.Validate(&in, c.r.src, c.r.dst, ttl)
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if s := new(Stats); c.want != nil && (s.count(err) != c.want || *s == Stats{}) {
				t.Errorf("%v has no counter", err)
			}
		})
	}
}

// TestRequirementsComplete: what cannot be read whole is no advert.
func TestRequirementsComplete(t *testing.T) {
	refused := func(t *testing.T, r recording, edit func(b []byte) []byte, want error) {
		t.Helper()
		a := Advertisement{VRID: 77}
		if err := a.ParsePacket(edit(append([]byte(nil), r.message...)), r.src, r.dst); !errors.Is(err, want) || a.VRID != 77 {
			t.Errorf("%v, want %v; %+v", err, want, a)
		}
	}
	t.Run("RFC 9568, Section 5.2.2: the type is 1", func(t *testing.T) {
		refused(t, recordings(t)[6], func(b []byte) []byte { b[0] = 0x32; return b }, ErrType)
	})
	t.Run("RFC 9568, Section 7.1: a packet is as long as it says", func(t *testing.T) {
		refused(t, recordings(t)[6], func(b []byte) []byte { return b[:len(b)-1] }, ErrLength)
		refused(t, recordings(t)[12], func(b []byte) []byte { b[3]++; return b }, ErrLength)
	})
	t.Run("RFC 3768, Section 7.1: with its authentication data", func(t *testing.T) { // the authentication data too
		refused(t, recordings(t)[0], func(b []byte) []byte { return b[:len(b)-8] }, ErrLength)
	})
	t.Run("trailing bytes are no reason to refuse a packet", func(t *testing.T) { // trailing bytes, and a count of 0, are no reason here
		r := recordings(t)[6]
		var a Advertisement
		if err := a.ParsePacket(append(r.message[:len(r.message):len(r.message)], 1), r.src, r.dst); err != nil {
			t.Error(err)
		}
	})
	t.Run("RFC 3768, Section 6.1: version 2 has whole seconds up to 255", func(t *testing.T) {
		in := recordings(t)[0].as()
		for interval, ok := range map[time.Duration]bool{time.Second: true, 255 * time.Second: true, 256 * time.Second: false, 1500 * time.Millisecond: false} {
			if in.Interval = interval; (in.Validate() == nil) != ok {
				t.Errorf("%v: %v", interval, in.Validate())
			}
		}
	})
}

// TestRequirementsStrict: what strict mode cannot be combined with. Files that do are corrected when they are read.
func TestRequirementsStrict(t *testing.T) {
	for name, edit := range map[string]func(in *Instance){
		"version 2 of IPv6":                func(in *Instance) { in.Version, in.Addrs = 2, MustAddresses("fe80::100") },
		"a password":                       func(in *Instance) { in.Version, in.AuthType, in.Password = 2, AuthPass, "x" },
		"HMAC of the permissive mode":      func(in *Instance) { in.HMAC = signer(nil).HMAC; in.HMAC.Mode = HMACPermissive },
		"unicast":                          func(in *Instance) { in.Peers = []Peer{{Addr: higher}} },
		"a preempt delay":                  func(in *Instance) { in.PreemptDelay = time.Second },
		"other than three adverts missing": func(in *Instance) { in.DownAdverts = 4 },
		"no addresses":                     func(in *Instance) { in.Addrs, in.NoAddrs = nil, true },
	} {
		t.Run(name, func(t *testing.T) {
			in := Instance{Interface: "eth0", VRID: 1, Addrs: MustAddresses("10.0.0.100")}
			edit(&in)
			if err := in.Validate(); err != nil {
				t.Errorf("not strict: %v", err)
			}
			if in.Strict = true; in.Validate() == nil {
				t.Error("strict, and accepted")
			}
		})
	}
}

// vrrp_delay_after_boot counts from the boot of the host, and the longer delay wins.
func TestRequirementsBootDelay(t *testing.T) {
	r := NewRouter(Options{})
	r.started = signedAt
	for _, c := range []struct {
		in   Instance
		want time.Duration
	}{
		{Instance{}, 0},
		{Instance{StartDelay: time.Minute, BootDelay: time.Nanosecond}, time.Minute},
		{Instance{StartDelay: time.Minute, BootDelay: uptime() + time.Hour}, time.Hour},
		{Instance{StartDelay: 2 * time.Hour, BootDelay: uptime() + time.Hour}, 2 * time.Hour},
	} {
		if got := r.notBefore(&c.in).Sub(r.started); got > c.want || c.want-got > time.Minute/2 {
			t.Errorf("%v and %v: %v, want %v", c.in.StartDelay, c.in.BootDelay, got, c.want)
		}
	}
}
