package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
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
		"virtual_routes":        func(d *decoder, n *Node, v *VRRPInstance) { v.Routes = append(v.Routes, d.routes(n)...) },
		"virtual_rules":         func(d *decoder, n *Node, v *VRRPInstance) { v.Rules = append(v.Rules, d.rules(n)...) },
		"accept":                func(_ *decoder, _ *Node, v *VRRPInstance) { v.accept = new(true) },
		"no_accept":             func(_ *decoder, _ *Node, v *VRRPInstance) { v.accept = new(false) },
		"promote_secondaries":   flag(func(v *VRRPInstance) *bool { return &v.PromoteSecondaries }),
		"use_vmac":              decodeVMAC,
		"use_vmac_addr":         flag(func(v *VRRPInstance) *bool { return &v.VMACAddr }),
		"vmac_xmit_base":        flag(func(v *VRRPInstance) *bool { return &v.VMACXmitBase }),
		"use_ipvlan":            decodeIPVLAN,
		"vrf":                   text(func(v *VRRPInstance) *string { return &v.VRF }),
		"linkbeat_use_polling":  flag(func(v *VRRPInstance) *bool { return &v.PollLink }),
		"garp_extra_if":         extraGARP(func(v *VRRPInstance) *ExtraGARP { return &v.ExtraGARP }),
		"vmac_garp_intvl":       extraGARP(func(v *VRRPInstance) *ExtraGARP { return &v.ExtraGARP }),
		"native_ipv6":           func(*decoder, *Node, *VRRPInstance) {}, // the family is that of the first address
	}
}

// extraGARP reads [all] SECS.
func extraGARP[T any](field func(*T) *ExtraGARP) setter[T] {
	return func(d *decoder, n *Node, into *T) {
		e, words := ExtraGARP{said: true}, n.Values()
		if words[0].Text == "all" {
			e.All, words = true, words[1:]
		}
		if len(words) == 0 {
			d.errorf(n.Pos, "missing-value", n.Keyword()+" [all] SECS", "%s has no time", n.Keyword())
			return
		}
		secs, ok := d.integer(words[0], 0, 86400)
		if e.Period = time.Duration(secs) * time.Second; ok {
			*field(into) = e
		}
	}
}

// decodeVMAC reads [[name] IFNAME] [MAC] [netlink_notify_msg] [group G], in any order.
func decodeVMAC(d *decoder, n *Node, v *VRRPInstance) {
	v.VMAC = true
	words := n.Values()
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w.Text == "netlink_notify_msg": // the kernel tells of every change by itself
		case (w.Text == "name" || w.Text == "group") && i+1 == len(words):
			d.errorf(w.Pos, "missing-value", "", "use_vmac: %s has no value", w.Text)
		case w.Text == "name":
			i++
			v.VMACName = d.linkName(words[i])
		case w.Text == "group":
			i++
			group, _ := d.integer(words[i], 0, 1<<32-1)
			v.VMACGroup = uint32(group)
		case strings.Count(w.Text, ":") >= 4:
			v.vmacAddr(d, w)
		default:
			v.VMACName = d.linkName(w)
		}
	}
}

// decodeIPVLAN reads [[name] IFNAME] [ADDR[/MASK]] [bridge|private|vepa] [group G], in any order.
func decodeIPVLAN(d *decoder, n *Node, v *VRRPInstance) {
	v.IPVLAN.Use = true
	words := n.Values()
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case (w.Text == "name" || w.Text == "group") && i+1 == len(words):
			d.errorf(w.Pos, "missing-value", "", "use_ipvlan: %s has no value", w.Text)
		case w.Text == "name":
			i++
			v.IPVLAN.Name = d.linkName(words[i])
		case w.Text == "group":
			i++
			group, _ := d.integer(words[i], 0, 1<<32-1)
			v.IPVLAN.Group = uint32(group)
		case w.Text == "bridge" || w.Text == "private" || w.Text == "vepa":
			v.IPVLAN.Mode = w.Text
		case strings.ContainsAny(w.Text, "/:") || strings.Trim(w.Text, "0123456789.") == "":
			v.IPVLAN.Addr, _ = d.prefix(w)
		default:
			v.IPVLAN.Name = d.linkName(w)
		}
	}
}

func (d *decoder) linkName(w Word) string {
	if len(w.Text) > 15 || strings.ContainsAny(w.Text, ":/ \t") {
		d.bad(w, "an interface name of at most 15 characters, without : / and blanks")
		return ""
	}
	return w.Text
}

// vmacAddr reads a MAC address; of one of 5 octets the VRID is the last one.
func (v *VRRPInstance) vmacAddr(d *decoder, w Word) {
	octets := strings.Split(w.Text, ":")
	var mac [6]byte
	for i, text := range octets {
		b, err := strconv.ParseUint(text, 16, 8)
		if err != nil || len(octets) > 6 {
			d.bad(w, "a MAC address of 5 or 6 octets")
			return
		}
		mac[i] = byte(b)
	}
	if mac[0]&1 != 0 || [5]byte(mac[:5]) == [5]byte{0, 0, 0x5e, 0, 1} || [5]byte(mac[:5]) == [5]byte{0, 0, 0x5e, 0, 2} {
		d.bad(w, "a MAC address that can be chosen: those of multicast and of RFC 9568 cannot")
		return
	}
	v.VMACAddress, v.vmacShort = mac, len(octets) == 5
}

// resolveAccept: strict instances accept no traffic unless told to; in version 2 they never do.
func (v *VRRPInstance) resolveAccept() {
	v.NoAccept = !first(!v.Strict, v.accept) || v.Strict && v.Version == 2
}

// validateVMAC finds what a virtual MAC address cannot go with.
func (d *decoder) validateVMAC(v *VRRPInstance) {
	if v.vmacShort {
		v.VMACAddress[5] = byte(v.VRID)
	}
	if v.Strict && v.VMACAddress != [6]byte{} {
		d.warnf(v.Pos, "vmac-strict", "remove it", "instance %s: strict mode has the standard virtual MAC address only; the one given is ignored", v.Name)
		v.VMACAddress = [6]byte{}
	}
	if v.Strict && v.VMACXmitBase {
		d.warnf(v.Pos, "vmac-strict", "remove it", "instance %s: vmac_xmit_base is ignored in strict mode", v.Name)
		v.VMACXmitBase = false
	}
	if v.VMACName != "" && v.VMACName == v.Interface {
		d.warnf(v.Pos, "vmac-name", "give it another name, or none", "instance %s: its virtual link cannot have the name of its interface; the name is ignored", v.Name)
		v.VMACName = ""
	}
	if v.VMAC && !v.VMACXmitBase && v.speaksUnicast() {
		d.warnf(v.Pos, "vmac-unicast", "add vmac_xmit_base", "instance %s: unicast goes out by the interface itself, not by its virtual link", v.Name)
	}
	if v.VMACXmitBase && !v.VMAC {
		d.warnf(v.Pos, "no-effect", "add use_vmac, or remove it", "instance %s: vmac_xmit_base has no effect without use_vmac", v.Name)
	}
	d.validateIPVLAN(v)
	switch {
	case v.VRF == "":
	case v.Interface != "":
		d.warnf(v.Pos, "no-effect", "remove it", "instance %s: vrf has no effect with an interface, which says what it is in", v.Name)
		v.VRF = ""
	case !unicast(v):
		d.errorf(v.Pos, "missing-keyword", "add interface IF, or unicast_peer", "instance %s: vrf is for unicast without an interface", v.Name)
	}
}

// validateIPVLAN finds what an ipvlan cannot go with. An interface carries links of one kind only.
func (d *decoder) validateIPVLAN(v *VRRPInstance) {
	own := v.IPVLAN.Addr.Addr()
	for _, a := range v.held() {
		if v.IPVLAN.Use && a.VMAC && (a.Dev == "" || a.Dev == v.Interface) {
			d.errorf(a.Pos, "vmac-ipvlan", "remove use_vmac", "instance %s: interface %s has an ipvlan and cannot carry a virtual MAC address too", v.Name, v.Interface)
		}
		if a.Prefix.Addr() == own {
			d.errorf(a.Pos, "ipvlan-address", "give use_ipvlan another address", "instance %s: %v is the ipvlan's own address", v.Name, own)
		}
	}
	if own.IsValid() && len(v.held()) > 0 && own.Is6() != v.is6() {
		d.errorf(v.Pos, "family-clash", "", "instance %s: %v of use_ipvlan is not of the family of the virtual addresses", v.Name, own)
	}
	if v.IPVLAN.Use && v.VMAC {
		d.errorf(v.Pos, "vmac-ipvlan", "use one of them", "instance %s has both use_vmac and use_ipvlan", v.Name)
		return
	}
	for _, other := range d.cfg.Instances {
		switch {
		case !v.IPVLAN.Use || other == v || other.Interface != v.Interface:
		case other.VMAC:
			d.errorf(v.Pos, "vmac-ipvlan", "use the same for both", "instances %s and %s: interface %s can carry virtual MAC addresses or ipvlans, not both", other.Name, v.Name, v.Interface)
		case other.IPVLAN.Use && other.Line < v.Line && cmp.Or(v.IPVLAN.Mode, "bridge") != cmp.Or(other.IPVLAN.Mode, "bridge"):
			d.errorf(v.Pos, "vmac-ipvlan", "use the same for both", "instances %s and %s: all ipvlans of interface %s are bridge, private or vepa", other.Name, v.Name, v.Interface)
		}
	}
}

// decodeBuffers reads MTU, ADVERT or a number of bytes, which is what counts if there is one.
func decodeBuffers(d *decoder, n *Node, g *Global) {
	for _, w := range n.Values() {
		if w.Text == "MTU" || w.Text == "ADVERT" {
			continue // what there is without has more room
		}
		if !digitsOnly(w.Text) {
			d.bad(w, "MTU, ADVERT or a number of bytes")
		} else if bytes, ok := d.integer(w, 0, 1<<31-1); ok {
			g.ReceiveBuffer = int(bytes)
		}
	}
}

// decodeIPTables tells of rules that are not where a file wants them. What refuses traffic is nftables in any case.
func decodeIPTables(d *decoder, n *Node, _ *Global) {
	words := n.Values()
	if len(words) > 1 && words[0].Text == words[1].Text {
		d.errorf(words[1].Pos, "bad-value", "", "vrrp_iptables: the chain of what leaves is that of what comes")
	}
	if len(words) > 0 && words[0].Text != "INPUT" {
		d.warnf(n.Pos, "iptables-chain", "say nftables, and give its chains their place by nftables_priority",
			"vrrp_iptables: nothing is put into the chain %s: traffic is refused by a table of nftables, before the chains of iptables unless nftables_priority says otherwise", words[0].Text)
	}
}

func decodeCPUs(d *decoder, n *Node, g *Global) {
	for _, w := range n.Values() {
		if cpu, ok := d.integer(w, 0, 1023); ok {
			g.CPUs = append(g.CPUs, int(cpu))
		}
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

// LinkPoll is an entry of linkbeat_interfaces. How is MII, ETHTOOL or IOCTL; empty means whatever the driver knows.
type LinkPoll struct {
	Pos
	Interface, How string
}

func decodeLinkbeat(d *decoder, n *Node, c *Config) {
	for e := range n.entries() {
		checkLinkbeat(d, e)
		p := LinkPoll{Pos: e.Pos, Interface: e.Words[0].Text}
		if len(e.Words) > 1 {
			p.How = e.Words[1].Text
		}
		if slices.ContainsFunc(c.LinkPolls, func(o LinkPoll) bool { return o.Interface == p.Interface }) {
			d.warnf(e.Pos, "duplicate-keyword", "remove one", "interface %s is polled already; this entry is ignored", p.Interface)
			continue
		}
		c.LinkPolls = append(c.LinkPolls, p)
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

// validateTrackGroups finds names that nothing has.
func (d *decoder) validateTrackGroups() {
	groups := make(map[string]bool)
	for _, g := range d.cfg.TrackGroups {
		if groups[g.Name] {
			d.errorf(g.Pos, "duplicate-name", "rename one", "track_group %s exists already", g.Name)
		}
		groups[g.Name] = true
		for _, m := range g.Members {
			if !d.hasInstance(m.Text) {
				d.warnf(m.Pos, "unknown-instance", "", "track_group %s: there is no vrrp_instance %s", g.Name, quoted(m.Text))
			}
		}
	}
	named := func(pos Pos, name string) {
		if name != "" && !groups[name] {
			d.warnf(pos, "unknown-group", "define it", "there is no track_group %s", quoted(name))
		}
	}
	for _, a := range d.cfg.StaticAddresses {
		named(a.Pos, a.TrackGroup)
	}
	for _, e := range slices.Concat(d.cfg.StaticRoutes, d.cfg.StaticRules) {
		named(e.Pos, e.TrackGroup)
	}
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
		"vrrp_garp_interval":   timer(func(g *Global) *time.Duration { return &g.GARPInterval }),
		"vrrp_gna_interval":    timer(func(g *Global) *time.Duration { return &g.GNAInterval }),
		"vrrp_garp_extra_if":   extraGARP(func(g *Global) *ExtraGARP { return &g.ExtraGARP }),
		"vrrp_vmac_garp_intvl": extraGARP(func(g *Global) *ExtraGARP { return &g.ExtraGARP }),
		"log_unknown_vrids":    flag(func(g *Global) *bool { return &g.LogUnknownVRIDs }),
		"disable_local_igmp":   flag(func(g *Global) *bool { return &g.QuietIGMP }),
		"vmac_prefix":          text(func(g *Global) *string { return &g.VMACPrefix }),
		"vmac_addr_prefix":     text(func(g *Global) *string { return &g.VMACAddrPrefix }),
		"nftables":             text(func(g *Global) *string { return &g.NFTables }),
		"nftables_priority":    func(d *decoder, _ *Node, g *Global) { g.NFTablesPriority = new(int32(d.v.number)) },
		"nftables_counters":    flag(func(g *Global) *bool { return &g.NFTablesCounters }),
		"vrrp_iptables":        decodeIPTables,
		"nftables_ifindex":     flag(func(g *Global) *bool { return &g.NFTablesByIndex }),
		"vrrp_rt_priority":     number(func(g *Global) *int { return &g.RealTime }),
		"max_auto_priority": func(d *decoder, _ *Node, g *Global) {
			g.MaxAutoPriority = max(int(d.v.number), 0)
			if !d.v.set {
				g.MaxAutoPriority = 99
			}
		},
		"min_auto_priority_delay": func(d *decoder, _ *Node, g *Global) {
			g.MinAutoPriorityDelay = time.Duration(d.v.number) * time.Microsecond
		},
		"vrrp_rx_bufs_policy": decodeBuffers,
		"vrrp_priority":       func(d *decoder, _ *Node, g *Global) { g.Nice = new(int(d.v.number)) },
		"vrrp_no_swap":        flag(func(g *Global) *bool { return &g.NoSwap }),
		"vrrp_cpu_affinity":   decodeCPUs,
		"default_interface":   text(func(g *Global) *string { return &g.DefaultInterface }),
	}
}

// initHost writes down what instances ask of their host, and the options of entries.
func initHost() {
	topKeywords["garp_group"] = decodeGARPGroup
	topKeywords["interface_up_down_delays"] = decodeDelays
	topKeywords["linkbeat_interfaces"] = decodeLinkbeat
	topKeywords["linkbeat_use_polling"] = flag(func(c *Config) *bool { return &c.PollLinks })
	topKeywords["track_group"] = decodeTrackGroup
	topKeywords["static_ipaddress"] = decodeStaticAddresses
	topKeywords["static_routes"] = func(d *decoder, n *Node, c *Config) { c.StaticRoutes = append(c.StaticRoutes, d.routes(n)...) }
	topKeywords["static_rules"] = func(d *decoder, n *Node, c *Config) { c.StaticRules = append(c.StaticRules, d.rules(n)...) }
	setEntries("virtual_routes", routeOptions, "DEST", "encap", "nexthop")
	setEntries("static_routes", routeOptions)
	setEntries("virtual_rules", ruleOptions)
	setEntries("static_rules", ruleOptions)
	setDecoded("garp_group", garpKeywords)
	setDecoded("track_group", map[string]setter[TrackGroup]{"group": groupMembers})
	setEntries("virtual_ipaddress", addressOptions, "ADDR")
	setEntries("static_ipaddress", addressOptions, "ADDR")
	setEntries("garp_group/interfaces", nil, "IF")
	setEntries("track_group/group", nil, "INSTANCE")
	setEntries("vrrp_sync_group/group", nil, "INSTANCE")
	setEntries("interface_up_down_delays", nil, "IF")
	setEntries("linkbeat_interfaces", nil, "IF")
	setEntries("global_defs/notification_email", nil, "ADDR")
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
