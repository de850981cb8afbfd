package observe

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-lb/holdfast"
)

// Controller is what can be observed. A *holdfast.Controller is one.
type Controller interface {
	Status() holdfast.Status
	Subscribe(buffer int) *holdfast.Subscription
}

// Options of an [Observer]. The zero value is usable.
type Options struct {
	// Name is what the page calls this host. Empty means the host's name.
	Name string
	// Version is that of the program, for holdfast_build_info and the page. Empty means what the Go build recorded.
	Version string
	// History is how many events are remembered. 0 means 1000.
	History int
	// MaxStreams bounds the readers of /events of one [Observer.Handler]; one client has at most half of them. 0 means 64.
	MaxStreams int
}

// queueLength is how many events may wait for the Observer itself, a stream's queue how many may wait for one reader.
const (
	queueLength       = 4096
	streamQueueLength = 256
)

// Observer follows one [Controller]. Its methods may be called from any goroutine.
type Observer struct {
	controller Controller
	options    Options
	started    time.Time
	events     *holdfast.Subscription
	streams    atomic.Int64 // readers of events

	mu      sync.Mutex // guards the fields below
	history []holdfast.Event
	counts  counts
	last    uint64        // the number of the last event that was observed
	moved   chan struct{} // closed when one more was, nil when nobody waits
}

// New makes an Observer that knows every event from now on. It starts nothing.
func New(c Controller, o Options) *Observer {
	if o.Name == "" {
		o.Name, _ = os.Hostname()
	}
	if o.Version == "" {
		o.Version = BuildVersion()
	}
	if o.History == 0 {
		o.History = 1000
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = 64
	}
	return &Observer{
		controller: c, options: o, started: time.Now(), events: c.Subscribe(queueLength),
		counts: newCounts(),
	}
}

// Run follows the events until ctx ends or the Controller has ended, then returns nil.
func (o *Observer) Run(ctx context.Context) error {
	defer o.events.Close()
	for {
		e, err := o.events.Next(ctx)
		if ctx.Err() != nil || errors.Is(err, holdfast.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		o.observe(e)
		if e.Kind == holdfast.EventApply {
			o.forgetGone(o.controller.Status())
		}
	}
}

// History is the events that are remembered, the oldest first.
func (o *Observer) History() []holdfast.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.history)
}

// reach waits until an event has been observed, or ctx ends.
func (o *Observer) reach(ctx context.Context, seq uint64) {
	for {
		o.mu.Lock()
		if o.last >= seq {
			o.mu.Unlock()
			return
		}
		if o.moved == nil {
			o.moved = make(chan struct{})
		}
		moved := o.moved
		o.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

func (o *Observer) observe(e holdfast.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last = e.Seq; o.moved != nil {
		close(o.moved)
		o.moved = nil
	}
	o.counts.add(e)
	if len(o.history) >= o.options.History {
		o.history = slices.Delete(o.history, 0, len(o.history)-o.options.History+1)
	}
	o.history = append(o.history, e)
}

// forgetGone drops the counters of what is no longer there, so that a configuration that changes for ever costs no more
// than one that does not.
func (o *Observer) forgetGone(s holdfast.Status) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.counts.keep(present(s))
}
