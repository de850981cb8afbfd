package check

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Checker asks one server once whether it is well.
//
// Check returns nil when it is, and an error fit for a log line when it is not. It returns soon after ctx ends. It may be
// called from any goroutine, but not twice at once.
//
// A Checker may have more methods, which a [Monitor] finds by itself: see [Reporter], [Watcher], [Keyer] and [io.Closer]. One
// that has Close is closed when no probe uses it any more, and when Run ends. Of several that ask the same, which a Keyer may be, only
// the first is used, and closed. What Go cannot compare and is no Keyer should not have Close: of two values for one probe only
// the latter is closed.
type Checker interface {
	Check(ctx context.Context) error
}

// CheckerFunc is a function that is a [Checker].
type CheckerFunc func(ctx context.Context) error

// Check calls f.
func (f CheckerFunc) Check(ctx context.Context) error { return f(ctx) }

// Reporter is a [Checker] that has more to say than whether the server is well. A Monitor calls Report in place of Check, by
// the same rules.
type Reporter interface {
	Checker
	Report(ctx context.Context) (Report, error)
}

// Report is what a check says beside its verdict. The zero value says nothing.
type Report struct {
	// Weight is the weight that the server should have. It counts while the probe is up.
	Weight Weight
	// Detail is what was seen, in a few words: for logs, events and the status.
	Detail string
}

// Watcher is a [Checker] that need not be asked again and again: it tells by itself.
type Watcher interface {
	Checker
	// Watch calls tell at once and then for each change, from any goroutine, until ctx ends. What it tells is the verdict: no
	// retries, no rise. A Watch that returns before its time says with its error that nothing is known any more; this counts
	// as a failure and Watch is called again after the policy's DelayBeforeRetry.
	Watch(ctx context.Context, tell func(Report, error)) error
}

// Keyer is a [Checker] that can be told from others by a text: those of one type with one Key ask the same question. Probes
// that ask the same under the same policy share one check. Checkers that Go can compare need no Key; pointers are the same
// when they point to the same. Others share nothing.
type Keyer interface {
	Checker
	Key() string
}

// ErrInconclusive is what an error of a Check wraps when the check could not be made, for reasons that say nothing of the
// server: the verdict stays as it is, and the check is made again a delay loop later. A process that has run out of
// descriptors is such a reason, and a Monitor knows it by itself.
var ErrInconclusive = errors.New("check: inconclusive")

// Weight is what a check says about the weight that its server should have. The zero value says nothing. Weights can be
// compared.
type Weight struct {
	kind weightKind
	n    int
}

type weightKind uint8

const (
	weightNone weightKind = iota
	weightOffset
	weightAbsolute
	weightPercent
)

// Offset adds n, which may be negative, to the configured weight.
func Offset(n int) Weight { return Weight{weightOffset, n} }

// Absolute is n in place of the configured weight. Where several checks of a server have something to say, what each changes
// is added up.
func Absolute(n int) Weight { return Weight{weightAbsolute, n} }

// Percent is so much of the configured weight; 0 drains the server.
func Percent(n int) Weight { return Weight{weightPercent, n} }

// Change is what w adds to the configured weight. The sum may be negative, which a server's weight cannot.
func (w Weight) Change(configured int) int {
	switch w.kind {
	case weightOffset:
		return w.n
	case weightAbsolute:
		return w.n - configured
	case weightPercent:
		return int(int64(configured)*int64(w.n)/100) - configured
	}
	return 0
}

// String is "+3", "8", "50%", or nothing.
func (w Weight) String() string {
	switch w.kind {
	case weightOffset:
		return fmt.Sprintf("%+d", w.n)
	case weightAbsolute:
		return strconv.Itoa(w.n)
	case weightPercent:
		return strconv.Itoa(w.n) + "%"
	}
	return ""
}

// MarshalText gives String.
func (w Weight) MarshalText() ([]byte, error) { return []byte(w.String()), nil }
