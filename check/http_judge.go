package check

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/holdfast-lb/holdfast/internal/pcre"
)

// maxBody is how much of a body is kept to be searched, or read to see that it comes. Only a digest takes more, and that
// keeps nothing.
const maxBody = 1 << 20

// Regex is a pattern to search a body for. Make it with [NewRegex].
type Regex struct {
	// NoMatch turns it round: a match is a failure (regex_no_match).
	NoMatch bool
	// MinOffset and MaxOffset are the first and the last place in the body, in bytes, where a match may begin
	// (regex_min_offset, regex_max_offset).
	MinOffset, MaxOffset int

	pattern string
	options []string
	re      *pcre.Regexp
}

// NewRegex compiles a pattern in Perl's syntax; options are keepalived's (regex_options), such as "caseless". A match may
// begin anywhere. A search takes 250 ms at most.
func NewRegex(pattern string, options ...string) (*Regex, error) {
	re, err := pcre.Compile(pattern, options...)
	if err != nil {
		return nil, fmt.Errorf("check: regex %q: %w", pattern, err)
	}
	return &Regex{MaxOffset: math.MaxInt, pattern: pattern, options: slices.Clone(options), re: re}, nil
}

// String is the pattern with what goes with it.
func (r *Regex) String() string {
	s := strconv.Quote(r.pattern)
	if len(r.options) > 0 {
		s += " " + strings.Join(r.options, " ")
	}
	if r.MinOffset > 0 {
		s += " from " + strconv.Itoa(r.MinOffset)
	}
	if r.MaxOffset < math.MaxInt {
		s += " to " + strconv.Itoa(r.MaxOffset)
	}
	return s
}

// GoString is String, with NoMatch: what is printed of a checker tells it from others.
func (r *Regex) GoString() string { return fmt.Sprintf("%v %s", r.NoMatch, r) }

func (r *Regex) judge(body []byte) error {
	at := -1
	if len(body) > 0 { // nothing has no match, whatever the pattern
		var err error
		if at, err = r.re.Find(body, r.MinOffset); err != nil {
			return fmt.Errorf("regex %v: %w", r, err)
		}
	}
	switch found := at >= 0 && at <= r.MaxOffset; {
	case found && r.NoMatch:
		return fmt.Errorf("regex %v matches at byte %d, and must not", r, at)
	case !found && !r.NoMatch && at >= 0:
		return fmt.Errorf("regex %v matches at byte %d only", r, at)
	case !found && !r.NoMatch:
		return fmt.Errorf("regex %v does not match, %s", r, opening(body))
	}
	return nil
}

// JSONValue is a value that a JSON text must have.
type JSONValue struct {
	// Pointer says where it is (RFC 6901), such as "/checks/0/state". Empty is the whole.
	Pointer string
	// Want is the value: a string without its quotes, anything else as JSON has it.
	Want string
}

func (v JSONValue) judge(document any) error {
	at := document
	for _, token := range strings.Split(v.Pointer, "/")[min(1, len(v.Pointer)):] {
		if v.Pointer == "" {
			break
		}
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		next, ok := member(at, token)
		if !ok {
			return fmt.Errorf("JSON has no %s", v.Pointer)
		}
		at = next
	}
	text, isText := at.(string)
	if !isText {
		b, err := json.Marshal(at)
		if err != nil {
			return err
		}
		text = string(b)
	}
	if text != v.Want {
		return fmt.Errorf("JSON has %s at %q, want %s", clip(text), v.Pointer, clip(v.Want))
	}
	return nil
}

func member(of any, token string) (any, bool) {
	switch of := of.(type) {
	case map[string]any:
		m, ok := of[token]
		return m, ok
	case []any:
		i, err := strconv.Atoi(token)
		if err != nil || i < 0 || i >= len(of) {
			return nil, false
		}
		return of[i], true
	}
	return nil, false
}

// judge reads an answer and compares it with what is expected: the status, then the digest, then what is in the body.
func (u *URL) judge(ctx context.Context, resp *http.Response) error {
	if !u.accepts(resp.StatusCode) {
		return fmt.Errorf("%s, want %s", statusLine(resp), u.wanted())
	}
	kept := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(kept)
	kept.Reset()
	digest, err := u.readBody(resp.Body, kept)
	if err != nil {
		return fmt.Errorf("%s, then the body broke off: %w", statusLine(resp), ended(ctx, err))
	}
	if !strings.EqualFold(digest, u.Digest) {
		return fmt.Errorf("digest %s, want %s", digest, u.Digest)
	}
	return u.judgeBody(kept.Bytes())
}

func (u *URL) judgeBody(body []byte) error {
	if u.Text != "" && !bytes.Contains(body, []byte(u.Text)) {
		return fmt.Errorf("%s is not in the body, %s", clip(strconv.Quote(u.Text)), opening(body))
	}
	if u.Regex != nil {
		if err := u.Regex.judge(body); err != nil {
			return err
		}
	}
	if len(u.JSON) == 0 {
		return nil
	}
	var document any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&document); err != nil {
		return fmt.Errorf("the body is no JSON: %w, %s", err, opening(body))
	}
	for _, v := range u.JSON {
		if err := v.judge(document); err != nil {
			return err
		}
	}
	return nil
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readBody reads a body to its end, or as far as it matters. It keeps what is searched, and gives the digest if one is
// wanted.
func (u *URL) readBody(body io.Reader, kept *bytes.Buffer) (digest string, err error) {
	if u.Text != "" || u.Regex != nil || len(u.JSON) > 0 {
		_, err = io.CopyN(kept, body, maxBody)
	} else if u.Digest == "" {
		_, err = io.CopyN(io.Discard, body, maxBody)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err != nil || u.Digest == "" {
		return "", err
	}
	sum := md5.New()
	sum.Write(kept.Bytes())
	_, err = io.Copy(sum, body)
	return hex.EncodeToString(sum.Sum(nil)), err
}

func (u *URL) accepts(status int) bool {
	if len(u.Status) == 0 {
		return status/100 == 2
	}
	for _, r := range u.Status {
		if r.Low <= status && status <= r.High {
			return true
		}
	}
	return false
}

func (u *URL) wanted() string {
	if len(u.Status) == 0 {
		return "200-299"
	}
	var parts []string
	for _, r := range u.Status {
		parts = append(parts, r.String())
	}
	return strings.Join(parts, " or ")
}

// opening is how a body begins, for a message.
func opening(body []byte) string {
	if len(body) == 0 {
		return "which is empty"
	}
	return "which begins " + strconv.Quote(string(body[:min(len(body), 40)]))
}

// clip makes text fit for a message.
func clip(text string) string {
	if len(text) > 60 {
		return text[:60] + "..."
	}
	return text
}
