package holdfast

import (
	"context"
	"errors"
	"testing"
)

func TestSubscriptionKeepsOrderAndCountsLoss(t *testing.T) {
	var h hub
	s := h.subscribe(2)
	for _, object := range []string{"a", "b", "c", "d"} {
		h.publish(Event{Kind: EventInstance, Object: object})
	}
	ctx := context.Background()
	first, err := s.Next(ctx)
	if err != nil || first.Object != "c" || first.Seq != 3 || first.Missed != 2 {
		t.Fatalf("first event %+v, %v; want c, number 3, 2 missed", first, err)
	}
	second, err := s.Next(ctx)
	if err != nil || second.Object != "d" || second.Missed != 0 {
		t.Fatalf("second event %+v, %v; want d, none missed", second, err)
	}
}

func TestSubscriptionEnds(t *testing.T) {
	var h hub
	s := h.subscribe(4)
	h.publish(Event{Object: "last"})
	h.close()
	if e, err := s.Next(context.Background()); err != nil || e.Object != "last" {
		t.Fatalf("buffered event after close: %+v, %v", e, err)
	}
	if _, err := s.Next(context.Background()); !errors.Is(err, ErrClosed) {
		t.Fatalf("after the last event: %v, want ErrClosed", err)
	}
	if _, err := h.subscribe(1).Next(context.Background()); !errors.Is(err, ErrClosed) {
		t.Fatalf("subscribing after the end: %v, want ErrClosed", err)
	}
}

func TestSubscriptionNextHonoursContext(t *testing.T) {
	var h hub
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.subscribe(1).Next(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Next with an ended context: %v", err)
	}
}
