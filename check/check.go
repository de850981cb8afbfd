package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// Checker asks one server once whether it is well.
//
// Check returns nil when it is, and an error fit for a log line when it is not. It returns soon after ctx ends. It may be
// called from any goroutine, but not twice at once.
type Checker interface {
	Check(ctx context.Context) error
}

// CheckerFunc is a function that is a [Checker].
type CheckerFunc func(ctx context.Context) error

// Check calls f.
func (f CheckerFunc) Check(ctx context.Context) error { return f(ctx) }

// Policy says how often a [Probe] checks and how patient it is. The names are keepalived's.
type Policy struct {
	// DelayLoop is the time from the end of one check to the start of the next. 0 means 60 s.
	DelayLoop time.Duration
	// Retry is how many more failures after a first one it takes to be down. 0 means that the first one counts.
	Retry int
	// DelayBeforeRetry is the time from a failure to the retry. 0 means 1 s, a negative value none.
	DelayBeforeRetry time.Duration
	// Timeout bounds one check as a whole. 0 means 5 s.
	Timeout time.Duration
	// Warmup is the most that is added at random to the second before the first check, so that not all start at once.
	// 0 means DelayLoop, a negative value none.
	Warmup time.Duration
	// Rise is how many successes in a row it takes to be up again. 0 means 1.
	Rise int
}

func (p Policy) delayLoop() time.Duration { return cmp.Or(p.DelayLoop, 60*time.Second) }
func (p Policy) delayBeforeRetry() time.Duration {
	return max(cmp.Or(p.DelayBeforeRetry, time.Second), 0)
}
func (p Policy) timeout() time.Duration { return cmp.Or(p.Timeout, 5*time.Second) }
func (p Policy) warmup() time.Duration  { return max(cmp.Or(p.Warmup, p.delayLoop()), 0) }
func (p Policy) rise() int              { return max(p.Rise, 1) }

// Validate reports values out of range.
func (p Policy) Validate() error {
	if p.DelayLoop < 0 || p.Timeout < 0 || p.Retry < 0 || p.Rise < 0 {
		return fmt.Errorf("check: policy %+v: only Warmup and DelayBeforeRetry may be negative", p)
	}
	return nil
}

// Detection is the longest time from the death of a server, silent ever after, to the verdict: it dies just after a check,
// and then every attempt runs into its timeout.
func (p Policy) Detection() time.Duration {
	return p.delayLoop() + p.timeout() + time.Duration(p.Retry)*(p.delayBeforeRetry()+p.timeout())
}

// Arithmetic prints how Detection comes about.
func (p Policy) Arithmetic() string {
	if p.Retry == 0 {
		return fmt.Sprintf("%v delay loop + %v timeout = %v", p.delayLoop(), p.timeout(), p.Detection())
	}
	return fmt.Sprintf("%v delay loop + %v timeout + %d x (%v before retry + %v timeout) = %v",
		p.delayLoop(), p.timeout(), p.Retry, p.delayBeforeRetry(), p.timeout(), p.Detection())
}

// Probe is a checker at work under a policy.
type Probe struct {
	// ID identifies the probe in its Monitor.
	ID      string
	Checker Checker
	Policy  Policy
	// Alpha makes the probe start as down; otherwise it counts as up until the first verdict.
	Alpha bool
}

// Validate reports what is missing or out of range.
func (p Probe) Validate() error {
	if p.ID == "" {
		return errors.New("check: probe without ID")
	}
	if p.Checker == nil {
		return fmt.Errorf("check: probe %s: no checker", p.ID)
	}
	if err := p.Policy.Validate(); err != nil {
		return fmt.Errorf("check: probe %s: %w", p.ID, err)
	}
	return nil
}

// Transition tells that a probe changed its verdict.
type Transition struct {
	// ID of the probe.
	ID string
	// Up is the new verdict.
	Up bool
	// Err is why it is down, nil when it is up.
	Err error
	// At is when the deciding check ended, Latency how long it took.
	At      time.Time
	Latency time.Duration
	// Attempts is how many checks in a row said so.
	Attempts int
	// Took is how long it may have been so already: the time from the beginning of the last check that found it otherwise
	// to At. 0 when no check did.
	Took time.Duration
}

// Reason is one line for a person.
func (t Transition) Reason() string {
	if t.Up {
		return fmt.Sprintf("check succeeded in %v", t.Latency.Round(time.Microsecond))
	}
	if t.Attempts > 1 {
		return fmt.Sprintf("%v (%d attempts)", t.Err, t.Attempts)
	}
	return t.Err.Error()
}

// String reads like a log line.
func (t Transition) String() string {
	verdict := "DOWN"
	if t.Up {
		verdict = "UP"
	}
	return fmt.Sprintf("%s %s: %s", t.ID, verdict, t.Reason())
}

// verdict is what a probe thinks of its server. It has no clock: it only counts.
type verdict struct {
	up      bool
	initial bool // the very first result decides, whatever the retries
	checked bool
	streak  int // results in a row that speak against up, or for it while there is nothing to change
}

// observe takes one result and says whether the verdict changed and when to check again.
func (v *verdict) observe(p Policy, ok bool) (changed bool, next time.Duration) {
	initial := v.initial
	v.initial, v.checked = false, true
	if ok == v.up {
		v.streak = 0
		return false, p.delayLoop()
	}
	v.streak++
	switch {
	case v.up && !initial && v.streak <= p.Retry:
		return false, p.delayBeforeRetry()
	case !v.up && !initial && v.streak < p.rise():
		return false, p.delayLoop()
	}
	v.up = ok
	return true, p.delayLoop()
}
