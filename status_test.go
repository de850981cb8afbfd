package holdfast_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast"
)

// TestStatusMeasures: the snapshot tells how long checks took, how late timers were, and what the table has.
func TestStatusMeasures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.servers[0].Takes = 20 * time.Millisecond
		w.start(t, w.spec())
		defer w.stop(t)
		time.Sleep(9500 * time.Millisecond) // both are checked at 1, 3, 5, 7 and 9 s, give or take what the slow one takes
		w.servers[1].Down()
		time.Sleep(5 * time.Second) // seen at 11 s, decided at 12 s, seen once more at 14 s
		s := w.c.Status()
		slow, dead := s.Services[0].Servers[0], s.Services[0].Servers[1]
		if c := slow.Checks[0]; c.Checks != 7 || c.Failures != 0 || c.Latency != 20*time.Millisecond {
			t.Errorf("the slow one: %+v", c)
		}
		if c := dead.Checks[0]; c.Checks != 8 || c.Failures != 3 || c.Error == "" {
			t.Errorf("the dead one: %+v", c)
		}
		if slow.Entry == nil || slow.Entry.Weight != 1 || slow.Entry.Forward != "NAT" || dead.Entry != nil || s.Services[0].Scheduler != "rr" {
			t.Errorf("in the table: %+v, %+v", slow.Entry, dead.Entry)
		}
		if h := s.CheckLatency; h.Count() != 15 || h.Sum != 7*20*time.Millisecond || h.Counts[10] != 7 || h.Bounds[10] != 25*time.Millisecond {
			t.Errorf("check latency: %+v", h)
		}
		if h := s.TimerLateness; h.Count() < 10 || h.Counts[0] != h.Count() {
			t.Errorf("timers in a bubble are never late: %+v", h)
		}
	})
}

// TestEventsTellHowLongItTook: from the last good check to the verdict, from the last advert of the old MASTER to the new.
func TestEventsTellHowLongItTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		rival := holdfast.New(holdfast.Options{Network: w.lan.Host("10.0.0.9")})
		strong := w.spec()
		strong.Services, strong.Instances[0].Priority = nil, 200
		other := &world{c: rival, ended: make(chan error, 1)}
		other.start(t, strong)
		time.Sleep(10 * time.Second)
		w.start(t, w.spec())
		defer w.stop(t)
		time.Sleep(9500 * time.Millisecond)
		w.servers[1].Down()
		time.Sleep(10 * time.Second)
		other.stop(t) // with priority 0: the successor waits for its skew time only
		time.Sleep(5 * time.Second)
		took := make(map[string]time.Duration)
		for _, e := range w.drain(t) {
			took[string(e.Kind)+" "+e.To] = e.Took
		}
		if d := took["server DOWN"]; d != 3*time.Second { // good at 9 s, bad at 11 s and, a second later, again
			t.Errorf("the server's failure was noticed after %v", d)
		}
		if d := took["instance MASTER"]; d <= 0 || d >= time.Second {
			t.Errorf("mastership was taken after %v", d)
		}
	})
}
