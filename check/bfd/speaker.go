package bfd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/internal/due"
	"github.com/holdfast-lb/holdfast/internal/serial"
)

// Options of a [Speaker]. The zero value is usable.
type Options struct {
	// Logger gets each transition, and at Debug level each discarded packet. Nil discards.
	Logger *slog.Logger
	// OnTransition is called for each change of state, in order, from one goroutine at a time. It may take as long as it likes:
	// the protocol does not wait for it.
	OnTransition func(Transition)
}

// Speaker keeps any number of sessions on this host's sockets.
type Speaker struct {
	log   *slog.Logger
	call  func(Transition)
	tell  *serial.Queue
	wire  wire
	wake  chan struct{} // holds a token when the loop shall look at its timers again
	ready chan struct{}

	mu        sync.Mutex // guards the fields below, and the sessions
	rand      *rand.Rand
	order     []*speaking
	byName    map[string]*speaking
	byDiscr   map[uint32]*speaking
	timers    due.Queue[*speaking]
	hearing   map[kind]func()            // stops listening
	followers map[string][]chan struct{} // by name of the session
	running   bool
	deafUntil time.Time // when to try again to listen, zero when nothing is amiss
	excused   bool      // the loop was late, and has waited for packets that came meanwhile
}

// speaking is a session at work.
type speaking struct {
	Session
	due.Slot
	machine *Machine
	out     sender // nil while it could not be opened
	port    uint16 // that it sends from, once it has one
	since   time.Time
	stats   Stats
	next    uint32 // sequence of the next signed packet
	window  window
}

// wire is where packets go. [hostWire] is the real one.
type wire interface {
	// listen calls heard, from a goroutine of its own, for each packet of a kind until stop is called.
	listen(k kind, heard func(datagram)) (stop func(), err error)
	// open gives the socket that a session sends from, on the given port if that is free.
	open(s *Session, port uint16) (sender, error)
}

type sender interface {
	send(payload []byte) error
	port() uint16
	close()
}

// kind is what a socket to listen on is for.
type kind struct{ six, multihop bool }

func (s *Session) kind() kind { return kind{s.Peer.Is6(), s.Multihop} }

func (k kind) port() uint16 {
	if k.multihop {
		return portMulti
	}
	return portSingle
}

// datagram is a received packet with what its IP header said. Zero values are not known.
type datagram struct {
	payload  []byte
	src, dst netip.Addr
	index    int // of the interface that it came in on
	ttl      int
	multihop bool
}

// NewSpeaker makes a Speaker without sessions. It starts nothing.
func NewSpeaker(o Options) *Speaker {
	s := &Speaker{
		log: o.Logger, call: o.OnTransition, tell: serial.NewQueue(), wire: hostWire{}, wake: make(chan struct{}, 1), ready: make(chan struct{}),
		rand:   rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		byName: make(map[string]*speaking), byDiscr: make(map[uint32]*speaking), hearing: make(map[kind]func()),
		followers: make(map[string][]chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Ready is closed once Run hears packets.
func (s *Speaker) Ready() <-chan struct{} { return s.ready }

// Set makes the given sessions the ones that are kept. An invalid list changes nothing. Sessions are matched by name: one
// on the same path keeps its state, and changed timers are negotiated; one that is gone tells its peer that an operator took it
// down. During Run an error may also say that a port cannot be had: the sessions that need it stay Down.
func (s *Speaker) Set(sessions []Session) error {
	if err := ValidateAll(sessions); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, old := time.Now(), s.byName
	s.byName, s.order = make(map[string]*speaking, len(sessions)), nil
	for i := range sessions {
		wish := sessions[i].clone()
		x := old[wish.Name]
		if x != nil && x.samePath(&wish) {
			delete(old, wish.Name)
			x.Session = wish
			s.step(now, x, Reconfigure{wish})
		} else {
			x = s.begin(now, wish)
		}
		s.byName[wish.Name] = x
		s.order = append(s.order, x)
	}
	for _, x := range old {
		s.end(now, x)
	}
	s.poke()
	if !s.running {
		return nil
	}
	return s.listen(now)
}

// ValidateAll reports everything that is wrong with a list of sessions for one Speaker, joined.
func ValidateAll(sessions []Session) error {
	var errs []error
	type path struct {
		local, peer netip.Addr
		iface       string
		multihop    bool
	}
	names, paths := make(map[string]bool), make(map[path]string)
	for i := range sessions {
		x := &sessions[i]
		errs = append(errs, x.Validate())
		if names[x.Name] {
			errs = append(errs, fmt.Errorf("bfd: session %q is there twice", x.Name))
		}
		names[x.Name] = true
		p := path{x.Local, x.Peer, x.Interface, x.Multihop}
		if other, clash := paths[p]; clash {
			errs = append(errs, fmt.Errorf("bfd: session %q is on the path of %q", x.Name, other))
		}
		paths[p] = x.Name
	}
	return errors.Join(errs...)
}

// begin makes a session with a discriminator that no other has.
func (s *Speaker) begin(now time.Time, wish Session) *speaking {
	mine := s.rand.Uint32()
	for mine == 0 || s.byDiscr[mine] != nil {
		mine = s.rand.Uint32()
	}
	machine, err := NewMachine(now, wish, mine, s.rand)
	if err != nil {
		panic("bfd: " + err.Error()) // it was validated
	}
	x := &speaking{Session: wish, machine: machine, since: now, next: s.rand.Uint32()}
	s.byDiscr[mine] = x
	if s.running {
		s.schedule(x)
	}
	return x
}

func (s *Speaker) end(now time.Time, x *speaking) {
	defer s.tellFollowers(x.Name)
	if s.running {
		s.step(now, x, Leave{})
	}
	delete(s.byDiscr, x.machine.mine)
	s.timers.Remove(x)
	if x.out != nil {
		x.out.close()
	}
}

// Run keeps the sessions until ctx ends, tells the peers that they are administratively down, and returns nil. While a port cannot
// be had the sessions that need it stay Down, and it is tried again. A Speaker runs once.
func (s *Speaker) Run(ctx context.Context) error {
	defer func() { s.tell.Finish(); <-s.tell.Done() }()
	defer s.stop()
	if err := s.start(); err != nil {
		return err
	}
	close(s.ready)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-timer.C:
		}
		timer.Reset(s.runDue())
	}
}

func (s *Speaker) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return errors.New("bfd: a speaker runs once")
	}
	s.running = true
	for _, x := range s.order {
		s.schedule(x)
	}
	if err := s.listen(time.Now()); err != nil {
		s.log.Error("bfd cannot hear; trying again", "error", err)
	}
	return nil
}

// deafTime is how long it takes until a port that could not be had is tried again.
const deafTime = 5 * time.Second

// listen opens the sockets that sessions need, and closes those that none needs any more.
func (s *Speaker) listen(now time.Time) error {
	var errs []error
	needed := make(map[kind]bool)
	for _, x := range s.order {
		k := x.kind()
		if needed[k] {
			continue
		}
		needed[k] = true
		if s.hearing[k] != nil {
			continue
		}
		stop, err := s.wire.listen(k, s.heard)
		if err != nil {
			errs = append(errs, deaf(k, err))
			s.deafUntil = now.Add(deafTime)
			continue
		}
		s.hearing[k] = stop
	}
	for k, stop := range s.hearing {
		if !needed[k] {
			stop()
			delete(s.hearing, k)
		}
	}
	if len(errs) == 0 {
		s.deafUntil = time.Time{}
	}
	return errors.Join(errs...)
}

// deaf says why a port cannot be had, and what to do where a second program wants it.
func deaf(k kind, err error) error {
	if portTaken(err) {
		return fmt.Errorf("bfd: listen on UDP port %d: another program on this host speaks BFD already (ss -lunp sport = :%d names it): stop it, or leave all sessions to it: %w", k.port(), k.port(), err)
	}
	return fmt.Errorf("bfd: listen on UDP port %d: %w", k.port(), err)
}

func (s *Speaker) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, x := range s.order {
		s.end(now, x)
	}
	for _, stop := range s.hearing {
		stop()
	}
	s.running = false
}

func (s *Speaker) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// late is how late the loop may be without giving packets that came meanwhile the time to be heard: a process that was
// stopped must not believe that everybody else was.
const late = 2 * time.Millisecond

// runDue does what is due and says how long the loop may sleep.
func (s *Speaker) runDue() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if first, ok := s.timers.First(); ok && !s.excused && now.Sub(first.Due()) > late {
		s.excused = true
		return late
	}
	s.excused = false
	for x, ok := s.timers.Next(now); ok; x, ok = s.timers.Next(now) {
		s.step(now, x, Timeout{})
	}
	if !s.deafUntil.IsZero() && !now.Before(s.deafUntil) {
		_ = s.listen(now) // it was told when it began
	}
	next := now.Add(time.Hour)
	if first, ok := s.timers.First(); ok {
		next = first.Due()
	}
	if !s.deafUntil.IsZero() && s.deafUntil.Before(next) {
		next = s.deafUntil
	}
	return next.Sub(now)
}

// step drives one session. s.mu is held.
func (s *Speaker) step(now time.Time, x *speaking, ev Event) {
	for _, a := range x.machine.Step(now, ev) {
		switch a := a.(type) {
		case Send:
			s.send(x, &a.Packet)
		case Transition:
			x.since = now
			s.tellFollowers(x.Name)
			s.log.Info("bfd", "session", x.Name, "from", a.From, "to", a.To, "reason", a.Reason)
			if s.call != nil {
				s.tell.Add(func() { s.call(a) })
			}
		}
	}
	if s.running {
		s.schedule(x)
	}
}

// schedule brings the session's timer up to date.
func (s *Speaker) schedule(x *speaking) {
	at, has := x.machine.Deadline()
	if has {
		s.timers.Put(x, at)
	} else {
		s.timers.Remove(x)
	}
}

// send opens the session's socket when it has none yet: its address may come later.
func (s *Speaker) send(x *speaking, p *Packet) {
	if !s.running {
		return
	}
	if x.out == nil {
		out, err := s.wire.open(&x.Session, x.port)
		if err != nil {
			s.sendError(x, err)
			return
		}
		x.out, x.port = out, out.port()
	}
	var room [headerLen + 28]byte
	b, err := x.encode(room[:0], p)
	if err == nil {
		err = x.out.send(b)
	}
	if err != nil {
		s.sendError(x, err)
		x.out.close() // the address may be another's by now
		x.out = nil
		return
	}
	x.stats.Sent++
}

func (x *speaking) encode(b []byte, p *Packet) ([]byte, error) {
	if x.Auth == nil {
		return p.AppendBinary(b)
	}
	b, err := x.Auth.Sign(b, p, x.next)
	x.next++
	return b, err
}

// sendError is logged once until packets go again.
func (s *Speaker) sendError(x *speaking, err error) {
	level := slog.LevelWarn
	if x.stats.failing {
		level = slog.LevelDebug
	}
	x.stats.failing = true
	x.stats.SendErrors++
	s.log.Log(context.Background(), level, "bfd cannot send", "session", x.Name, "error", err)
}

// heard takes a packet from the wire.
func (s *Speaker) heard(d datagram) {
	var p Packet
	err := p.Parse(d.payload)
	if err == nil {
		err = p.Validate()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var x *speaking
	if err == nil {
		if x = s.find(&p, &d); x == nil {
			err = ErrNoSession
		}
	}
	if err == nil {
		err = x.admit(&p, &d)
	}
	if err != nil {
		s.discard(x, &d, err)
		return
	}
	x.stats.Received++
	x.stats.failing = false
	s.step(time.Now(), x, Received{&p})
	s.poke()
}

// find is by our discriminator once the peer knows it, else by addresses (RFC 5881, Section 3 and 5883, Section 4).
func (s *Speaker) find(p *Packet, d *datagram) *speaking {
	if p.Yours != 0 {
		if x := s.byDiscr[p.Yours]; x != nil && x.Multihop == d.multihop {
			return x
		}
		return nil
	}
	i := slices.IndexFunc(s.order, func(x *speaking) bool { return x.matches(d) })
	if i < 0 {
		return nil
	}
	return s.order[i]
}

func (x *speaking) matches(d *datagram) bool {
	return x.Multihop == d.multihop && x.Peer.WithZone("") == d.src.WithZone("") &&
		(!x.Local.IsValid() || !d.dst.IsValid() || x.Local.WithZone("") == d.dst.WithZone("")) &&
		(x.zone() == "" || d.index == 0 || indexOf(x.zone()) == d.index)
}

// zone is the interface that the session is on, as far as its wish tells.
func (s *Session) zone() string {
	if s.Interface != "" {
		return s.Interface
	}
	return s.Peer.Zone()
}

// admit checks what only the session can tell.
func (x *speaking) admit(p *Packet, d *datagram) error {
	if d.ttl > 0 && d.ttl < x.nearest() {
		return fmt.Errorf("%w: %d, at least %d", ErrTTL, d.ttl, x.nearest())
	}
	if x.Auth == nil {
		if p.Auth.Type != AuthNone {
			return fmt.Errorf("%w: the peer signs, and we have no key", ErrAuth)
		}
		return nil
	}
	if err := x.Auth.Verify(d.payload, p); err != nil {
		return err
	}
	if err := x.window.accepts(x.Auth.Type, p.Auth.Sequence, p.Multiplier); err != nil {
		return err
	}
	x.window = window{known: true, last: p.Auth.Sequence}
	return nil
}

func (s *Speaker) discard(x *speaking, d *datagram, err error) {
	if x != nil {
		x.stats.count(err)
	}
	s.log.Debug("bfd packet discarded", "from", d.src, "error", err)
}

// Stats are counters of one session.
type Stats struct {
	Sent         uint64 `json:"sent"`
	Received     uint64 `json:"received"`
	SendErrors   uint64 `json:"sendErrors"`
	TTLErrors    uint64 `json:"ttlErrors"`
	AuthFailures uint64 `json:"authFailures"`

	failing bool
}

func (s *Stats) count(err error) {
	switch {
	case errors.Is(err, ErrTTL):
		s.TTLErrors++
	case errors.Is(err, ErrAuth):
		s.AuthFailures++
	}
}

// Status is a snapshot of one session.
type Status struct {
	Session Session   `json:"session"`
	State   State     `json:"state"`
	Since   time.Time `json:"since"`
	// Alive is the verdict for those who depend on the path. It is true from the first Up on, until the session goes down
	// for any reason but that the peer's operator took it down.
	Alive bool `json:"alive"`
	// Remote is the peer's state as it last told, Diag why the session last went down.
	Remote State `json:"remote"`
	Diag   Diag  `json:"diag"`
	// Transmission and Detection are the times in use.
	Transmission time.Duration `json:"transmission"`
	Detection    time.Duration `json:"detection"`
	Stats        Stats         `json:"stats"`
}

// Status is a snapshot of all sessions, in the order in which they were set.
func (s *Speaker) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Status, 0, len(s.order))
	for _, x := range s.order {
		all = append(all, x.status())
	}
	return all
}

func (x *speaking) status() Status {
	m := x.machine
	return Status{
		Session: x.Session.clone(), State: m.state, Since: x.since, Alive: m.alive, Remote: m.remote, Diag: m.diag,
		Transmission: m.Transmission(), Detection: m.Detection(), Stats: x.stats,
	}
}
