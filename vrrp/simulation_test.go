package vrrp_test

import (
	"flag"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
)

var simHours = flag.Float64("sim.hours", 0, "router-hours to simulate; 0 means 10000 of the same worlds each time and 5000 of others, and 200 with the race detector or -short")

// TestSimulation lets worlds go through disturbances of every kind and calms, until the routers in them have lived for the
// wanted hours. SIM_SEED=N runs the world N alone, with its trace.
func TestSimulation(t *testing.T) {
	if text := os.Getenv("SIM_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(seed)
		w.live()
		t.Logf("%s\nbroken: %q", strings.Join(w.trace, "\n"), w.broken)
		if w.broken != "" {
			t.Fail()
		}
		return
	}
	clock := uint64(time.Now().UnixNano())
	switch {
	case *simHours > 0:
		simulate(t, *simHours, clock)
	case raceDetector || testing.Short():
		simulate(t, 200, 1)
	default:
		t.Run("the same worlds each time", func(t *testing.T) { simulate(t, 10000, 1) })
		t.Run("worlds that nobody has seen", func(t *testing.T) { simulate(t, 5000, clock) })
	}
}

// simulate plays worlds, from a seed on, until their routers have lived for so many hours.
func simulate(t *testing.T, want float64, first uint64) {
	t.Logf("from seed %d", first)
	lived, worlds, steps, began := time.Duration(0), 0, 0, time.Now()
	for seed := first; lived.Hours() < want; seed++ {
		w := newWorld(seed)
		w.live()
		if w.broken != "" {
			t.Errorf("%s\nworld %d: %s\nagain: SIM_SEED=%d go test -run TestSimulation ./vrrp", strings.Join(w.trace[max(len(w.trace)-40, 0):], "\n"), seed, w.broken, seed)
			if t.Failed() && worlds > 3 {
				return
			}
		}
		lived += w.now * time.Duration(len(w.routers))
		worlds, steps = worlds+1, steps+w.steps
	}
	t.Logf("%d worlds from seed %d, %.0f router-hours, %d events in %v", worlds, first, lived.Hours(), steps, time.Since(began).Round(time.Millisecond))
}

// live is the story of a world: everyone starts, and then disturbances and calms take turns. In a calm one thing happens that
// the routers must answer in the time that the protocol says.
func (w *world) live() {
	w.calmSince = never
	for _, r := range w.routers {
		w.run(time.Duration(w.rng.Int64N(int64(3 * time.Second))))
		r.start()
	}
	for range 4 + w.rng.IntN(6) {
		if w.broken != "" {
			return
		}
		w.disturb()
		w.calm()
		w.settled()
		before := w.moves
		w.run(20 * w.longest)
		w.hold(w.moves == before, "something moves in a calm")
		if w.claims.rng.IntN(3) == 0 {
			w.impostor()
		}
		w.incident()
	}
	w.run(time.Duration(w.rng.IntN(60)) * time.Minute) // an uneventful hour
	w.settled()
	for _, r := range w.routers {
		r.stop()
	}
	w.run(time.Second)
}

// disturb is some minutes of everything that can go wrong.
func (w *world) disturb() {
	w.calmSince = never
	w.loss = []float64{0, 0.01, 0.3, 0.9}[w.rng.IntN(4)]
	w.duplicate = []float64{0, 0, 0.2}[w.rng.IntN(3)]
	w.delay = time.Duration(w.rng.Int64N(int64(20 * time.Millisecond)))
	w.jitter = []time.Duration{0, 100 * time.Millisecond, 3 * time.Second}[w.rng.IntN(3)]
	for range 5 + w.rng.IntN(40) {
		w.mischief(w.routers[w.rng.IntN(len(w.routers))])
		w.run(time.Duration(w.rng.Int64N(int64(8 * time.Second))))
	}
}

func (w *world) mischief(r *simRouter) {
	kind := w.rng.IntN(12)
	if kind == 0 || kind >= 7 && kind != 9 { // a process that does not run hears nothing
		if r.paused > w.now {
			return
		}
	}
	w.note("mischief %d to router %d", kind, r.index)
	switch kind {
	case 0:
		r.stop()
	case 1:
		r.die()
	case 2, 3, 4:
		r.start()
	case 5:
		r.pause(time.Duration(w.rng.Int64N(int64(15 * time.Second))))
	case 6:
		if m := r.members[w.rng.IntN(len(r.members))]; w.rng.IntN(2) == 0 {
			w.move(m, w.rng.IntN(2))
		} else {
			w.moveAll(r, w.rng.IntN(2))
		}
	case 7:
		r.fault(r.members[w.rng.IntN(len(r.members))], w.rng.IntN(2) == 0)
	case 8:
		r.setPriority(uint8(1 + w.rng.IntN(254)))
	case 10:
		if m := r.members[w.rng.IntN(len(r.members))]; r.up {
			r.step(m, vrrp.Lost{Reason: "someone took the address"})
			r.schedule()
		}
	case 11:
		r.reconfigure()
	case 9:
		r.clock = time.Duration(w.rng.Int64N(int64(40*time.Second))) - 20*time.Second
	}
}

// reconfigure changes what need not be the same everywhere.
func (r *simRouter) reconfigure() {
	w := r.w
	for _, m := range r.members {
		m.in.PreemptDelay = 0
		if !m.in.NoPreempt && w.rng.IntN(2) == 0 {
			m.in.PreemptDelay = time.Duration(w.rng.IntN(20)) * time.Second
		}
		m.in.Announce.Rounds = w.rng.IntN(9)
		if r.up {
			r.step(m, vrrp.Reconfigure{Instance: m.in, Priority: r.priority})
		}
	}
	r.schedule()
}

// move puts a member on another segment of its link.
func (w *world) move(m *simMember, segment int) {
	before := m.segment
	m.segment = segment
	w.count(m.link, before)
	w.count(m.link, segment)
}

func (w *world) moveAll(r *simRouter, segment int) {
	for _, m := range r.members {
		w.move(m, segment)
	}
}

// calm ends all disturbance, though not always the partition, and waits until everything has come to rest.
func (w *world) calm() {
	w.loss, w.duplicate, w.delay, w.jitter = 0, 0, 100*time.Microsecond, 0
	whole := w.rng.IntN(3) > 0
	w.split = false
	for _, r := range w.routers {
		if whole {
			w.moveAll(r, 0)
		} else {
			w.moveAll(r, r.members[0].segment)
		}
		r.paused = min(r.paused, w.now)
		r.resume()
		r.schedule()
		if w.rng.IntN(4) > 0 {
			r.start()
		}
		for _, m := range r.members {
			r.fault(m, m.faulty && w.rng.IntN(4) == 0)
		}
	}
	w.note("calm")
	w.run(4 * time.Second) // late packets arrive
	if len(w.routers[0].members[0].in.HMAC.Keys) > 0 {
		w.run(time.Minute) // who started anew with a clock set back is believed when it has caught up
	}
	w.calmSince = w.now
	w.run(w.settling())
}

// incident is one thing that happens in a calm.
func (w *world) incident() {
	r := w.master()
	switch {
	case w.broken != "":
	case w.groups:
		w.splitLink()
	case w.rng.IntN(3) == 0:
		w.newcomer()
	case r != nil:
		w.departure(r)
	}
}

// splitLink takes a router off one of a group's two links. Nobody may have half of a group, and nobody may take what another
// one still holds.
func (w *world) splitLink() {
	r := w.routers[w.rng.IntN(len(w.routers))]
	m := r.members[w.rng.IntN(len(r.members))]
	if !r.up {
		return
	}
	w.note("incident: %s is on its own", m)
	w.split = true
	w.move(m, 1-m.segment)
	w.run(w.settling())
	w.settled()
	before := w.moves
	w.run(20 * w.longest)
	w.hold(w.moves == before, "something moves while one link is split")
}

// newcomer starts a router that does not run. An owner is MASTER at once, a better one preempts when it may and not before
// it has listened, others change nothing.
func (w *world) newcomer() {
	i := slices.IndexFunc(w.routers, func(r *simRouter) bool { return !r.up && !r.faulty() })
	if i < 0 {
		return
	}
	r := w.routers[i]
	m := r.members[0]
	w.moveAll(r, 0)
	var old *simMember
	if masters := w.masters(simPlace{0, 0}); len(masters) > 0 {
		old = masters[0]
	}
	w.note("incident: router %d starts", r.index)
	began := w.now
	r.start()
	w.hold((m.state == vrrp.Master) == (m.in.Priority == 255), "%s is %v when it starts with priority %d", m, m.state, m.in.Priority)
	w.run(w.settling())
	w.settled()
	if m.state == vrrp.Master && m.in.Priority != 255 {
		w.hold(m.since-began > 3*min(m.in.Interval, w.shortest()), "%s is MASTER after %v", m, m.since-began)
		unheard := old != nil && m.in.Interval < old.in.Interval // as in mayPreempt
		w.hold(old == nil || unheard || !m.in.NoPreempt && m.r.priority > old.r.priority, "%s takes over from %v, and must not", m, old)
	}
}

func (w *world) shortest() time.Duration {
	d := w.longest
	for _, r := range w.routers {
		d = min(d, r.members[0].in.Interval)
	}
	return d
}

// departure is the end of a MASTER. The best of the others follows in the time that the protocol says, neither later nor
// sooner.
func (w *world) departure(r *simRouter) {
	m, next := r.members[0], w.best(r)
	kind := w.rng.IntN(3)
	w.note("incident %d to router %d", kind, r.index)
	last, began := m.sentAt, w.now
	switch kind {
	case 0: // it leaves in order: the next one waits for its skew only
		r.stop()
	case 1: // it is in FAULT: the same
		r.fault(m, true)
	case 2: // it dies
		r.die()
	}
	if next == nil {
		return
	}
	soonest := began + time.Duration(256-int(next.priority))*w.pace(r)/256
	if kind == 2 {
		soonest = last + 3*m.in.Interval + time.Duration(256-int(next.priority))*w.pace(r)/256
	}
	w.run(soonest - w.now + 2*w.delay)
	heir := next.members[0]
	w.hold(heir.state == vrrp.Master || len(w.masters(simPlace{0, m.segment})) == 1, "nobody follows %s by %v", m, soonest)
	w.hold(heir.state != vrrp.Master || heir.since >= soonest, "%s follows %s at %v, before %v", heir, m, heir.since, soonest)
}

// pace is what the skew is of.
func (w *world) pace(r *simRouter) time.Duration {
	if r.members[0].in.Version == 2 {
		return time.Second
	}
	return r.members[0].in.Interval
}
