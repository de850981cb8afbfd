package vrrp

import (
	"cmp"
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// worker does what takes time on one interface, on a goroutine that lives only while there is something to do: jobs in
// order, and when there are none, announcements, so that those of one instance keep nobody waiting.
type worker struct {
	r    *Router
	wake chan struct{} // holds a token when there is a new job
	done chan struct{} // closed when it is finished and has done everything

	mu       sync.Mutex // guards the fields below
	jobs     []func()
	bursts   []*burst
	busy     bool
	finished bool
}

// burst is the announcements of one instance that are still to be made.
type burst struct {
	x      *runner
	term   uint64 // of the runner: another one means that the addresses were given up
	extra  bool   // of those of Announce.Extra
	lists  []announcement
	rounds atomic.Int32 // still to go
	at     int          // the list that is next
	next   int          // the address in it
}

// announcement is addresses of one family on one interface.
type announcement struct {
	iface string
	addrs []netip.Addr
}

func newWorker(r *Router) *worker {
	return &worker{r: r, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

func (w *worker) add(job func()) { w.start(func() { w.jobs = append(w.jobs, job) }) }

// announce begins a burst. It is instead of one of the same instance that is not over.
func (w *worker) announce(b *burst) {
	w.start(func() {
		for i, other := range w.bursts {
			if other.x == b.x && other.extra == b.extra {
				b.rounds.Store(max(b.rounds.Load(), other.rounds.Load()))
				w.bursts[i] = b
				return
			}
		}
		w.bursts = append(w.bursts, b)
	})
}

func (w *worker) start(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.finished {
		return
	}
	change()
	if !w.busy {
		w.busy = true
		go w.run()
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// finish says that nothing will follow.
func (w *worker) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.finished {
		return
	}
	w.finished = true
	if !w.busy {
		close(w.done)
	}
}

func (w *worker) run() {
	for {
		job, b := w.next()
		switch {
		case job != nil:
			job()
		case b != nil:
			w.step(b)
		default:
			return
		}
	}
}

// next is the next job, or else the burst to go on with. Without either the goroutine ends.
func (w *worker) next() (func(), *burst) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.jobs) > 0 {
		job := w.jobs[0]
		w.jobs[0] = nil
		w.jobs = w.jobs[1:]
		return job, nil
	}
	w.bursts = slices.DeleteFunc(w.bursts, func(b *burst) bool { return b.rounds.Load() <= 0 || b.x.term.Load() != b.term || w.finished })
	if len(w.bursts) > 0 {
		return nil, w.bursts[0]
	}
	w.busy = false
	if w.finished {
		close(w.done)
	}
	return nil, nil
}

// mostAnnounced is how many addresses are announced before the worker looks for jobs again.
const mostAnnounced = 64

// step announces the next addresses of a burst.
func (w *worker) step(b *burst) {
	l := &b.lists[b.at]
	n := min(len(l.addrs)-b.next, mostAnnounced)
	if p := w.r.paces.of(l.iface); p.gap(l.addrs[0].Is6()) > 0 {
		if wait := p.reserve(time.Now(), l.addrs[0].Is6()); wait > 0 {
			w.pause(wait)
			return
		}
		n = 1
	}
	if err := w.r.net.Announce(l.iface, l.addrs[b.next:b.next+n]); err != nil {
		w.r.log.Debug("announce", "interface", l.iface, "error", err)
	}
	if b.next += n; b.next < len(l.addrs) {
		return
	}
	b.next = 0
	if b.at++; b.at < len(b.lists) {
		return
	}
	b.at = 0
	b.rounds.Add(-1)
}

// pause waits, but not while there is a new job.
func (w *worker) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.wake:
	}
}

// paces are the least gaps between announcements, on each interface or over several together.
type paces struct {
	mu    sync.Mutex // guards the fields below
	usual Pacing
	by    map[string]*pace
}

// set replaces all of them.
func (p *paces) set(list []Pacing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.by, p.usual = make(map[string]*pace), Pacing{}
	for _, one := range list {
		if len(one.Interfaces) == 0 {
			p.usual = one
			continue
		}
		shared := &pace{arp: one.ARP, na: one.NA}
		for _, name := range one.Interfaces {
			p.by[name] = shared
		}
	}
}

func (p *paces) of(iface string) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	one, ok := p.by[iface]
	if !ok {
		one = &pace{arp: p.usual.ARP, na: p.usual.NA}
		p.by[iface] = one
	}
	return one
}

// pace is the gap for one family each, and when the next announcement may go.
type pace struct {
	arp, na time.Duration

	mu              sync.Mutex // guards the fields below
	nextARP, nextNA time.Time
}

func (p *pace) gap(six bool) time.Duration {
	if six {
		return p.na
	}
	return p.arp
}

// reserve takes the next announcement's turn, or tells how long to wait for it.
func (p *pace) reserve(now time.Time, six bool) (wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := &p.nextARP
	if six {
		next = &p.nextNA
	}
	if wait = next.Sub(now); wait > 0 {
		return wait
	}
	*next = now.Add(p.gap(six))
	return 0
}

// The slow work of the Router. It runs on the interface's worker, with copies of everything it needs.

// after does a job on a link's worker once the adverts that were decided before have left; without a link, at once then.
func (r *Router) after(l *link, job func()) {
	if l == nil {
		r.later = append(r.later, job)
		return
	}
	r.later = append(r.later, func() { l.work.add(job) })
}

// hold begins a term of office.
func (r *Router) hold(x *runner, what Holdings) {
	x.term.Add(1)
	r.add(x, what)
}

// release ends it.
func (r *Router) release(x *runner, what Holdings) {
	x.term.Add(1)
	r.drop(x, what)
}

func (r *Router) add(x *runner, what Holdings) {
	name := x.device
	what.Addrs = x.plain(what.Addrs)
	refused, fw := x.refused(what.Addrs), r.host.Firewall
	r.after(x.home, func() {
		if err := r.refuse(fw, refused, true); err != nil {
			r.log.Error("refuse traffic", "instance", x.in.String(), "error", err)
		}
		if err := r.net.Hold(name, what); err != nil {
			r.log.Error("add addresses", "interface", name, "error", err)
		}
	})
}

func (r *Router) drop(x *runner, what Holdings) {
	name := x.device
	what.Addrs = x.plain(what.Addrs)
	refused, fw := x.refused(what.Addrs), r.host.Firewall
	r.after(x.home, func() {
		defer func() {
			if err := r.refuse(fw, refused, false); err != nil {
				r.log.Error("accept traffic", "instance", x.in.String(), "error", err)
			}
		}()
		if err := r.net.Release(name, what); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.log.Error("remove addresses", "interface", name, "error", err)
		}
	})
}

// refused are the addresses that no traffic is accepted for.
func (x *runner) refused(addrs []Address) (list []netip.Addr) {
	if !x.in.NoAccept || x.in.owner() {
		return nil
	}
	for _, a := range addrs {
		addr := a.Addr()
		if addr.Is6() && addr.IsLinkLocalUnicast() { // another interface may have the same one
			addr = addr.WithZone(cmp.Or(a.Interface, x.device))
		}
		list = append(list, addr)
	}
	return list
}

func (r *Router) refuse(f Firewall, addrs []netip.Addr, on bool) error {
	if len(addrs) == 0 {
		return nil
	}
	return r.net.Refuse(f, addrs, on)
}

// plain leaves the interface out where it is the usual one.
func (x *runner) plain(addrs []Address) []Address {
	list := slices.Clone(addrs)
	for i := range list {
		if list[i].Interface == x.device {
			list[i].Interface = ""
		}
	}
	return list
}

// announce tells of all addresses, or of those of [Announce.Extra].
func (r *Router) announce(x *runner, rounds int, extra bool) {
	addrs := x.placed(x.in.held())
	if extra {
		addrs = x.extra(addrs)
	}
	b := &burst{x: x, term: x.term.Load(), extra: extra, lists: announcements(addrs)}
	b.rounds.Store(int32(rounds))
	if len(b.lists) == 0 {
		return
	}
	w := x.home.work
	r.later = append(r.later, func() { w.announce(b) })
}

// announcements are addresses by interface and family, in the order of the list.
func announcements(addrs []Address) (lists []announcement) {
	for _, a := range addrs {
		i := slices.IndexFunc(lists, func(l announcement) bool { return l.iface == a.Interface && l.addrs[0].Is6() == a.Addr().Is6() })
		if i < 0 {
			i, lists = len(lists), append(lists, announcement{iface: a.Interface})
		}
		lists[i].addrs = append(lists[i].addrs, a.Addr())
	}
	return lists
}
