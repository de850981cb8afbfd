package observe

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast"
)

// TestReachWaitsForTheObserver: a stream that begins while events are on their way to the history has them all the same.
func TestReachWaitsForTheObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &Observer{counts: newCounts(), options: Options{History: 10}}
		o.observe(holdfast.Event{Seq: 1})
		reached := make(chan int, 1)
		go func() {
			o.reach(t.Context(), 3)
			reached <- len(o.History())
		}()
		o.observe(holdfast.Event{Seq: 2})
		synctest.Wait()
		select {
		case n := <-reached:
			t.Fatalf("it went on with %d events of 3", n)
		default:
		}
		o.observe(holdfast.Event{Seq: 3})
		if n := <-reached; n != 3 {
			t.Errorf("it went on with %d events of 3", n)
		}
		began := time.Now()
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		o.reach(soon, 4)
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("it waited %v for an event that never came", waited)
		}
	})
}
