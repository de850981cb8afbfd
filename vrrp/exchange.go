package vrrp

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/holdfast-lb/holdfast/internal/ipheader"
)

// port is a socket in use, with the instances that share it.
type port struct {
	key     Socket
	link    *link
	conn    Conn
	index   int   // of the link that conn was opened on
	err     error // why conn is nil
	runners []*runner
	guests  []*runner // of the twin: they only want to know who is configured otherwise
	own     table     // of runners
	strange table     // of guests
	unknown unknown
	stale   bool // the tables are to be made anew
	out     []outgoing

	patience patience
	drained  int // the turn of the loop in which everything was read
}

type peerKey struct {
	addr netip.Addr
	vrid uint8
}

// outgoing is a datagram in Router.out.
type outgoing struct {
	x          *runner
	start, end int
	dst        netip.Addr
}

// port is the socket that an instance belongs to.
func (r *Router) port(x *runner) *port { return r.portOf(x.in.socket(x.transmit())) }

func (r *Router) portOf(key Socket) *port {
	p, ok := r.ports[key]
	if !ok {
		p = &port{key: key, link: r.link(key.Interface), unknown: unknown{on: r.host.LogUnknown}}
		r.ports[key] = p
	}
	return p
}

// socket is the one that the instance shares with others, on that link.
func (in *Instance) socket(iface string) Socket {
	s := Socket{Interface: iface, IPv6: in.is6(), Protocol: Protocol}
	if in.AuthType == AuthAH {
		s.Protocol = protocolAH
	}
	if !in.unicast() {
		s.Group = in.group()
	}
	return s
}

// stale remembers that the port's tables are to be made anew.
func (r *Router) stale(p *port) {
	if !p.stale {
		p.stale = true
		r.stalePorts = append(r.stalePorts, p)
	}
}

// reindex makes the tables by which packets find their instance.
func (p *port) reindex() {
	p.stale = false
	p.own.index(p.runners)
	p.strange.index(p.guests)
	p.listen()
}

// bufferPerInstance is room for a few adverts of each instance between two looks at the socket, with what the kernel adds;
// bufferAtLeast is room for what a flood brings in some milliseconds, lest adverts be lost in it.
const bufferPerInstance, bufferAtLeast = 8 << 10, 1 << 20

// listen tells the socket what it is for.
func (p *port) listen() {
	if p.conn == nil {
		return
	}
	var vrids [256]bool
	wanted, asked := (len(p.runners)+len(p.guests))*bufferPerInstance, 0
	for _, x := range p.runners {
		vrids[x.in.VRID] = true
		asked += x.in.ReceiveBuffer
	}
	for _, x := range p.guests {
		vrids[x.in.VRID] = true
	}
	if asked == 0 {
		asked = max(wanted, bufferAtLeast)
	}
	want := &vrids
	if p.unknown.on {
		want = nil
	}
	p.err = p.conn.Want(want, asked)
}

// find tells whose a packet is. Unicast instances may share a VRID: their peers tell them apart, and a stranger's packet is
// the first one's. What is none of ours may be what a guest wants to know of.
func (p *port) find(src netip.Addr, vrid uint8) *runner {
	if x := p.own.find(src, vrid); x != nil {
		return x
	}
	return p.strange.find(src, vrid)
}

// open opens the socket unless there is one on this very link.
func (r *Router) open(p *port) error {
	if p.conn != nil && p.index == p.link.state.Index {
		return nil
	}
	p.close()
	if p.conn, p.err = r.sockets.Open(p.key, func() { r.told = append(r.told, p) }); p.err != nil {
		p.conn = nil
		return p.err
	}
	p.index = p.link.state.Index
	p.listen()
	return p.err
}

func (p *port) close() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
		p.patience = patience{}
	}
}

// mostAtOnce is how many packets of a socket are handled before others have their turn: a flood must delay no timer.
const mostAtOnce = 1024

// read handles what has come, and what may have come to sockets that are not listened to.
func (r *Router) read(now time.Time) {
	for _, p := range r.told {
		r.readSome(now, p)
	}
	r.told = r.told[:0]
	for _, p := range r.unheard {
		if now.Add(p.patience.pause / 2).After(p.patience.next) { // soon is now: they come to share one waking
			r.readSome(now, p)
		}
	}
	r.unheard = slices.DeleteFunc(r.unheard, func(p *port) bool { return p.patience.pause == 0 })
}

func (r *Router) readSome(now time.Time, p *port) {
	more, count := true, p.patience.count
	for read := 0; more && read < mostAtOnce; read += len(r.packets) {
		more = r.receiveSome(now, p)
	}
	if p.conn == nil {
		return
	}
	if p.patience.count > count {
		p.patience.finds++
	}
	before := p.patience.pause
	p.setPatience(now, more)
	if listen := p.patience.pause == 0; listen != (before == 0) {
		if err := p.conn.Listen(listen); err != nil {
			r.broken(now, p, err)
		} else if !listen {
			r.unheard = append(r.unheard, p)
		}
	}
}

// broken gives a socket up, to be opened again.
func (r *Router) broken(now time.Time, p *port, err error) {
	r.log.Warn("receive adverts", "interface", p.key.Interface, "error", err)
	p.close()
	p.err = err
	r.lookAgain(now, p.runners...)
	r.lookAgain(now, p.guests...)
}

// mostDrained bounds what is read before a timer: more than any socket holds, and less than a flood brings.
const mostDrained = 8192

// drain handles the adverts that wait in a socket.
func (r *Router) drain(now time.Time, p *port) {
	p.drained = r.turns
	for read := 0; read < mostDrained && r.receiveSome(now, p); read += len(r.packets) {
	}
}

// receiveSome handles one batch. more says that there may be another.
func (r *Router) receiveSome(now time.Time, p *port) (more bool) {
	if p.conn == nil {
		return false
	}
	n, err := p.conn.Recv(r.packets)
	if err != nil {
		r.broken(now, p, err)
		return false
	}
	p.patience.count += n
	for i := range n {
		r.receive(now, p, &r.packets[i])
	}
	return n == len(r.packets)
}

func (r *Router) receive(now time.Time, p *port, packet *Packet) {
	message, ah := packet.Message, []byte(nil)
	if packet.Protocol == protocolAH {
		if len(message) < ahLen || message[0] != Protocol {
			return // AH of something else
		}
		ah, message = message[:ahLen], message[ahLen:]
	}
	if len(message) < 2 {
		return
	}
	x := p.find(packet.Src, message[1])
	if x == nil { // another group's
		r.stranger(now, p, packet.Src, message)
		return
	}
	x.stats.AdvertsReceived++
	err := r.advert.ParsePacket(message, packet.Src, packet.Dst)
	if err == nil {
		err = r.advert.Validate(&x.in, packet.Src, packet.Dst, packet.TTL)
	}
	switch {
	case err == nil && x.port != p:
		err = &packetError{ErrAuthMismatch, "%v, want %v", r.advert.AuthType, x.in.AuthType}
	case err == nil && packet.Src != x.source:
		err = x.writer.auth.authenticate(now, &r.advert, message, ah, packet)
	}
	if err != nil {
		r.reject(now, x, packet.Src, err)
		return
	}
	at := now.Add(-min(packet.Age, longestPause)) // a Router that was stopped is as patient as one that was not
	x.accepted(at, &r.advert)
	if r.log.Enabled(context.Background(), slog.LevelDebug) {
		r.log.Debug("advert received", "instance", x.in.String(), "from", packet.Src, "advert", &r.advert)
	}
	r.compare(now, x, packet)
	r.step(at, x, Received{From: packet.Src, Advertisement: &r.advert})
}

// reject counts, and logs each kind of complaint once until the state changes: a flood must not fill the disk.
func (r *Router) reject(now time.Time, x *runner, from netip.Addr, err error) {
	kind := x.stats.count(err)
	if c := conflictOf(kind); c != 0 {
		r.dispute(x, now, c, from, err)
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
		r.dispute(x, now, conflictOf(x.stats.count(err)), packet.Src, err)
	}
	if err := x.writer.auth.drifting(); err != nil {
		r.dispute(x, now, ConflictAuth, packet.Src, err)
	}
	if form := x.in.checksumSent(packet.Dst); form != r.advert.Checksum && x.writer.form != r.advert.Checksum {
		r.dispute(x, now, ConflictChecksum, packet.Src, &packetError{ErrChecksum, "of the form %v, ours is %v", r.advert.Checksum, form})
	}
}

// dispute tells of a conflict, unless that was done lately.
func (r *Router) dispute(x *runner, now time.Time, kind ConflictKind, from netip.Addr, detail error) {
	if x.machine.conflicts.note(now, kind) {
		r.execute(now, x, Conflict{Instance: x.in.String(), At: now, Kind: kind, From: from, Detail: detail.Error()})
	}
}

// step is the only way to a Machine: it carries out, in order, what the Machine, and the others of its group, want done.
func (r *Router) step(now time.Time, x *runner, ev Event) {
	before, priority := x.machine.State(), x.machine.Priority()
	if len(x.group) > 1 {
		r.at = now
		x.group.Step(now, x.machine, ev, r.do)
	} else {
		for _, a := range x.machine.Step(now, ev) {
			r.execute(now, x, a)
		}
	}
	r.schedule(x)
	r.notice(now, x, ev, before, priority)
}

// groupAction carries out an action of any member. What has nothing to do has no new deadline either.
func (r *Router) groupAction(m *Machine, a Action) {
	x := r.machines[m]
	r.execute(r.at, x, a)
	r.schedule(x)
}

// formGroups gives the members of sync groups their group, in the order in which they were set.
func (r *Router) formGroups() {
	if !r.regroup {
		return
	}
	r.regroup = false
	groups := make(map[string]Group)
	for _, x := range r.runners {
		if x.in.Sync != "" {
			groups[x.in.Sync] = append(groups[x.in.Sync], x.machine)
		}
	}
	for _, x := range r.runners {
		if x.group = groups[x.in.Sync]; x.group != nil {
			r.look(x) // one that was alone, or is now
		}
	}
}

func (r *Router) execute(now time.Time, x *runner, a Action) {
	switch a := a.(type) {
	case SendAdvert:
		r.send(now, x, a.Priority)
		r.attend(now, x)
	case AddAddrs:
		r.hold(x, x.holdings())
	case RemoveAddrs:
		r.release(x, x.holdings())
	case AnnounceAddrs:
		r.announce(x, int(a.Rounds), false)
	case AnnounceExtra:
		r.announce(x, 1, true)
	case DefendAddr:
		r.defend(x, a.Addr)
	case Transition:
		r.transition(x, a)
	case Conflict:
		r.log.Warn("conflict", "instance", a.Instance, "kind", a.Kind.String(), "with", a.From, "detail", a.Detail)
		if r.conflict != nil {
			r.after(x.home, func() { r.notifier.queue.Add(func() { r.conflict(a) }) })
		}
	}
}

func (r *Router) transition(x *runner, t Transition) {
	x.since, t.Priority = t.At, x.machine.Priority()
	clear(x.complained)
	if t.To == Master {
		x.stats.BecomeMaster++
		t.Took = x.silence(t.At)
	}
	r.log.Info("transition", "instance", t.Instance, "from", t.From.String(), "to", t.To.String(), "reason", t.Reason)
	if t.From == Fault && t.To == Backup && x.in.unicast() && x.in.Interface != "" {
		iface, source := x.transmit(), x.source
		r.after(x.home, func() { _ = r.net.Announce(iface, []netip.Addr{source}) }) // peers may have forgotten the way here
	}
	r.after(x.home, func() { r.notifier.add(t) })
}

func (r *Router) send(now time.Time, x *runner, priority uint8) {
	x.writer.begin(priority)
	x.id = max(x.id+1, 1)
	if !x.in.unicast() {
		r.sendTo(now, x, x.in.group())
	}
	for i := range x.in.Peers {
		r.sendTo(now, x, x.in.Peers[i].Addr)
	}
	if priority == 0 {
		x.stats.PriorityZeroSent++
	}
}

// precedence is Internetwork Control (RFC 791), as keepalived marks its adverts.
const precedence = 0xc0

// sendTo writes one copy, which leaves with the others.
func (r *Router) sendTo(now time.Time, x *runner, dst netip.Addr) {
	p, start := x.port, len(r.out)
	header := ipheader.Header{Src: x.source, Dst: dst, TTL: x.in.ttl(), Class: precedence, Protocol: p.key.Protocol, ID: x.id}
	var err error
	if r.out, err = x.writer.appendPacket(r.out, now, &header); err != nil {
		r.unsent(x, dst, err)
		return
	}
	if len(p.out) == 0 {
		r.sending = append(r.sending, p)
	}
	p.out = append(p.out, outgoing{x, start, len(r.out), dst})
}

// ttl is that of adverts.
func (in *Instance) ttl() uint8 {
	if in.unicast() {
		return cmp.Or(in.TTL, 255)
	}
	return 255
}

// commit carries out what was decided: adverts leave first, then the slow work begins.
func (r *Router) commit() {
	for _, p := range r.sending {
		r.flush(p)
	}
	r.sending, r.out = r.sending[:0], r.out[:0]
	for i, f := range r.later {
		f()
		r.later[i] = nil
	}
	r.later = r.later[:0]
}

var errNoSocket = fmt.Errorf("no socket: %w", fs.ErrClosed)

// flush sends. A datagram that cannot be sent keeps none of the others back.
func (r *Router) flush(p *port) {
	r.datagrams = r.datagrams[:0]
	for _, o := range p.out {
		r.datagrams = append(r.datagrams, Datagram{Data: r.out[o.start:o.end], Dst: o.dst, Err: errNoSocket})
	}
	if p.conn != nil {
		p.conn.Send(r.datagrams)
	}
	for i, o := range p.out {
		if err := r.datagrams[i].Err; err != nil {
			r.unsent(o.x, o.dst, err)
		} else {
			o.x.stats.AdvertsSent++
		}
		p.out[i].x = nil
	}
	p.out = p.out[:0]
}

func (r *Router) unsent(x *runner, dst netip.Addr, err error) {
	x.stats.SendErrors++
	if x.in.unicast() {
		r.dispute(x, time.Now(), ConflictPeer, dst, err)
	}
	r.log.Debug("send advert", "instance", x.in.String(), "to", dst, "error", err)
}

// join enters an instance into the tables.
func (r *Router) join(x *runner) {
	r.nameLinks(x)
	x.home, x.port = r.link(x.in.Interface), r.port(x)
	x.port.runners = append(x.port.runners, x)
	r.overhear(x)
	r.contend(x)
	r.names[x.in.String()] = x
	r.machines[x.machine] = x
	r.regroup = r.regroup || x.in.Sync != ""
	if !x.in.owner() { // an owner's addresses are the host's own
		for _, a := range x.in.held() {
			r.virtual[a.Addr()]++
		}
	}
	for _, a := range x.placed(x.in.held()) {
		if !a.NoTrack {
			r.holders[place{a.Interface, a.Prefix}] = x
		}
	}
	for _, name := range x.interfaces() {
		l := r.link(name)
		l.users = append(l.users, x)
		x.links = append(x.links, l)
	}
	r.stale(x.port)
}

// leave undoes join.
func (r *Router) leave(x *runner) {
	x.port.runners = cut(x.port.runners, x)
	r.stale(x.port)
	if x.twin != nil {
		x.twin.guests = cut(x.twin.guests, x)
		r.stale(x.twin)
	}
	r.concede(x)
	if r.names[x.in.String()] == x {
		delete(r.names, x.in.String())
	}
	delete(r.machines, x.machine)
	r.regroup = r.regroup || x.in.Sync != ""
	if !x.in.owner() {
		for _, a := range x.in.held() {
			if r.virtual[a.Addr()]--; r.virtual[a.Addr()] == 0 {
				delete(r.virtual, a.Addr())
			}
		}
	}
	for _, a := range x.placed(x.in.held()) {
		if at := (place{a.Interface, a.Prefix}); r.holders[at] == x {
			delete(r.holders, at)
		}
	}
	for _, l := range x.links {
		l.users = cut(l.users, x)
	}
	x.links = nil
}

// detach forgets an instance that has left.
func (r *Router) detach(x *runner) {
	r.promote(x, false)
	r.leave(x)
	r.dropLinks(x, x.vlinks)
	x.gone = true
	r.timers.remove(x)
	r.abandon(x.port, x.twin)
	r.deafen(x.ears)
}

func cut(list []*runner, x *runner) []*runner {
	if i := slices.Index(list, x); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}

// change brings a running instance to its new wish.
func (r *Router) change(now time.Time, x *runner, in Instance) {
	old, oldPort, oldTwin := x.holdings(), x.port, x.twin
	refused := x.refused(old.Addrs)
	oldLinks, oldEars := x.vlinks, x.ears
	r.promote(x, false)
	r.leave(x)
	for _, v := range oldLinks {
		delete(r.vmacs, v.Name)
	}
	x.setInstance(in)
	if !r.running {
		x.machine = mustMachine(in)
	}
	r.join(x)
	r.dropLinks(x, x.keepLinks(oldLinks))
	r.abandon(oldPort, oldTwin)
	r.deafen(oldEars)
	r.look(x)
	if !r.running {
		return
	}
	if x.port != oldPort {
		r.look(x.port.runners...)
		_, _ = r.usable(now, x)
	}
	r.step(now, x, Reconfigure{Instance: in, Priority: x.effective(r.tracking[in.String()]), NotBefore: r.notBefore(&x.in)})
	if x.machine.State() != Master {
		return
	}
	held := x.holdings()
	if now := x.refused(old.Addrs); len(now) != len(refused) { // it accepts traffic now, or no longer
		fw, on := r.host.Firewall, len(now) > 0
		r.after(x.home, func() {
			if err := r.refuse(fw, append(now, refused...), on); err != nil {
				r.log.Error("refuse traffic", "instance", x.in.String(), "error", err)
			}
		})
	}
	if gone := old.without(held); !gone.empty() {
		r.drop(x, gone)
	}
	if added := held.without(old); !added.empty() {
		r.add(x, added)
		if len(added.Addrs) > 0 {
			r.announce(x, in.Announce.rounds(), false)
		}
	}
}

// holdings are what the instance holds while MASTER, where it really goes.
func (x *runner) holdings() Holdings {
	return Holdings{Addrs: x.placed(x.in.held()), Routes: x.in.Routes, Rules: x.in.Rules}
}

// without lists what of a is not in b.
func without[E comparable](a, b []E) []E {
	if len(a) == 0 {
		return nil
	}
	have := make(map[E]bool, len(b))
	for _, x := range b {
		have[x] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(x E) bool { return have[x] })
}
