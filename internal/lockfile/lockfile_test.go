//go:build unix

package lockfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOneHoldsAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "lock")
	first, err := Acquire(t.Context(), path)
	if err != nil || Holder(path) != os.Getpid() {
		t.Fatalf("%v, held by %d", err, Holder(path))
	}
	now, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Acquire(now, path); !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), path) {
		t.Errorf("a second: %v", err)
	}
	time.AfterFunc(20*time.Millisecond, func() { first.Release() })
	second, err := Acquire(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Release(); err != nil {
		t.Error(err)
	}
	if _, err := Acquire(t.Context(), "/proc/no/lock"); err == nil || errors.Is(err, ErrHeld) {
		t.Errorf("where nothing can be made: %v", err)
	}
}
