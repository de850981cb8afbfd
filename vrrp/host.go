package vrrp

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// Host is what the instances of a Router share on their host. It is a value: the Router copies it.
type Host struct {
	// Static is always held while the Router runs, and put back when someone takes it away. Its addresses name their
	// interfaces.
	Static Holdings `json:"static,omitzero"`
	// Pacing keeps bursts of announcements from overrunning switches.
	Pacing []Pacing `json:"pacing,omitempty"`
	// Delays keep links that flap from moving instances.
	Delays []LinkDelay `json:"delays,omitempty"`
}

// Pacing is the least time between two announcements on some interfaces taken together. 0 means no gap.
type Pacing struct {
	// Interfaces are the ones that are taken together (a garp_group). None means every one that no other Pacing names, each
	// by itself.
	Interfaces []string
	// ARP is for gratuitous ARP, NA for unsolicited neighbour advertisements.
	ARP, NA time.Duration
}

// LinkDelay is how long a link must have changed before it counts as down or up. It does not delay the first time up.
type LinkDelay struct {
	Interface string
	Down, Up  time.Duration
}

// Validate reports everything that is wrong, joined.
func (h *Host) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("vrrp: host: "+format, args...)) }
	var seen []string
	for _, p := range h.Pacing {
		if p.ARP < 0 || p.NA < 0 {
			bad("negative time between announcements")
		}
		for _, name := range p.Interfaces {
			if slices.Contains(seen, name) {
				bad("announcements of interface %s are paced twice", name)
			}
			seen = append(seen, name)
		}
	}
	for _, d := range h.Delays {
		if d.Interface == "" || d.Down < 0 || d.Up < 0 {
			bad("delay of interface %q: it must have a name, and times that are not negative", d.Interface)
		}
	}
	for i := range h.Static.Addrs {
		a := &h.Static.Addrs[i]
		if !a.Prefix.IsValid() || a.Interface == "" || a.VMAC {
			bad("static address %v: it must be valid and have an interface, and no virtual MAC address", a)
		} else if err := a.check(); err != nil {
			bad("%w", err)
		}
	}
	return errors.Join(errs...)
}

// Clone is a copy that shares nothing.
func (h *Host) Clone() Host {
	c := Host{Static: h.Static.clone(), Pacing: slices.Clone(h.Pacing), Delays: slices.Clone(h.Delays)}
	for i := range c.Pacing {
		c.Pacing[i].Interfaces = slices.Clone(c.Pacing[i].Interfaces)
	}
	return c
}

// SetHost changes what the instances share; of Static only what differs. On an error nothing has changed. It may be called
// before and while Run runs.
func (r *Router) SetHost(h Host) error {
	if err := h.Validate(); err != nil {
		return err
	}
	h = h.Clone()
	r.locked(func(now time.Time) {
		old := r.host
		r.host = h
		r.paces.set(h.Pacing)
		clear(r.delays)
		for _, d := range h.Delays {
			r.delays[d.Interface] = d
		}
		if r.running {
			r.static(old.Static.without(h.Static), false)
			r.static(h.Static.without(old.Static), true)
		}
	})
	return nil
}

// static holds or releases static entries, each on its interface's worker.
func (r *Router) static(what Holdings, hold bool) {
	for name, part := range what.byInterface() {
		verb, do := "remove", r.net.Release
		if hold {
			verb, do = "add", r.net.Hold
		}
		r.after(r.link(name), func() {
			if err := do(name, part); err != nil && !errors.Is(err, fs.ErrNotExist) {
				r.log.Error(verb+" static entries", "interface", name, "error", err)
			}
		})
	}
}

// restore puts static entries of one interface back.
func (r *Router) restore(iface string) {
	if part := r.host.Static.byInterface()[iface]; !part.empty() {
		r.static(part, true)
	}
}

// Holdings are what an instance puts on its host while MASTER.
type Holdings struct {
	Addrs []Address
}

func (h Holdings) empty() bool { return len(h.Addrs) == 0 }

func (h Holdings) clone() Holdings { return Holdings{Addrs: slices.Clone(h.Addrs)} }

// without is what of h the other has not.
func (h Holdings) without(other Holdings) Holdings {
	return Holdings{Addrs: without(h.Addrs, other.Addrs)}
}

// byInterface splits entries that name their interfaces.
func (h Holdings) byInterface() map[string]Holdings {
	parts := make(map[string]Holdings)
	for _, a := range h.Addrs {
		part := parts[a.Interface]
		part.Addrs = append(part.Addrs, a)
		parts[a.Interface] = part
	}
	return parts
}
