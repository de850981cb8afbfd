package observe

import (
	"time"

	"github.com/holdfast-lb/holdfast"
)

// counts is what follows from events alone.
type counts struct {
	kinds       map[holdfast.EventKind]uint64
	missed      uint64
	transitions map[subject]map[string]uint64 // by the state entered
	repairs     map[string]uint64             // by service
	detection   timing                        // of servers and trackers that went down
	takeover    timing                        // of instances that became MASTER
	reloads     map[bool]uint64               // by success
	reloadBad   bool                          // the last one
	reloadedAt  time.Time                     // of the last success
}

// countedByState are the kinds whose To is a state that metrics count.
var countedByState = map[holdfast.EventKind]bool{
	holdfast.EventInstance: true, holdfast.EventServer: true, holdfast.EventService: true, holdfast.EventTracker: true,
}

// subject is what an event happened to.
type subject struct {
	kind   holdfast.EventKind
	object string
}

func newCounts() counts {
	return counts{
		kinds: make(map[holdfast.EventKind]uint64), transitions: make(map[subject]map[string]uint64),
		repairs: make(map[string]uint64), reloads: make(map[bool]uint64),
	}
}

func (c *counts) add(e holdfast.Event) {
	c.kinds[e.Kind]++
	c.missed += e.Missed
	switch {
	case e.Kind == holdfast.EventReload:
		c.reload(e)
	case e.Kind == holdfast.EventRepair:
		c.repairs[e.Object]++
	case e.To != "" && countedByState[e.Kind]:
		s := subject{e.Kind, e.Object}
		if c.transitions[s] == nil {
			c.transitions[s] = make(map[string]uint64)
		}
		c.transitions[s][e.To]++
	}
	switch {
	case e.Took == 0:
	case e.Kind == holdfast.EventInstance && e.To == "MASTER":
		c.takeover.add(e.Took)
	case e.To == "DOWN" && (e.Kind == holdfast.EventServer || e.Kind == holdfast.EventTracker):
		c.detection.add(e.Took)
	}
}

// reload counts those that have ended.
func (c *counts) reload(e holdfast.Event) {
	switch e.To {
	case "OK":
		c.reloadedAt = e.Time
	case "PARTLY", "REFUSED":
	default:
		return
	}
	c.reloadBad = e.To != "OK"
	c.reloads[!c.reloadBad]++
}

// keep drops all subjects but the given ones.
func (c *counts) keep(there map[subject]bool) {
	for s := range c.transitions {
		if !there[s] {
			delete(c.transitions, s)
		}
	}
	for service := range c.repairs {
		if !there[subject{holdfast.EventService, service}] {
			delete(c.repairs, service)
		}
	}
}

// present lists all that events of a Controller can be about.
func present(s holdfast.Status) map[subject]bool {
	there := make(map[subject]bool)
	for i := range s.Instances {
		there[subject{holdfast.EventInstance, s.Instances[i].Instance.String()}] = true
	}
	for _, t := range s.Trackers {
		there[subject{holdfast.EventTracker, t.ID}] = true
	}
	for _, service := range s.Services {
		there[subject{holdfast.EventService, service.Service}] = true
		for _, server := range service.Servers {
			there[subject{holdfast.EventServer, service.Service + " " + server.Server}] = true
		}
	}
	return there
}

// timingBounds in seconds are where detection and takeover usually are: from BFD's milliseconds to a delay loop of a minute.
var timingBounds = [...]float64{.01, .025, .05, .1, .25, .5, 1, 2, 3, 5, 10, 30, 60, 120}

// timing counts durations of rare things.
type timing struct {
	counts [len(timingBounds) + 1]uint64
	sum    time.Duration
}

func (t *timing) add(d time.Duration) {
	i := 0
	for i < len(timingBounds) && d.Seconds() > timingBounds[i] {
		i++
	}
	t.counts[i]++
	t.sum += d
}
