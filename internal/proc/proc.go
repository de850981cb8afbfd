// Package proc counts processes by name and parameters, as they come and go: the kernel's process connector tells, and where
// it does not, for want of privilege or in a container, /proc is looked through once a second.
//
// All watches of a process share one connection to the kernel.
package proc

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Match says which processes count.
type Match struct {
	// Name is what the kernel calls the process: the first 15 bytes of its program's name. With Full it is argv[0].
	Name string
	Full bool
	// Params are looked at as Mode says; any Mode but AnyParams implies Full.
	Params []string
	Mode   Mode
}

// Mode says what a process's parameters must be.
type Mode uint8

// The modes.
const (
	AnyParams     Mode = iota // whatever they are
	ExactParams               // those of Params and no others
	FirstParams               // those of Params come first
	InitialParams             // the same, and the last of Params may be just the beginning of the real one
)

// Matches says whether a process counts.
func (m Match) Matches(comm string, argv []string) bool {
	if !m.Full && m.Mode == AnyParams {
		return comm == m.Name[:min(len(m.Name), 15)]
	}
	if len(argv) == 0 || argv[0] != m.Name {
		return false
	}
	params, n := argv[1:], len(m.Params)
	switch m.Mode {
	case ExactParams:
		return slices.Equal(params, m.Params)
	case FirstParams:
		return len(params) >= n && slices.Equal(params[:n], m.Params)
	case InitialParams:
		return len(params) >= n && (n == 0 || slices.Equal(params[:n-1], m.Params[:n-1]) && strings.HasPrefix(params[n-1], m.Params[n-1]))
	}
	return true
}

// Count looks through /proc once.
func Count(m Match) (n int, err error) {
	err = each(func(_ int, comm string, argv []string) {
		if m.Matches(comm, argv) {
			n++
		}
	})
	return n, err
}

// each gives every process that there is. One that ends meanwhile is left out.
func each(visit func(pid int, comm string, argv []string)) error {
	dir, err := os.Open("/proc")
	if err != nil {
		return errors.Join(err, errors.ErrUnsupported)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if comm, argv, ok := look(pid); ok {
				visit(pid, comm, argv)
			}
		}
	}
	return nil
}

// look tells the name and the arguments of a process. A zombie is no process any more.
func look(pid int) (comm string, argv []string, ok bool) {
	base := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(base + "/stat") // PID (COMM) STATE ...
	if err != nil {
		return "", nil, false
	}
	begin, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if begin < 0 || end < begin || end+2 >= len(stat) || stat[end+2] == 'Z' || stat[end+2] == 'X' {
		return "", nil, false
	}
	line, _ := os.ReadFile(base + "/cmdline")
	if len(line) > 0 {
		argv = strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	}
	return string(stat[begin+1 : end]), argv, true
}

// Watch counts processes. Make it with [New].
type Watch struct {
	// C has a token when the count may have changed since the last one was taken.
	C <-chan struct{}

	c     chan struct{}
	match Match
	pids  map[int]bool // guarded by theHub.mu
}

// New watches. The count is right at once.
func New(m Match) (*Watch, error) {
	w := &Watch{match: m, c: make(chan struct{}, 1), pids: make(map[int]bool)}
	w.C = w.c
	return w, theHub.add(w)
}

// Count is how many there are now.
func (w *Watch) Count() int {
	theHub.mu.Lock()
	defer theHub.mu.Unlock()
	return len(w.pids)
}

// Close ends the watch.
func (w *Watch) Close() { theHub.remove(w) }

// set takes note of one process.
func (w *Watch) set(pid int, counts bool) {
	if w.pids[pid] == counts {
		return
	}
	if counts {
		w.pids[pid] = true
	} else {
		delete(w.pids, pid)
	}
	select {
	case w.c <- struct{}{}:
	default:
	}
}

// theHub is there as long as there are watches, and only then has a descriptor and a goroutine.
var theHub hub

type hub struct {
	mu      sync.Mutex // guards the fields below and those of watches
	watches []*Watch
	source  source // nil without watches
}

// source tells of processes that come and go.
type source interface {
	// next waits for something and tells the hub. It is false after close.
	next(h *hub) bool
	close()
}

func (h *hub) add(w *Watch) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.source == nil {
		h.source = open()
		go h.run(h.source)
	}
	h.watches = append(h.watches, w)
	err := each(func(pid int, comm string, argv []string) { w.set(pid, w.match.Matches(comm, argv)) })
	if err != nil {
		h.leave(w)
	}
	return err
}

// run hands on what the source tells, which the hub may have left for another meanwhile.
func (h *hub) run(s source) {
	for s.next(h) {
	}
}

func (h *hub) remove(w *Watch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leave(w)
}

func (h *hub) leave(w *Watch) {
	h.watches = slices.DeleteFunc(h.watches, func(other *Watch) bool { return other == w })
	if len(h.watches) == 0 && h.source != nil {
		h.source.close()
		h.source = nil
	}
}

// The hub's methods that follow take its lock.

// rescan is for a source that does not know what happened.
func (h *hub) rescan() {
	h.mu.Lock()
	defer h.mu.Unlock()
	there := make(map[int]bool)
	err := each(func(pid int, comm string, argv []string) {
		there[pid] = true
		for _, w := range h.watches {
			w.set(pid, w.match.Matches(comm, argv))
		}
	})
	if err != nil {
		return
	}
	for _, w := range h.watches {
		for pid := range w.pids {
			if !there[pid] {
				w.set(pid, false)
			}
		}
	}
}

// renamed is for a process that runs another program, or calls itself otherwise.
func (h *hub) renamed(pid int) {
	comm, argv, ok := look(pid)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.watches {
		w.set(pid, ok && w.match.Matches(comm, argv))
	}
}

// forked is for a child, which is what its parent is until it runs another program.
func (h *hub) forked(parent, child int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.watches {
		if w.pids[parent] {
			w.set(child, true)
		}
	}
}

func (h *hub) exited(pid int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.watches {
		w.set(pid, false)
	}
}

// scanner looks through /proc again and again.
type scanner struct{ stop chan struct{} }

const scanInterval = time.Second

func newScanner() scanner { return scanner{make(chan struct{})} }

func (s scanner) next(h *hub) bool {
	select {
	case <-s.stop:
		return false
	case <-time.After(scanInterval):
		h.rescan()
		return true
	}
}

func (s scanner) close() { close(s.stop) }
