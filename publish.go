package holdfast

import (
	"fmt"
	"time"
)

// What the To of an EventReload may be.
const (
	reloadBegun     = "BEGUN"
	reloadOK        = "OK"
	reloadPartly    = "PARTLY"
	reloadRefused   = "REFUSED"
	reloadScheduled = "SCHEDULED"
	reloadCancelled = "CANCELLED"
)

// ownKinds are what only a Controller tells.
var ownKinds = map[EventKind]bool{
	EventInstance: true, EventGroup: true, EventPriority: true, EventRival: true, EventConflict: true, EventServer: true, EventService: true,
	EventTracker: true, EventWeight: true, EventRepair: true, EventApply: true, EventOverride: true, EventError: true,
}

// Publish puts an event of the host program into the stream: an [EventReload], or one of a kind of its own. Who subscribes gets
// it in its place among all others, and so do hooks, mail and webhooks that are about it; FIFOs do not. Seq and Missed are the
// Controller's to set; a zero Time is now. The kinds that a Controller tells are refused: what it says can be relied on.
func (c *Controller) Publish(e Event) error {
	if e.Kind == "" || ownKinds[e.Kind] {
		return fmt.Errorf("holdfast: publish: events of kind %q are the Controller's to tell", e.Kind)
	}
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Missed = 0
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == ended {
		return ErrEnded
	}
	if e.Kind == EventReload && !isReload(e.To) {
		return fmt.Errorf("holdfast: publish: the To of a reload cannot be %q", e.To)
	}
	e = c.events.publish(e)
	if e.Kind == EventReload {
		c.reload.add(e)
	}
	return nil
}

func isReload(to string) bool {
	switch to {
	case reloadBegun, reloadOK, reloadPartly, reloadRefused, reloadScheduled, reloadCancelled:
		return true
	}
	return false
}

// reloads is what was told last of reloads.
type reloads struct{ last, scheduled *Event }

// add forgets what was to come as soon as anything begins.
func (r *reloads) add(e Event) {
	switch e.To {
	case reloadScheduled:
		r.scheduled = &e
	case reloadCancelled:
		r.scheduled = nil
	case reloadBegun:
		r.last, r.scheduled = &e, nil
	default:
		r.last = &e
	}
}
