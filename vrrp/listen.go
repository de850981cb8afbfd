package vrrp

import (
	"cmp"
	"io"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// The Router hears who else claims the addresses of a MASTER. A link is listened to from an interval after its first instance became
// MASTER, so that a takeover does not wait for it, for as long as it has instances: a host that only waits costs nothing and hears
// nothing. It is the link itself also for addresses on virtual links on top of it: whatever comes to those comes through it.

// ear is a link that is listened to.
type ear struct {
	link   *link
	addrs  map[netip.Addr]*runner // of all instances there, MASTER or not
	stale  bool                   // addrs may have changed since it was opened
	busy   bool                   // it is being opened
	again  time.Time              // when it may be tried again
	index  int                    // of the link that it was opened on
	wanted []netip.Addr           // what it was opened for
	closer io.Closer
}

// claims is what was heard, until the loop looks. There is room for few: what does not fit comes again.
type claims struct {
	mu   sync.Mutex // guards list
	list []heard
}

// heard is one claim.
type heard struct {
	iface string
	Claimed
}

// contend enters an instance's addresses into the tables of the links that they are on.
func (r *Router) contend(x *runner) {
	x.ears = nil
	for _, a := range x.in.held() {
		name := cmp.Or(a.Interface, x.in.Interface)
		e := r.ears[name]
		if e == nil {
			e = &ear{link: r.link(name), addrs: make(map[netip.Addr]*runner), stale: true}
			r.ears[name] = e
		}
		e.addrs[a.Addr()], e.stale = x, true
		if !slices.Contains(x.ears, e) {
			x.ears = append(x.ears, e)
		}
	}
}

// concede undoes contend, but for closing: see deafen.
func (r *Router) concede(x *runner) {
	for _, a := range x.in.held() {
		e := r.ears[cmp.Or(a.Interface, x.in.Interface)]
		if e != nil && e.addrs[a.Addr()] == x {
			delete(e.addrs, a.Addr())
		}
	}
}

// deafen closes those of the ears that nobody needs any more.
func (r *Router) deafen(ears []*ear) {
	for _, e := range ears {
		if len(e.addrs) > 0 || r.ears[e.link.name] != e {
			continue
		}
		delete(r.ears, e.link.name)
		if c := e.closer; c != nil {
			e.closer = nil
			r.later = append(r.later, func() { r.earWork.add(func() { _ = c.Close() }) })
		}
	}
}

// attend sees to it that the links of a MASTER's addresses are listened to. It is called for each advert.
func (r *Router) attend(now time.Time, x *runner) {
	if x.machine.State() != Master || !now.After(x.machine.since) {
		return
	}
	for _, e := range x.ears {
		if !e.busy && (e.stale || e.index != e.link.state.Index) && !now.Before(e.again) {
			r.listen(now, e)
		}
	}
}

// listen opens an ear on the link as it is now, for the addresses that there are now, instead of the one before.
func (r *Router) listen(now time.Time, e *ear) {
	addrs := slices.SortedFunc(maps.Keys(e.addrs), netip.Addr.Compare)
	e.stale = false
	if e.closer != nil && e.index == e.link.state.Index && slices.Equal(addrs, e.wanted) {
		return
	}
	e.busy, e.index, e.wanted, e.again = true, e.link.state.Index, addrs, now.Add(retryListen)
	r.later = append(r.later, func() { r.earWork.add(func() { r.openEar(e, addrs) }) })
}

// retryListen is how long after an attempt the next one may come.
const retryListen = 10 * time.Second

func (r *Router) openEar(e *ear, addrs []netip.Addr) {
	name := e.link.name
	c, err := r.net.HearClaims(name, addrs, func(addr netip.Addr, mac [6]byte) { r.hearClaim(heard{name, Claimed{addr, mac}}) })
	if err != nil {
		r.log.Debug("claims of our addresses are not heard", "interface", name, "error", err)
	}
	r.locked(func(time.Time) {
		e.busy, e.stale = false, e.stale || err != nil
		if r.ears[name] == e && r.running {
			c, e.closer = e.closer, c // the one before is closed
		}
	})
	if c != nil {
		_ = c.Close()
	}
}

// hearClaim takes a claim from whoever listens. It waits for nothing.
func (r *Router) hearClaim(h heard) {
	c := &r.claims
	c.mu.Lock()
	fresh := len(c.list) < mostClaims && !slices.ContainsFunc(c.list, func(o heard) bool { return o.iface == h.iface && o.Addr == h.Addr })
	if fresh {
		c.list = append(c.list, h)
	}
	c.mu.Unlock()
	if fresh {
		r.poke()
	}
}

// judge tells the instances what was heard.
func (r *Router) judge(now time.Time) {
	c := &r.claims
	c.mu.Lock()
	r.judged = append(r.judged[:0], c.list...)
	c.list = c.list[:0]
	c.mu.Unlock()
	for _, h := range r.judged {
		e := r.ears[h.iface]
		if e == nil {
			continue
		}
		if x := e.addrs[h.Addr]; x != nil {
			r.step(now, x, h.Claimed)
		}
	}
}

// defend announces one address again, when its interface's pace allows.
func (r *Router) defend(x *runner, addr netip.Addr) {
	for _, a := range x.placed(x.in.held()) {
		if a.Addr() == addr {
			term, l := x.term.Load(), x.home
			r.after(l, func() { r.defendNow(x, term, l, a) })
		}
	}
}

func (r *Router) defendNow(x *runner, term uint64, l *link, a Address) {
	if x.term.Load() != term {
		return // it was given up meanwhile
	}
	if p := r.paces.of(a.Interface); p.gap(a.Addr().Is6()) > 0 {
		if wait := p.reserve(time.Now(), a.Addr().Is6()); wait > 0 {
			time.AfterFunc(wait, func() { l.work.add(func() { r.defendNow(x, term, l, a) }) })
			return
		}
	}
	if err := r.net.Announce(a.Interface, []netip.Addr{a.Addr()}); err != nil {
		r.log.Debug("announce", "interface", a.Interface, "error", err)
	}
}
