package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"unicode"
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
		return slog.New(newLineHandler(w, o.Level, journalPrefix)), nil
	case onTerminal(w):
		return slog.New(newLineHandler(w, o.Level, peoplePrefix)), nil
	}
	return slog.New(slog.NewTextHandler(w, o)), nil
}

// inJournal says whether w is what systemd connected to the journal.
func inJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	stream := os.Getenv("JOURNAL_STREAM")
	return ok && stream != "" && stream == deviceAndInode(f)
}

// onTerminal says whether people see what is written, in colour.
func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isTerminal(f) && colorWanted()
}

// lineHandler writes the attributes of a record as text, and in front of them what prefix makes of the rest.
type lineHandler struct {
	inner  slog.Handler // writes into line
	shared *logLine
	prefix func(slog.Record) string
}

type logLine struct {
	mu   sync.Mutex // guards line, and orders what is written
	line bytes.Buffer
	out  io.Writer
}

func newLineHandler(w io.Writer, level slog.Leveler, prefix func(slog.Record) string) *lineHandler {
	shared := &logLine{out: w}
	drop := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
			return slog.Attr{}
		}
		return a
	}
	return &lineHandler{slog.NewTextHandler(&shared.line, &slog.HandlerOptions{Level: level, ReplaceAttr: drop}), shared, prefix}
}

// Enabled implements [slog.Handler].
func (h *lineHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.inner.Enabled(ctx, l) }

// WithAttrs implements [slog.Handler].
func (h *lineHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return &lineHandler{h.inner.WithAttrs(a), h.shared, h.prefix}
}

// WithGroup implements [slog.Handler].
func (h *lineHandler) WithGroup(name string) slog.Handler {
	return &lineHandler{h.inner.WithGroup(name), h.shared, h.prefix}
}

// Handle implements [slog.Handler].
func (h *lineHandler) Handle(ctx context.Context, r slog.Record) error {
	s := h.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line.Reset()
	s.line.WriteString(h.prefix(r))
	if err := h.inner.Handle(ctx, r); err != nil {
		return err
	}
	_, err := s.out.Write(s.line.Bytes())
	return err
}

// journalPrefix is the priority as sd-daemon(3) wants it, and the message as slog's text has it.
func journalPrefix(r slog.Record) string {
	return fmt.Sprintf("<%d>msg=%s ", priority(r.Level), quoted(r.Message))
}

func quoted(message string) string {
	if message == "" || strings.ContainsFunc(message, func(c rune) bool { return c <= ' ' || c == '"' || c == '=' || !unicode.IsPrint(c) }) {
		return strconv.Quote(message)
	}
	return message
}

// peoplePrefix has the time of day, the level in colour, and the message in a column.
func peoplePrefix(r slog.Record) string {
	code := cyan
	switch {
	case r.Level >= slog.LevelError:
		code = bold + ";" + red
	case r.Level >= slog.LevelWarn:
		code = bold + ";" + yellow
	case r.Level >= slog.LevelInfo:
		code = green
	}
	level := paint(fmt.Sprintf("%-5s", r.Level), code, true)
	return fmt.Sprintf("%s %s %s ", r.Time.Format("15:04:05.000"), level, paint(fmt.Sprintf("%-20s", printable(r.Message)), bold, true))
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
