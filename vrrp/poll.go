package vrrp

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// pollTime is the time between two looks at a link that is polled.
const pollTime = time.Second

// poll asks the drivers of the links of [Host.Polls], which may take its time: nothing waits for it.
func (r *Router) poll(ctx context.Context) {
	told := make(map[LinkPoll]bool)
	for {
		var next <-chan time.Time
		if polls := r.polled(); len(polls) > 0 {
			next = time.After(pollTime)
			for _, p := range polls {
				r.pollOne(p, told)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-r.repoll:
		case <-next:
		}
	}
}

func (r *Router) polled() []LinkPoll {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.host.Polls
}

// pollOne tells of a change. A link whose driver does not know how is as the kernel says, which is told once.
func (r *Router) pollOne(p LinkPoll, told map[LinkPoll]bool) {
	up, err := r.net.Carrier(p.Interface, p.How)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !told[p] {
		told[p] = true
		r.log.Warn("carrier cannot be polled", "interface", p.Interface, "by", p.How, "error", err)
	}
	r.mu.Lock()
	dark := !up && err == nil
	changed := r.beats[p.Interface] != dark
	r.beats[p.Interface] = dark
	r.mu.Unlock()
	if changed {
		r.changed(Change{Interface: p.Interface})
	}
}

// forgetBeats has links that are polled no more be what the kernel says.
func (r *Router) forgetBeats() {
	polled := make(map[string]bool, len(r.host.Polls))
	for _, p := range r.host.Polls {
		polled[p.Interface] = true
	}
	for name, dark := range r.beats {
		if !polled[name] {
			delete(r.beats, name)
			if dark {
				r.changed(Change{Interface: name})
			}
		}
	}
	select {
	case r.repoll <- struct{}{}:
	default:
	}
}
