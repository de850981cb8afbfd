package main

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// inColor says whether the output is a terminal and nobody asked for plain text (no-color.org).
func inColor(w io.Writer) bool {
	t, ok := w.(*terminalWriter)
	return ok && t.color && colorWanted()
}

func colorWanted() bool { return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" }

// terminalWriter is standard output with the knowledge of what it is.
type terminalWriter struct {
	io.Writer
	color bool
	flush func() error
}

// Flush writes out what waits.
func (t *terminalWriter) Flush() error { return t.flush() }

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
	bold   = "1"
)

func paint(text, code string, color bool) string {
	if !color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func paintState(state string, color bool) string {
	code := map[string]string{"MASTER": bold + ";" + green, "UP": green, "BACKUP": cyan, "DOWN": bold + ";" + red, "FAULT": bold + ";" + red}[state]
	if code == "" {
		code = yellow
	}
	return paint(state, code, color)
}

// paintPlan colours what comes green, what goes red and what changes yellow.
func paintPlan(plan string, color bool) string {
	if !color {
		return plan
	}
	var b strings.Builder
	for line := range strings.Lines(plan) {
		line = strings.TrimSuffix(line, "\n")
		code := yellow
		switch {
		case strings.HasPrefix(line, "-A ") || strings.HasPrefix(line, "-a ") || strings.Contains(line, " add: "):
			code = green
		case strings.HasPrefix(line, "-D ") || strings.HasPrefix(line, "-d ") || strings.HasSuffix(line, " delete"):
			code = red
		}
		b.WriteString(paint(line, code, true) + "\n")
	}
	return b.String()
}

// printable keeps what comes from elsewhere from moving the cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}
