package bfd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-lb/holdfast/check"
)

// Follow is a [check.Checker] that is well while a session is alive; see [Status]. It is a [check.Watcher]: a Monitor knows
// of a change at once, whatever its policy's delay loop. It can be compared.
type Follow struct {
	// Session is the name of the session.
	Session string
	// Speaker keeps it. A Spec of package holdfast leaves it nil: the Controller puts its own there.
	Speaker *Speaker
}

// Check implements [check.Checker].
func (f Follow) Check(context.Context) error {
	if f.Speaker == nil {
		return errors.New("bfd: Follow has no Speaker")
	}
	_, err := f.Speaker.look(f.Session)
	return err
}

// Watch implements [check.Watcher].
func (f Follow) Watch(ctx context.Context, tell func(check.Report, error)) error {
	if f.Speaker == nil {
		return f.Check(ctx)
	}
	changed := f.Speaker.follow(f.Session)
	defer f.Speaker.unfollow(f.Session, changed)
	for {
		status, err := f.Speaker.look(f.Session)
		if errors.Is(err, ErrNoSession) {
			return err
		}
		tell(check.Report{Detail: fmt.Sprintf("%v for %v", status.State, time.Since(status.Since).Round(time.Millisecond))}, err)
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look tells a session's status, and why it is not alive.
func (s *Speaker) look(name string) (Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.byName[name]
	if x == nil {
		return Status{}, fmt.Errorf("%w: %q", ErrNoSession, name)
	}
	status := x.status()
	switch {
	case status.Alive:
		return status, nil
	case status.Diag == DiagNone:
		return status, fmt.Errorf("bfd session %s is %v, the peer %v", name, status.State, status.Remote)
	}
	return status, fmt.Errorf("bfd session %s is %v, the peer %v: %v", name, status.State, status.Remote, status.Diag)
}

// follow gives a channel that holds a token when the session may have changed.
func (s *Speaker) follow(name string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := make(chan struct{}, 1)
	s.followers[name] = append(s.followers[name], changed)
	return changed
}

func (s *Speaker) unfollow(name string, changed chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := slices.DeleteFunc(s.followers[name], func(c chan struct{}) bool { return c == changed })
	if s.followers[name] = rest; len(rest) == 0 {
		delete(s.followers, name)
	}
}

// tellFollowers is called with s.mu held.
func (s *Speaker) tellFollowers(name string) {
	for _, changed := range s.followers[name] {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}
