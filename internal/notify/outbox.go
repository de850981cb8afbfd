// Package notify delivers what happened to receivers that may be slow or dead: programs, FIFOs, mail servers, webhooks.
package notify

import (
	"context"
	"errors"
	"sync"
)

// ErrFull is why a message is lost whose lane is full.
var ErrFull = errors.New("too many messages wait for the receiver")

// ErrClosed is why a message is lost that nobody could wait for any more.
var ErrClosed = errors.New("the end came before it was delivered")

// Outbox delivers messages off the sender's goroutine: those of one lane one after the other, in order; lanes do not wait for
// each other. It never blocks the sender. What cannot be delivered is told, never lost silently.
type Outbox[M any] struct {
	// Deliver delivers one message, and returns soon after ctx ends.
	deliver func(ctx context.Context, m M) error
	// Lost is called with each message that was not delivered, from any goroutine.
	lost  func(m M, err error)
	limit int

	ctx    context.Context // ends when nobody waits any more
	cancel context.CancelFunc

	mu     sync.Mutex     // guards the fields below
	lanes  map[string][]M // what waits; a lane that is there has a goroutine
	closed bool
	active sync.WaitGroup
}

// NewOutbox makes an Outbox in which at most limit messages wait in each lane. It starts nothing.
func NewOutbox[M any](limit int, deliver func(context.Context, M) error, lost func(M, error)) *Outbox[M] {
	o := &Outbox[M]{deliver: deliver, lost: lost, limit: limit, lanes: make(map[string][]M)}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	return o
}

// Add puts a message into a lane.
func (o *Outbox[M]) Add(lane string, m M) {
	if err := o.add(lane, m); err != nil {
		o.lost(m, err)
	}
}

func (o *Outbox[M]) add(lane string, m M) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	waiting, active := o.lanes[lane]
	switch {
	case o.closed:
		return ErrClosed
	case len(waiting) >= o.limit:
		return ErrFull
	}
	o.lanes[lane] = append(waiting, m)
	if !active {
		o.active.Go(func() { o.serve(lane) })
	}
	return nil
}

func (o *Outbox[M]) serve(lane string) {
	for {
		m, ok := o.next(lane)
		if !ok {
			return
		}
		if o.ctx.Err() != nil {
			o.lost(m, ErrClosed)
		} else if err := o.deliver(o.ctx, m); err != nil {
			o.lost(m, err)
		}
	}
}

// next takes the first message of a lane. A lane without any ends.
func (o *Outbox[M]) next(lane string) (m M, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	waiting := o.lanes[lane]
	if len(waiting) == 0 {
		delete(o.lanes, lane)
		return m, false
	}
	o.lanes[lane] = waiting[1:]
	return waiting[0], true
}

// Close takes no more messages and waits until those that wait have been delivered, or ctx ends; the rest is lost then.
func (o *Outbox[M]) Close(ctx context.Context) {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	stop := context.AfterFunc(ctx, o.cancel)
	o.active.Wait()
	stop()
	o.cancel()
}
