package observe

import (
	"context"
	"sync"
)

// turns lets few do something at one time, and no client more than half of them: one that takes its time keeps others from
// nothing.
type turns struct {
	all chan struct{} // holds a token for each turn taken

	mu sync.Mutex // guards the field below
	of map[string]*share
}

// share is a client's part. It is there while somebody uses it.
type share struct {
	tokens chan struct{}
	users  int
}

func newTurns(limit int) *turns {
	return &turns{all: make(chan struct{}, limit), of: make(map[string]*share)}
}

// take waits for a turn until ctx ends. done ends it.
func (t *turns) take(ctx context.Context, client string) (done func(), ok bool) {
	s := t.join(client)
	for i, tokens := range []chan struct{}{s.tokens, t.all} {
		select {
		case tokens <- struct{}{}:
			continue
		default:
		}
		select {
		case tokens <- struct{}{}:
		case <-ctx.Done():
			if i == 1 {
				<-s.tokens
			}
			t.leave(client)
			return nil, false
		}
	}
	return func() {
		<-t.all
		<-s.tokens
		t.leave(client)
	}, true
}

func (t *turns) join(client string) *share {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.of[client]
	if s == nil {
		s = &share{tokens: make(chan struct{}, (cap(t.all)+1)/2)}
		t.of[client] = s
	}
	s.users++
	return s
}

func (t *turns) leave(client string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[client].users--; t.of[client].users == 0 {
		delete(t.of, client)
	}
}
