// Package filewatch tells when a file was written: when its writer closed it, moved it to its place or away, or deleted it,
// and not while it is being written. That is why it does not stand on a library that knows other systems too: those tell of
// each write, and a file that is truncated and then written would be seen empty.
//
// All watches of a process share one inotify instance: a user may have 128 of them.
package filewatch

import (
	"errors"
	"path/filepath"
	"sync"
)

// Watch tells of one file. Make it with [New].
type Watch struct {
	// C has a token when the file may have changed since the last one was taken.
	C <-chan struct{}

	c     chan struct{}
	names map[string]map[string]bool // by directory: what it is called there
	real  string
	path  string
	once  sync.Once

	mu   sync.Mutex // guards the field below
	lost bool       // a directory is gone
}

// New watches a file, which need not be there; its directory must. A path that is a symbolic link is watched where it stands
// and where it leads to. The error wraps [errors.ErrUnsupported] where the system cannot tell: then look from time to time.
func New(path string) (*Watch, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	w := &Watch{c: make(chan struct{}, 1), path: path, names: map[string]map[string]bool{}, real: resolve(path)}
	w.C = w.c
	for _, p := range []string{w.path, w.real} {
		dir, name := filepath.Split(p)
		dir = filepath.Clean(dir)
		if w.names[dir] == nil {
			w.names[dir] = map[string]bool{}
		}
		w.names[dir][name] = true
	}
	if err := theHub.add(w); err != nil {
		return nil, err
	}
	return w, nil
}

// resolve follows symbolic links as far as they go.
func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// Stale says that the path leads elsewhere now, or that a directory is gone: make a new Watch.
func (w *Watch) Stale() bool {
	w.mu.Lock()
	lost := w.lost
	w.mu.Unlock()
	return lost || resolve(w.path) != w.real
}

// Close ends the watch. It may be called more than once, and of nil.
func (w *Watch) Close() {
	if w != nil {
		w.once.Do(func() { theHub.remove(w) })
	}
}

func (w *Watch) signal() {
	select {
	case w.c <- struct{}{}:
	default:
	}
}

func (w *Watch) lose() {
	w.mu.Lock()
	w.lost = true
	w.mu.Unlock()
	w.signal()
}

// theHub is there as long as there are watches, and only then has a descriptor and a goroutine.
var theHub hub

var errRemote = errors.New("its file system does not tell of changes")
