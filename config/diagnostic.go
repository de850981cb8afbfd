package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in a file.
type Pos struct {
	File string
	// Line and Column count from 1; Column counts bytes. Line 0 means the file as a whole.
	Line, Column int

	via *origin
}

// Via tells how the place came to be read, innermost first: the include, definition or repetition that produced it, and what
// produced that. It is empty for what stands in the main file as it is.
func (p Pos) Via() (steps []Step) {
	for o := p.via; o != nil; o = o.pos.via {
		steps = append(steps, Step{o.pos, o.what})
	}
	return steps
}

// Step is one step of [Pos.Via].
type Step struct {
	Pos
	// What is "include", "definition $NAME", "~SEQ" or "~LST".
	What string
}

// String is file:line:column.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Severity of a [Diagnostic].
type Severity uint8

// The severities.
const (
	Error   Severity = iota // the file does not say what its author means
	Warning                 // it is read, perhaps not as meant
	Note                    // worth knowing
)

// String is the word in lower case.
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	case Note:
		return "note"
	}
	return fmt.Sprintf("Severity(%d)", uint8(s))
}

// Diagnostic is one remark about a file.
type Diagnostic struct {
	Pos
	Severity Severity
	// Code is a stable name of the kind of remark, such as "unknown-keyword".
	Code string
	// Message says what is wrong.
	Message string
	// Hint says what to do about it. It may be empty.
	Hint string
}

// String is one line: position, severity, message, hint, code.
func (d Diagnostic) String() string {
	hint := ""
	if d.Hint != "" {
		hint = "; " + d.Hint
	}
	return fmt.Sprintf("%v: %v: %s%s [%s]", d.Pos, d.Severity, d.Message, hint, d.Code)
}

// Span is the part of its source line that a remark is about: the word at its column, as bytes from start to end.
func (d Diagnostic) Span(line string) (start, end int) {
	start = min(max(d.Column-1, 0), len(line))
	if length := strings.IndexAny(line[start:], " \t{}"); length > 0 {
		return start, start + length
	}
	if start < len(line) && strings.IndexByte(" \t{}", line[start]) >= 0 {
		return start, start + 1
	}
	return start, len(line)
}

// Diagnostics are remarks in the order of their places.
type Diagnostics []Diagnostic

// Err is nil when there is no remark of severity Error, and else an error with one line for each.
func (ds Diagnostics) Err() error {
	var lines []string
	for _, d := range ds {
		if d.Severity == Error {
			lines = append(lines, d.String())
		}
	}
	if lines == nil {
		return nil
	}
	return errors.New(strings.Join(lines, "\n"))
}

// Count is how many remarks have the severity.
func (ds Diagnostics) Count(s Severity) (n int) {
	for _, d := range ds {
		if d.Severity == s {
			n++
		}
	}
	return n
}

// sorted orders by file, in the order in which files were first spoken of, and place.
func (ds Diagnostics) sorted() Diagnostics {
	files := make(map[string]int)
	for _, d := range ds {
		if _, seen := files[d.File]; !seen {
			files[d.File] = len(files)
		}
	}
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(files[a.File], files[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ds
}

func (ds *Diagnostics) add(pos Pos, s Severity, code, hint, format string, args ...any) {
	*ds = append(*ds, Diagnostic{Pos: pos, Severity: s, Code: code, Message: fmt.Sprintf(format, args...), Hint: hint})
}
