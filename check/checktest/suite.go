package checktest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/check"
)

// TestChecker holds a checker to its contract. up and down make one for a server that is well and for one that is not; silent
// makes one for a server that takes the question and never answers, nil when there is no such thing. It looks at what the
// checker does when it is used again and again, at the end of its context, at what it leaves behind, and at its optional
// methods. Run it with -race.
func TestChecker(t *testing.T, up, down, silent func(t *testing.T) check.Checker) {
	for _, c := range []struct {
		name  string
		make  func(*testing.T) check.Checker
		holds func(check.Checker) error
	}{
		{"Up", up, reusable},
		{"Down", down, tellsWhy},
		{"EndedContext", up, endsAtOnce},
		{"NoLeakUp", up, leavesNothing},
		{"NoLeakDown", down, leavesNothing},
		{"ReportUp", up, reportsTheSame},
		{"ReportDown", down, reportsTheSame},
		{"Key", up, keepsItsKey},
		{"Watch", up, watches},
		{"Timeout", silent, timesOut},
		{"Cancel", silent, cancels},
		{"NoLeakSilent", silent, silentLeavesNothing},
	} {
		if c.make != nil {
			t.Run(c.name, func(t *testing.T) {
				if err := c.holds(c.make(t)); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
	t.Run("SideBySide", func(t *testing.T) {
		if err := sideBySide(up(t), up(t), down(t), down(t)); err != nil {
			t.Fatal(err)
		}
	})
}

// patience is what a check may take after it was told to end. Scripts take two seconds of it.
const patience = 3 * time.Second

func check1(c check.Checker) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return c.Check(ctx)
}

func reusable(c check.Checker) error {
	for i := range 3 {
		if err := check1(c); err != nil {
			return fmt.Errorf("check %d of a server that is well: %w", i+1, err)
		}
	}
	return nil
}

func tellsWhy(c check.Checker) error {
	for range 3 {
		err := check1(c)
		if err == nil {
			return errors.New("a server that is down passes")
		}
		if err.Error() == "" {
			return errors.New("the reason is empty")
		}
		if errors.Is(err, check.ErrInconclusive) {
			return fmt.Errorf("a server that is down is no failure of the check: %w", err)
		}
	}
	return nil
}

// endsAtOnce takes any answer: a check that looks at memory alone need not look at its context.
func endsAtOnce(c check.Checker) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := answer(ctx, c)
	return err
}

func leavesNothing(c check.Checker) error {
	return leak(50, func() { _ = check1(c) })
}

func silentLeavesNothing(c check.Checker) error {
	return leak(10, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		_ = c.Check(ctx)
	})
}

// leak looks for goroutines and descriptors that stay.
func leak(times int, f func()) error {
	f()
	goroutines, files := runtime.NumGoroutine(), descriptors()
	for range times {
		f()
	}
	const slack = 5
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(5 * time.Millisecond) { // what the kernel and others take a moment to do
		g, d := runtime.NumGoroutine()-goroutines, descriptors()-files
		switch {
		case g <= slack && d <= slack+times: // one each may be of a server in this process, that it closes at its end
			return nil
		case time.Now().After(end):
			return fmt.Errorf("after %d checks %d goroutines and %d descriptors are left behind", times, g, d)
		}
	}
}

// descriptors is how many are open, 0 where that is not known.
func descriptors() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

func reportsTheSame(c check.Checker) error {
	r, ok := c.(check.Reporter)
	if !ok {
		return nil
	}
	_, said := r.Report(context.Background())
	if err := check1(c); (err == nil) != (said == nil) {
		return fmt.Errorf("Check says %v, Report %v", err, said)
	}
	return nil
}

func keepsItsKey(c check.Checker) error {
	k, ok := c.(check.Keyer)
	if !ok {
		return nil
	}
	before := k.Key()
	_ = check1(c)
	if after := k.Key(); after != before {
		return fmt.Errorf("its key was %q and is %q after a check", before, after)
	}
	return nil
}

// watches holds a Watcher to: something at once, the same as Check, and an end with the context.
func watches(c check.Checker) error {
	w, ok := c.(check.Watcher)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	told, ended := make(chan error, 100), make(chan error, 1)
	go func() { ended <- w.Watch(ctx, func(_ check.Report, err error) { told <- err }) }()
	select {
	case err := <-told:
		if err != nil {
			return fmt.Errorf("of a server that is well Watch tells: %w", err)
		}
	case err := <-ended:
		return fmt.Errorf("its Watch ended by itself: %v", err)
	case <-time.After(patience):
		return errors.New("its Watch tells nothing at once")
	}
	cancel()
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		return errors.New("its Watch does not end with its context")
	}
}

func timesOut(c check.Checker) error {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	return ends(ctx, c)
}

func cancels(c check.Checker) error {
	ctx, cancel := context.WithCancel(context.Background())
	timer := time.AfterFunc(50*time.Millisecond, cancel)
	defer timer.Stop()
	defer cancel()
	return ends(ctx, c)
}

func ends(ctx context.Context, c check.Checker) error {
	verdict, err := answer(ctx, c)
	if err == nil && verdict == nil {
		return errors.New("a server that says nothing passes: return an error when there was no answer in time")
	}
	return err
}

// answer is what a check says whose context ends, and an error when it says nothing.
func answer(ctx context.Context, c check.Checker) (verdict, err error) {
	ended := make(chan error, 1)
	go func() { ended <- c.Check(ctx) }()
	select {
	case verdict = <-ended:
		return verdict, nil
	case <-time.After(patience):
		return nil, fmt.Errorf("the check still runs %v after its context ended: pass ctx on to whatever it waits for, or select on ctx.Done", patience)
	}
}

// sideBySide runs checkers at the same time, each in turn with itself.
func sideBySide(checkers ...check.Checker) error {
	var group sync.WaitGroup
	for _, c := range checkers {
		group.Go(func() {
			for range 5 {
				_ = check1(c)
			}
		})
	}
	ended := make(chan struct{})
	go func() { group.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-time.After(time.Minute):
		return errors.New("checks side by side do not end")
	}
}
