package holdfast

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/internal/notify"
	"github.com/holdfast-lb/holdfast/internal/script"
)

// States that are told to receivers and that no instance is ever in.
const (
	stateStop     = "STOP"
	stateDeleted  = "DELETED"
	stateRival    = "MASTER_RX_LOWER_PRI"
	maxWaiting    = 1024             // messages that wait for one receiver
	maxPrograms   = 256              // programs that run at once
	lossInterval  = time.Minute      // between complaints about one receiver
	farewell      = 5 * time.Second  // for what is left to tell at the end
	hopelessAfter = 15 * time.Minute // a mail that cannot be handed over
)

// notifier tells events to receivers. handle is called for each event in order and never waits.
type notifier struct {
	log     *slog.Logger
	publish func(kind EventKind, object, from, to, reason string)
	run     func(context.Context, script.Command) error // runs a program to its end
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	jobs    *notify.Outbox[job]
	lines   *notify.Outbox[line]
	mails   *notify.Outbox[letter]
	posts   *notify.Outbox[post]
	losses  losses
	readers sync.WaitGroup // of FIFOs

	mu      sync.Mutex
	running context.Context // of Run; nil before
	now     Notify
	hooks   map[subject][]Hook
	leaving map[subject][]Hook  // of objects that are gone from the Spec and whose last event is to come
	names   map[string]*Service // services with a name of their own
	fifos   map[string]*pipe
	mailed  map[subject]string // the last state that was mailed
	quiet   bool               // a successor goes on: nobody is told of the end
	heirs   map[string]bool    // instances whose start was told by a predecessor
}

type subject struct {
	kind   EventKind
	object string
}

// told is an event as receivers have it.
type told struct {
	Event
	state string // To, or a state that only receivers know
}

type (
	job struct {
		told
		program Program
		words   []string
	}
	line struct {
		to   *pipe
		text string
	}
)

func newNotifier(o Options, log *slog.Logger, publish func(kind EventKind, object, from, to, reason string)) *notifier {
	runner := script.NewRunner(maxPrograms)
	n := &notifier{
		log: log, publish: publish, dial: o.Dial, fifos: make(map[string]*pipe), leaving: make(map[subject][]Hook), mailed: make(map[subject]string),
		run: func(ctx context.Context, c script.Command) error { _, err := runner.Run(ctx, c); return err },
	}
	n.jobs = notify.NewOutbox(maxWaiting, n.runProgram, func(j job, err error) { n.lost(strings.Join(j.program.Args, " "), err) })
	n.lines = notify.NewOutbox(maxWaiting, n.writeLine, func(l line, err error) { n.lost("FIFO "+l.to.spec.Path, err) })
	n.mails = notify.NewOutbox(maxWaiting, n.sendLetter, func(l letter, err error) { n.lost("mail server "+l.server.Address, err) })
	n.posts = notify.NewOutbox(maxWaiting, n.sendPost, func(p post, err error) { n.lost("webhook "+p.to.String(), err) })
	n.losses = losses{told: make(map[string]time.Time), more: make(map[string]int)}
	return n
}

// set makes receivers of a valid Notify. Those that stay the same are not touched.
func (n *notifier) set(spec *Spec) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names = fifoNames(spec)
	if same(n.now, spec.Notify) {
		return
	}
	old := n.hooks
	n.now, n.hooks = spec.Notify, make(map[subject][]Hook)
	for _, h := range spec.Notify.Hooks {
		key := subject{h.Kind, h.Object}
		n.hooks[key] = append(n.hooks[key], h)
	}
	for key, hooks := range old {
		if n.hooks[key] == nil && key.object != "" {
			n.leaving[key] = hooks
		}
	}
	if n.running != nil {
		n.openFIFOs()
	}
}

// start begins to tell. ctx is that of Run.
func (n *notifier) start(ctx context.Context) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.running = ctx
	n.openFIFOs()
}

// close tells what is left, within a bounded time, and ends the readers of FIFOs.
func (n *notifier) close() {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { n.jobs.Close(ctx) })
	all.Go(func() { n.lines.Close(ctx) })
	all.Go(func() { n.mails.Close(ctx) })
	all.Go(func() { n.posts.Close(ctx) })
	all.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.fifos {
		n.closeFIFO(p)
	}
	n.readers.Wait()
}

// handle tells an event to whom it concerns.
func (n *notifier) handle(e Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running == nil {
		return
	}
	if n.untold(e) {
		return
	}
	n.postEvent(e)
	m := told{e, e.To}
	if e.Kind == EventRival {
		m.state = stateRival
	}
	hooks := n.hooksOf(&m)
	if m.state == "" {
		return
	}
	n.runHooks(m, hooks)
	n.writeLines(m)
	n.mailEvent(m)
}

// inherit remembers instances that only go on.
func (n *notifier) inherit(names []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heirs = make(map[string]bool)
	for _, name := range names {
		n.heirs[name] = true
	}
}

// hush makes the end untold.
func (n *notifier) hush() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.quiet = true
}

// untold says whether an event is only one of this process, and nothing that happened.
func (n *notifier) untold(e Event) bool {
	if e.Kind != EventInstance && e.Kind != EventGroup {
		return false
	}
	if e.Kind == EventInstance && e.From == "INIT" && n.heirs[e.Object] {
		delete(n.heirs, e.Object)
		return true
	}
	return n.quiet && e.To == "INIT"
}

// hooksOf are those of an event's object. It names the state that is told of an instance that has ended: empty for nothing.
func (n *notifier) hooksOf(m *told) []Hook {
	key := subject{m.Kind, m.Object}
	hooks := slices.Concat(n.hooks[key], n.hooks[subject{m.Kind, ""}], n.hooks[subject{}])
	if m.To != "INIT" {
		return hooks
	}
	if n.running.Err() != nil {
		m.state = stateStop
		return hooks
	}
	gone := n.leaving[key]
	delete(n.leaving, key)
	hooks = append(hooks, gone...)
	switch {
	case slices.ContainsFunc(hooks, func(h Hook) bool { return h.To == stateDeleted }):
		m.state = stateDeleted
	case m.From == "FAULT":
		m.state = "" // it was told already
	default:
		m.state = "FAULT"
	}
	return hooks
}

func (n *notifier) runHooks(m told, hooks []Hook) {
	words := []string{"INSTANCE", m.Object, m.state, fmt.Sprint(m.Priority)}
	if m.Kind != EventInstance && m.Kind != EventRival && m.Kind != EventPriority {
		words[0] = strings.ToUpper(string(m.Kind))
	}
	for _, h := range hooks {
		if !h.matches(m.Kind, m.Object, m.state) || len(h.Program.Args) == 0 {
			continue
		}
		j := job{told: m, program: h.Program}
		if h.Words {
			j.words = words
		}
		n.jobs.Add(string(m.Kind)+" "+m.Object, j)
	}
}

func (n *notifier) runProgram(ctx context.Context, j job) error {
	ctx, cancel := context.WithTimeout(ctx, j.program.timeout())
	defer cancel()
	n.log.Debug("notify", "program", j.program.Args, "object", j.Object, "state", j.state)
	return n.run(ctx, j.program.command(j.words...))
}

// lost tells that somebody was not told. It may be called by whoever publishes.
func (n *notifier) lost(receiver string, err error) {
	more, tell := n.losses.count(receiver, time.Now())
	n.log.Warn("not told", "receiver", receiver, "error", err)
	if tell {
		go n.publish(EventError, receiver, "", "", fmt.Sprintf("%v; %d lost", err, more))
	}
}

// losses counts what each receiver lost, so that one that is dead is complained about now and then.
type losses struct {
	mu   sync.Mutex
	told map[string]time.Time
	more map[string]int
}

func (l *losses) count(receiver string, now time.Time) (lost int, tell bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.more[receiver]++
	if last, ok := l.told[receiver]; ok && now.Sub(last) < lossInterval {
		return 0, false
	}
	lost = l.more[receiver]
	l.told[receiver], l.more[receiver] = now, 0
	return lost, true
}

// same says whether two receivers are the same. TLS and headers are compared by content.
func same[T any](a, b T) bool { return reflect.DeepEqual(a, b) }
