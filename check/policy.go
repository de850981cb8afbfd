package check

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Policy says how often a [Probe] checks and how patient it is. The names are keepalived's. Policies can be compared.
type Policy struct {
	// DelayLoop is the time from the end of one check to the start of the next. 0 means 60 s.
	DelayLoop time.Duration
	// Retry is how many more failures after a first one it takes to be down. 0 means that the first one counts.
	Retry int
	// DelayBeforeRetry is the time from a failure to the retry. 0 means 1 s, or DelayLoop with Fall; a negative value none.
	DelayBeforeRetry time.Duration
	// Timeout bounds one check as a whole. 0 means 5 s.
	Timeout time.Duration
	// Warmup is the most that is added at random to the second before the first check, so that not all start at once.
	// 0 means DelayLoop, a negative value none.
	Warmup time.Duration
	// Rise is how many successes in a row it takes to be up again. 0 means 1.
	Rise int
	// Fall is how many failures in a row it takes to be down, for those who count that way: it is Retry + 1. 0 means that
	// Retry counts.
	Fall int
	// Jitter is the most that is added at random to the time before each check. 0 means none.
	Jitter time.Duration
	// FastRecovery makes a probe that is down and needs more than one success ask for the others DelayBeforeRetry apart.
	FastRecovery bool
	// FromStart makes the times count from the start of a check instead of its end, as those of scripts do. When a check
	// takes longer, what is missed is left out.
	FromStart bool
	// AtOnce makes the first check come at once, without the second and the Warmup.
	AtOnce bool
}

func (p Policy) delayLoop() time.Duration { return cmp.Or(p.DelayLoop, 60*time.Second) }
func (p Policy) timeout() time.Duration   { return cmp.Or(p.Timeout, 5*time.Second) }
func (p Policy) warmup() time.Duration    { return max(cmp.Or(p.Warmup, p.delayLoop()), 0) }
func (p Policy) rise() int                { return max(p.Rise, 1) }

func (p Policy) delayBeforeRetry() time.Duration {
	if p.DelayBeforeRetry == 0 && p.Fall > 0 {
		return p.delayLoop()
	}
	return max(cmp.Or(p.DelayBeforeRetry, time.Second), 0)
}

func (p Policy) retry() int {
	if p.Fall > 0 {
		return p.Fall - 1
	}
	return p.Retry
}

// Validate reports values out of range.
func (p Policy) Validate() error {
	var errs []error
	durations := [...]time.Duration{p.DelayLoop, p.Timeout, p.Jitter}
	for i, field := range [...]string{"DelayLoop", "Timeout", "Jitter"} {
		if durations[i] < 0 {
			errs = append(errs, fmt.Errorf("check: policy: %s is %v, and must not be negative", field, durations[i]))
		}
	}
	counts := [...]int{p.Retry, p.Rise, p.Fall}
	for i, field := range [...]string{"Retry", "Rise", "Fall"} {
		if counts[i] < 0 {
			errs = append(errs, fmt.Errorf("check: policy: %s is %d, and must not be negative", field, counts[i]))
		}
	}
	if p.Retry > 0 && p.Fall > 0 {
		errs = append(errs, fmt.Errorf("check: policy: Retry %d and Fall %d say the same, set one of them", p.Retry, p.Fall))
	}
	return errors.Join(errs...)
}

// after is the time from a check that took so long to the next one, when it shall come delay later.
func (p Policy) after(took, delay time.Duration) time.Duration {
	if !p.FromStart {
		return delay
	}
	if took < delay || delay <= 0 {
		return max(delay-took, 0)
	}
	return delay - took%delay
}

// Detection is the longest time from the death of a server, silent ever after, to the verdict: it dies just after a check,
// and then every attempt runs into its timeout.
func (p Policy) Detection() time.Duration {
	attempt := p.timeout() + p.after(p.timeout(), p.delayBeforeRetry()) + p.Jitter
	return p.delayLoop() + p.Jitter + time.Duration(p.retry())*attempt + p.timeout()
}

// Arithmetic prints how Detection comes about.
func (p Policy) Arithmetic() string {
	text := fmt.Sprintf("%v delay loop + %v timeout", p.delayLoop(), p.timeout())
	if n := p.retry(); n > 0 {
		text += fmt.Sprintf(" + %d x (%v before retry + %v timeout)", n, p.after(p.timeout(), p.delayBeforeRetry()), p.timeout())
	}
	if p.Jitter > 0 {
		text += fmt.Sprintf(" + %d x %v jitter", p.retry()+1, p.Jitter)
	}
	return fmt.Sprintf("%s = %v", text, p.Detection())
}
