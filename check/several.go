package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// All is well when every one of the checkers is. They run at once, each asked by its Check: what a [Reporter] or [Watcher] could
// say beyond is not asked for.
func All(checkers ...Checker) Checker { return several{len(checkers), checkers} }

// Any is well when at least one of the checkers is. They run at once.
func Any(checkers ...Checker) Checker { return several{1, checkers} }

// AtLeast is well when n of the checkers are. They run at once, and those that are not needed any more are told to end.
func AtLeast(n int, checkers ...Checker) Checker { return several{n, checkers} }

type several struct {
	need     int
	checkers []Checker
}

// Check implements [Checker].
func (s several) Check(ctx context.Context) error {
	if s.need < 1 || s.need > len(s.checkers) {
		return fmt.Errorf("%d of %d checks: there is no such number of them", s.need, len(s.checkers))
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan error, len(s.checkers))
	for _, c := range s.checkers {
		go func() { results <- checkOnce(ctx, c) }()
	}
	left, verdict := s.count(results)
	cancel()
	for range left { // none is asked again before it has ended
		<-results
	}
	return verdict
}

// checkOnce survives a checker that panics: it has a goroutine of its own.
func checkOnce(ctx context.Context, c Checker) (err error) {
	defer survive(&err)
	return c.Check(ctx)
}

// count takes results until it is clear what they come to, and says how many are still to come.
func (s several) count(results <-chan error) (left int, verdict error) {
	var failures []string
	inconclusive := false
	well := 0
	for left = len(s.checkers); ; {
		switch {
		case well >= s.need:
			return left, nil
		case well+left < s.need:
			return left, s.failure(failures, inconclusive)
		}
		err := <-results
		left--
		if err == nil {
			well++
			continue
		}
		failures = append(failures, err.Error())
		inconclusive = inconclusive || errors.Is(err, ErrInconclusive)
	}
}

// failure is inconclusive when one of the checks was: had it been made, it might have been enough.
func (s several) failure(failures []string, inconclusive bool) error {
	text := strings.Join(failures, "; ")
	if len(s.checkers) > 1 && s.need < len(s.checkers) {
		text = fmt.Sprintf("%d of %d checks are not well, and %d must be: %s", len(failures), len(s.checkers), s.need, text)
	}
	if inconclusive {
		return fmt.Errorf("%s: %w", text, ErrInconclusive)
	}
	return errors.New(text)
}
