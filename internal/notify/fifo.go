package notify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// FIFO is a named pipe that lines are written to. It is made when it is missing, and removed at the end if it was made here.
// Its methods are for one goroutine at a time.
type FIFO struct {
	path string
	file *os.File
	made bool
}

// OpenFIFO opens a pipe so that writing works whether or not there is a reader. What is no pipe, or belongs to somebody else
// than this process or the given user, is refused. The owner of a pipe that is there already is left alone.
func OpenFIFO(path, user, group string) (*FIFO, error) {
	made, err := makeFIFO(path, user, group)
	if err != nil {
		return nil, fmt.Errorf("FIFO %s: %w", path, err)
	}
	f := &FIFO{path: path, made: made}
	if f.file, err = openFIFO(path, user); err != nil {
		if made {
			_ = os.Remove(path)
		}
		return nil, fmt.Errorf("FIFO %s: %w", path, err)
	}
	return f, nil
}

// Write writes one line whole, and waits for room until ctx ends.
func (f *FIFO) Write(ctx context.Context, line string) error {
	if err := f.file.SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = f.file.SetWriteDeadline(time.Now()) })
	defer stop()
	_, err := f.file.WriteString(line)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("FIFO %s is full and nobody reads it", f.path)
	}
	return err
}

// Close closes the pipe, and removes it if it was made here.
func (f *FIFO) Close() error {
	err := f.file.Close()
	if !f.made {
		return err
	}
	if gone := os.Remove(f.path); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}
