// Package checktest has what tests of checks need: a checker that answers by script, and a suite that any checker should pass.
package checktest

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/check"
)

// ErrDown is what a [Script] answers when its server is down and no error of its own was given.
var ErrDown = errors.New("server is down")

// Script is a checker whose answer a test decides. The zero value says that all is well. Its methods may be called from any
// goroutine.
type Script struct {
	// Takes is how long each check takes. Set it before use.
	Takes time.Duration

	mu     sync.Mutex // guards the fields below
	err    error
	report check.Report
	calls  int
}

// Up makes the next checks succeed.
func (s *Script) Up() { s.Fail(nil) }

// Down makes the next checks fail with [ErrDown].
func (s *Script) Down() { s.Fail(ErrDown) }

// Fail makes the next checks fail with err, or succeed when it is nil.
func (s *Script) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// Say makes the next checks that succeed report r.
func (s *Script) Say(r check.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report = r
}

// Calls is how many checks were made.
func (s *Script) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Check implements [check.Checker].
func (s *Script) Check(ctx context.Context) error {
	_, err := s.Report(ctx)
	return err
}

// Report implements [check.Reporter].
func (s *Script) Report(ctx context.Context) (check.Report, error) {
	select {
	case <-time.After(s.Takes):
	case <-ctx.Done():
		return check.Report{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	return s.report, s.err
}

// TestChecker holds a checker to its contract. up and down make one for a server that is well and for one that is not;
// silent makes one for a server that takes the question and never answers, nil when there is no such thing.
func TestChecker(t *testing.T, up, down, silent func(t *testing.T) check.Checker) {
	t.Run("Up", func(t *testing.T) {
		c := up(t)
		for range 3 { // a checker is used again and again
			if err := c.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("Down", func(t *testing.T) {
		if err := down(t).Check(t.Context()); err == nil {
			t.Fatal("a server that is down passes")
		} else if err.Error() == "" {
			t.Fatal("the reason is empty")
		}
	})
	t.Run("EndedContext", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := up(t).Check(ctx); err == nil {
			t.Fatal("a check whose context had ended succeeded")
		}
	})
	t.Run("NoLeak", func(t *testing.T) {
		c := up(t)
		_ = c.Check(t.Context())
		before := runtime.NumGoroutine()
		for range 50 {
			_ = c.Check(t.Context())
		}
		wait(t, "goroutines are left behind", func() bool { return runtime.NumGoroutine() <= before+5 })
	})
	if silent != nil {
		t.Run("Silent", func(t *testing.T) { testSilent(t, silent(t)) })
	}
}

func testSilent(t *testing.T, c check.Checker) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := c.Check(ctx); err == nil {
		t.Fatal("a server that says nothing passes")
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Fatalf("the check returned %v after it was told to", took)
	}
}

// wait polls for what other goroutines and the kernel take a moment to do.
func wait(t *testing.T, otherwise string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(otherwise)
		}
	}
}

// Log is a logger, and a way to read what it wrote: a line each of level, message and the attributes probe and error.
func Log() (log *slog.Logger, lines func() []string) {
	h := &handler{}
	return slog.New(h), func() []string {
		h.mu.Lock()
		defer h.mu.Unlock()
		return slices.Clone(h.lines)
	}
}

type handler struct {
	mu    sync.Mutex // guards the field below
	lines []string
}

func (h *handler) Enabled(context.Context, slog.Level) bool { return true }
func (h *handler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *handler) WithGroup(string) slog.Handler            { return h }

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "probe" || a.Key == "error" {
			line += " " + a.String()
		}
		return true
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, line)
	return nil
}
