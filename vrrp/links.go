package vrrp

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// news is what the host says has changed, until the loop looks.
type news struct {
	first chan struct{} // closed when the host is watched
	once  sync.Once

	mu    sync.Mutex // guards the fields below
	all   bool
	links map[string]bool
	route bool
	lost  []Change
	gone  []loss
}

// loss is an address of a MASTER that is not there any more.
type loss struct {
	x      *runner
	term   uint64
	reason string
}

// place is an address on an interface.
type place struct {
	iface  string
	prefix netip.Prefix
}

func newNews() *news { return &news{first: make(chan struct{}), links: make(map[string]bool)} }

// changed hears Watch.
func (r *Router) changed(c Change) {
	n := r.news
	n.mu.Lock()
	switch {
	case c.Routes:
		n.route = true
	case c.Interface == "":
		n.all = true
	default:
		n.links[c.Interface] = true
	}
	if c.Lost.IsValid() {
		n.lost = append(n.lost, c)
	}
	n.mu.Unlock()
	n.once.Do(func() { close(n.first) })
	r.poke()
}

// link is an interface that instances are on or depend on.
type link struct {
	name  string
	state Link
	flips time.Time // when a change of state that is being waited for counts, zero without one
	wasUp bool      // it has been up once
	err   error     // why it cannot be used at all
	asked bool
	users []*runner
	work  *worker
}

func (l *link) up() bool { return l.err == nil && l.state.Up }

func (r *Router) link(name string) *link {
	l, ok := r.links[name]
	if !ok {
		l = &link{name: name, work: newWorker(r)}
		r.links[name] = l
	}
	if !l.asked {
		r.ask(time.Now(), l)
	}
	return l
}

// ask reads a link's state, and says whether it is another than before.
func (r *Router) ask(now time.Time, l *link) (changed bool) {
	before, errBefore := l.state, l.err
	l.state, l.err = r.net.Link(l.name)
	if r.beats[l.name] {
		l.state.Up = false
	}
	if l.err == nil && errBefore == nil && l.asked {
		r.debounce(now, l, before.Up)
	}
	l.asked, l.wasUp = true, l.wasUp || l.up()
	if l.state.Index != before.Index || l.up() && !before.Up {
		r.restore(l.name)
	}
	a, b := l.state, before
	return (l.err == nil) != (errBefore == nil) || a.Index != b.Index || a.Up != b.Up || a.MTU != b.MTU || a.NoMulticast != b.NoMulticast ||
		!slices.Equal(a.Addrs, b.Addrs)
}

// debounce keeps a link as it was until its change has lasted for the delay.
func (r *Router) debounce(now time.Time, l *link, wasUp bool) {
	delay := r.delays[l.name].Down
	if l.state.Up {
		delay = r.delays[l.name].Up
	}
	switch {
	case l.state.Up == wasUp || delay == 0 || !l.wasUp:
		l.flips = time.Time{}
	case l.flips.IsZero():
		l.flips = now.Add(delay)
		fallthrough
	case now.Before(l.flips):
		l.state.Up = wasUp
		if r.recheck.IsZero() || l.flips.Before(r.recheck) {
			r.recheck = l.flips
		}
	default:
		l.flips = time.Time{}
	}
}

// interfaces are the names of the links that the instance is on or depends on, each once.
func (x *runner) interfaces() []string {
	names := []string{x.in.Interface, x.device}
	for _, t := range x.in.Track {
		names = append(names, t.Interface)
	}
	for _, a := range x.in.held() {
		if a.Interface != "" && !a.NoTrack {
			names = append(names, a.Interface)
		}
	}
	for _, v := range x.vlinks {
		names = append(names, v.Name)
	}
	names = append(names, textInterfaces(x.in.Routes, x.in.Rules)...)
	slices.Sort(names)
	return slices.Compact(names)
}

// hear looks at what the host says has changed.
func (r *Router) hear(now time.Time) {
	recheck := !r.recheck.IsZero() && !now.Before(r.recheck)
	if recheck {
		r.recheck = time.Time{}
		r.look(r.retry...)
		r.retry = r.retry[:0]
	}
	n := r.news
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range r.links {
		if (n.all || n.links[l.name] || l.state.Gathered && len(n.links) > 0 || recheck && !l.flips.IsZero()) && r.ask(now, l) {
			r.look(l.users...)
		}
	}
	for _, c := range n.lost {
		if x := r.holders[place{c.Interface, c.Lost}]; x != nil && x.machine.State() == Master {
			r.verify(x, c)
		}
		if slices.ContainsFunc(r.host.Static.Addrs, func(a Address) bool { return a.Interface == c.Interface && a.Prefix == c.Lost }) {
			r.restore(c.Interface)
		}
	}
	if n.route || n.all {
		r.restoreRoutes()
	}
	gone := n.gone
	n.route, n.all, n.lost, n.gone = false, false, n.lost[:0], nil
	clear(n.links)
	for _, l := range gone {
		if l.x.term.Load() == l.term {
			r.step(now, l.x, Lost{Reason: l.reason})
		}
	}
}

// verify finds out whether an address was really taken from a MASTER, rather than put there by it since: on the worker, after
// what that has to do.
func (r *Router) verify(x *runner, c Change) {
	term, n := x.term.Load(), r.news
	r.after(x.home, func() {
		l, err := r.net.Link(c.Interface)
		if err != nil || !l.Up || slices.Contains(l.Addrs, c.Lost) {
			return // without its link the instance is in FAULT
		}
		n.mu.Lock()
		n.gone = append(n.gone, loss{x, term, fmt.Sprintf("someone removed %v from %s", c.Lost, c.Interface)})
		n.mu.Unlock()
		r.poke()
	})
}

// retryTime is when what could not be had is tried again.
const retryTime = time.Second

// lookAgain has what instances could not get tried again.
func (r *Router) lookAgain(now time.Time, list ...*runner) {
	r.retry = append(r.retry, list...)
	if r.recheck.IsZero() {
		r.recheck = now.Add(retryTime)
	}
}

// look marks instances whose fitness may have changed.
func (r *Router) look(list ...*runner) {
	for _, x := range list {
		if !x.dirty {
			x.dirty = true
			r.dirty = append(r.dirty, x)
		}
	}
}

// mostSettled is how many instances are brought up to date while the lock is held.
const mostSettled = 128

// settle brings the marked instances up to date with the host: who can take part, from which address, with which priority.
// Members of a group depend on each other, so that what each can do by itself is found out first.
func (r *Router) settle(now time.Time) {
	for _, p := range r.stalePorts {
		p.reindex()
	}
	r.stalePorts = r.stalePorts[:0]
	if !r.running {
		return
	}
	for _, x := range r.dirty {
		x.dirty = false
		if x.gone {
			continue
		}
		r.suspect(x)
		r.inspect(now, x)
	}
	r.dirty = r.dirty[:0]
	n := min(len(r.suspects), mostSettled)
	for _, x := range r.suspects[:n] {
		x.suspect = false
		if !x.gone {
			r.refresh(now, x)
		}
	}
	if r.suspects = slices.Delete(r.suspects, 0, n); len(r.suspects) > 0 {
		r.poke()
	}
}

func (r *Router) suspect(list ...*runner) {
	for _, x := range list {
		if !x.suspect {
			x.suspect = true
			r.suspects = append(r.suspects, x)
		}
	}
}

// trackPlaces takes an instance out while an interface of its addresses, other than its own, is down.
func (r *Router) trackPlaces(x *runner) {
	for _, l := range x.links {
		if x.fault == "" && !l.up() && l != x.port.link && x.in.holdsOn(l.name) {
			x.fault = fmt.Sprintf("interface %s of a virtual address, route or rule is down", l.name)
		}
	}
}

// holdsOn says whether an address that is tracked goes onto that link, or a route or rule names it.
func (in *Instance) holdsOn(name string) bool {
	on := func(a Address) bool { return a.Interface == name && !a.NoTrack }
	if slices.Contains(textInterfaces(in.Routes, in.Rules), name) {
		return true
	}
	return slices.ContainsFunc(in.Addrs, on) || slices.ContainsFunc(in.Excluded, on)
}

// inspect finds out what an instance can do by itself.
func (r *Router) inspect(now time.Time, x *runner) {
	source, fault := r.usable(now, x)
	if fault == "" && source != x.source {
		x.source = source
		r.step(now, x, Readdress{Source: source})
	}
	x.fault = fault
	r.track(x)
	r.trackPlaces(x)
	if t := r.tracking[x.in.String()]; x.fault == "" && t.Fault {
		x.fault = "tracking: " + t.Reason
	}
}

// refresh tells a machine what it can do.
func (r *Router) refresh(now time.Time, x *runner) {
	t := r.tracking[x.in.String()]
	switch state := x.machine.State(); {
	case x.fault != "":
		r.step(now, x, FaultBegin{Reason: x.fault})
	case state == Init:
		r.step(now, x, SetPriority{Priority: x.effective(t)})
		r.step(now, x, Startup{Source: x.source, NotBefore: r.notBefore(&x.in), Adopt: r.adoption(x)})
	case state == Fault:
		r.step(now, x, FaultEnd{Source: x.source, NotBefore: r.notBefore(&x.in)})
	}
	if p := x.effective(t); p != x.machine.Priority() {
		r.step(now, x, SetPriority{Priority: p})
	}
}

// adoption says whether an instance shall start as MASTER. It does so once.
func (r *Router) adoption(x *runner) bool {
	adopt := r.adopts[x.in.String()]
	delete(r.adopts, x.in.String())
	return adopt
}

// notBefore is the end of an instance's start delay.
func (r *Router) notBefore(in *Instance) time.Time {
	end := r.started.Add(in.StartDelay)
	if in.BootDelay > 0 {
		if booted := r.started.Add(in.BootDelay - uptime()); booted.After(end) {
			end = booted
		}
	}
	return end
}

// usable tells the address to send from, or why there is none. It opens the socket when that is due.
func (r *Router) usable(now time.Time, x *runner) (netip.Addr, string) {
	p, l := x.port, x.port.link
	if x.in.Fault != "" {
		return netip.Addr{}, x.in.Fault
	}
	if lacks := r.lacksLink(now, x); lacks != "" {
		return netip.Addr{}, lacks
	}
	switch {
	case errors.Is(l.err, fs.ErrNotExist):
		p.close()
		if x.twin != nil {
			x.twin.close()
		}
		return netip.Addr{}, fmt.Sprintf("interface %s does not exist", l.name)
	case l.err != nil:
		return netip.Addr{}, fmt.Sprintf("interface %s: %v", l.name, l.err)
	case !l.state.Up && !x.in.IgnoreLink:
		return netip.Addr{}, fmt.Sprintf("interface %s is down", l.name)
	case l.state.NoMulticast && !x.in.unicast():
		return netip.Addr{}, fmt.Sprintf("interface %s has no multicast: use unicast peers", l.name)
	}
	if most := x.in.maxAddrs(l.state.MTU); len(x.in.Addrs) > most {
		return netip.Addr{}, fmt.Sprintf("%d virtual addresses do not fit the MTU %d of interface %s: advertise %d of them, hold the others as excluded", len(x.in.Addrs), l.state.MTU, l.name, most)
	}
	source := r.sourceOn(x.home, x)
	if !source.IsValid() && x.in.Source.IsValid() {
		return source, fmt.Sprintf("interface %s has not the address %v that adverts are sent from", l.name, x.in.Source)
	}
	if !source.IsValid() {
		return source, fmt.Sprintf("interface %s has no %s address to send adverts from", l.name, familyName(x.in.is6()))
	}
	if err := r.open(p); err != nil {
		r.lookAgain(now, x)
		return source, fmt.Sprintf("interface %s: %v", l.name, err)
	}
	r.openTwin(now, x)
	r.promote(x, true)
	return source, ""
}

// sourceOn picks the first address that is nobody's virtual address. Once in use it is kept while it is there.
func (r *Router) sourceOn(l *link, x *runner) netip.Addr {
	if own := x.in.ownSource(); own.IsValid() {
		return own
	}
	if x.in.Source.IsValid() {
		if x.in.TrackSource && !slices.ContainsFunc(l.state.Addrs, func(p netip.Prefix) bool { return p.Addr() == x.in.Source }) {
			return netip.Addr{}
		}
		return x.in.Source
	}
	var first netip.Addr
	for _, p := range l.state.Addrs {
		if p.Addr().Is6() != x.in.is6() || x.in.is6() && !p.Addr().IsLinkLocalUnicast() || r.virtual[p.Addr()] > 0 {
			continue
		}
		if p.Addr() == x.source {
			return x.source
		}
		if !first.IsValid() {
			first = p.Addr()
		}
	}
	return first
}

func familyName(six bool) string {
	if six {
		return "link-local IPv6"
	}
	return "IPv4"
}
