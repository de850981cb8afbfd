package holdfast

import (
	"cmp"
	"slices"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// hostOf is what instances share on their host.
func hostOf(c *config.Config) vrrp.Host {
	var h vrrp.Host
	for _, a := range c.StaticAddresses {
		a.Dev = cmp.Or(a.Dev, c.Global.DefaultInterface, "eth0")
		h.Static.Addrs = append(h.Static.Addrs, addressOf(a))
	}
	h.Firewall = vrrp.Firewall{Table: c.Global.NFTables, Priority: c.Global.NFTablesPriority, Counters: c.Global.NFTablesCounters, ByIndex: c.Global.NFTablesByIndex}
	g := &c.Global
	h.Process = vrrp.Process{RealTime: g.RealTime, AutoRealTime: g.MaxAutoPriority, AutoDelay: g.MinAutoPriorityDelay, Nice: g.Nice, LockMemory: g.NoSwap, CPUs: g.CPUs}
	h.Polls, h.QuietIGMP, h.LogUnknown = pollsOf(c), g.QuietIGMP, g.LogUnknownVRIDs
	h.Static.Routes, h.Static.Rules = textsOf(c.StaticRoutes), textsOf(c.StaticRules)
	if g.GARPInterval > 0 || g.GNAInterval > 0 {
		h.Pacing = append(h.Pacing, vrrp.Pacing{ARP: g.GARPInterval, NA: g.GNAInterval})
	}
	for _, g := range c.GARPGroups {
		p := vrrp.Pacing{ARP: g.ARP, NA: g.NA}
		for _, w := range g.Interfaces {
			p.Interfaces = append(p.Interfaces, w.Text)
		}
		if len(p.Interfaces) > 0 {
			h.Pacing = append(h.Pacing, p)
		}
	}
	for _, d := range c.LinkDelays {
		h.Delays = append(h.Delays, vrrp.LinkDelay{Interface: d.Interface, Down: d.Down, Up: d.Up})
	}
	return h
}

// pollsOf are the links that are polled: those that are listed, and with linkbeat_use_polling those of instances.
func pollsOf(c *config.Config) (polls []vrrp.LinkPoll) {
	add := func(name, how string) {
		if name != "" && !slices.ContainsFunc(polls, func(p vrrp.LinkPoll) bool { return p.Interface == name }) {
			polls = append(polls, vrrp.LinkPoll{Interface: name, How: how})
		}
	}
	for _, p := range c.LinkPolls {
		add(p.Interface, p.How)
	}
	for _, v := range c.Instances {
		if !v.PollLink && !c.PollLinks {
			continue
		}
		add(v.Interface, "")
		for _, t := range v.Tracks {
			if t.Kind == "interface" && c.PollLinks {
				add(t.Name, "")
			}
		}
	}
	return polls
}

// addressOf is an address with its options.
func addressOf(a config.VirtualAddress) vrrp.Address {
	v := vrrp.Address{
		Prefix: a.Prefix, Interface: a.Dev, Label: a.Label, Scope: a.Scope, Broadcast: a.Broadcast, Peer: a.Peer, DAD: a.DAD, Home: a.Home,
		ManageTempAddr: a.ManageTempAddr, NoPrefixRoute: a.NoPrefixRoute, AutoJoin: a.AutoJoin, NoTrack: a.NoTrack, VMAC: a.VMAC,
	}
	if a.Preferred != nil {
		v.Preferred = orNone(*a.Preferred)
	}
	return v
}

// addressesOf are those of an instance: dev of the instance's own interface says nothing.
func addressesOf(list []config.VirtualAddress, iface string) (addrs []vrrp.Address) {
	for _, a := range list {
		if a.Dev == iface {
			a.Dev = ""
		}
		addrs = append(addrs, addressOf(a))
	}
	return addrs
}

func textsOf(list []config.HostEntry) (texts []string) {
	for _, e := range list {
		texts = append(texts, e.Text)
	}
	return texts
}

// staticTracks are the interfaces that an instance depends on by its track_groups.
func staticTracks(c *config.Config, instance string) (list []vrrp.TrackInterface) {
	for _, g := range c.TrackGroups {
		for _, m := range g.Members {
			if m.Text != instance {
				continue
			}
			for _, a := range c.StaticAddresses {
				if a.TrackGroup == g.Name {
					list = append(list, vrrp.TrackInterface{Interface: cmp.Or(a.Dev, c.Global.DefaultInterface, "eth0")})
				}
			}
			for _, e := range slices.Concat(c.StaticRoutes, c.StaticRules) {
				for _, name := range e.Interfaces {
					if e.TrackGroup == g.Name {
						list = append(list, vrrp.TrackInterface{Interface: name})
					}
				}
			}
		}
	}
	return list
}
