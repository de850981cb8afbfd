package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
)

// newLogger writes lines for people or for programs. What the journal keeps anyway, it gets once: levels as its priorities,
// and no time.
func newLogger(w io.Writer, format string, verbose bool) (*slog.Logger, error) {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if verbose {
		o.Level = slog.LevelDebug
	}
	switch {
	case format == "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	case format != "text":
		return nil, fmt.Errorf("--log-format %s: text and json exist", format)
	case inJournal(w):
		return slog.New(newJournalHandler(w, o.Level)), nil
	}
	return slog.New(slog.NewTextHandler(w, o)), nil
}

// inJournal says whether w is what systemd connected to the journal.
func inJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	stream := os.Getenv("JOURNAL_STREAM")
	return ok && stream != "" && stream == deviceAndInode(f)
}

// journalHandler writes lines as sd-daemon(3) wants them: the priority in front.
type journalHandler struct {
	inner  slog.Handler // writes into line
	shared *journalLine
}

type journalLine struct {
	mu   sync.Mutex // guards line, and orders what is written
	line bytes.Buffer
	out  io.Writer
}

func newJournalHandler(w io.Writer, level slog.Leveler) *journalHandler {
	shared := &journalLine{out: w}
	drop := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}
	return &journalHandler{slog.NewTextHandler(&shared.line, &slog.HandlerOptions{Level: level, ReplaceAttr: drop}), shared}
}

// Enabled implements [slog.Handler].
func (h *journalHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.inner.Enabled(ctx, l)
}

// WithAttrs implements [slog.Handler].
func (h *journalHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return &journalHandler{h.inner.WithAttrs(a), h.shared}
}

// WithGroup implements [slog.Handler].
func (h *journalHandler) WithGroup(name string) slog.Handler {
	return &journalHandler{h.inner.WithGroup(name), h.shared}
}

// Handle implements [slog.Handler].
func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	s := h.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line.Reset()
	fmt.Fprintf(&s.line, "<%d>", priority(r.Level))
	if err := h.inner.Handle(ctx, r); err != nil {
		return err
	}
	_, err := s.out.Write(s.line.Bytes())
	return err
}

// priority is syslog's for a level.
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}
