package holdfast

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/bfd"
	"github.com/holdfast-lb/holdfast/internal/lockfile"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// ErrEnded is what a Controller answers once its Run has returned.
var ErrEnded = errors.New("holdfast: controller has ended")

// releaseTimeout bounds the removal of table entries on leaving.
const releaseTimeout = 5 * time.Second

// Options of a [Controller]. The zero value is usable.
type Options struct {
	// Logger gets what happens. Nil discards.
	Logger *slog.Logger
	// Network is where instances live. Nil means [vrrp.HostNetwork].
	Network vrrp.Network
	// Table is where services go. Nil means nowhere: they are checked, shown in Status and tell events all the same. It is
	// not closed.
	Table ipvs.Table
	// RepairInterval is the time between looks at the table for drift, SlowStart the time in which a server that comes back
	// gets to its weight, and Ledger the file that remembers what is ours in the table; see [ipvs.ReconcilerOptions]. Zero
	// means 1 s, at once, and none.
	RepairInterval time.Duration
	SlowStart      time.Duration
	Ledger         string
	// StateFile is where a Controller writes what the next one needs to go on without a gap: who is MASTER, the verdicts of checks,
	// what operators said. It is for one Controller at a time: with another at work, Run waits for Takeover and then is [ErrHeld].
	// Empty means that nothing is written.
	StateFile string
	Takeover  time.Duration
	// MaxConcurrentChecks bounds the checks that run at once; see [check.Options].
	MaxConcurrentChecks int
	// Dial reaches mail servers and webhooks; it is where names are resolved. Nil means that of a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Controller holds a [Spec]: it runs the instances and the checks, and keeps the table as their verdicts want it.
type Controller struct {
	log               *slog.Logger
	events            hub
	notifier          *notifier
	router            *vrrp.Router
	monitor           *check.Monitor
	speaker           *bfd.Speaker
	kernel            ipvs.Table       // nil without a table
	table             *ipvs.Reconciler // keeps it; nil likewise
	lateness, latency meter
	tuner             tuner
	retune            chan struct{} // holds a token while the tuning may have to change
	wake              chan struct{} // holds a token while the table may have to change
	ready             chan struct{}
	options           Options
	lock              *lockfile.Lock // of the state file; nil without one
	left              estate         // by a predecessor
	worth, urgent     chan struct{}  // hold a token while the state file is out of date

	applying sync.Mutex // one Apply or verb, or the beginning or the end of Run, at a time; taken before syncing and mu
	wish     Spec       // as it was applied; guarded by applying
	over     overrides  // guarded by applying, and to be read under mu
	syncing  sync.Mutex // one wish at a time goes to the table; taken before mu

	mu     sync.Mutex // guards the fields below
	phase  phase
	spec   Spec // the wish with the overrides: what is in force
	state  *state
	group  groups
	host   map[string]vrrp.Tracking // what the host application says
	kept   bool                     // a successor takes over
	heirs  []string                 // were MASTER when everything was left to a successor
	reload reloads                  // what the host program tells
	end    context.CancelFunc       // of Run
}

type phase uint8

const (
	idle phase = iota
	running
	ended
)

// New makes a Controller that holds nothing. It starts nothing.
func New(o Options) *Controller {
	c := &Controller{log: o.Logger, wake: make(chan struct{}, 1), retune: make(chan struct{}, 1), ready: make(chan struct{}), state: newState(&Spec{}, &state{}), host: make(map[string]vrrp.Tracking)}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.kernel, c.options, c.worth, c.urgent = o.Table, o, make(chan struct{}, 1), make(chan struct{}, 1)
	c.notifier = newNotifier(o, c.log, c.publish)
	c.events.sink = c.notifier.handle
	c.router = vrrp.NewRouter(vrrp.Options{
		Logger: c.log, Network: o.Network, OnTransition: c.instanceChanged, OnNotice: c.noticed, OnConflict: c.conflicted, OnTimer: c.lateness.observe,
	})
	c.monitor = check.NewMonitor(check.Options{Logger: c.log, OnTransition: c.probeChanged, OnResult: c.checked, MaxConcurrent: o.MaxConcurrentChecks})
	c.state.known = c.monitor.Known
	c.speaker = bfd.NewSpeaker(bfd.Options{Logger: c.log})
	if o.Table != nil {
		c.table = ipvs.NewReconciler(o.Table, ipvs.ReconcilerOptions{
			Logger: c.log, Interval: o.RepairInterval, OnRepair: c.repaired, SlowStart: o.SlowStart, Ledger: o.Ledger,
		})
		c.tuner.table, _ = o.Table.(tunable)
	}
	return c
}

// Ready is closed once Run holds what was applied: adverts are heard, checks are scheduled and the table was told.
func (c *Controller) Ready() <-chan struct{} { return c.ready }

// Subscribe gives every event from now on. A reader that falls more than buffer events behind loses the oldest.
func (c *Controller) Subscribe(buffer int) *Subscription { return c.events.subscribe(buffer) }

// SetTracking tells what the host application's own health says about the named instance; see [vrrp.Router.SetTracking]. The
// trackers of the Spec count beside it. What was told of an instance goes with it; one that there is not is an error that is
// fs.ErrNotExist.
func (c *Controller) SetTracking(instance string, t vrrp.Tracking) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spec.instance(instance) < 0 {
		return noInstance(instance)
	}
	c.host[instance] = t
	c.track(instance)
	return nil
}

// track tells the Router what everybody says about an instance. c.mu is held.
func (c *Controller) track(instance string) {
	t, host := c.state.tracking(instance), c.host[instance]
	t.Priority += host.Priority
	if host.Fault {
		t.Fault, t.Reason = true, host.Reason
	}
	if c.over.instances[instance].out {
		t.Fault, t.Reason = true, "maintenance"
	}
	c.router.SetTracking(instance, t)
}

// Run holds what was applied until ctx ends. Then every MASTER sends priority 0 and gives its addresses up, and the
// Controller's own entries leave the table; Run returns nil when that is done, within 10 s. It returns an error when
// instances cannot work at all, for want of privilege, or when another Controller holds the state file. A Controller runs once.
func (c *Controller) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer c.events.close()
	if err := c.succeed(ctx); err != nil {
		return err
	}
	if err := c.enter(running, cancel); err != nil {
		return err
	}
	if !c.left.Kept {
		c.runOnce(c.program(func(s *Spec) *Program { return s.Startup }), "startup script")
	}
	c.notifier.start(ctx)
	err := c.hold(ctx)
	err = errors.Join(err, c.enter(ended, nil), c.leave())
	c.notifier.close()
	if !c.keeps() {
		c.runOnce(c.program(func(s *Spec) *Program { return s.Shutdown }), "shutdown script")
	}
	return err
}

// hold runs the parts until ctx ends. The instances are the first to go on where a predecessor left.
func (c *Controller) hold(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	var untilLeft sync.WaitGroup // what a successor must wait for
	untilLeft.Add(1)
	group.Go(func() error {
		defer untilLeft.Done()
		if !c.left.Kept { // a successor's peers must not wait
			c.settle(ctx)
		}
		return c.router.Run(ctx)
	})
	if err := c.inherit(); err != nil {
		c.log.Error("verdicts are not taken over", "error", err)
	}
	c.tellInitial()
	group.Go(func() error { return c.monitor.Run(ctx) })
	group.Go(func() error { return c.speaker.Run(ctx) })
	group.Go(func() error { c.watchAddresses(ctx); return nil })
	untilLeft.Add(1)
	group.Go(func() error { defer untilLeft.Done(); return c.keepTable(ctx) })
	group.Go(func() error { c.keepEstate(ctx, &untilLeft); return nil })
	return group.Wait()
}

// Handover makes Run end and leave everything as it is, for a successor on this host with the same [Options.StateFile]: instances
// stay MASTER as their peers see it, addresses and table entries stay, nobody is told. It does not wait for Run.
func (c *Controller) Handover() {
	c.mu.Lock()
	c.kept = true
	end := c.end
	c.mu.Unlock()
	c.router.KeepOnLeave(true)
	c.notifier.hush()
	if end != nil {
		end()
	}
}

func (c *Controller) keeps() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept
}

// leave takes away what is left, unless a successor wants it.
func (c *Controller) leave() error {
	if c.keeps() {
		return nil
	}
	err := c.release()
	c.tellOmega()
	if c.lock != nil {
		err = errors.Join(err, c.bequeathNothing())
	}
	return err
}

// tellInitial tells what there is to tell of services that start.
func (c *Controller) tellInitial() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var moves []move
	for _, service := range c.state.services {
		if _, known := c.left.Services[service.name]; !known {
			moves = append(moves, move{is: service})
		}
	}
	c.events.tell(initial(moves, c.spec.Notify.InitialServers, time.Now()))
}

func (c *Controller) program(of func(*Spec) *Program) *Program {
	c.mu.Lock()
	defer c.mu.Unlock()
	return of(&c.spec)
}

// runOnce runs a program to its end.
func (c *Controller) runOnce(p *Program, what string) {
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout())
	defer cancel()
	if err := c.notifier.run(ctx, p.command()); err != nil {
		c.log.Error(what, "error", err)
		c.publish(EventError, what, "", "", err.Error())
	}
}

// enter begins a phase. Whoever is in Apply finishes first.
func (c *Controller) enter(p phase, end context.CancelFunc) error {
	c.applying.Lock()
	defer c.applying.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if p == running && c.phase != idle {
		return errors.New("holdfast: a controller runs once")
	}
	if p == running && c.table == nil && len(c.spec.Services) > 0 {
		c.log.Warn("no table: services are checked and nothing is balanced")
	}
	c.phase, c.end = p, end
	if c.kept && end != nil { // it was told before it began
		end()
	}
	return nil
}

func (c *Controller) release() error {
	if c.table == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	c.mu.Lock()
	flush := c.spec.Tuning.FlushAtEnd
	c.mu.Unlock()
	err := errors.Join(c.tuner.keep(ctx, &Tuning{}, false), c.table.Release(ctx))
	if flush {
		err = errors.Join(err, c.table.Flush(ctx))
	}
	return err
}

// keepTable puts the wish into the table, again whenever it changes or the table drifts.
func (c *Controller) keepTable(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if c.table != nil {
		group.Go(func() error { return c.table.Run(ctx) })
		group.Go(func() error { c.keepTuning(ctx); return nil })
	}
	group.Go(func() error {
		c.sync(ctx)
		c.flush(ctx)
		c.signalReady(ctx)
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-c.wake:
				_ = c.syncChanged(ctx) // it has told, and the Reconciler tries again
			}
		}
	})
	return group.Wait()
}

func (c *Controller) signalReady(ctx context.Context) {
	for _, part := range []<-chan struct{}{c.router.Ready(), c.monitor.Ready()} {
		select {
		case <-part:
		case <-ctx.Done():
			return
		}
	}
	close(c.ready)
}

// sync puts the present wish into the table. What cannot be done is told, and tried again by the Reconciler.
func (c *Controller) sync(ctx context.Context) error {
	if c.table == nil {
		return nil
	}
	c.syncing.Lock()
	defer c.syncing.Unlock()
	c.mu.Lock()
	want := c.state.want()
	c.state.dirty = nil // it is in the wish
	c.mu.Unlock()
	return c.tell(ctx, c.table.Set(ctx, want))
}

// flush removes what is not in the Spec, when the Spec says so.
func (c *Controller) flush(ctx context.Context) {
	c.mu.Lock()
	wanted := c.spec.Tuning.Flush && c.table != nil
	c.mu.Unlock()
	if wanted {
		_ = c.tell(ctx, c.table.Flush(ctx))
	}
}

// syncChanged puts into the table what verdicts have changed since. It costs what changed, however much there is.
func (c *Controller) syncChanged(ctx context.Context, removed ...ipvs.ServiceKey) error {
	if c.table == nil {
		return nil
	}
	c.syncing.Lock()
	defer c.syncing.Unlock()
	c.mu.Lock()
	some := c.state.changed()
	c.mu.Unlock()
	err := c.table.Update(ctx, some...)
	if len(removed) > 0 {
		err = errors.Join(err, c.table.Delete(ctx, removed...))
	}
	return c.tell(ctx, err)
}

// tell tells of what the table refused.
func (c *Controller) tell(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil {
		c.log.Error("table refused a change; trying again", "error", err)
		c.publish(EventError, "table", "", "", err.Error())
	}
	return err
}

// Apply makes spec what the Controller holds, and changes just what differs. An invalid Spec changes nothing. During Run
// the error tells which entries the table refused: the rest is in force, and what was refused is tried again. Before Run,
// the Spec is what Run begins with.
func (c *Controller) Apply(ctx context.Context, spec Spec) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	c.applying.Lock()
	defer c.applying.Unlock()
	wish, _ := adopting(&c.wish, &spec)
	return c.apply(ctx, wish, c.over, EventApply, "spec")
}

// apply takes a valid wish that nobody else changes, with what overrides it. c.applying is held.
func (c *Controller) apply(ctx context.Context, wish Spec, over overrides, kind EventKind, object string) error {
	if c.now() == ended {
		return ErrEnded
	}
	over = over.within(&wish)
	spec := wish.with(over)
	d := deltaOf(c.spec.Services, spec.Services)
	summary := c.summary(&spec, d)
	removed, err := c.adopt(spec, over, d)
	if err != nil {
		return err
	}
	c.wish = wish
	if c.now() == running {
		err = c.syncChanged(ctx, removed...)
	}
	err = errors.Join(err, c.router.SetHost(spec.Host), c.router.Set(spec.Instances))
	c.log.Info("applied", "what", object, "changes", summary)
	c.publish(kind, object, "", "", summary)
	c.outdate(false)
	if spec.Notify.Repeat && kind == EventApply {
		c.notifier.repeat(c.router.Status(), c.groupStates())
	}
	return err
}

// summary counts what changes. It looks at nothing that does not.
func (c *Controller) summary(spec *Spec, d *delta) string {
	have, want := c.spec, *spec
	have.Services, want.Services = nil, nil
	plan := diffBeside(have, want)
	services := len(d.changed) + len(d.gone)
	return changed(len(plan.Instances), services, len(plan.Table)+len(plan.Checks)+len(plan.Notify)+len(plan.Tuning))
}

// changed says in words what numbers say.
func changed(instances, services, others int) string {
	var list []string
	for _, part := range []struct {
		n    int
		what string
	}{{instances, "instance"}, {services, "service"}, {others, "other part"}} {
		switch part.n {
		case 0:
		case 1:
			list = append(list, "1 "+part.what)
		default:
			list = append(list, fmt.Sprintf("%d %ss", part.n, part.what))
		}
	}
	if len(list) == 0 {
		return "nothing changed"
	}
	return strings.Join(list, ", ") + " changed"
}

func (c *Controller) now() phase {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase
}

// adopt makes spec the one that verdicts are about, and runs its probes. It returns the entries that are to leave the table.
func (c *Controller) adopt(spec Spec, over overrides, d *delta) ([]ipvs.ServiceKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.speaker.Set(spec.Sessions); err != nil {
		c.log.Error("BFD sessions", "error", err)
	}
	c.state.present = c.present(&spec)
	now, came := time.Now(), c.state.update(&spec, d)
	verdicts, err := c.monitor.Update(c.bound(came.probes), came.gone...)
	c.state.begin(&came, verdicts)
	c.spec, c.over, c.group = spec, over, newGroups(spec.Instances, c.group)
	maps.DeleteFunc(c.host, func(name string, _ vrrp.Tracking) bool { return spec.instance(name) < 0 })
	c.notifier.set(&spec)
	c.tune()
	for i := range spec.Instances {
		c.track(spec.Instances[i].String())
	}
	if c.phase == running {
		for _, e := range since(came.moves, now) {
			c.events.publish(e)
		}
		c.events.tell(initial(came.moves, spec.Notify.InitialServers, now))
	}
	return came.removed, err
}

// bound gives checks of the Spec's BFD sessions the Speaker that keeps them.
func (c *Controller) bound(probes []check.Probe) []check.Probe {
	for i := range probes {
		if f, follows := probes[i].Checker.(bfd.Follow); follows && f.Speaker == nil {
			f.Speaker = c.speaker
			probes[i].Checker = f
		}
	}
	return probes
}

// Plan tells what Apply would change now, by the health of this moment and what the table really holds.
func (c *Controller) Plan(ctx context.Context, spec Spec) (Plan, error) {
	if err := spec.Validate(); err != nil {
		return Plan{}, err
	}
	c.mu.Lock()
	spec = spec.with(c.over)
	plan, have, want := diffBeside(c.spec, spec), c.state.want(), newState(&spec, c.state).want()
	c.mu.Unlock()
	if c.table == nil {
		plan.Table = ipvs.Diff(have, want)
		return plan, nil
	}
	var err error
	plan.Table, err = c.table.Plan(ctx, want)
	return plan, err
}

// instanceChanged hears the Router.
func (c *Controller) instanceChanged(t vrrp.Transition) {
	e := Event{
		Time: t.At, Kind: EventInstance, Object: t.Instance, From: t.From.String(), To: t.To.String(), Reason: t.Reason, Priority: t.Priority, Took: t.Took,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outdate(true)
	if c.kept && t.From == vrrp.Master && t.To == vrrp.Init {
		c.heirs = append(c.heirs, t.Instance)
	}
	if of, ok := c.group.started(e); ok {
		c.events.publish(of)
	}
	c.events.publish(e)
	c.tune()
	if of, ok := c.group.changed(e); ok {
		c.events.publish(of)
	}
}

// groupStates are what was told of the groups last, in the order of their first members.
func (c *Controller) groupStates() (list []Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := make(map[string]bool)
	for i := range c.spec.Instances {
		if name := c.spec.Instances[i].Sync; name != "" && !seen[name] {
			seen[name] = true
			list = append(list, Event{Kind: EventGroup, Object: name, To: c.group.told[name]})
		}
	}
	return list
}

// tellOmega tells that what was up is down, of services for which that is wished.
func (c *Controller) tellOmega() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, service := range c.state.services {
		if !c.spec.Services[i].Omega {
			continue
		}
		for _, server := range service.servers {
			if server.up() {
				c.events.publish(transition(EventServer, server.name, true, time.Now(), "the load balancer ends"))
			}
		}
		c.events.publish(transition(EventService, service.name, true, time.Now(), "the load balancer ends"))
	}
}

// noticed hears the Router too.
func (c *Controller) noticed(n vrrp.Notice) {
	e := Event{Time: n.At, Kind: EventPriority, Object: n.Instance, From: n.State.String(), To: n.State.String(), Priority: n.Priority}
	e.Reason = fmt.Sprintf("priority %d -> %d", n.Was, n.Priority)
	if n.Rival.IsValid() {
		e.Kind, e.Reason = EventRival, fmt.Sprintf("advert of priority %d from %v", n.RivalPriority, n.Rival)
	}
	c.events.publish(e)
}

// conflicted hears the Router of other routers that do not agree.
func (c *Controller) conflicted(k vrrp.Conflict) {
	c.events.publish(Event{Time: k.At, Kind: EventConflict, Object: k.Instance, To: k.Kind.String(), Reason: fmt.Sprintf("with %v: %s", k.From, k.Detail)})
}

// probeChanged hears the Monitor. The table is changed by another goroutine, so that verdicts that come at once go to the
// kernel at once.
func (c *Controller) probeChanged(t check.Transition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.state.verdict(t) {
		if e.Kind == EventService {
			c.log.Warn("quorum", "service", e.Object, "state", e.To, "reason", e.Reason)
		}
		c.events.publish(e)
	}
	if p := c.state.probes[t.ID]; p != nil && p.tracker != nil {
		for _, e := range p.tracker.effects {
			c.track(e.Instance)
		}
		return
	}
	c.outdate(false)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// checked hears of every check.
func (c *Controller) checked(_ string, r check.Result) { c.latency.observe(r.Latency) }

// repaired hears the Reconciler.
func (c *Controller) repaired(plan ipvs.Plan, err error) {
	var seen []ipvs.ServiceKey
	for _, op := range plan {
		if key := op.Service.ServiceKey; err == nil && !slices.Contains(seen, key) {
			seen = append(seen, key)
			c.publish(EventRepair, key.String(), "", "", op.String())
		}
	}
	if err != nil {
		c.publish(EventError, "table", "", "", err.Error())
	}
}

func (c *Controller) publish(kind EventKind, object, from, to, reason string) {
	c.events.publish(Event{Time: time.Now(), Kind: kind, Object: object, From: from, To: to, Reason: reason})
}
