package config

import (
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

var instanceKeywords map[string]setter[VRRPInstance]

func instanceTable() map[string]setter[VRRPInstance] {
	track := func(d *decoder, n *Node, v *VRRPInstance) { v.Tracks = append(v.Tracks, d.tracks(n)...) }
	table := map[string]setter[VRRPInstance]{
		"interface":         text(func(v *VRRPInstance) *string { return &v.Interface }),
		"virtual_router_id": number(func(v *VRRPInstance) *int { return &v.VRID }),
		"version":           number(func(v *VRRPInstance) *int { return &v.Version }),
		"priority": func(d *decoder, _ *Node, v *VRRPInstance) {
			v.Priority, v.prioritySet = int(d.v.number), true
		},
		"advert_int":     timer(func(v *VRRPInstance) *time.Duration { return &v.AdvertInt }),
		"state":          decodeState,
		"nopreempt":      flag(func(v *VRRPInstance) *bool { return &v.NoPreempt }),
		"preempt":        func(_ *decoder, _ *Node, v *VRRPInstance) { v.NoPreempt = false },
		"preempt_delay":  timer(func(v *VRRPInstance) *time.Duration { return &v.PreemptDelay }),
		"mcast_src_ip":   sourceAddr(func(v *VRRPInstance) *netip.Addr { return &v.SourceIP }),
		"unicast_src_ip": sourceAddr(func(v *VRRPInstance) *netip.Addr { return &v.UnicastSource }),
		"unicast_peer":   decodePeers,
		"mcast_dst_ip":   decodeMulticastGroup,
		"authentication": func(d *decoder, n *Node, v *VRRPInstance) {
			decodeBlock(d, n.block(), n.Block, v, authKeywords)
		},
		"auth_hmac": func(d *decoder, n *Node, v *VRRPInstance) {
			v.HMAC.Pos = n.Pos
			decodeBlock(d, n.block(), n.Block, &v.HMAC, hmacKeywords)
		},
		"strict_mode":          givenFlag(func(v *VRRPInstance) **bool { return &v.said.strict }),
		"timer_expired_backup": decodeExpired, "thread_timer_expired": decodeExpired,
		"old_unicast_checksum": decodeOldChecksum,
		"virtual_ipaddress": func(d *decoder, n *Node, v *VRRPInstance) {
			before := d.diags.errors()
			if v.Addresses = append(v.Addresses, d.addresses(n)...); d.diags.errors() > before {
				v.wrong = append(v.wrong, "virtual_ipaddress")
			}
		},
		"virtual_ipaddress_excluded": func(d *decoder, n *Node, v *VRRPInstance) { v.Excluded = append(v.Excluded, d.addresses(n)...) },
		"no_virtual_ipaddress":       flag(func(v *VRRPInstance) *bool { return &v.NoAddresses }),
		"track_script":               track, "track_interface": track, "track_file": track, "track_process": track, "track_bfd": track,
	}
	maps.Copy(table, hostTable())
	maps.Copy(table, saidTable("", func(v *VRRPInstance) *said { return &v.said }))
	return table
}

var authKeywords = map[string]setter[VRRPInstance]{
	"auth_type": func(d *decoder, n *Node, v *VRRPInstance) {
		v.AuthType, _ = d.oneOf(n.Words[1], []string{"PASS", "AH"})
	},
	"auth_pass": func(d *decoder, n *Node, v *VRRPInstance) {
		v.AuthPass = n.Words[1].Text
		if len(v.AuthPass) > 8 {
			d.warnf(n.Words[1].Pos, "auth-pass-length", "shorten it on all routers", "only the first 8 bytes of the password count")
			v.AuthPass = v.AuthPass[:8]
		}
	},
}

// sourceAddr reads an address that must be of the family of the virtual addresses above it.
func sourceAddr(field func(*VRRPInstance) *netip.Addr) setter[VRRPInstance] {
	return func(d *decoder, n *Node, v *VRRPInstance) {
		if v.clashes(d.v.addr) {
			d.errorf(n.Words[1].Pos, "family-clash", "", "%s %v is not of the family of the instance's virtual addresses", d.keyword, d.v.addr)
			return
		}
		*field(v) = d.v.addr
	}
}

// clashes says whether an address is not of the family of the virtual addresses read so far.
func (v *VRRPInstance) clashes(a netip.Addr) bool { return len(v.Addresses) > 0 && v.is6() != a.Is6() }

func decodeMulticastGroup(d *decoder, n *Node, v *VRRPInstance) {
	switch {
	case !d.v.addr.IsMulticast():
		d.bad(n.Words[1], "a multicast address")
	case v.clashes(d.v.addr):
		d.errorf(n.Words[1].Pos, "family-clash", "", "mcast_dst_ip %v is not of the family of the instance's virtual addresses", d.v.addr)
	default:
		v.MulticastGroup = d.v.addr
	}
}

func decodeState(d *decoder, n *Node, v *VRRPInstance) {
	switch w := n.Words[1]; w.Text {
	case "MASTER", "BACKUP":
		v.State = w.Text
	default:
		d.oneOf(w, []string{"MASTER", "BACKUP"})
		v.State = "BACKUP"
	}
}

func decodePeers(d *decoder, n *Node, v *VRRPInstance) {
	for e := range n.entries() {
		checkPeer(d, e)
		a, err := netip.ParseAddr(e.Words[0].Text)
		switch {
		case err != nil:
		case v.clashes(a):
			d.errorf(e.Pos, "family-clash", "", "unicast_peer %v is not of the family of the instance's virtual addresses", a)
		default:
			p := UnicastPeer{Addr: a}
			peerTTLs(e.Words[1:], &p)
			if d.validatePeers(e.Pos, p, v.UnicastPeers) {
				v.UnicastPeers = append(v.UnicastPeers, p)
			}
		}
	}
}

// addresses reads one address a line.
func (d *decoder) addresses(n *Node) (list []VirtualAddress) {
	for e := range n.entries() {
		if a, ok := d.addressEntry(e); ok {
			list = append(list, a)
		}
	}
	return list
}

// tracks reads NAME [weight W [reverse|noreverse]] a line.
func (d *decoder) tracks(n *Node) (list []Track) {
	kind, seen := strings.TrimPrefix(n.Keyword(), "track_"), map[string]bool{}
	for e := range n.entries() {
		checkTrack(d, e)
		t := Track{Pos: e.Pos, Kind: kind, Name: e.Words[0].Text}
		if seen[t.Name] {
			d.errorf(e.Pos, "duplicate-tracker", "", "%s tracks %s already", n.Keyword(), quoted(t.Name))
		}
		seen[t.Name] = true
		if len(e.Words) > 2 && e.Words[1].Text == "weight" {
			t.Weight, _ = strconv.Atoi(e.Words[2].Text)
			t.HasWeight = true
		}
		t.Reverse = e.Words[len(e.Words)-1].Text == "reverse"
		list = append(list, t)
	}
	return list
}

func decodeSyncGroup(d *decoder, n *Node, c *Config) {
	g := &SyncGroup{Pos: n.Pos, Name: n.Words[1].Text}
	decodeBlock(d, n.block(), n.Block, g, syncKeywords)
	c.SyncGroups = append(c.SyncGroups, g)
}

func trackGroup(d *decoder, n *Node, g *SyncGroup) { g.Tracks = append(g.Tracks, d.tracks(n)...) }

var syncKeywords = map[string]setter[SyncGroup]{
	"group": func(_ *decoder, n *Node, g *SyncGroup) {
		for e := range n.entries() {
			g.Members = append(g.Members, e.Words...)
		}
	},
	"sync_group_tracking_weight": flag(func(g *SyncGroup) *bool { return &g.Weights }),
	"global_tracking":            flag(func(g *SyncGroup) *bool { return &g.Weights }),

	"track_script": trackGroup, "track_interface": trackGroup, "track_file": trackGroup, "track_process": trackGroup, "track_bfd": trackGroup,
}

func decodeScript(d *decoder, n *Node, c *Config) {
	s := &Script{Pos: n.Pos, Name: n.Words[1].Text, end: n.End}
	c.runs(n.Pos)
	decodeBlock(d, n.block(), n.Block, s, scriptKeywords)
	c.Scripts = append(c.Scripts, s)
}

var scriptKeywords = map[string]setter[Script]{
	"script":    func(d *decoder, _ *Node, s *Script) { s.Command, s.Args = d.v.script, arguments(d.v.script) },
	"interval":  timer(func(s *Script) *time.Duration { return &s.Interval }),
	"timeout":   seconds(func(s *Script) *time.Duration { return &s.Timeout }),
	"rise":      number(func(s *Script) *int { return &s.Rise }),
	"fall":      number(func(s *Script) *int { return &s.Fall }),
	"weight":    func(d *decoder, n *Node, s *Script) { s.Weight, s.Reverse, _ = d.trackWeight(n.Values(), 254) },
	"user":      func(_ *decoder, n *Node, s *Script) { s.User, s.Group, s.Groups = userGroup(n) },
	"init_fail": func(*decoder, *Node, *Script) {}, // every script counts as failed until its first success
}
