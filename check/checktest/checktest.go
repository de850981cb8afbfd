// Package checktest has what tests of checks need: a checker that answers by script, a Monitor in virtual time, and a suite that
// any checker should pass.
//
// The logic around a checker (rise, fall, delays) is tested without a network and without waiting:
//
//	synctest.Test(t, func(t *testing.T) {
//		var s checktest.Script
//		_, said := checktest.Run(t, check.Probe{ID: "web", Checker: &s, Policy: policy})
//		time.Sleep(time.Hour) // takes no time
//		s.Down()
//		time.Sleep(time.Minute)
//		fmt.Println(said()) // [1h0m7s web DOWN]
//	})
//
// The checker itself is held to its contract by [TestChecker].
package checktest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
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
	if ctx.Err() != nil {
		return check.Report{}, ctx.Err()
	}
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

// Run runs a Monitor with the given probes until the test ends. Within a testing/synctest bubble said waits until nothing more
// happens, and gives what was told since it was last asked: "13s web DOWN" is 13 seconds after Run.
func Run(t *testing.T, probes ...check.Probe) (m *check.Monitor, said func() []string) {
	t.Helper()
	begin := time.Now()
	var mu sync.Mutex
	var heard []string
	m = check.NewMonitor(check.Options{OnTransition: func(tr check.Transition) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, fmt.Sprintf("%v %s %v", tr.At.Sub(begin), tr.ID, map[bool]string{true: "UP", false: "DOWN"}[tr.Up]))
	}})
	if err := m.Set(probes); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return m, func() []string {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		got := heard
		heard = nil
		return got
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
