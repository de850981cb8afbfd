package vrrp

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// Tests by the numbers of what is required: "9568-6.4.2-9" is step 9 of RFC 9568, Section 6.4.2; "5.9" and the like are facts
// about keepalived that this package keeps.

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

// run names a test for each of the requirements.
func run(t *testing.T, ids string, f func(t *testing.T)) {
	for id := range strings.FieldsSeq(ids) {
		t.Run(id, f)
	}
}

func TestRequirementsTimers(t *testing.T) {
	run(t, "9568-6.1-7 9568-6.1-8 3768-6.1-2 3768-6.1-3 5.1 5.2", func(t *testing.T) {
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
	run(t, "9568-6.1-1 9568-6.1-2 9568-6.1-3 9568-6.1-5 9568-6.1-9 9568-E-6", func(t *testing.T) {
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
	run(t, "9568-6.1-6 9568-6.4.1-2a 5.4", func(t *testing.T) {
		mt := backup(t, nil)
		mt.hear(higher, 200, 10*time.Second)
		mt.step(FaultBegin{"x"})
		mt.want("BACKUP -> FAULT")
		mt.step(FaultEnd{Source: self})
		mt.want("FAULT -> BACKUP")
		mt.dueIn(down100)
	})
	run(t, "5.2-down_timer_adverts", func(t *testing.T) {
		mt := backup(t, func(in *Instance) { in.DownAdverts = 7 })
		mt.dueIn(7*time.Second + 609375*time.Microsecond)
	})
	run(t, "5.3", func(t *testing.T) {
		mt := backup(t, func(in *Instance) { in.NoPreempt = true })
		mt.hear(higher, 200, 10*time.Second)
		mt.hear(higher, 0, 2*time.Second) // nothing is learned from priority 0
		mt.dueIn(10 * 609375 * time.Microsecond)
		mt = backup(t, nil)
		mt.wait(time.Second)
		mt.hear(lower, 50, 10*time.Second) // nor from what is discarded
		mt.dueIn(down100 - time.Second)
	})
	run(t, "3768-6.1-4", func(t *testing.T) {
		mt := backup(t, version2)
		mt.hear(higher, 200, 5*time.Second)
		mt.dueIn(down100)
	})
	run(t, "5.6 5.7 9568-6.2-2", func(t *testing.T) {
		mt := master(t, func(in *Instance) { in.LowerPrioNoAdvert, in.Announce = true, Announce{Delay: -1, LowerPrioRounds: -1} })
		for range 9 { // whatever is heard, the schedule stands
			mt.wait(100 * time.Millisecond)
			mt.hear(lower, 50, time.Second)
			mt.pending = nil
		}
		mt.dueIn(100 * time.Millisecond)
	})
	run(t, "5.8 9568-6.4.2-10", func(t *testing.T) {
		mt := backup(t, nil)
		mt.wait(3 * time.Second)
		mt.hear(lower, 99, time.Second)
		mt.dueIn(609375 * time.Microsecond)
	})
	run(t, "5.9", func(t *testing.T) {
		mt := backup(t, nil)
		mt.wait(time.Second)
		mt.step(SetPriority{228})
		mt.dueIn(down100 - 1500*time.Millisecond)
		mt.step(SetPriority{100})
		mt.dueIn(down100 - time.Second)
	})
	run(t, "5.10", func(t *testing.T) {
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
	run(t, "9568-6.4.1-1a 9568-6.4.1-1b 9568-6.4.1-1d 9568-6.4.1-1e 3768-6.4.1-1 6.4", func(t *testing.T) {
		for _, edit := range []func(*Instance){owner, func(in *Instance) { in.Priority, in.Version = 255, 2 }} {
			mt := newMachineTest(t, edit)
			mt.step(Startup{Source: self})
			mt.want("SendAdvert{Priority:255}", add, announce5, "INIT -> MASTER")
			mt.dueIn(time.Second)
		}
	})
	run(t, "9568-6.4.1-2b 9568-6.4.1-2c 6.5 6.7", func(t *testing.T) {
		mt := newMachineTest(t, nil)
		mt.step(Startup{Source: self})
		mt.want(remove, "INIT -> BACKUP")
		mt.dueIn(down100)
		mt.step(Startup{Source: self}) // once
	})
	run(t, "6.6", func(t *testing.T) {
		mt := newMachineTest(t, func(in *Instance) { in.Priority, in.StartBackup = 255, true })
		mt.start()
		mt.fireIn(3*time.Second + 3906250)
		mt.want("SendAdvert{Priority:255}", add, announce5, "BACKUP -> MASTER")
	})
	run(t, "6.9", func(t *testing.T) {
		mt := newMachineTest(t, nil)
		mt.step(FaultBegin{"eth0 is down"})
		mt.want(remove, "INIT -> FAULT")
	})
	run(t, "6.10", func(t *testing.T) {
		mt := newMachineTest(t, nil)
		mt.step(Startup{Source: self, NotBefore: mt.now.Add(time.Minute)})
		mt.want(remove, "INIT -> BACKUP")
		mt.hear(higher, 200, 10*time.Second) // not heard
		mt.dueIn(time.Minute + down100)
		mt.step(FaultBegin{"x"})
		mt.want("BACKUP -> FAULT")
		mt.step(FaultEnd{self})
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
	run(t, "9568-6.4.2-6a 9568-6.4.2-6b 3768-6.4.2-4", func(t *testing.T) {
		mt := backup(t, nil)
		mt.step(Shutdown{})
		mt.want("BACKUP -> INIT")
		if _, ok := mt.m.Deadline(); ok {
			t.Error("it has a deadline")
		}
	})
	run(t, "9568-6.2-1 9568-6.4.2-7a 9568-6.4.2-7b 9568-6.4.2-7e 9568-6.4.2-7f 3768-6.4.2-5 6.17 8.1 8.2", func(t *testing.T) {
		mt := backup(t, nil)
		mt.hear(higher, 200, 2*time.Second)
		mt.fireIn(2 * down100)
		mt.want(becomesMaster...)
		mt.dueIn(time.Second) // its own interval, not the learned one
	})
	run(t, "9568-6.4.2-8 3768-6.4.2-6 6.11", func(t *testing.T) {
		for _, edit := range []func(*Instance){nil, version2, func(in *Instance) { in.NoPreempt = true }, func(in *Instance) { in.PreemptDelay = time.Minute }} {
			mt := backup(t, edit)
			mt.hear(lower, 0, time.Second) // whoever sent it
			mt.fireIn(609375 * time.Microsecond)
			mt.want(becomesMaster...)
		}
	})
	run(t, "9568-6.4.2-9a 9568-6.4.2-9b 9568-6.4.2-9c 9568-6.4.2-9d 9568-6.4.2-N1 6.12 6.15", func(t *testing.T) {
		for _, from := range []netip.Addr{lower, higher} {
			mt := backup(t, nil)
			mt.hear(from, 100, 200*time.Millisecond)
			mt.dueIn(down100 / 5)
			if mt.m.MasterAddr() != from {
				t.Error(mt.m.MasterAddr())
			}
		}
	})
	run(t, "9568-6.4.2-9-nopreempt 3768-6.4.2-7", func(t *testing.T) {
		mt := backup(t, func(in *Instance) { in.NoPreempt = true })
		mt.wait(3 * time.Second)
		mt.hear(lower, 1, time.Second)
		mt.dueIn(down100)
	})
	run(t, "9568-6.1-12 9568-6.4.2-N2", func(t *testing.T) {
		mt := backup(t, func(in *Instance) { in.Priority, in.NoPreempt, in.StartBackup = 255, true, true })
		mt.wait(time.Second)
		mt.hear(higher, 254, time.Second)
		mt.dueIn(2*time.Second + 3906250)
	})
	run(t, "3768-6.4.2-8 6.13", func(t *testing.T) {
		mt := backup(t, version2)
		mt.wait(time.Second)
		mt.hear(lower, 99, time.Second)
		mt.dueIn(down100 - time.Second)
	})
	run(t, "6.14", func(t *testing.T) {
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
		mt = backup(t, func(in *Instance) { in.PreemptDelay = 10 * time.Second })
		mt.fireIn(down100) // nobody there: no delay
		mt.want(becomesMaster...)
	})
	run(t, "6.14-entry 6.30", func(t *testing.T) {
		mt := backup(t, func(in *Instance) { in.PreemptDelay = 10 * time.Second })
		mt.hear(lower, 50, time.Second)
		mt.step(FaultBegin{"x"})
		mt.want("BACKUP -> FAULT")
		mt.wait(time.Minute)
		mt.step(FaultEnd{self})
		mt.want("FAULT -> BACKUP")
		mt.hear(lower, 50, time.Second)
		mt.dueIn(down100)
	})
}

func TestRequirementsMaster(t *testing.T) {
	run(t, "9568-6.4.3-9a 9568-6.4.3-9b 9568-6.4.3-9c 3768-6.4.3-5", func(t *testing.T) {
		mt := master(t, nil)
		mt.step(Shutdown{})
		mt.want("SendAdvert{Priority:0}", remove, "MASTER -> INIT")
		mt.step(Timeout{})
		mt.step(Shutdown{})
	})
	run(t, "9568-6.4.3-10a 9568-6.4.3-10b 3768-6.4.3-6", func(t *testing.T) {
		mt := master(t, nil)
		for range 4 {
			mt.fireIn(time.Second)
			mt.want(send100)
		}
	})
	run(t, "9568-6.4.3-11a 9568-6.4.3-11b 3768-6.4.3-7 6.18", func(t *testing.T) {
		mt := master(t, nil)
		mt.wait(700 * time.Millisecond)
		mt.hear(higher, 0, time.Second)
		mt.want(send100)
		mt.dueIn(time.Second)
	})
	run(t, "9568-6.4.3-0 9568-6.4.3-12a 9568-6.4.3-12b 9568-6.4.3-12c 9568-6.4.3-12d 9568-6.4.3-12e 9568-6.4.3-12f 9568-6.4.3-N3 6.20 6.31", func(t *testing.T) {
		for _, from := range []netip.Addr{lower, higher} {
			mt := master(t, func(in *Instance) { in.NoPreempt = true })
			mt.hear(from, 101, 2*time.Second)
			mt.want(remove, "MASTER -> BACKUP")
			mt.dueIn(2 * down100)
		}
	})
	run(t, "3768-6.4.3-8", func(t *testing.T) {
		mt := master(t, version2)
		mt.hear(lower, 101, time.Second)
		mt.want(remove, "MASTER -> BACKUP")
		mt.dueIn(down100)
	})
	run(t, "9568-6.4.3-12-tie 6.21", func(t *testing.T) {
		for from, yields := range map[string]bool{"10.0.0.4": false, "10.0.0.6": true, "10.0.0.10": true, "9.255.255.255": false, "200.0.0.1": true} {
			mt := master(t, nil)
			mt.hear(netip.MustParseAddr(from), 100, time.Second)
			if mt.pending = nil; (mt.m.state == Backup) != yields {
				t.Errorf("%s: %v", from, mt.m.state)
			}
		}
	})
	run(t, "9568-6.4.3-13a 9568-6.4.3-13b 9568-6.4.3-N1 6.19", func(t *testing.T) {
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
	run(t, "9568-6.4.3-13b-limit", func(t *testing.T) {
		mt, answers := master(t, nil), 0
		for range 1000 { // for a second
			mt.hear(lower, 99, time.Second)
			for _, a := range mt.pending {
				if a == send100 {
					answers++
				}
			}
			mt.pending = nil
			mt.wait(time.Millisecond)
		}
		if answers != answersPerInterval {
			t.Errorf("%d answers", answers)
		}
	})
	run(t, "6.19-lower_prio_no_advert 3768-6.4.3-9 15.8", func(t *testing.T) {
		mt := master(t, func(in *Instance) { in.LowerPrioNoAdvert = true })
		mt.hear(lower, 99, time.Second)
		mt.want("conflict master 10.0.0.4", announce5)
		mt = master(t, func(in *Instance) { in.Strict, in.HigherPrioSendAdvert = true, true })
		mt.hear(lower, 99, time.Second)
		mt.want("conflict master 10.0.0.4")
		mt.hear(higher, 101, time.Second)
		mt.want(remove, "MASTER -> BACKUP")
	})
	run(t, "6.20-higher_prio_send_advert", func(t *testing.T) {
		mt := master(t, func(in *Instance) { in.HigherPrioSendAdvert = true })
		mt.hear(higher, 101, time.Second)
		mt.want(send100, remove, "MASTER -> BACKUP")
	})
	run(t, "split-brain", func(t *testing.T) {
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
		mt.wait(600 * time.Millisecond)
		mt.hear(lower, 50, time.Second) // it should know by now
		mt.want("conflict master 10.0.0.4", send100, announce5)
	})
	run(t, "9568-6.4.3-N2 6.21-equal", func(t *testing.T) {
		mt := master(t, nil)
		mt.hear(self, 100, time.Second)
		mt.want("conflict source 10.0.0.5")
		mt.hear(self, 255, time.Second)
		mt.wait(time.Minute)
		mt.hear(self, 100, time.Second)
		mt.want("conflict source 10.0.0.5") // again, a minute later
	})
	run(t, "9568-7.1-N2 9568-8.3.2-2 6.22 9568-E-3", func(t *testing.T) {
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
	run(t, "owner_ignore_adverts 15.9 3768-7.1-5", func(t *testing.T) {
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
	run(t, "6.23", func(t *testing.T) {
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
	run(t, "11.5", func(t *testing.T) {
		mt := master(t, nil)
		mt.step(SetPriority{50}) // no transition, no advert of its own
		mt.fireIn(time.Second)
		mt.want("SendAdvert{Priority:50}")
	})
}

func TestRequirementsFault(t *testing.T) {
	run(t, "6.24 6.25", func(t *testing.T) {
		mt := master(t, nil)
		mt.step(FaultBegin{"eth0 is down"})
		mt.want("SendAdvert{Priority:0}", remove, "MASTER -> FAULT") // once
		mt.step(FaultBegin{"and eth1"})
		mt.hear(higher, 0, time.Second)
		mt.step(Timeout{})
		mt.step(SetPriority{200})
	})
	run(t, "6.26", func(t *testing.T) {
		mt := backup(t, nil)
		mt.step(FaultBegin{"eth0 is down"})
		mt.want("BACKUP -> FAULT")
	})
	run(t, "6.27", func(t *testing.T) { // an owner is MASTER at once
		mt := newMachineTest(t, owner)
		mt.step(FaultBegin{"x"})
		mt.want(remove, "INIT -> FAULT")
		mt.step(FaultEnd{self})
		mt.want("SendAdvert{Priority:255}", add, announce5, "FAULT -> MASTER")
	})
}

func TestRequirementsAnnounce(t *testing.T) {
	run(t, "8.9 8.13", func(t *testing.T) {
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
	run(t, "8.11", func(t *testing.T) { // schedules end with mastership
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
	run(t, "8.15", func(t *testing.T) {
		mt := master(t, func(in *Instance) { in.Announce = Announce{LowerPrioRounds: 2, LowerPrioDelay: time.Second / 2} })
		mt.hear(lower, 1, time.Second)
		mt.want("conflict master 10.0.0.4", send100, "AnnounceAddrs{Rounds:2}")
		mt.fireIn(time.Second / 2)
		mt.want("AnnounceAddrs{Rounds:2}")
		mt = master(t, func(in *Instance) { in.Announce = Announce{LowerPrioRounds: -1} })
		mt.hear(lower, 1, time.Second)
		mt.want("conflict master 10.0.0.4", send100)
	})
}

func TestRequirementsReconfigure(t *testing.T) {
	run(t, "14.10", func(t *testing.T) {
		mt := master(t, nil)
		mt.wait(time.Second / 2)
		in := mt.m.in
		in.Priority = 50
		mt.step(Reconfigure{Instance: in})
		mt.want("SendAdvert{Priority:50}") // stays MASTER
		mt.dueIn(time.Second)
		mt.step(Reconfigure{Instance: in, Priority: 30}) // what is tracked still counts
		mt.want("SendAdvert{Priority:30}")
	})
	run(t, "14.10-backup", func(t *testing.T) {
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
		ids  string
		r    recording
		edit func(a *Advertisement, in *Instance, ttl *uint8)
		want error
	}{
		{"9568-7.1-0", three, func(*Advertisement, *Instance, *uint8) {}, nil},
		{"9568-7.1-1 9568-7.1-2 9568-5.1.1.3-2 9568-5.1.2.3-2", three, func(_ *Advertisement, _ *Instance, ttl *uint8) { *ttl = 254 }, ErrTTL},
		{"3768-7.1-1 3768-5.2.3-2", two, func(_ *Advertisement, _ *Instance, ttl *uint8) { *ttl = 1 }, ErrTTL},
		{"9568-7.1-3", three, func(_ *Advertisement, in *Instance, _ *uint8) { in.Version = 2 }, ErrVersion},
		{"3768-7.1-2", two, func(_ *Advertisement, in *Instance, _ *uint8) { in.Version = 3 }, ErrVersion},
		{"9568-7.1-6 3768-7.1-4", three, func(a *Advertisement, _ *Instance, _ *uint8) { a.Checksum = ChecksumBad }, ErrChecksum},
		{"9568-7.1-7", three, func(_ *Advertisement, in *Instance, _ *uint8) { in.VRID = 52 }, ErrVRID},
		{"9568-7.1-8 9568-5.2.5-1 9568-E-4", three, func(a *Advertisement, _ *Instance, _ *uint8) { a.Addrs = nil }, ErrAddressList},
		{"9568-7.1-9-lenient", recordings(t)[12], func(a *Advertisement, _ *Instance, _ *uint8) { a.Addrs[0] = a.Addrs[1] }, nil},
		{"9568-7.1-9 9568-E-5", recordings(t)[12], func(a *Advertisement, in *Instance, _ *uint8) { a.Addrs[0], in.Strict = a.Addrs[1], true }, ErrAddressList},
		{"9568-7.1-10", three, func(a *Advertisement, _ *Instance, _ *uint8) { a.Interval = 0 }, ErrInterval},
		{"9568-7.1-11 9568-E-3", three, func(_ *Advertisement, in *Instance, _ *uint8) { in.Priority = 255 }, nil},
		{"9568-7.1-12", three, func(a *Advertisement, _ *Instance, _ *uint8) { a.Interval = time.Minute / 2 }, nil},
		{"9568-7.1-13", three, func(a *Advertisement, _ *Instance, _ *uint8) { a.Addrs[0] = src4 }, nil},
		{"3768-7.1-6 3768-5.3.6-1 2.6f", two, func(a *Advertisement, _ *Instance, _ *uint8) { a.AuthType = 3 }, ErrAuthType},
		{"3768-7.1-6-mismatch 2.6g", two, func(_ *Advertisement, in *Instance, _ *uint8) { in.AuthType, in.Password = AuthPass, "x" }, ErrAuthMismatch},
		{"2338-5.3.6.2-1 2.6h", recordings(t)[2], func(_ *Advertisement, in *Instance, _ *uint8) { in.Password = "111112" }, ErrAuthFailure},
		{"3768-7.1-9 2.6i", two, func(a *Advertisement, _ *Instance, _ *uint8) { a.Interval = 2 * time.Second }, ErrInterval},
		{"3768-5.3.10-1", two, func(a *Advertisement, _ *Instance, _ *uint8) { a.AuthData = [8]byte{1} }, nil},
	} {
		run(t, c.ids, func(t *testing.T) {
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
	run(t, "9568-7.1-4 9568-5.2.2-1 3768-5.3.2-1", func(t *testing.T) {
		refused(t, recordings(t)[6], func(b []byte) []byte { b[0] = 0x32; return b }, ErrType)
	})
	run(t, "9568-7.1-5", func(t *testing.T) {
		refused(t, recordings(t)[6], func(b []byte) []byte { return b[:len(b)-1] }, ErrLength)
		refused(t, recordings(t)[12], func(b []byte) []byte { b[3]++; return b }, ErrLength)
	})
	run(t, "3768-7.1-3", func(t *testing.T) { // the authentication data too
		refused(t, recordings(t)[0], func(b []byte) []byte { return b[:len(b)-8] }, ErrLength)
	})
	run(t, "9568-7.1-N1", func(t *testing.T) { // trailing bytes, and a count of 0, are no reason here
		r := recordings(t)[6]
		var a Advertisement
		if err := a.ParsePacket(append(r.message[:len(r.message):len(r.message)], 1), r.src, r.dst); err != nil {
			t.Error(err)
		}
	})
	run(t, "3768-6.1-1", func(t *testing.T) {
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
	for ids, edit := range map[string]func(in *Instance){
		"15.1":  func(in *Instance) { in.Version, in.Addrs = 2, MustAddresses("fe80::100") },
		"15.3":  func(in *Instance) { in.Version, in.AuthType, in.Password = 2, AuthPass, "x" },
		"15.3b": func(in *Instance) { in.HMAC = signer(nil).HMAC; in.HMAC.Mode = HMACPermissive },
		"15.4":  func(in *Instance) { in.Peers = []Peer{{Addr: higher}} },
		"15.6":  func(in *Instance) { in.PreemptDelay = time.Second },
		"15.6b": func(in *Instance) { in.DownAdverts = 4 },
		"15.10": func(in *Instance) { in.Addrs, in.NoAddrs = nil, true },
	} {
		run(t, ids, func(t *testing.T) {
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
