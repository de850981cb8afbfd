package vrrp

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Host is what the instances of a Router share on their host. It is a value: the Router copies it.
type Host struct {
	// Pacing keeps bursts of announcements from overrunning switches.
	Pacing []Pacing
}

// Pacing is the least time between two announcements on some interfaces taken together. 0 means no gap.
type Pacing struct {
	// Interfaces are the ones that are taken together (a garp_group). None means every one that no other Pacing names, each
	// by itself.
	Interfaces []string
	// ARP is for gratuitous ARP, NA for unsolicited neighbour advertisements.
	ARP, NA time.Duration
}

// Validate reports everything that is wrong, joined.
func (h *Host) Validate() error {
	var errs []error
	var seen []string
	for _, p := range h.Pacing {
		if p.ARP < 0 || p.NA < 0 {
			errs = append(errs, errors.New("vrrp: negative time between announcements"))
		}
		for _, name := range p.Interfaces {
			if slices.Contains(seen, name) {
				errs = append(errs, fmt.Errorf("vrrp: announcements of interface %s are paced twice", name))
			}
			seen = append(seen, name)
		}
	}
	return errors.Join(errs...)
}

// SetHost changes what the instances share. On an error nothing has changed. It may be called before and while Run runs.
func (r *Router) SetHost(h Host) error {
	if err := h.Validate(); err != nil {
		return err
	}
	r.paces.set(h.Pacing)
	return nil
}
