package vrrp

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/internal/iproute"
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
	// Firewall is where traffic is refused for instances that accept none.
	Firewall Firewall `json:"firewall,omitzero"`
	// Polls are links whose drivers are asked each second whether they have carrier, because the kernel does not tell of it. A
	// link is up when both say so.
	Polls []LinkPoll `json:"polls,omitempty"`
	// QuietIGMP keeps the host from reporting membership of groups of the link itself, 224.0.0.0/24, which all switches forward.
	QuietIGMP bool `json:"quietIGMP,omitempty"`
	// LogUnknown logs VRIDs that are heard on an instance's link and that no instance has, each once a minute. Without it the
	// kernel drops what is for them.
	LogUnknown bool `json:"logUnknown,omitempty"`
	// Process says how the process runs.
	Process Process `json:"process,omitzero"`
}

// Process is how the process that the Router runs in is scheduled. It is taken when Run begins, and what is refused for want of
// privilege is logged. The zero value changes nothing.
type Process struct {
	// RealTime is a priority of SCHED_RR, 1 to 99: the process goes before all ordinary ones. 0 means ordinary scheduling.
	RealTime int
	// AutoRealTime is the real-time priority that the Router may give the process by itself, 1 to 99: when a timer was late by
	// AutoDelay or more, it is raised by one, from ordinary scheduling to 1 and so on, and stays so. Of AutoRealTime 0 means never,
	// of AutoDelay a second.
	AutoRealTime int
	AutoDelay    time.Duration
	// Nice is the nice value, -20 to 19. Nil leaves it as it is.
	Nice *int
	// LockMemory keeps its memory from being swapped out.
	LockMemory bool
	// CPUs are the processors that it may run on. None means all.
	CPUs []int
}

// Firewall is a table of nftables, of the family inet, that belongs to the Router. It is there while it is needed.
type Firewall struct {
	// Table is its name. Empty means keepalived.
	Table string
	// Priority is that of its chains. Nil means -1.
	Priority *int32
	// Counters counts what is dropped.
	Counters bool
	// ByIndex has link-local addresses, which count on their interface only, go by its index rather than its name: that is faster,
	// and outlives a new name, but not a new interface of the same name.
	ByIndex bool
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

// LinkPoll is a link that is polled.
type LinkPoll struct {
	Interface string
	// How is MII, ETHTOOL or IOCTL (the interface's flags): what the driver is asked by. Empty means the first of them, in this
	// order, that the driver knows.
	How string
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
	for _, p := range h.Polls {
		if p.Interface == "" || !slices.Contains([]string{"", "MII", "ETHTOOL", "IOCTL"}, p.How) {
			bad("polled interface %q by %q: it must have a name, and be polled by MII, ETHTOOL or IOCTL", p.Interface, p.How)
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
	if p := h.Process; p.AutoRealTime < 0 || p.AutoRealTime > 99 || p.AutoDelay < 0 {
		bad("automatic real-time priority %d after %v: it must be 0 to 99, and the time not negative", p.AutoRealTime, p.AutoDelay)
	}
	if p := h.Process; p.RealTime < 0 || p.RealTime > 99 || p.Nice != nil && (*p.Nice < -20 || *p.Nice > 19) {
		bad("real-time priority %d, which is 0 to 99, or a nice value that is not -20 to 19", p.RealTime)
	}
	if err := checkTexts(h.Static.Routes, h.Static.Rules); err != nil {
		bad("%w", err)
	}
	return errors.Join(errs...)
}

// Clone is a copy that shares nothing.
func (h *Host) Clone() Host {
	c := *h
	c.Static, c.Pacing, c.Delays, c.Polls = h.Static.clone(), slices.Clone(h.Pacing), slices.Clone(h.Delays), slices.Clone(h.Polls)
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
		r.overhearUnknown(h.LogUnknown)
		r.forgetBeats()
		if r.running {
			r.static(old.Static.without(h.Static), false)
			r.static(h.Static.without(old.Static), true)
			if old.QuietIGMP != h.QuietIGMP {
				r.quietIGMP(h.QuietIGMP)
			}
		}
	})
	return nil
}

// quietIGMP is told to the host at once: it matters when a group is joined.
func (r *Router) quietIGMP(on bool) {
	if err := r.net.QuietIGMP(on); err != nil {
		r.log.Error("IGMP reports for groups of the link", "error", err)
	}
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

// restore puts static entries of one interface back, and all routes and rules: they may have led there.
func (r *Router) restore(iface string) {
	part := r.host.Static.byInterface()[iface]
	part.Routes, part.Rules = r.host.Static.Routes, r.host.Static.Rules
	if !part.empty() && r.running {
		r.static(part, true)
	}
}

// restoreRoutes puts back routes and rules that someone removed, or that went with a link.
func (r *Router) restoreRoutes() {
	r.restore("")
	for _, x := range r.runners {
		if x.machine.State() == Master && len(x.in.Routes)+len(x.in.Rules) > 0 {
			r.add(x, Holdings{Routes: x.in.Routes, Rules: x.in.Rules})
		}
	}
}

// Holdings are what an instance puts on its host while MASTER. Routes and rules are texts, see [Instance.Routes].
type Holdings struct {
	Addrs         []Address `json:"addrs,omitempty"`
	Routes, Rules []string  `json:",omitempty"`
}

func (h Holdings) empty() bool { return len(h.Addrs)+len(h.Routes)+len(h.Rules) == 0 }

func (h Holdings) clone() Holdings {
	return Holdings{slices.Clone(h.Addrs), slices.Clone(h.Routes), slices.Clone(h.Rules)}
}

// without is what of h the other has not.
func (h Holdings) without(other Holdings) Holdings {
	return Holdings{without(h.Addrs, other.Addrs), without(h.Routes, other.Routes), without(h.Rules, other.Rules)}
}

// byInterface splits entries that name their interfaces. Routes and rules belong to none.
func (h Holdings) byInterface() map[string]Holdings {
	parts := make(map[string]Holdings)
	for _, a := range h.Addrs {
		part := parts[a.Interface]
		part.Addrs = append(part.Addrs, a)
		parts[a.Interface] = part
	}
	if len(h.Routes)+len(h.Rules) > 0 {
		parts[""] = Holdings{Routes: h.Routes, Rules: h.Rules}
	}
	return parts
}

// checkTexts says what is wrong with routes and rules.
func checkTexts(routes, rules []string) error {
	var errs []error
	for _, text := range routes {
		if _, err := iproute.ParseRoute(strings.Fields(text)); err != nil {
			errs = append(errs, fmt.Errorf("route %q: %w", text, err))
		}
	}
	for _, text := range rules {
		if _, err := iproute.ParseRule(strings.Fields(text)); err != nil {
			errs = append(errs, fmt.Errorf("rule %q: %w", text, err))
		}
	}
	return errors.Join(errs...)
}

// textInterfaces are the interfaces of routes and rules that are tracked. The texts are valid.
func textInterfaces(routes, rules []string) (names []string) {
	for _, text := range routes {
		if r, err := iproute.ParseRoute(strings.Fields(text)); err == nil && !r.NoTrack {
			names = append(names, r.Interfaces()...)
		}
	}
	for _, text := range rules {
		if r, err := iproute.ParseRule(strings.Fields(text)); err == nil && !r.NoTrack && r.IIF != "" {
			names = append(names, r.IIF)
		}
	}
	return names
}
