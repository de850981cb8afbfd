package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// ledger writes down what was delivered and what was lost.
type ledger struct {
	mu        sync.Mutex
	delivered []string
	lost      []string
}

func (l *ledger) note(list *[]string, line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*list = append(*list, line)
}

// seen is a list as it is now.
func (l *ledger) seen(list *[]string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(*list)
}

func (l *ledger) outbox(limit int, deliver func(context.Context, string) error) *Outbox[string] {
	return NewOutbox(limit, func(ctx context.Context, m string) error {
		err := deliver(ctx, m)
		if err == nil {
			l.note(&l.delivered, m)
		}
		return err
	}, func(m string, err error) { l.note(&l.lost, fmt.Sprintf("%s: %v", m, err)) })
}

// TestLanesKeepOrderAndDoNotWaitForEachOther: a stuck receiver costs its own lane only, and what its lane has no room for is told.
func TestLanesKeepOrderAndDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l ledger
		o := l.outbox(2, func(ctx context.Context, m string) error {
			if m[:4] == "slow" {
				select {
				case <-time.After(time.Hour):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
		for i := range 4 {
			o.Add("slow", fmt.Sprint("slow", i))
			o.Add("fast", fmt.Sprint("fast", i))
			synctest.Wait()
		}
		if got, want := l.seen(&l.delivered), []string{"fast0", "fast1", "fast2", "fast3"}; !slices.Equal(got, want) {
			t.Errorf("delivered %v, want %v", got, want)
		}
		if got, want := l.seen(&l.lost), []string{"slow3: " + ErrFull.Error()}; !slices.Equal(got, want) {
			t.Errorf("lost %v, want %v", got, want)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if got, want := l.seen(&l.delivered)[4:], []string{"slow0", "slow1", "slow2"}; !slices.Equal(got, want) {
			t.Errorf("then delivered %v, want %v", got, want)
		}
		o.Close(t.Context())
	})
}

// TestCloseDeliversWhatItCan in the time that it has, and tells the rest.
func TestCloseDeliversWhatItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l ledger
		o := l.outbox(100, func(ctx context.Context, _ string) error {
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return errors.New("interrupted")
			}
		})
		for i := range 5 {
			o.Add("one", fmt.Sprint(i))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		o.Close(ctx)
		o.Add("one", "late")
		if got, want := l.seen(&l.delivered), []string{"0", "1"}; !slices.Equal(got, want) {
			t.Errorf("delivered %v, want %v", got, want)
		}
		if got, want := l.seen(&l.lost), []string{"2: interrupted", "3: " + ErrClosed.Error(), "4: " + ErrClosed.Error(), "late: " + ErrClosed.Error()}; !slices.Equal(got, want) {
			t.Errorf("lost %v, want %v", got, want)
		}
	})
}
