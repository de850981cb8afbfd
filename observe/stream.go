package observe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-lb/holdfast"
)

// heartbeat is the longest silence of a stream; it finds out that a reader is gone.
const heartbeat = 15 * time.Second

// serveEvents sends what is remembered and then what happens. Each reader has a queue of its own.
func (h handler) serveEvents(w http.ResponseWriter, r *http.Request) {
	o, now := h.Observer, ended()
	done, ok := h.streams.take(now, hostOf(r.RemoteAddr))
	if !ok {
		busy(w, fmt.Sprintf("%d readers of events are there already, or %d of yours", cap(h.streams.all), (cap(h.streams.all)+1)/2))
		return
	}
	defer done()
	o.streams.Add(1)
	defer o.streams.Add(-1)
	after, err := lastSeen(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no")
	s := stream{w: w, control: http.NewResponseController(w), after: after}
	_ = s.control.SetReadDeadline(time.Time{}) // there is nothing more to read, and that may last
	if s.write("retry: 1000\n\n") != nil {
		return
	}
	live := o.controller.Subscribe(streamQueueLength) // before the history is read, so that nothing falls between the two
	defer live.Close()
	soon, cancel := context.WithTimeout(r.Context(), time.Second) // an Observer that does not run sees nothing
	o.reach(soon, live.Before())
	cancel()
	for _, e := range o.History() {
		if s.send(e) != nil {
			return
		}
	}
	if r.URL.Query().Get("follow") != "0" {
		s.follow(r.Context(), live)
	}
}

// ended is a context that nobody waits for.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// lastSeen is the number of the last event that the reader has: of the header when it reconnects, of ?after= when it wants
// only what is new.
func lastSeen(r *http.Request) (uint64, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("after")
	}
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("last event %.40q: a number is wanted", text)
	}
	return n, nil
}

// stream is one reader of events.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	after   uint64 // the last event sent
}

// follow ends when the reader or the Controller does, or when the reader does not read.
func (s *stream) follow(ctx context.Context, live *holdfast.Subscription) {
	for {
		beat, cancel := context.WithTimeout(ctx, heartbeat)
		e, err := live.Next(beat)
		silent := beat.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			err = s.send(e)
		case silent:
			err = s.write(": still here\n\n")
		}
		if err != nil {
			return
		}
	}
}

// send skips what the reader has, and what the history and the live events have in common.
func (s *stream) send(e holdfast.Event) error {
	if e.Seq <= s.after {
		return nil
	}
	s.after = e.Seq
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return s.write(fmt.Sprintf("id: %d\ndata: %s\n\n", e.Seq, data))
}

func (s *stream) write(text string) error {
	defer limitWriting(s.control)()
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
