// Package lockfile keeps a second process from what a first one holds.
package lockfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ErrHeld is what an error wraps when another process holds the lock.
var ErrHeld = errors.New("held by another process")

// Lock is a lock that this process holds. It ends with the process, however that ends.
type Lock struct{ file *os.File }

// poll is the time between tries for a lock that is held.
const poll = 2 * time.Millisecond

// Acquire takes the lock of that path, waiting for it until ctx ends. The file is made if it is missing, with its directory, and
// stays; it holds the number of the process.
func Acquire(ctx context.Context, path string) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // who can open it can keep others from the lock
	if err != nil {
		return nil, err
	}
	if err := wait(ctx, file); err != nil {
		if errors.Is(err, ErrHeld) {
			err = fmt.Errorf("%s: %w%s", path, ErrHeld, holder(path))
		}
		file.Close()
		return nil, err
	}
	if err := errors.Join(file.Truncate(0), write(file)); err != nil {
		file.Close()
		return nil, err
	}
	return &Lock{file}, nil
}

func write(file *os.File) error {
	_, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func wait(ctx context.Context, file *os.File) error {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		err := tryLock(file)
		if !errors.Is(err, ErrHeld) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-ticker.C:
		}
	}
}

// Holder is the process that holds the lock of that path, or held it last. 0 means that nobody is known.
func Holder(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

func holder(path string) string {
	if pid := Holder(path); pid != 0 {
		return fmt.Sprintf(" (%d)", pid)
	}
	return ""
}

// Release gives the lock up.
func (l *Lock) Release() error { return l.file.Close() }
