package vrrp_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
)

// The simulator: a few routers, each with one instance or a sync group of two, on as many links, in virtual time. It drives
// Machines and Groups through the real codec as a Router would, and checks after every step what must always hold. A world
// is made of one number, so that what failed once fails again.

const simVRID = 7

// moment is virtual time since the beginning of the world.
type moment = time.Duration

var beginning = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// world is a simulation.
type world struct {
	seed    uint64
	rng     *rand.Rand
	now     moment
	routers []*simRouter
	queue   []simEvent // a heap
	order   uint64

	// What the links do to packets at present.
	loss, duplicate float64
	delay, jitter   time.Duration
	calmSince       moment // when the last disturbance ended; everything is disturbed while it is in the future

	groups    bool
	longest   time.Duration // advertisement interval
	noMaster  map[simPlace]moment
	trace     []string
	broken    string
	free      [][]byte
	parsed    vrrp.Advertisement
	parcels   []parcel // on their way, by index
	freeIndex []int
	serial    uint64
	split     bool // in this calm one of two links is in two segments
	steps     int
	moves     int // transitions so far
	claims    simClaims
}

// simPlace is a segment of a link.
type simPlace struct{ link, segment int }

// simRouter is a host.
type simRouter struct {
	w        *world
	index    int
	members  []*simMember
	group    vrrp.Group
	up       bool          // its process runs
	began    moment        // to run
	paused   moment        // until then
	clock    time.Duration // what its wall clock is off
	priority uint8         // effective
	waiting  []int         // parcels that came while it was paused
	claims   []int         // and claims
	timer    moment
}

// simMember is an instance on one link.
type simMember struct {
	r       *simRouter
	link    int
	in      vrrp.Instance
	machine *vrrp.Machine
	auth    *vrrp.Authenticator
	source  netip.Addr
	segment int // of the link
	faulty  bool
	held    bool
	state   vrrp.State
	heard   map[netip.Addr]uint64 // the serial of the last signed packet, by sender
	since   moment
	sentAt  moment
}

// parcel is a packet on its way.
type parcel struct {
	data   []byte
	from   netip.Addr
	link   int
	users  int
	serial uint64
}

type simEvent struct {
	at     moment
	order  uint64
	kind   uint8
	router int
	parcel int
}

const (
	evTimer uint8 = iota
	evArrive
	evResume
	evClaim
)

func newWorld(seed uint64) *world {
	w := &world{seed: seed, rng: rand.New(rand.NewPCG(seed, 0x9568)), noMaster: make(map[simPlace]moment), claims: newSimClaims(seed)}
	w.groups = w.rng.IntN(4) == 0
	links := 1
	if w.groups {
		links = 2
	}
	version := uint8(3)
	if w.rng.IntN(4) == 0 {
		version = 2
	}
	base := w.template(version)
	for i := range 2 + w.rng.IntN(3) {
		w.routers = append(w.routers, w.newRouter(i, links, base))
	}
	w.order = 0
	w.delay, w.jitter = 100*time.Microsecond, 0
	return w
}

// template is what the instances have in common.
func (w *world) template(version uint8) vrrp.Instance {
	in := vrrp.Instance{Name: "i", Interface: "eth0", VRID: simVRID, Version: version, Addrs: vrrp.MustAddresses("10.0.0.100")}
	in.Interval = []time.Duration{time.Second, time.Second, time.Second, 2 * time.Second, 5 * time.Second}[w.rng.IntN(5)]
	in.LowerPrioNoAdvert = w.rng.IntN(4) == 0
	in.HigherPrioSendAdvert = w.rng.IntN(4) == 0
	if w.rng.IntN(8) == 0 {
		in.HMAC = vrrp.HMAC{Keys: []vrrp.HMACKey{{ID: 1, Secret: strings.Repeat("s", 32)}}, Active: 1, Window: time.Minute}
	}
	if version == 3 && w.rng.IntN(3) == 0 {
		in.Checksum = vrrp.ChecksumMessage
	}
	return in
}

func (w *world) newRouter(index, links int, in vrrp.Instance) *simRouter {
	r := &simRouter{w: w, index: index, timer: never}
	in.Priority = uint8(1 + w.rng.IntN(254))
	if w.rng.IntN(3) == 0 {
		in.Priority = 100 // ties
	}
	switch w.rng.IntN(6) {
	case 0:
		in.NoPreempt = true
		if w.rng.IntN(2) == 0 {
			in.TimerExpiredBackup = 254
		}
	case 1:
		in.PreemptDelay = time.Duration(1+w.rng.IntN(20)) * time.Second
	case 2:
		if index == 0 {
			in.Priority = 255
		}
	}
	if in.Version == 3 && !in.HigherPrioSendAdvert && !in.LowerPrioNoAdvert && w.rng.IntN(4) == 0 { // the parting advert would teach the old interval
		in.Interval = time.Duration(1+w.rng.IntN(300)) * 10 * time.Millisecond
	}
	w.longest = max(w.longest, in.Interval)
	r.priority = in.Priority
	for link := range links {
		m := &simMember{r: r, link: link, in: in, source: netip.AddrFrom4([4]byte{10, 0, byte(link), byte(index + 1)})}
		if links > 1 {
			m.in.Sync = "G"
		}
		r.members = append(r.members, m)
	}
	return r
}

const never = moment(1<<63 - 1)

func (w *world) at() time.Time { return beginning.Add(w.now) }

// The queue.

func (e *simEvent) before(o *simEvent) bool {
	return e.at < o.at || e.at == o.at && e.order < o.order
}

func (w *world) push(e simEvent) {
	w.order++
	e.order = w.order
	q := append(w.queue, e)
	i := len(q) - 1
	for i > 0 && q[i].before(&q[(i-1)/2]) {
		q[i], q[(i-1)/2] = q[(i-1)/2], q[i]
		i = (i - 1) / 2
	}
	w.queue = q
}

func (w *world) pop() simEvent {
	q := w.queue
	top, last := q[0], len(q)-1
	q[0] = q[last]
	q = q[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child+1 < last && q[child+1].before(&q[child]) {
			child++
		}
		if child >= last || !q[child].before(&q[i]) {
			break
		}
		q[i], q[child] = q[child], q[i]
		i = child
	}
	w.queue = q
	return top
}

// run lets the world go on for a while.
func (w *world) run(d time.Duration) {
	end := w.now + d
	for len(w.queue) > 0 && w.queue[0].at <= end && w.broken == "" {
		e := w.pop()
		w.now = e.at
		w.steps++
		switch e.kind {
		case evTimer:
			w.routers[e.router].fire(e.at)
		case evArrive:
			w.arrive(w.routers[e.router], e.parcel)
		case evResume:
			w.routers[e.router].resume()
		case evClaim:
			w.routers[e.router].hear(e.parcel)
		}
	}
	w.now = end
}

// What a host does.

func (r *simRouter) start() {
	if r.up {
		return
	}
	r.up, r.began, r.group = true, r.w.now, nil
	for _, m := range r.members { // nobody waited for it before
		if p := (simPlace{m.link, m.segment}); len(r.w.masters(p)) == 0 {
			r.w.noMaster[p] = r.w.now
		}
	}
	for _, m := range r.members {
		in := m.in
		m.machine, m.state = must(vrrp.NewMachine(in)), vrrp.Init
		m.auth, m.heard = vrrp.NewAuthenticator(in), make(map[netip.Addr]uint64)
		r.group = append(r.group, m.machine)
	}
	for _, m := range r.members {
		r.step(m, vrrp.SetPriority{Priority: r.priority})
		if m.faulty {
			r.step(m, vrrp.FaultBegin{Reason: "fault"})
			continue
		}
		r.step(m, vrrp.Startup{Source: m.source})
	}
	r.schedule()
}

func must[V any](v V, err error) V {
	if err != nil {
		panic(err)
	}
	return v
}

// stop leaves in order.
func (r *simRouter) stop() {
	if !r.up {
		return
	}
	for _, m := range r.members {
		r.step(m, vrrp.Shutdown{})
	}
	r.die()
	for _, m := range r.members {
		r.w.hold(!m.held, "%s has left and holds its address", m)
	}
}

// die ends the process at once. What it held stays on its host until it starts again, or the host is gone too.
func (r *simRouter) die() {
	r.up, r.paused, r.timer = false, 0, never
	for _, p := range r.waiting {
		r.w.release(p)
	}
	r.waiting, r.claims = r.waiting[:0], nil
	for _, m := range r.members {
		r.w.note("%s dies as %v", m, m.state)
		m.state = vrrp.Init
		r.w.count(m.link, m.segment)
	}
}

// fault is of one member; in a group all follow.
func (r *simRouter) fault(m *simMember, on bool) {
	if m.faulty == on {
		return
	}
	m.faulty = on
	if !r.up {
		return
	}
	if on {
		r.step(m, vrrp.FaultBegin{Reason: "fault"})
	} else {
		r.step(m, vrrp.FaultEnd{Source: m.source})
	}
	r.schedule()
}

func (r *simRouter) faulty() bool {
	return slices.ContainsFunc(r.members, func(m *simMember) bool { return m.faulty })
}

func (r *simRouter) setPriority(p uint8) {
	if r.members[0].in.Priority == 255 {
		return
	}
	r.priority = p
	for _, m := range r.members {
		if r.up {
			r.step(m, vrrp.SetPriority{Priority: p})
		}
	}
	r.schedule()
}

func (r *simRouter) pause(d time.Duration) {
	if r.up && r.paused <= r.w.now {
		r.paused = r.w.now + d
		r.w.push(simEvent{at: r.paused, kind: evResume, router: r.index})
	}
}

// resume does as a Router does: what came meanwhile is read before a late timer is looked at.
func (r *simRouter) resume() {
	if !r.up || r.paused > r.w.now {
		return
	}
	m := r.members[0]
	late := m.state == vrrp.Master && m.in.TimerExpiredBackup > 0 && r.w.now-m.sentAt > 4*max(m.in.Interval, time.Second)
	for _, p := range r.waiting {
		r.receive(p)
	}
	r.waiting = r.waiting[:0]
	r.fire(r.w.now)
	r.hearAll()
	r.w.hold(!late || m.state != vrrp.Master, "%s was held up for so long, and is MASTER still", m)
}

// fire is a timer, which may have moved meanwhile.
func (r *simRouter) fire(at moment) {
	if r.timer == at {
		r.timer = never
	}
	if !r.up || r.paused > r.w.now {
		return
	}
	for _, m := range r.members {
		for again := 0; ; again++ {
			due, ok := m.machine.Deadline()
			if !ok || due.After(r.w.at()) {
				break
			}
			r.step(m, vrrp.Timeout{})
			r.w.hold(again < 4, "%s is due again and again", m)
			if again > 4 {
				return
			}
		}
	}
	r.schedule()
}

// schedule wakes the router by its next deadline; a wake-up that is too early does no harm.
func (r *simRouter) schedule() {
	for _, m := range r.members {
		if !r.up {
			return
		}
		if due, ok := m.machine.Deadline(); ok {
			at := max(due.Sub(beginning), r.w.now)
			if at < r.timer {
				r.timer = at
				r.w.push(simEvent{at: at, kind: evTimer, router: r.index})
			}
		}
	}
}

func (m *simMember) String() string { return fmt.Sprintf("router %d link %d", m.r.index, m.link) }

// step is the only way to a Machine. Afterwards everything that must always hold is looked at.
func (r *simRouter) step(m *simMember, ev vrrp.Event) {
	if len(r.group) > 1 {
		r.group.Step(r.w.at(), m.machine, ev, func(of *vrrp.Machine, a vrrp.Action) { r.execute(r.members[slices.Index(r.group, of)], a) })
	} else {
		for _, a := range m.machine.Step(r.w.at(), ev) {
			r.execute(m, a)
		}
	}
	r.check()
}

func (r *simRouter) execute(m *simMember, a vrrp.Action) {
	w := r.w
	switch a := a.(type) {
	case vrrp.SendAdvert:
		w.hold(a.Priority == 0 || w.now >= r.paused, "%s advertises while it is paused", m)
		m.sentAt = w.now
		w.send(m, a.Priority)
	case vrrp.AddAddrs:
		w.hold(m.sentAt == w.now, "%s takes the address before it advertises", m)
		w.hold(!m.held || m.state != vrrp.Master, "%s takes an address that it has", m)
		m.held = true
	case vrrp.RemoveAddrs:
		m.held = false
	case vrrp.AnnounceAddrs:
		w.hold(m.held, "%s announces an address that it does not hold", m)
		w.announce(m.r, m.link, m.segment, m.r.mac())
	case vrrp.DefendAddr:
		w.defends(m, a.Addr)
		w.announce(m.r, m.link, m.segment, m.r.mac())
	case vrrp.Transition:
		w.note("%s prio %d: %v", m, r.priority, a)
		w.moves++
		w.hold(a.From == m.state, "%s goes from %v, and was %v", m, a.From, m.state)
		m.state, m.since = a.To, w.now
		if a.To == vrrp.Master {
			w.mayPreempt(m)
		}
		w.count(m.link, m.segment)
	}
}

// check is what holds after every step of a router.
func (r *simRouter) check() {
	for _, m := range r.members {
		r.w.hold(m.held == (m.state == vrrp.Master) || m.state == vrrp.Init, "%s is %v, and holds its address: %v", m, m.state, m.held)
		r.w.hold(m.machine.State() == m.state, "%s says it is %v and told of %v", m, m.machine.State(), m.state)
		r.w.hold(m.state == r.members[0].state || m.state == vrrp.Init || r.members[0].state == vrrp.Init, "%s is %v, another member %v", m, m.state, r.members[0].state)
		r.w.hold(!m.faulty || m.state == vrrp.Fault || m.state == vrrp.Init, "%s is %v in spite of its fault", m, m.state)
		if due, ok := m.machine.Deadline(); ok {
			r.w.hold(due.Sub(r.w.at()) <= 5*41*time.Second, "%s sleeps until %v", m, due)
		}
	}
}

// The links.

func (w *world) send(m *simMember, priority uint8) {
	a := vrrp.Advertisement{Version: m.in.Version, VRID: simVRID, Priority: priority, Interval: m.in.Interval, Checksum: m.in.Checksum, Addrs: simAddrs}
	var b []byte
	if n := len(w.free); n > 0 {
		b, w.free = w.free[n-1], w.free[:n-1]
	}
	b = must(a.AppendPacket(b[:0], m.source, vrrp.GroupIPv4))
	b = m.auth.AppendTrailer(b, w.at().Add(m.r.clock), b, m.source)
	w.serial++
	p := w.store(parcel{data: b, from: m.source, link: m.link, users: 1, serial: w.serial})
	for _, to := range w.routers {
		if to == m.r || to.members[m.link].segment != m.segment {
			continue
		}
		copies := 1
		if w.duplicate > 0 && w.rng.Float64() < w.duplicate {
			copies = 2
		}
		for range copies {
			if w.loss > 0 && w.rng.Float64() < w.loss {
				continue
			}
			delay := w.delay
			if w.jitter > 0 {
				delay += time.Duration(w.rng.Int64N(int64(w.jitter)))
			}
			w.parcels[p].users++
			w.push(simEvent{at: w.now + delay, kind: evArrive, router: to.index, parcel: p})
		}
	}
	w.release(p)
}

var simAddrs = []netip.Addr{netip.MustParseAddr("10.0.0.100")}

func (w *world) store(p parcel) int {
	if n := len(w.freeIndex); n > 0 {
		i := w.freeIndex[n-1]
		w.freeIndex = w.freeIndex[:n-1]
		w.parcels[i] = p
		return i
	}
	w.parcels = append(w.parcels, p)
	return len(w.parcels) - 1
}

func (w *world) release(i int) {
	p := &w.parcels[i]
	if p.users--; p.users == 0 {
		w.free = append(w.free, p.data)
		p.data = nil
		w.freeIndex = append(w.freeIndex, i)
	}
}

func (w *world) arrive(r *simRouter, p int) {
	switch {
	case !r.up:
		w.release(p)
	case r.paused > w.now:
		if len(r.waiting) == 64 { // a socket has room for so many
			w.release(p)
			return
		}
		r.waiting = append(r.waiting, p)
	default:
		r.receive(p)
		r.schedule()
	}
}

func (r *simRouter) receive(i int) {
	w := r.w
	p := &w.parcels[i]
	m := r.members[p.link]
	defer w.release(i)
	if err := w.parsed.ParsePacket(p.data, p.from, vrrp.GroupIPv4); err != nil {
		w.hold(false, "%s: %v", m, err)
		return
	}
	if err := w.parsed.Validate(&m.in, p.from, vrrp.GroupIPv4, 255); err != nil {
		w.hold(false, "%s: %v", m, err)
		return
	}
	if m.auth.Verify(w.at().Add(r.clock), &w.parsed, p.data, p.from) != nil {
		w.hold(w.disturbed(), "%s refuses a signed advert in a calm", m)
		return
	}
	if len(m.in.HMAC.Keys) > 0 {
		w.hold(p.serial > m.heard[p.from], "%s accepts a replayed packet", m)
		m.heard[p.from] = p.serial
	}
	answer := m.state == vrrp.Master && w.parsed.Priority == 0
	r.step(m, vrrp.Received{From: p.from, Advertisement: &w.parsed})
	w.hold(!answer || m.sentAt == w.now || m.state != vrrp.Master, "%s does not answer priority 0", m)
}

// What must hold.

// hold breaks the world when something does not.
func (w *world) hold(ok bool, format string, args ...any) {
	if !ok && w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
		w.note("BROKEN: %s", w.broken)
	}
}

func (w *world) note(format string, args ...any) {
	if len(w.trace) == 200 {
		w.trace = append(w.trace[:0], w.trace[100:]...)
	}
	w.trace = append(w.trace, fmt.Sprintf("%12v ", w.now)+fmt.Sprintf(format, args...))
}

func (w *world) disturbed() bool { return w.now < w.calmSince }

// members are those on a segment of a link that could be MASTER there.
func (w *world) members(p simPlace) (list []*simMember) {
	for _, r := range w.routers {
		if m := r.members[p.link]; r.up && !r.faulty() && m.segment == p.segment && r.paused <= w.now {
			list = append(list, m)
		}
	}
	return list
}

func (w *world) masters(p simPlace) (list []*simMember) {
	for _, r := range w.routers {
		if m := r.members[p.link]; r.up && m.segment == p.segment && m.state == vrrp.Master {
			list = append(list, m)
		}
	}
	return list
}

func (w *world) places() (list []simPlace) {
	for link := range w.routers[0].members {
		for segment := range 2 {
			list = append(list, simPlace{link, segment})
		}
	}
	return list
}

// count notes since when a segment has had no MASTER, and how long that was when it has one.
func (w *world) count(link, segment int) {
	p := simPlace{link, segment}
	since, none := w.noMaster[p]
	switch has := len(w.masters(p)) > 0; {
	case !has && !none:
		w.noMaster[p] = w.now
	case has && none:
		delete(w.noMaster, p)
		if start := max(since, w.calmSince); start < w.now {
			w.hold(w.split || w.now-start <= w.vacancy(), "link %d segment %d had no MASTER for %v", link, segment, w.now-start)
		}
	}
}

// vacancy is the longest time without a MASTER in a calm: three adverts of the slowest and its skew. In a group everyone may
// have to wait once more for the others.
func (w *world) vacancy() time.Duration {
	d := 4*w.longest + 2*(w.delay+w.jitter) + time.Millisecond
	if w.groups {
		d *= 3
	}
	return d
}

// mayPreempt is looked at when an instance becomes MASTER in a calm: it must not do so against a MASTER that it would have to
// leave in office.
func (w *world) mayPreempt(m *simMember) {
	if w.disturbed() || w.now-w.calmSince < w.settling() {
		return
	}
	for _, other := range w.masters(simPlace{m.link, m.segment}) {
		raced := w.now-other.since <= 2*w.delay // they could not hear each other yet
		// RFC 9568, Section 5.2.7: a newcomer with a shorter interval may not wait long enough to hear a slow MASTER.
		unheard := m.in.Interval < other.in.Interval && w.now-m.r.began <= 4*m.in.Interval
		if other != m && other.r.paused <= w.now && !raced && !unheard {
			w.hold(m.r.priority > other.r.priority && (!m.in.NoPreempt || m.r.priority == 255), "%s (%d) becomes MASTER beside %s (%d)", m, m.r.priority, other, other.r.priority)
		}
	}
}

// settling is how long it takes until everything has come to rest.
func (w *world) settling() time.Duration {
	longest := time.Duration(0)
	for _, r := range w.routers {
		for _, m := range r.members {
			longest = max(longest, m.in.PreemptDelay)
		}
	}
	d := longest + 10*w.longest + time.Second
	if w.groups {
		d *= 2
	}
	return d
}

// settled is what holds when everything has come to rest: one MASTER where there is anyone, and nobody who would preempt it.
func (w *world) settled() {
	for _, p := range w.places() {
		candidates, masters := w.members(p), w.masters(p)
		want := min(len(candidates), 1)
		if w.split { // a group that cannot have both links has none
			want = min(want, len(masters))
		}
		w.hold(len(masters) == want, "link %d segment %d: %d MASTERs of %d routers", p.link, p.segment, len(masters), len(candidates))
		if len(masters) != 1 || w.split {
			continue
		}
		for _, m := range candidates {
			owner := m.in.Priority == 255
			w.hold(m.r.priority <= masters[0].r.priority || m.in.NoPreempt && !owner, "%s (%d) leaves %s (%d) in office", m, m.r.priority, masters[0], masters[0].r.priority)
		}
	}
}

// master is a router in office, if there is one.
func (w *world) master() *simRouter {
	i := slices.IndexFunc(w.routers, func(r *simRouter) bool { return r.up && r.members[0].state == vrrp.Master })
	if i < 0 {
		return nil
	}
	return w.routers[i]
}

// best is the highest priority of those who could follow a router.
func (w *world) best(gone *simRouter) *simRouter {
	var list []*simRouter
	for _, r := range w.routers {
		if r != gone && r.up && !r.faulty() && r.members[0].segment == gone.members[0].segment {
			list = append(list, r)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return slices.MaxFunc(list, func(a, b *simRouter) int { return cmp.Compare(a.priority, b.priority) })
}
