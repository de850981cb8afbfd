package vrrp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a [Router]. The zero value is usable.
type Options struct {
	// Logger gets one line per transition, and what goes wrong. Nil discards.
	Logger *slog.Logger
	// Network is where the instances live. Nil means [HostNetwork].
	Network Network
	// OnTransition is called for each change of state, when the addresses have been put in place or removed. Calls come in
	// order, from one goroutine at a time, and may take as long as they like: the protocol does not wait for them.
	OnTransition func(Transition)
	// OnNotice is called for what changes no state, in order with OnTransition and like it.
	OnNotice func(Notice)
	// OnConflict is called when another router does not agree with one of ours: see [Conflict]. Calls come between those of
	// OnTransition, in order. Nil means nobody asks; it is logged all the same.
	OnConflict func(Conflict)
	// OnTimer is called with how late each timer of an instance fired: what this host's scheduling costs the protocol. It is
	// called by the loop that sends adverts, so it must return at once, and must not call the Router. Nil means nobody asks.
	OnTimer func(late time.Duration)
}

// Tracking is what a host application's own health says about an instance.
type Tracking struct {
	// Priority is added to the configured priority. The sum is kept within 1 to 254; an owner's does not change.
	Priority int
	// Fault takes the instance out of the election.
	Fault bool
	// Reason is one line for a person.
	Reason string
}

// leaveTime bounds how long Run takes to remove addresses once its context has ended.
const leaveTime = 5 * time.Second

// Router holds many instances on one host. One goroutine waits for timers and sockets; it decides under a lock, and what it
// decided to send leaves in batches when the lock is given up. One goroutine per interface does the slow work (addresses,
// announcements), so that nothing delays an advert.
type Router struct {
	log      *slog.Logger
	net      Network
	onTimer  func(time.Duration)
	conflict func(Conflict)
	notifier *notifier
	ready    chan struct{}
	repoll   chan struct{} // holds a token when other links are to be polled
	news     *news
	paces    paces
	claims   claims
	earWork  *worker
	epoch    time.Time               // of instants
	sleeper  atomic.Pointer[Sockets] // what the loop sleeps in, nil before Run
	told     []*port                 // that have something to read; the loop's own, as is the next
	turns    int                     // of the loop

	setting sync.Mutex // one Set at a time; taken before mu

	mu         sync.Mutex // guards the fields below
	running    bool
	runners    []*runner // in the order in which they were set; changed under both locks
	names      map[string]*runner
	machines   map[*Machine]*runner
	regroup    bool      // membership of a sync group has changed
	started    time.Time // when Run began
	ports      map[Socket]*port
	links      map[string]*link
	holders    map[place]*runner  // of addresses whose loss matters
	vmacs      map[string]*runner // by the name of the link
	ears       map[string]*ear    // by the name of the link
	host       Host
	delays     map[string]LinkDelay
	beats      map[string]bool    // polled links that have no carrier
	adopts     map[string]bool    // instances that a predecessor left as MASTER
	keep       bool               // on leaving, leave everything as it is
	virtual    map[netip.Addr]int // addresses that are not to be sent from, with how many instances hold them
	tracking   map[string]Tracking
	timers     timers
	sockets    Sockets
	unheard    []*port // not listened to, but looked at now and then
	stalePorts []*port
	recheck    time.Time // when to look at links and sockets again without being told, zero for never
	retry      []*runner // to be looked at then
	dirty      []*runner // to be looked at
	suspects   []*runner // of which it is known what they can do, to be told so

	packets   []Packet // being received
	advert    Advertisement
	out       []byte // datagrams being built, of all ports
	sending   []*port
	datagrams []Datagram
	later     []func()  // to be done when the datagrams have left
	judged    []heard   // claims being told
	at        time.Time // of the step
	do        func(*Machine, Action)
	urgency   urgency
}

// NewRouter makes a Router without instances. It starts nothing.
func NewRouter(o Options) *Router {
	r := &Router{
		log: o.Logger, net: o.Network, onTimer: o.OnTimer, conflict: o.OnConflict, notifier: newNotifier(o.OnTransition, o.OnNotice),
		ready: make(chan struct{}), news: newNews(), epoch: time.Now(), packets: make([]Packet, 64),
		names: make(map[string]*runner), machines: make(map[*Machine]*runner), holders: make(map[place]*runner), adopts: make(map[string]bool), delays: make(map[string]LinkDelay), beats: make(map[string]bool), repoll: make(chan struct{}, 1), vmacs: make(map[string]*runner), ports: make(map[Socket]*port),
		links: make(map[string]*link), virtual: make(map[netip.Addr]int), tracking: make(map[string]Tracking),
	}
	r.ears, r.earWork = make(map[string]*ear), newWorker(r)
	r.do = r.groupAction
	r.paces.set(nil)
	for i := range r.packets {
		r.packets[i].Buf = make([]byte, 4608) // 255 IPv6 addresses and all that can be around them
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.net == nil {
		r.net = HostNetwork()
	}
	if r.onTimer == nil {
		r.onTimer = func(time.Duration) {}
	}
	return r
}

// Ready is closed once Run takes part in the protocol.
func (r *Router) Ready() <-chan struct{} { return r.ready }

// Set makes the given instances the ones that are held. Everything is validated first; on an error nothing has changed.
// Instances are matched by interface, VRID, version, family and group, those by unicast also by name or peers: those that
// are the same go on untouched, changed ones keep their state (a MASTER stays MASTER), those that are gone leave with
// priority 0. Set may be called before and while Run runs.
func (r *Router) Set(instances []Instance) error {
	if err := ValidateAll(instances); err != nil {
		return err
	}
	r.setting.Lock()
	defer r.setting.Unlock()
	old := make(map[instanceKey][]*runner, len(r.runners))
	for _, x := range r.runners {
		old[x.in.key()] = append(old[x.in.key()], x)
	}
	next, fresh := make([]*runner, len(instances)), []*runner(nil)
	changed := make(map[*runner]Instance)
	for i := range instances {
		in := &instances[i]
		next[i] = take(old, in)
		if next[i] == nil {
			next[i] = newRunner(in.Clone())
			fresh = append(fresh, next[i])
		} else if !next[i].in.Equal(in) {
			changed[next[i]] = in.Clone()
		}
	}
	r.locked(func(now time.Time) { r.adopt(now, next, fresh, changed, old) })
	r.poke() // the loop sleeps until what was its next deadline
	return nil
}

// take finds the instance among the old ones that the wish is about, and takes it out.
func take(old map[instanceKey][]*runner, in *Instance) *runner {
	same := old[in.key()]
	i := slices.IndexFunc(same, func(x *runner) bool { return x.in.String() == in.String() })
	if i < 0 {
		i = slices.IndexFunc(same, func(x *runner) bool { return !in.unicast() || shares(x.in.Peers, in.Peers) })
	}
	if i < 0 {
		return nil
	}
	x := same[i]
	old[in.key()] = slices.Delete(same, i, i+1)
	return x
}

func shares(a, b []Peer) bool {
	return slices.ContainsFunc(a, func(p Peer) bool { return slices.ContainsFunc(b, func(q Peer) bool { return p.Addr == q.Addr }) })
}

// adopt goes from the present instances to the next ones, in this order: those that are gone give up what others may get.
func (r *Router) adopt(now time.Time, next, fresh []*runner, changed map[*runner]Instance, gone map[instanceKey][]*runner) {
	for _, x := range r.runners {
		if !slices.Contains(gone[x.in.key()], x) {
			continue
		}
		r.step(now, x, Shutdown{})
		r.detach(x)
	}
	r.runners = next
	for _, x := range fresh {
		r.join(x)
		r.look(x)
	}
	r.formGroups()
	for _, x := range next {
		if in, ok := changed[x]; ok {
			r.change(now, x, in)
		}
	}
	r.formGroups()
	r.settle(now)
}

// ValidateAll reports what is wrong with each instance and among them: names must be unique, and so must VRIDs on a link;
// unicast instances may share one when they share no peer.
func ValidateAll(instances []Instance) error {
	var errs []error
	names, ids := make(map[string]bool, len(instances)), make(map[instanceKey][]*Instance, len(instances))
	for i := range instances {
		in := &instances[i]
		errs = append(errs, in.Validate())
		id := in.key()
		id.version = 0
		if names[in.String()] {
			errs = append(errs, fmt.Errorf("vrrp: two instances are named %s", in))
		}
		for _, other := range ids[id] {
			if !in.unicast() || shares(in.Peers, other.Peers) {
				errs = append(errs, fmt.Errorf("vrrp: instances %s and %s both have VRID %d on %s", other, in, in.VRID, in.Interface))
				break
			}
		}
		names[in.String()] = true
		ids[id] = append(ids[id], in)
	}
	return errors.Join(errs...)
}

type instanceKey struct {
	iface   string
	vrid    uint8
	version uint8
	six     bool
	group   netip.Addr // none for unicast
}

func (in *Instance) key() instanceKey {
	return instanceKey{in.Interface, in.VRID, in.version(), in.is6(), in.socket("").Group}
}

// SetTracking tells what the host application's own health says about the named instance. It holds until the next call,
// also for an instance of that name that is set later.
func (r *Router) SetTracking(name string, t Tracking) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tracking[name] == t {
		return
	}
	r.tracking[name] = t
	if x := r.names[name]; x != nil {
		r.look(x)
		r.poke()
	}
}

// Failover makes a MASTER hand over: it says priority 0, and stays BACKUP for as long as it hears another, of whatever
// priority. It is an error that is fs.ErrNotExist when there is no instance of that name, and one when it is not MASTER.
func (r *Router) Failover(name string) (err error) {
	r.locked(func(now time.Time) {
		x := r.names[name]
		switch {
		case x == nil:
			err = missing("vrrp: there is no instance " + name)
		case x.machine.State() != Master:
			err = fmt.Errorf("vrrp: instance %s is %v: only a MASTER can hand over", name, x.machine.State())
		default:
			r.step(now, x, Yield{Reason: "told to hand over"})
		}
	})
	return err
}

// KeepOnLeave makes Run leave everything as it is when its context ends, for a successor on this host: no priority 0 is sent,
// and addresses stay.
func (r *Router) KeepOnLeave(keep bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep = keep
}

// Adopt names instances that a predecessor on this host, which kept everything when it left, had as MASTER: they start as
// MASTER. It counts once for each, and must be called before Run.
func (r *Router) Adopt(names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		r.adopts[name] = true
	}
}

// Run holds the instances until ctx ends, then leaves: priority 0 is sent for every MASTER and its addresses are removed,
// within 5 s, unless [Router.KeepOnLeave] says otherwise. It returns nil then, and an error when it cannot work at all, for want of privilege. A Router runs once.
func (r *Router) Run(ctx context.Context) error {
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer cancel()
	watchErr := make(chan error, 1)
	helpers.Go(func() {
		watchErr <- r.net.Watch(watch, r.changed)
		r.poke()
	})
	helpers.Go(r.notifier.run)
	helpers.Go(func() { r.poll(watch) })
	defer r.notifier.close()
	defer r.stop()
	select {
	case <-r.news.first: // from now on the host is asked without waiting for it
	case err := <-watchErr:
		return watchError(err)
	case <-ctx.Done():
		return nil
	}
	if err := r.start(); err != nil {
		return err
	}
	close(r.ready)
	return r.loop(ctx, watchErr)
}

func watchError(err error) error { return fmt.Errorf("vrrp: watch links: %w", err) }

func (r *Router) start() error {
	sockets, err := r.net.Sockets()
	if err != nil {
		return fmt.Errorf("vrrp: %w", err)
	}
	r.sleeper.Store(&sockets)
	r.locked(func(now time.Time) {
		r.sockets = sockets
		r.running, r.started = true, now
		r.takePlace(r.host.Process.RealTime)
		if r.host.QuietIGMP {
			r.quietIGMP(true)
		}
		r.static(r.host.Static, true)
		for _, x := range r.runners {
			r.look(x)
		}
		r.settle(now)
		for _, p := range r.ports {
			if errors.Is(p.err, os.ErrPermission) || errors.Is(p.err, errors.ErrUnsupported) {
				err = p.err
			}
		}
	})
	return err
}

// stop leaves the protocol: priority 0 first, then the addresses, within leaveTime.
func (r *Router) stop() {
	var workers []*link
	r.locked(func(now time.Time) {
		for _, x := range r.runners {
			r.step(now, x, Shutdown{Keep: r.keep})
		}
		if r.running && !r.keep {
			r.static(r.host.Static, false)
			if r.host.QuietIGMP {
				r.quietIGMP(false)
			}
			for _, x := range r.runners {
				r.promote(x, false)
				r.dropLinks(x, x.vlinks)
			}
		}
	})
	r.mu.Lock()
	r.running = false
	for _, l := range r.links {
		workers = append(workers, l)
	}
	for _, p := range r.ports {
		p.close()
	}
	for _, x := range r.runners {
		r.concede(x)
		r.deafen(x.ears)
	}
	r.commit()
	if r.sockets != nil {
		_ = r.sockets.Close()
	}
	r.mu.Unlock()
	late := time.After(leaveTime)
	for _, l := range workers {
		l.work.finish()
		select {
		case <-l.work.done:
		case <-late:
			r.log.Error("addresses could not be removed in time", "interface", l.name)
		}
	}
	r.earWork.finish()
	<-r.earWork.done
}

// missing is an error about what is not there: fs.ErrNotExist, in other words than those of files.
type missing string

// Error implements error.
func (m missing) Error() string { return string(m) }

// Is makes it fs.ErrNotExist.
func (m missing) Is(target error) bool { return target == fs.ErrNotExist }
