package holdfast

import (
	"context"
	"time"

	"github.com/holdfast-lb/holdfast/check"
)

// settleTime is how long instances wait at the start for the first word of what they track, so that they need not begin in
// FAULT, and tell so, only to leave it a moment later.
const settleTime = time.Second

// settle waits for the trackers that have something to say at once.
func (c *Controller) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !c.settled() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *Controller) settled() bool {
	if c.quickTrackers() == 0 {
		return true
	}
	known := c.monitor.Status()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, t := range c.state.trackers {
		s := known[t.probe.id]
		if speaksAtOnce(&c.spec.Trackers[i].Probe) && (!s.Checked || s.Up != t.probe.up || s.Weight != t.probe.weight) {
			return false
		}
	}
	return true
}

func (c *Controller) quickTrackers() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.spec.Trackers {
		if speaksAtOnce(&c.spec.Trackers[i].Probe) {
			n++
		}
	}
	return n
}

func speaksAtOnce(p *check.Probe) bool {
	_, watches := p.Checker.(check.Watcher)
	return watches || p.Policy.AtOnce
}
