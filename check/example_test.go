package check_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/check"
)

// A checker is one method, or a function.
func ExampleCheckerFunc() {
	backlog := 1500
	queue := check.CheckerFunc(func(context.Context) error {
		if backlog > 1000 {
			return fmt.Errorf("%d messages wait, at most 1000 are well", backlog)
		}
		return nil
	})
	fmt.Println(queue.Check(context.Background()))
	// Output: 1500 messages wait, at most 1000 are well
}

// TestRiseAndFallInVirtualTime is how to test the logic of one's own checker: no network, no waiting.
func TestRiseAndFallInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		m := check.NewMonitor(check.Options{})
		err := m.Set([]check.Probe{{ID: "mine", Policy: check.Policy{DelayLoop: time.Second, Retry: 1, Warmup: -1},
			Checker: check.CheckerFunc(func(context.Context) error {
				if !broken.Load() {
					return nil
				}
				return fmt.Errorf("out of order")
			})}})
		if err != nil {
			t.Fatal(err)
		}
		go m.Run(t.Context())
		time.Sleep(90 * time.Minute)
		synctest.Wait()
		broken.Store(true)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if m.Status()["mine"].Up {
			t.Fatal("three seconds out of order, and still up")
		}
	})
}
