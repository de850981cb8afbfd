package vrrp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/internal/ipheader"
	"github.com/holdfast-lb/holdfast/internal/serial"
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
	// OnConflict is called when another router does not agree with one of ours, or a virtual address is in dispute: see
	// [Conflict]. Calls come between those of OnTransition, in order. Nil means nobody asks; it is logged all the same.
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

// Router holds many instances on one host. One goroutine decides, one per interface does the slow work (addresses,
// announcements), so that nothing delays an advert.
type Router struct {
	log      *slog.Logger
	net      Network
	onTimer  func(time.Duration)
	conflict func(Conflict)
	notifier *notifier
	ready    chan struct{}
	wake     chan struct{} // holds a token when the loop shall look again

	mu       sync.Mutex // guards the fields below; held for each step of the loop
	runners  []*runner
	machines map[*Machine]*runner
	started  time.Time // when Run began
	ports    map[Socket]*port
	tracking map[string]Tracking
	links    map[string]seenLink // of this refresh
	virtual  map[netip.Addr]bool // addresses that are not to be sent from, of this refresh
	running  bool
	advert   Advertisement // of the packet being handled
	out      []byte        // datagrams being built
	packets  []Packet      // being received
}

// NewRouter makes a Router without instances. It starts nothing.
func NewRouter(o Options) *Router {
	r := &Router{
		log: o.Logger, net: o.Network, onTimer: o.OnTimer, conflict: o.OnConflict, notifier: newNotifier(o.OnTransition, o.OnNotice),
		ready: make(chan struct{}), wake: make(chan struct{}, 1), packets: make([]Packet, 16),
		ports: make(map[Socket]*port), tracking: make(map[string]Tracking),
		links: make(map[string]seenLink), virtual: make(map[netip.Addr]bool),
	}
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
// Instances are matched by interface, VRID and version: those that are the same go on untouched, changed ones keep their
// state (a MASTER stays MASTER), those that are gone leave with priority 0. Set may be called before and while Run runs.
func (r *Router) Set(instances []Instance) error {
	if err := ValidateAll(instances); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	old := r.runners
	r.runners = nil
	for _, in := range instances {
		in = in.Clone()
		i := slices.IndexFunc(old, func(x *runner) bool { return x != nil && x.in.key() == in.key() })
		if i < 0 {
			r.runners = append(r.runners, newRunner(in))
			continue
		}
		r.runners = append(r.runners, old[i])
		r.change(now, old[i], in)
		old[i] = nil
	}
	for _, gone := range old {
		if gone != nil {
			r.step(now, gone, Shutdown{})
		}
	}
	r.regroup()
	r.refresh(now)
	r.poke()
	return nil
}

// ValidateAll reports what is wrong with each instance and among them: names and VRIDs must be unique.
func ValidateAll(instances []Instance) error {
	var errs []error
	names, ids := make(map[string]bool), make(map[instanceKey]string)
	for i := range instances {
		in := &instances[i]
		errs = append(errs, in.Validate())
		id := instanceKey{in.Interface, in.VRID, 0, in.is6(), in.group()}
		if names[in.String()] {
			errs = append(errs, fmt.Errorf("vrrp: two instances are named %s", in))
		} else if other, taken := ids[id]; taken && !in.unicast() {
			errs = append(errs, fmt.Errorf("vrrp: instances %s and %s both have VRID %d on %s", other, in, in.VRID, in.Interface))
		}
		names[in.String()] = true
		if !in.unicast() {
			ids[id] = in.String()
		}
	}
	return errors.Join(errs...)
}

type instanceKey struct {
	iface   string
	vrid    uint8
	version uint8
	six     bool
	group   netip.Addr
}

func (in *Instance) key() instanceKey {
	return instanceKey{in.Interface, in.VRID, in.version(), in.is6(), in.group()}
}

// socket is the one that the instance shares with others.
func (in *Instance) socket() Socket {
	s := Socket{Interface: in.Interface, IPv6: in.is6(), Protocol: Protocol}
	if in.AuthType == AuthAH {
		s.Protocol = protocolAH
	}
	if !in.unicast() {
		s.Group = in.group()
	}
	return s
}

// SetTracking tells what the host application's own health says about the named instance. It holds until the next call,
// also for an instance of that name that is set later.
func (r *Router) SetTracking(name string, t Tracking) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tracking[name] != t {
		r.tracking[name] = t
		r.poke()
	}
}

// Run holds the instances until ctx ends, then leaves: priority 0 is sent for every MASTER and its addresses are removed,
// within 5 s. It returns nil then, and an error when it cannot work at all, for want of privilege. A Router runs once.
func (r *Router) Run(ctx context.Context) error {
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer cancel()
	watchErr := make(chan error, 1)
	helpers.Go(func() { watchErr <- r.net.Watch(watch, func(Change) { r.poke() }) })
	helpers.Go(r.notifier.run)
	defer r.notifier.close()
	defer r.stop()
	if err := r.start(); err != nil {
		return err
	}
	close(r.ready)
	return r.loop(ctx, watchErr)
}

func (r *Router) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running, r.started = true, time.Now()
	r.refresh(r.started)
	for _, p := range r.ports {
		if errors.Is(p.err, os.ErrPermission) || errors.Is(p.err, errors.ErrUnsupported) {
			return p.err
		}
	}
	return nil
}

// loop is the one place that waits. A Router that was paused finds its timer late and its sockets full: adverts are
// therefore always read before the timer is looked at, so that waking up does not steal mastership.
func (r *Router) loop(ctx context.Context, watchErr <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-watchErr:
			return fmt.Errorf("vrrp: watch links: %w", err)
		case <-r.wake:
			r.locked(r.refresh)
		case <-timer.C:
			r.locked(r.expire)
		}
		timer.Reset(r.untilDeadline())
	}
}

func (r *Router) locked(f func(now time.Time)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(time.Now())
}

func (r *Router) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Router) expire(now time.Time) {
	for _, p := range r.ports {
		r.drain(now, p)
	}
	for _, x := range r.runners {
		if due, ok := x.machine.Deadline(); ok && !now.Before(due) {
			r.onTimer(now.Sub(due))
			r.step(now, x, Timeout{})
		}
	}
}

// untilDeadline is how long the loop may sleep: until an instance has something to do, or a socket shall be tried again.
func (r *Router) untilDeadline() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, next := time.Now(), time.Hour
	for _, x := range r.runners {
		if due, ok := x.machine.Deadline(); ok {
			next = min(next, due.Sub(now))
		}
	}
	return max(next, 0)
}

// readable handles what has come; it runs on the socket's own goroutine.
func (r *Router) readable(p *port, conn Conn) {
	r.locked(func(now time.Time) {
		if p.conn == conn {
			r.drain(now, p)
		}
	})
	r.poke()
}

// drain handles all adverts that wait in a socket.
func (r *Router) drain(now time.Time, p *port) {
	for p.conn != nil {
		n, err := p.conn.Recv(r.packets)
		if err != nil {
			r.log.Warn("receive adverts", "interface", p.key.Interface, "error", err)
			p.close()
			r.poke()
			return
		}
		if n == 0 {
			return
		}
		for i := range n {
			r.receive(now, p, &r.packets[i])
		}
	}
}

func (r *Router) receive(now time.Time, p *port, packet *Packet) {
	message, ah := packet.Message, []byte(nil)
	if packet.Protocol == protocolAH && len(message) >= ahLen {
		ah, message = message[:ahLen], message[ahLen:]
	}
	if len(message) < 2 {
		return
	}
	x := r.find(p, packet.Src, message[1])
	if x == nil {
		return // another group's
	}
	x.stats.AdvertsReceived++
	err := r.advert.ParsePacket(message, packet.Src, packet.Dst)
	if err == nil {
		err = r.advert.Validate(&x.in, packet.Src, packet.Dst, packet.TTL)
	}
	if err == nil && packet.Src != x.source {
		err = x.writer.auth.authenticate(now, &r.advert, message, ah, packet)
	}
	if err != nil {
		r.reject(now, x, packet.Src, err)
		return
	}
	x.accepted(now, &r.advert)
	r.log.Debug("advert received", "instance", x.in.String(), "from", packet.Src, "advert", &r.advert)
	r.compare(now, x, packet)
	r.step(now, x, Received{From: packet.Src, Advertisement: &r.advert})
}

// reject counts, and logs each kind of complaint once until the state changes: a flood must not fill the disk.
func (r *Router) reject(now time.Time, x *runner, from netip.Addr, err error) {
	kind := x.stats.count(err)
	if c := conflictOf(kind); c != 0 {
		r.tell(x, now, c, from, err)
	}
	if x.complained[kind] {
		return
	}
	x.complained[kind] = true
	r.log.Warn("advert rejected", "instance", x.in.String(), "from", from, "error", err)
}

// compare tells of what is said otherwise in an advert that is good enough to be accepted.
func (r *Router) compare(now time.Time, x *runner, packet *Packet) {
	if err := r.advert.Compare(&x.in); err != nil {
		r.tell(x, now, conflictOf(x.stats.count(err)), packet.Src, err)
	}
	if form := x.in.checksumSent(packet.Dst); form != r.advert.Checksum && x.writer.form != r.advert.Checksum {
		r.tell(x, now, ConflictChecksum, packet.Src, &packetError{ErrChecksum, "of the form %v, ours is %v", r.advert.Checksum, form})
	}
}

// tell tells of a conflict, unless that was done lately.
func (r *Router) tell(x *runner, now time.Time, kind ConflictKind, from netip.Addr, detail error) {
	if x.machine.conflicts.note(now, kind) {
		r.execute(now, x, Conflict{Instance: x.in.String(), At: now, Kind: kind, From: from, Detail: detail.Error()})
	}
}

// find tells whose a packet is. Unicast instances may share a VRID: their peers tell them apart, and a stranger's packet is
// the first one's.
func (r *Router) find(p *port, src netip.Addr, vrid uint8) (found *runner) {
	for _, x := range r.runners {
		if x.in.VRID != vrid || x.in.socket() != p.key {
			continue
		}
		if !x.in.unicast() || slices.ContainsFunc(x.in.Peers, func(p Peer) bool { return p.Addr == src }) {
			return x
		}
		if found == nil {
			found = x
		}
	}
	return found
}

// step is the only way to a Machine: it carries out, in order, what the Machine, and the others of its group, want done.
func (r *Router) step(now time.Time, x *runner, ev Event) {
	before, priority := x.machine.State(), x.machine.Priority()
	if len(x.group) > 1 {
		x.group.Step(now, x.machine, ev, func(m *Machine, a Action) { r.execute(now, r.machines[m], a) })
	} else {
		for _, a := range x.machine.Step(now, ev) {
			r.execute(now, x, a)
		}
	}
	r.notice(now, x, ev, before, priority)
}

// regroup gives each runner its sync group.
func (r *Router) regroup() {
	groups := make(map[string]Group)
	r.machines = make(map[*Machine]*runner, len(r.runners))
	for _, x := range r.runners {
		r.machines[x.machine] = x
		if x.in.Sync != "" {
			groups[x.in.Sync] = append(groups[x.in.Sync], x.machine)
		}
	}
	for _, x := range r.runners {
		x.group = groups[x.in.Sync]
	}
}

func (r *Router) execute(now time.Time, x *runner, a Action) {
	p := r.port(&x.in)
	switch a := a.(type) {
	case SendAdvert:
		r.send(now, p, x, a.Priority)
	case AddAddrs:
		x.term.Add(1)
		p.work.Add(r.addAddrs(x, x.in.held()))
	case RemoveAddrs:
		x.term.Add(1)
		p.work.Add(r.removeAddrs(x, x.in.held()))
	case AnnounceAddrs:
		p.work.Add(r.announce(x, x.in.held(), int(a.Rounds)))
	case Transition:
		r.transition(p, x, a)
	case Conflict:
		r.log.Warn("conflict", "instance", a.Instance, "kind", a.Kind.String(), "with", a.From, "detail", a.Detail)
		if r.conflict != nil {
			r.notifier.queue.Add(func() { r.conflict(a) })
		}
	}
}

func (r *Router) transition(p *port, x *runner, t Transition) {
	x.since, t.Priority = t.At, x.machine.Priority()
	clear(x.complained)
	if t.To == Master {
		x.stats.BecomeMaster++
		t.Took = x.silence(t.At)
	}
	r.log.Info("transition", "instance", t.Instance, "from", t.From.String(), "to", t.To.String(), "reason", t.Reason)
	p.work.Add(func() { r.notifier.add(t) })
}

func (r *Router) send(now time.Time, p *port, x *runner, priority uint8) {
	x.writer.begin(priority)
	x.id = max(x.id+1, 1)
	if !x.in.unicast() {
		r.sendTo(now, p, x, x.in.group())
	}
	for _, peer := range x.in.Peers {
		r.sendTo(now, p, x, peer.Addr)
	}
	if priority == 0 {
		x.stats.PriorityZeroSent++
	}
}

// precedence is Internetwork Control (RFC 791), as keepalived marks its adverts.
const precedence = 0xc0

// sendTo sends one copy. One that cannot be sent keeps none of the others back.
func (r *Router) sendTo(now time.Time, p *port, x *runner, dst netip.Addr) {
	header := ipheader.Header{Src: x.source, Dst: dst, TTL: 255, Class: precedence, Protocol: p.key.Protocol, ID: x.id}
	var err error
	r.out, err = x.writer.appendPacket(r.out[:0], now, &header)
	if err == nil && p.conn == nil {
		err = fmt.Errorf("no socket: %w", fs.ErrClosed)
	}
	if err == nil {
		_, err = p.conn.Send([]Datagram{{Data: r.out, Dst: dst}})
	}
	if err != nil {
		x.stats.SendErrors++
		r.log.Debug("send advert", "instance", x.in.String(), "to", dst, "error", err)
		return
	}
	x.stats.AdvertsSent++
}

// The slow work. It runs on the interface's worker, with copies of everything it needs.

func (r *Router) addAddrs(x *runner, addrs []Address) func() {
	name := x.in.Interface
	return func() {
		if err := r.net.Hold(name, Holdings{Addrs: addrs}); err != nil {
			r.log.Error("add addresses", "interface", name, "error", err)
		}
	}
}

func (r *Router) removeAddrs(x *runner, addrs []Address) func() {
	name := x.in.Interface
	return func() {
		if err := r.net.Release(name, Holdings{Addrs: addrs}); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.log.Error("remove addresses", "interface", name, "error", err)
		}
	}
}

// announce stops half-way when the addresses were given up meanwhile.
func (r *Router) announce(x *runner, addrs []Address, rounds int) func() {
	name, term := x.in.Interface, x.term.Load()
	return func() {
		for range rounds {
			for _, a := range addrs {
				if x.term.Load() != term {
					return
				}
				if err := r.net.Announce(cmp.Or(a.Interface, name), []netip.Addr{a.Addr()}); err != nil {
					r.log.Debug("announce", "interface", name, "address", a.String(), "error", err)
				}
			}
		}
	}
}

// change brings a running instance to its new wish.
func (r *Router) change(now time.Time, x *runner, in Instance) {
	if x.in.Equal(&in) {
		return
	}
	old := x.in
	x.setInstance(in)
	if !r.running {
		x.machine = mustMachine(in)
		return
	}
	r.step(now, x, Reconfigure{Instance: in, Priority: x.effective(r.tracking[in.String()])})
	if x.machine.State() != Master {
		return
	}
	p := r.port(&in)
	p.work.Add(r.removeAddrs(x, without(old.held(), in.held())))
	if added := without(in.held(), old.held()); len(added) > 0 {
		p.work.Add(r.addAddrs(x, added))
		p.work.Add(r.announce(x, in.held(), in.Announce.rounds()))
	}
}

// without lists the addresses of a that b lacks.
func without(a, b []Address) []Address {
	return slices.DeleteFunc(slices.Clone(a), func(p Address) bool { return slices.Contains(b, p) })
}

// refresh compares the host with the instances: who can take part, from which address, with which priority.
func (r *Router) refresh(now time.Time) {
	if !r.running {
		return
	}
	r.forgetHost()
	for _, x := range r.runners {
		source, fault := r.usable(x)
		if state := x.machine.State(); fault == "" && (state == Init || state == Fault) {
			x.source, x.machine.source = source, source
		}
		x.fault = fault
		r.track(x)
		if t := r.tracking[x.in.String()]; x.fault == "" && t.Fault {
			x.fault = "tracking: " + t.Reason
		}
	}
	for _, x := range r.runners {
		r.refreshOne(now, x)
	}
	for key, p := range r.ports {
		if !slices.ContainsFunc(r.runners, func(x *runner) bool { return x.in.socket() == key }) {
			p.close()
			p.work.Finish()
			delete(r.ports, key)
		}
	}
}

func (r *Router) refreshOne(now time.Time, x *runner) {
	t := r.tracking[x.in.String()]
	switch state := x.machine.State(); {
	case x.fault != "":
		r.step(now, x, FaultBegin{Reason: x.fault})
	case state == Init:
		r.step(now, x, SetPriority{Priority: x.effective(t)})
		r.step(now, x, Startup{Source: x.source, NotBefore: r.notBefore(&x.in)})
	case state == Fault:
		r.step(now, x, FaultEnd{Source: x.source})
	}
	if p := x.effective(t); p != x.machine.Priority() {
		r.step(now, x, SetPriority{Priority: p})
	}
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

// usable tells the address to send from, or why there is none. It opens the interface's socket when that is due.
func (r *Router) usable(x *runner) (netip.Addr, string) {
	p := r.port(&x.in)
	link, err := r.link(p.key.Interface)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.close()
		return netip.Addr{}, fmt.Sprintf("interface %s does not exist", p.key.Interface)
	case err != nil:
		return netip.Addr{}, fmt.Sprintf("interface %s: %v", p.key.Interface, err)
	case !link.Up:
		return netip.Addr{}, fmt.Sprintf("interface %s is down", p.key.Interface)
	}
	source := r.sourceOn(link, x)
	if !source.IsValid() {
		return source, fmt.Sprintf("interface %s has no %s address to send adverts from", p.key.Interface, familyName(x.in.is6()))
	}
	if err := p.open(r, link.Index); err != nil {
		return source, fmt.Sprintf("interface %s: %v", p.key.Interface, err)
	}
	return source, ""
}

// sourceOn picks the first address that is nobody's virtual address. Once in use it is kept while it is there.
func (r *Router) sourceOn(link Link, x *runner) netip.Addr {
	if x.in.Source.IsValid() {
		return x.in.Source
	}
	var first netip.Addr
	for _, p := range link.Addrs {
		if p.Addr().Is6() != x.in.is6() || x.in.is6() && !p.Addr().IsLinkLocalUnicast() || r.virtual[p.Addr()] {
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

// forgetHost begins a new look at the host: each link is asked once, however many instances are on it.
func (r *Router) forgetHost() {
	clear(r.links)
	clear(r.virtual)
	for _, x := range r.runners {
		if x.in.owner() {
			continue // its addresses are the host's own
		}
		for _, p := range x.in.held() {
			r.virtual[p.Addr()] = true
		}
	}
}

func (r *Router) link(name string) (Link, error) {
	seen, ok := r.links[name]
	if !ok {
		seen.Link, seen.err = r.net.Link(name)
		r.links[name] = seen
	}
	return seen.Link, seen.err
}

// seenLink is what the host said of a link.
type seenLink struct {
	Link
	err error
}

func familyName(six bool) string {
	if six {
		return "link-local IPv6"
	}
	return "IPv4"
}

func (r *Router) port(in *Instance) *port {
	key := in.socket()
	p, ok := r.ports[key]
	if !ok {
		p = &port{key: key, work: serial.NewQueue()}
		r.ports[key] = p
	}
	return p
}

// stop leaves the protocol: priority 0 first, then the addresses, within leaveTime.
func (r *Router) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, x := range r.runners {
		r.step(now, x, Shutdown{})
	}
	late := time.After(leaveTime)
	for _, p := range r.ports {
		p.work.Finish()
		select {
		case <-p.work.Done():
		case <-late:
			r.log.Error("addresses could not be removed in time", "interface", p.key.Interface)
		}
		p.close()
	}
	r.running = false
}
