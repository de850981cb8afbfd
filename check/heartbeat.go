package check

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Heartbeat is well as long as somebody says so often enough: for servers that cannot be asked and tell by themselves, over
// whatever the program takes their word by. It is a [Watcher]: silence and word are known at once. Make it with
// [NewHeartbeat]; its methods may be called from any goroutine.
type Heartbeat struct {
	every time.Duration

	mu   sync.Mutex // guards the fields below
	last time.Time  // zero before the first word
	said error
	news chan struct{} // closed at the next word
}

// NewHeartbeat makes a Heartbeat that is not well when it has heard nothing for so long, nor before the first word.
func NewHeartbeat(every time.Duration) *Heartbeat {
	return &Heartbeat{every: every, news: make(chan struct{})}
}

// Beat is the word of the server: nil that it is well, an error that and why it is not.
func (h *Heartbeat) Beat(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last, h.said = time.Now(), err
	close(h.news)
	h.news = make(chan struct{})
}

// Check implements [Checker].
func (h *Heartbeat) Check(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_, _, err := h.state()
	return err
}

// Watch implements [Watcher].
func (h *Heartbeat) Watch(ctx context.Context, tell func(Report, error)) error {
	for {
		silent, news, err := h.state()
		tell(Report{}, err)
		timer := time.NewTimer(silent)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-news:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// state is what is known, how long it stays so without another word, and what tells of one.
func (h *Heartbeat) state() (silent time.Duration, news <-chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last.IsZero() {
		return time.Hour, h.news, errors.New("nothing has been heard yet")
	}
	if since := time.Since(h.last); since < h.every {
		return h.every - since, h.news, h.said
	}
	return time.Hour, h.news, fmt.Errorf("nothing heard for %v", h.every)
}
