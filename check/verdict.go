package check

import "time"

// verdict is what a probe thinks of its server. It has no clock: it only counts.
type verdict struct {
	up      bool
	decide  bool // the next result decides, whatever the retries
	checked bool
	streak  int // results in a row that speak against up, or for it while there is nothing to change
	weight  Weight
}

// change is what a result did to a verdict.
type change struct {
	turned, weighed bool
	attempts        int
	next            time.Duration // before the next check
	took            time.Duration // see Transition.Took
}

// observe takes one result.
func (v *verdict) observe(p Policy, r Result) (c change) {
	ok, decide := r.Err == nil, v.decide
	v.decide, v.checked = false, true
	c.next = p.delayLoop()
	if ok == v.up {
		v.streak = 0
		if ok {
			c.weighed = v.weigh(r.Report.Weight)
		}
		return c
	}
	v.streak++
	switch {
	case v.up && !decide && v.streak <= p.retry():
		c.next = p.delayBeforeRetry()
		return c
	case !v.up && !decide && v.streak < p.rise():
		if p.FastRecovery {
			c.next = p.delayBeforeRetry()
		}
		return c
	}
	return v.turn(ok, r, c)
}

// tell takes what a [Watcher] knows: that decides.
func (v *verdict) tell(r Result) (c change) {
	v.decide = true
	return v.observe(Policy{}, r)
}

func (v *verdict) turn(up bool, r Result, c change) change {
	c.turned, c.attempts = true, v.streak
	v.up, v.streak = up, 0
	if up {
		v.weigh(r.Report.Weight)
	} else {
		v.weigh(Weight{})
	}
	return c
}

func (v *verdict) weigh(w Weight) (changed bool) {
	changed, v.weight = v.weight != w, w
	return changed
}

// under is the verdict under another policy: the failures that were counted go on counting, as far as there are retries.
func (v verdict) under(p Policy) verdict {
	if v.up {
		v.streak = min(v.streak, p.retry())
	}
	return v
}

// of another question than the one that was asked so far: it stays until there is an answer. A server that was down is up
// with the first good one.
func (v verdict) ofAnother() verdict {
	return verdict{up: v.up, weight: v.weight, decide: v.decide || !v.up}
}
