package holdfast

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrClosed is what [Subscription.Next] returns when no event will follow: the subscription was closed, or the
// Controller's Run has ended, and everything buffered has been read.
var ErrClosed = errors.New("holdfast: subscription is closed")

// EventKind says what an [Event] is about.
type EventKind string

// The kinds of events. Object, From and To of an Event depend on it.
const (
	// EventInstance: a VRRP instance changed state. Object is its name, From and To are its states (MASTER, ...).
	EventInstance EventKind = "instance"
	// EventGroup: all members of a sync group are in the same state. Object is its name, From and To are as for instances.
	EventGroup EventKind = "group"
	// EventPriority: the effective priority of an instance changed, Reason tells from what to what. From and To are its state.
	EventPriority EventKind = "priority"
	// EventRival: an instance that is MASTER heard an advert of another MASTER to which it does not yield.
	EventRival EventKind = "rival"
	// EventConflict: routers do not agree, as in split brain or before it. Object is the instance, To is the kind of the
	// conflict; see [vrrp.Conflict].
	EventConflict EventKind = "conflict"
	// EventServer: a check changed its verdict on a real server. Object is "service server", To is UP or DOWN.
	EventServer EventKind = "server"
	// EventService: a service gained or lost its quorum. Object is the service, To is UP or DOWN.
	EventService EventKind = "service"
	// EventTracker: a tracker changed its verdict. Object is its name, To is UP or DOWN.
	EventTracker EventKind = "tracker"
	// EventWeight: a check changed the weight of a server, or what a tracker adds to priorities. Object is that of EventServer
	// or EventTracker, From and To are numbers.
	EventWeight EventKind = "weight"
	// EventRepair: the table had drifted from the wish and was put right. Object is the service.
	EventRepair EventKind = "repair"
	// EventApply: a Spec came into force; Object is "spec", or what a verb changed. Reason sums up what changed.
	EventApply EventKind = "apply"
	// EventOverride: an operator overrode the Spec, or took that back. Object is what about and what was said, such as
	// "TCP 192.0.2.10:80 192.0.2.11:80 weight 0".
	EventOverride EventKind = "override"
	// EventReload: the host program reads its configuration again. Object is where it is; To is BEGUN, and then OK, PARTLY or
	// REFUSED, or it is SCHEDULED or CANCELLED of one that is to come. Reason is what changed, or why not. It is told by the host
	// program, see [Controller.Publish].
	EventReload EventKind = "reload"
	// EventError: something could not be done and will be tried again. Reason is the error's text.
	EventError EventKind = "error"
)

// Event is one thing that happened. Events of one Controller are numbered without gaps, and every subscriber sees them
// in that order.
type Event struct {
	// Seq counts events from 1 in the order in which they happened.
	Seq uint64 `json:"seq"`
	// Time is when it happened, by the host's clock.
	Time time.Time `json:"time"`
	Kind EventKind `json:"kind"`
	// Object names what it happened to; see the kinds.
	Object string `json:"object"`
	// From and To are the states before and after, empty where the kind has none.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Reason is one line for a person.
	Reason string `json:"reason,omitempty"`
	// Priority is the effective one of an instance, 0 of anything else.
	Priority uint8 `json:"priority,omitempty"`
	// Took is how long it took to notice, in nanoseconds as JSON: for a server or a tracker, from the last check that found
	// it otherwise; for an instance that becomes MASTER, from the last advert of the former one. For a reload it is how long
	// that took. 0 means not known.
	Took time.Duration `json:"took,omitempty"`
	// Missed counts the events just before this one that this subscriber lost because it read too slowly.
	Missed uint64 `json:"missed,omitempty"`
}

// Subscription is one reader's view of the events. It is made by [Controller.Subscribe]; one goroutine may read it while
// another closes it.
type Subscription struct {
	hub  *hub
	wake chan struct{} // holds a token while there is something to look at
	// before is the number of the last event that happened before it.
	before uint64

	mu     sync.Mutex // guards the fields below
	queue  []Event    // at most limit
	limit  int
	missed uint64
	closed bool
}

// Next returns the next event. It waits for one until ctx ends, then returns ctx's error, and returns [ErrClosed] when
// none will follow.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		e, ok, err := s.pop()
		if ok || err != nil {
			return e, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// Before is the number of the last event that happened before the subscription, 0 if there was none: Next begins with the one
// after it.
func (s *Subscription) Before() uint64 { return s.before }

// Close ends the subscription. Next still returns what was buffered.
func (s *Subscription) Close() {
	s.hub.drop(s)
	s.end()
}

func (s *Subscription) pop() (Event, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		if s.closed {
			return Event{}, false, ErrClosed
		}
		return Event{}, false, nil
	}
	e := s.queue[0]
	e.Missed, s.missed = s.missed, 0
	s.queue = s.queue[1:]
	return e, true, nil
}

// push keeps the newest events: what a slow reader needs most is how things stand now.
func (s *Subscription) push(e Event) {
	s.mu.Lock()
	if len(s.queue) == s.limit {
		s.queue = s.queue[1:]
		s.missed++
	}
	s.queue = append(s.queue, e)
	s.mu.Unlock()
	s.signal()
}

func (s *Subscription) end() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// hub numbers events and hands them to every subscription without ever waiting for one.
type hub struct {
	sink func(Event) // is given every event too, in order; nil for none

	mu     sync.Mutex // guards the fields below
	seq    uint64
	subs   map[*Subscription]struct{}
	closed bool
}

func (h *hub) subscribe(limit int) *Subscription {
	s := &Subscription{hub: h, wake: make(chan struct{}, 1), limit: max(limit, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		s.closed = true
		return s
	}
	if h.subs == nil {
		h.subs = make(map[*Subscription]struct{})
	}
	h.subs[s] = struct{}{}
	s.before = h.seq
	return s
}

func (h *hub) drop(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs, s)
}

// publish returns the event with its number.
func (h *hub) publish(e Event) Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	e.Seq = h.seq
	if h.sink != nil {
		h.sink(e)
	}
	for s := range h.subs {
		s.push(e)
	}
	return e
}

// tell gives events to the sink alone.
func (h *hub) tell(events []Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range events {
		h.sink(e)
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for s := range h.subs {
		s.end()
	}
	clear(h.subs)
}
