package config

import (
	"time"
)

// What instances ask of their host.

func hostTable() map[string]setter[VRRPInstance] {
	return map[string]setter[VRRPInstance]{
		"unicast_ttl":           number(func(v *VRRPInstance) *int { return &v.UnicastTTL }),
		"unicast_fault_no_peer": flag(func(v *VRRPInstance) *bool { return &v.FaultNoPeer }),
		"dont_track_primary":    flag(func(v *VRRPInstance) *bool { return &v.IgnoreLink }),
		"track_src_ip":          flag(func(v *VRRPInstance) *bool { return &v.TrackSource }),
		"kernel_rx_buf_size":    number(func(v *VRRPInstance) *int { return &v.ReceiveBuffer }),
		"native_ipv6":           func(*decoder, *Node, *VRRPInstance) {}, // the family is that of the first address
	}
}

// GARPGroup is a garp_group, or with no interfaces, vrrp_garp_interval and vrrp_gna_interval for all others.
type GARPGroup struct {
	Pos
	Interfaces []Word
	ARP, NA    time.Duration
}

func decodeGARPGroup(d *decoder, n *Node, c *Config) {
	g := &GARPGroup{Pos: n.Pos}
	decodeBlock(d, n.block(), n.Block, g, garpKeywords)
	if g.ARP == 0 && g.NA == 0 {
		d.warnf(n.Pos, "garp-group", "add garp_interval", "garp_group without an interval is ignored")
		return
	}
	for _, w := range g.Interfaces {
		for _, other := range c.GARPGroups {
			for _, o := range other.Interfaces {
				if o.Text == w.Text {
					d.errorf(w.Pos, "two-groups", "remove it from one", "interface %s is in another garp_group", w.Text)
				}
			}
		}
	}
	c.GARPGroups = append(c.GARPGroups, g)
}

var garpKeywords = map[string]setter[GARPGroup]{
	"garp_interval": timer(func(g *GARPGroup) *time.Duration { return &g.ARP }),
	"gna_interval":  timer(func(g *GARPGroup) *time.Duration { return &g.NA }),
	"interface":     func(_ *decoder, n *Node, g *GARPGroup) { g.Interfaces = append(g.Interfaces, n.Words[1]) },
	"interfaces": func(_ *decoder, n *Node, g *GARPGroup) {
		for e := range n.entries() {
			g.Interfaces = append(g.Interfaces, e.Words...)
		}
	},
}

// LinkDelay is an entry of interface_up_down_delays.
type LinkDelay struct {
	Pos
	Interface string
	Down, Up  time.Duration
}

func decodeDelays(d *decoder, n *Node, c *Config) {
	for e := range n.entries() {
		checkDelays(d, e)
		if len(e.Words) < 2 {
			continue
		}
		l := LinkDelay{Pos: e.Pos, Interface: e.Words[0].Text}
		l.Down, _ = d.timer(e.Words[1], 0, 255, "seconds", 6, time.Second)
		if len(e.Words) > 2 {
			l.Up, _ = d.timer(e.Words[2], 0, 255, "seconds", 6, time.Second)
		}
		c.LinkDelays = append(c.LinkDelays, l)
	}
}

// TrackGroup is a track_group: instances that depend on the interfaces of static entries.
type TrackGroup struct {
	Pos
	Name    string
	Members []Word
}

func decodeTrackGroup(d *decoder, n *Node, c *Config) {
	g := &TrackGroup{Pos: n.Pos, Name: n.Words[1].Text}
	decodeBlock(d, n.block(), n.Block, g, map[string]setter[TrackGroup]{"group": groupMembers})
	c.TrackGroups = append(c.TrackGroups, g)
}

func groupMembers(_ *decoder, n *Node, g *TrackGroup) {
	for e := range n.entries() {
		g.Members = append(g.Members, e.Words...)
	}
}

func decodeStaticAddresses(d *decoder, n *Node, c *Config) {
	c.StaticAddresses = append(c.StaticAddresses, d.addresses(n)...)
}

// hostGlobals are of global_defs.
func hostGlobals() map[string]setter[Global] {
	return map[string]setter[Global]{
		"vrrp_garp_interval": timer(func(g *Global) *time.Duration { return &g.GARPInterval }),
		"vrrp_gna_interval":  timer(func(g *Global) *time.Duration { return &g.GNAInterval }),
		"default_interface":  text(func(g *Global) *string { return &g.DefaultInterface }),
	}
}

// initHost writes down what instances ask of their host, and the options of entries.
func initHost() {
	topKeywords["garp_group"] = decodeGARPGroup
	topKeywords["interface_up_down_delays"] = decodeDelays
	topKeywords["track_group"] = decodeTrackGroup
	topKeywords["static_ipaddress"] = decodeStaticAddresses
	setDecoded("garp_group", garpKeywords)
	setDecoded("track_group", map[string]setter[TrackGroup]{"group": groupMembers})
	setEntries("virtual_ipaddress", addressOptions, "ADDR")
	setEntries("static_ipaddress", addressOptions, "ADDR")
	setEntries("garp_group/interfaces", nil, "IF")
	setEntries("track_group/group", nil, "INSTANCE")
	setEntries("vrrp_sync_group/group", nil, "INSTANCE")
	setEntries("interface_up_down_delays", nil, "IF")
	setEntries("vrrp_instance/unicast_peer", map[string]int{"min_ttl": 1, "max_ttl": 1}, "ADDR")
	for _, kind := range []string{"interface", "script", "file", "process", "bfd"} {
		setEntries("vrrp_instance/track_"+kind, nil, "weight")
	}
}

// setEntries writes down which options of a list's entries have an effect.
func setEntries(list string, options map[string]int, names ...string) {
	decoded[list+"/<entry>"] = func(name string) bool {
		for _, n := range names {
			if n == name {
				return true
			}
		}
		_, ok := options[name]
		return ok
	}
}
