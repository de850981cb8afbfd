package vrrp_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
)

// Claims in the simulation: whoever announces the address is heard by all others on the segment, under the same faults as adverts. In a
// calm nobody tells of a claim, unless a stranger makes one; then the MASTER does, in time.

// simClaims is what a world knows of claims.
type simClaims struct {
	rng      *rand.Rand // of its own, so that the worlds are what they were without claims
	parcels  []simClaim
	defended map[*simMember]moment
	stranger moment // when one last made a claim, or could have been heard
	settled  int    // claims that MASTERs defended against
}

// simClaim is on its way.
type simClaim struct {
	link int
	mac  [6]byte
}

func newSimClaims(seed uint64) simClaims {
	return simClaims{rng: rand.New(rand.NewPCG(seed, 0x5227)), defended: make(map[*simMember]moment), stranger: -time.Hour}
}

// announce is heard by all others on the segment that do not lose it.
func (w *world) announce(from *simRouter, link, segment int, mac [6]byte) {
	c := &w.claims
	p := len(c.parcels)
	c.parcels = append(c.parcels, simClaim{link, mac})
	for _, to := range w.routers {
		if to == from || to.members[link].segment != segment || w.loss > 0 && c.rng.Float64() < w.loss {
			continue
		}
		delay := w.delay
		if w.jitter > 0 {
			delay += time.Duration(c.rng.Int64N(int64(w.jitter)))
		}
		w.push(simEvent{at: w.now + delay, kind: evClaim, router: to.index, parcel: p})
	}
}

// mac is of a router.
func (r *simRouter) mac() [6]byte { return [6]byte{2, 0, 0, 0, 0, byte(r.index + 1)} }

// hear is a claim that has come. Who is paused hears it when it wakes up.
func (r *simRouter) hear(p int) {
	c := r.w.claims.parcels[p]
	switch {
	case !r.up:
	case r.paused > r.w.now:
		r.claims = append(r.claims, p)
	default:
		r.step(r.members[c.link], vrrp.Claimed{Addr: simAddrs[0], MAC: c.mac})
		r.schedule()
	}
}

// hearAll is what came while it was paused.
func (r *simRouter) hearAll() {
	list := r.claims
	r.claims = nil
	for _, p := range list {
		r.hear(p)
	}
}

// defends is looked at whenever an instance announces an address against a claim.
func (w *world) defends(m *simMember, addr netip.Addr) {
	last, before := w.claims.defended[m]
	w.hold(m.held && m.state == vrrp.Master && addr == simAddrs[0], "%s as %v defends %v, holds its address: %v", m, m.state, addr, m.held)
	w.hold(!before || m.since > last || w.now-last >= 10*time.Second, "%s defends its address again after %v", m, w.now-last)
	w.hold(w.now-m.since >= 2*m.in.Interval, "%s defends its address %v after it became MASTER", m, w.now-m.since)
	w.hold(w.disturbed() || w.now-w.calmSince < w.settling() || w.now-w.claims.stranger <= 2*w.longest, "%s defends its address in a calm", m)
	w.claims.defended[m] = w.now
	w.claims.settled++
}

// impostor is a stranger that claims the address in a calm, for an interval. The MASTER, and nobody else, answers once, in time.
func (w *world) impostor() {
	for _, p := range w.places() {
		masters := w.masters(p)
		if w.broken != "" || len(masters) != 1 || masters[0].r.paused > w.now || w.now-masters[0].since < 2*w.longest {
			continue
		}
		m := masters[0]
		began, before := w.now, w.claims.settled
		w.note("a stranger claims the address of %s", m)
		w.claims.stranger = never / 2
		for range 5 {
			w.announce(nil, p.link, p.segment, [6]byte{2, 0, 0, 0xbe, 0xef, 1})
			w.run(m.in.Interval / 5)
		}
		w.claims.stranger = w.now
		w.run(m.in.Interval)
		at := w.claims.defended[m]
		w.hold(w.claims.settled == before+1 && at >= began+m.in.Interval && at <= began+2*m.in.Interval, "%s: %d defences, the last one at %v, against a claim at %v", m, w.claims.settled-before, at, began)
		w.hold(slices.Equal(w.masters(p), masters), "a stranger moves the MASTER from %s", m)
		w.run(11 * time.Second) // it may be defended again
	}
}
