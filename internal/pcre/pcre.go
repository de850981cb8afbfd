// Package pcre searches bytes for patterns in the syntax of PCRE2, with keepalived's words for its options. The engine is
// regexp2, which backtracks; a search is bounded in time. What PCRE2 writes otherwise is translated: $ before a last newline,
// \h, \R, \Q...\E, and the option ungreedy. Not known are possessive quantifiers (write an atomic group), \K, recursion and
// branch reset.
package pcre

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
	"github.com/holdfast-lb/holdfast/internal/intern"
)

// searchTime bounds one search. A pattern that takes longer backtracks without end.
const searchTime = 250 * time.Millisecond

// engineOptions are those that the engine has.
var engineOptions = map[string]regexp2.RegexOptions{
	"caseless": regexp2.IgnoreCase, "multiline": regexp2.Multiline, "dotall": regexp2.Singleline,
	"extended": regexp2.IgnorePatternWhitespace, "no_auto_capture": regexp2.ExplicitCapture,
}

// ownOptions are translated, or change nothing in what is found: they tune PCRE2, or forbid what the engine has not.
var ownOptions = strings.Fields(`dollar_endonly firstline ungreedy utf
	auto_callout dupnames no_auto_possess no_dotstar_anchor no_start_optimize use_offset_limit never_ucp never_utf never_backslash_c`)

// Supported says whether an option is known here.
func Supported(option string) bool {
	_, ok := engineOptions[option]
	return ok || slices.Contains(ownOptions, option)
}

// Regexp is a compiled pattern. It may be used from any goroutine.
type Regexp struct {
	re              *regexp2.Regexp
	utf, firstLines bool
}

// compiled are the patterns in use.
var compiled intern.Table[Regexp]

// Compile translates and compiles a pattern. The same pattern with the same options gives the same Regexp.
func Compile(pattern string, options ...string) (*Regexp, error) {
	return compiled.Get(fmt.Sprintf("%q %q", pattern, options), func() (*Regexp, error) { return compile(pattern, options) })
}

func compile(pattern string, options []string) (*Regexp, error) {
	flags := regexp2.RegexOptions(regexp2.RE2) // ASCII classes and [[:alpha:]], as PCRE2 has them
	for _, o := range options {
		if !Supported(o) {
			return nil, fmt.Errorf("the option %s is not supported", o)
		}
		flags |= engineOptions[o]
	}
	r := &Regexp{utf: slices.Contains(options, "utf"), firstLines: slices.Contains(options, "firstline")}
	t := translator{
		in: r.runes(nil, []byte(pattern)), endOnly: slices.Contains(options, "dollar_endonly"),
		ungreedy: slices.Contains(options, "ungreedy"), extended: slices.Contains(options, "extended"),
	}
	translated, err := t.translate()
	if err != nil {
		return nil, err
	}
	if r.re, err = regexp2.Compile(translated, flags); err != nil {
		return nil, fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	r.re.MatchTimeout = searchTime
	return r, nil
}

var scratch = sync.Pool{New: func() any { return new([]rune) }}

// Find searches body from a byte offset on and gives the offset of the first match, or -1.
func (r *Regexp) Find(body []byte, from int) (at int, err error) {
	if from > len(body) {
		return -1, nil
	}
	buf := scratch.Get().(*[]rune)
	defer scratch.Put(buf)
	*buf = r.runes((*buf)[:0], body)
	start := from
	if r.utf {
		start = utf8.RuneCount(body[:from])
	}
	m, err := r.re.FindRunesMatchStartingAt(*buf, start)
	if err != nil {
		return -1, fmt.Errorf("the search took longer than %v", searchTime)
	}
	if m == nil || r.firstLines && slices.Contains((*buf)[start:m.Index], '\n') {
		return -1, nil
	}
	if !r.utf {
		return m.Index, nil
	}
	for range m.Index { // what is no UTF-8 is one byte of body, whatever it is read as
		_, size := utf8.DecodeRune(body[at:])
		at += size
	}
	return at, nil
}

// runes makes characters of bytes: one of each, as PCRE2 sees them, unless they are UTF-8.
func (r *Regexp) runes(buf []rune, b []byte) []rune {
	buf = slices.Grow(buf, len(b))
	if r.utf {
		for len(b) > 0 {
			c, size := utf8.DecodeRune(b)
			buf, b = append(buf, c), b[size:]
		}
		return buf
	}
	for _, c := range b {
		buf = append(buf, rune(c))
	}
	return buf
}

// translator writes a pattern the way the engine reads it.
type translator struct {
	in                          []rune
	i                           int
	endOnly, ungreedy, extended bool
	out                         strings.Builder
}

func (t *translator) translate() (string, error) {
	for t.i < len(t.in) {
		if err := t.next(); err != nil {
			return "", err
		}
	}
	return t.out.String(), nil
}

func (t *translator) next() error {
	switch c := t.in[t.i]; {
	case c == '\\':
		t.escape(`[ \t]`)
	case c == '[':
		t.class()
	case c == '(' && t.at(1) == '?', c == '(' && t.at(1) == '*':
		t.copy(2)
	case c == '$' && !t.endOnly:
		t.i++
		t.out.WriteString(`(?:$|(?=\n\z))`)
	case c == '#' && t.extended:
		for t.i < len(t.in) && t.in[t.i] != '\n' {
			t.i++
		}
	case c == '*' || c == '+' || c == '?':
		t.copy(1)
		return t.quantified()
	case c == '{' && t.braces() > 0:
		t.copy(t.braces())
		return t.quantified()
	default:
		t.copy(1)
	}
	return nil
}

// at looks ahead; 0 is the end.
func (t *translator) at(n int) rune {
	if t.i+n < len(t.in) {
		return t.in[t.i+n]
	}
	return 0
}

func (t *translator) copy(n int) {
	for ; n > 0 && t.i < len(t.in); n-- {
		t.out.WriteRune(t.in[t.i])
		t.i++
	}
}

// quantified follows a quantifier: what makes it lazy is turned round by ungreedy.
func (t *translator) quantified() error {
	switch lazy := t.at(0) == '?'; {
	case t.at(0) == '+':
		return fmt.Errorf("possessive quantifiers are not supported: write an atomic group (?>...)")
	case lazy:
		t.i++
		if !t.ungreedy {
			t.out.WriteByte('?')
		}
	case t.ungreedy:
		t.out.WriteByte('?')
	}
	return nil
}

// braces is the length of {n}, {n,} or {n,m} here, 0 when it is none: then the brace is a character.
func (t *translator) braces() int {
	digits, comma := 0, false
	for n := 1; ; n++ {
		switch c := t.at(n); {
		case '0' <= c && c <= '9':
			digits++
		case c == ',' && !comma && digits > 0:
			comma = true
		case c == '}' && digits > 0:
			return n + 1
		default:
			return 0
		}
	}
}

func (t *translator) escape(blank string) {
	switch t.at(1) {
	case 'h':
		t.i += 2
		t.out.WriteString(blank)
	case 'R':
		t.i += 2
		t.out.WriteString(`(?>\r\n|[\n\r\f\x0b\x85])`)
	case 'Q':
		t.i += 2
		t.quote()
	default:
		t.copy(2)
	}
}

// quote takes everything up to \E literally.
func (t *translator) quote() {
	for t.i < len(t.in) {
		if t.in[t.i] == '\\' && t.at(1) == 'E' {
			t.i += 2
			return
		}
		t.out.WriteString(regexp2.Escape(string(t.in[t.i])))
		t.i++
	}
}

// class copies [...], in which most characters stand for themselves.
func (t *translator) class() {
	t.copy(1)
	if t.at(0) == '^' {
		t.copy(1)
	}
	if t.at(0) == ']' {
		t.i++
		t.out.WriteString(`\]`)
	}
	for t.i < len(t.in) && t.in[t.i] != ']' {
		switch {
		case t.in[t.i] == '\\':
			t.escape(` \t`)
		case t.in[t.i] == '[' && t.at(1) == ':':
			for t.i < len(t.in) && !(t.in[t.i] == ':' && t.at(1) == ']' && t.in[t.i-1] != '[') {
				t.copy(1)
			}
			t.copy(2)
		case t.in[t.i] == '[', t.in[t.i] == '-' && t.at(1) == '[':
			t.out.WriteByte('\\') // here it would take a class off another
			t.copy(1)
		default:
			t.copy(1)
		}
	}
	t.copy(1)
}
