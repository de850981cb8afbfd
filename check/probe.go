package check

import (
	"errors"
	"fmt"
	"time"
)

// Probe is a checker at work under a policy.
type Probe struct {
	// ID identifies the probe in its Monitor.
	ID      string
	Checker Checker
	Policy  Policy
	// Alpha makes the probe start as down; otherwise it counts as up until the first verdict.
	Alpha bool
	// Suspended keeps the verdict and asks nobody until it is taken away.
	Suspended bool
	// LogFailures logs each failure of a probe that is up, and not only the one that decides.
	LogFailures bool
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

// Result is the outcome of one check.
type Result struct {
	// At is when the check ended, zero before the first.
	At time.Time
	// Latency is how long it took, 0 for what a [Watcher] told.
	Latency time.Duration
	// Report is what a [Reporter] or Watcher said.
	Report Report
	// Err is nil when the server is well.
	Err error
}

// Transition tells that a probe changed its verdict, or the weight that goes with it.
type Transition struct {
	// ID of the probe.
	ID string
	// Up is the verdict, Turned says whether it is a new one. If not, the weight changed.
	Up, Turned bool
	// Weight is what the probe now says about the weight of its server; nothing when it is down.
	Weight Weight
	// Attempts is how many checks in a row said so.
	Attempts int
	// Took is how long it may have been so already: the time from the beginning of the last check that found it otherwise
	// to At. 0 when no check did.
	Took time.Duration
	// Result is that of the deciding check.
	Result
}

// Reason is one line for a person, without the probe's ID.
func (t Transition) Reason() string {
	switch {
	case !t.Up && t.Attempts > 1:
		return fmt.Sprintf("%v (%d attempts)", t.Err, t.Attempts)
	case !t.Up:
		return t.Err.Error()
	}
	reason := "check succeeded"
	if t.Latency > 0 {
		reason += " in " + t.Latency.Round(time.Microsecond).String()
	}
	if t.Report.Detail != "" {
		reason += ": " + t.Report.Detail
	}
	if w := t.Weight.String(); w != "" {
		reason += ", weight " + w
	}
	return reason
}

// String reads like a log line.
func (t Transition) String() string {
	verdict := "DOWN"
	if t.Up {
		verdict = "UP"
	}
	return fmt.Sprintf("%s %s: %s", t.ID, verdict, t.Reason())
}
