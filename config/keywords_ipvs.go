package config

import (
	"net"
	"slices"
	"strings"
	"time"
)

var methods = []string{"NAT", "DR", "TUN"}

func decodeServerGroup(d *decoder, n *Node, c *Config) {
	g := &ServerGroup{Pos: n.Pos, Name: n.Words[1].Text}
	for e := range n.entries() {
		if entry, ok := d.groupEntry(e); ok {
			g.Entries = append(g.Entries, entry)
		}
	}
	c.ServerGroups = append(c.ServerGroups, g)
}

func initServers() {
	methodOf := func(d *decoder, n *Node, v *VirtualServer) {
		if method, tun, ok := d.method(n); ok {
			v.Method, v.Tunnel = method, tun
		} else {
			v.wrong = append(v.wrong, "lb_kind")
		}
	}
	serverKeywords = withPolicy(map[string]setter[VirtualServer]{
		"protocol":  text(func(v *VirtualServer) *string { return &v.Protocol }),
		"lb_algo":   text(func(v *VirtualServer) *string { return &v.Scheduler }),
		"lvs_sched": text(func(v *VirtualServer) *string { return &v.Scheduler }),
		"lb_kind":   methodOf, "lvs_method": methodOf,
		"persistence_timeout": func(d *decoder, _ *Node, v *VirtualServer) {
			if v.Persistence = 360 * time.Second; d.v.set {
				v.Persistence = time.Duration(d.v.number) * time.Second
			}
		},
		"persistence_granularity": decodeGranularity,
		"persistence_engine":      text(func(v *VirtualServer) *string { return &v.Engine }),
		"ip_family":               text(func(v *VirtualServer) *string { return &v.Family }),
		"ops":                     flag(func(v *VirtualServer) *bool { return &v.OnePacket }),
		"flag-1":                  flag(func(v *VirtualServer) *bool { return &v.Flag1 }),
		"flag-2":                  flag(func(v *VirtualServer) *bool { return &v.Flag2 }),
		"flag-3":                  flag(func(v *VirtualServer) *bool { return &v.Flag3 }),
		"sh-fallback":             schedulerFlag("sh", func(v *VirtualServer) *bool { return &v.Flag1 }),
		"mh-fallback":             schedulerFlag("mh", func(v *VirtualServer) *bool { return &v.Flag1 }),
		"sh-port":                 schedulerFlag("sh", func(v *VirtualServer) *bool { return &v.Flag2 }),
		"mh-port":                 schedulerFlag("mh", func(v *VirtualServer) *bool { return &v.Flag2 }),
		"hashed":                  schedulerFlag("sh", func(v *VirtualServer) *bool { return new(bool) }),
		"quorum":                  number(func(v *VirtualServer) *int { return &v.Quorum }),
		"hysteresis":              number(func(v *VirtualServer) *int { return &v.Hysteresis }),
		"weight":                  number(func(v *VirtualServer) *int { return &v.weight }),
		"virtualhost":             text(func(v *VirtualServer) *string { return &v.virtualhost }),
		"inhibit_on_failure":      func(_ *decoder, _ *Node, v *VirtualServer) { v.inhibit = true },
		"alpha":                   func(_ *decoder, _ *Node, v *VirtualServer) { v.alpha = true },
		"omega":                   func(_ *decoder, _ *Node, v *VirtualServer) { v.Omega = true },
		"sorry_server": func(d *decoder, n *Node, v *VirtualServer) {
			if a, ok := d.addressPort(n.Values()); ok {
				v.SorryServer = &RealServer{Pos: n.Pos, Addr: a, Weight: 1, Method: v.Method, Tunnel: v.Tunnel}
			}
		},
		"sorry_server_lvs_method": func(d *decoder, n *Node, v *VirtualServer) {
			if v.SorryServer == nil {
				d.warnf(n.Pos, "out-of-order", "write it after sorry_server", "sorry_server_lvs_method stands before sorry_server, or there is none; it is ignored")
			} else if method, tun, ok := d.method(n); ok {
				v.SorryServer.Method, v.SorryServer.Tunnel = method, tun
			}
		},
		"sorry_server_inhibit": func(d *decoder, n *Node, v *VirtualServer) {
			if v.SorryServerInhibit = v.SorryServer != nil; !v.SorryServerInhibit {
				d.warnf(n.Pos, "out-of-order", "write it after sorry_server", "sorry_server_inhibit stands before sorry_server, or there is none; it is ignored")
			}
		},
		"real_server": decodeRealServer,
		"ha_suspend":  flag(func(v *VirtualServer) *bool { return &v.HASuspend }),
	}, func(v *VirtualServer) *policy { return &v.policy }, "retry", "delay_loop", "delay_before_retry", "connect_timeout", "warmup")
	setDecoded("virtual_server", serverKeywords, "hashed")

	decoded["virtual_server_group"] = func(entry string) bool { return strings.HasPrefix(entry, "(entry)") }

	realKeywords = withPolicy(map[string]setter[RealServer]{
		"weight": number(func(r *RealServer) *int { return &r.Weight }),
		"lvs_method": func(d *decoder, n *Node, r *RealServer) {
			if method, tun, ok := d.method(n); ok {
				r.Method, r.Tunnel = method, tun
			}
		},
		"inhibit_on_failure": flag(func(r *RealServer) *bool { return &r.InhibitOnFailure }),
		"uthreshold":         number(func(r *RealServer) *int { return &r.UpperThreshold }),
		"lthreshold":         number(func(r *RealServer) *int { return &r.LowerThreshold }),
		"virtualhost":        text(func(r *RealServer) *string { return &r.virtualhost }),
	}, func(r *RealServer) *policy { return &r.policy }, "retry", "delay_loop", "delay_before_retry", "connect_timeout", "warmup", "alpha")
	for _, kind := range checkKinds {
		realKeywords[kind] = decodeCheck
		checkKeywords[kind] = checkTable(kind)
	}
	setDecoded("virtual_server/real_server", realKeywords)
	for _, kind := range checkKinds {
		setDecoded("virtual_server/real_server/"+kind, checkKeywords[kind])
		setDecoded("virtual_server/real_server/"+kind+"/url", urlKeywords, "regex_stack")
	}
	setDecoded("virtual_server/real_server/SMTP_CHECK/host", checkKeywords["SMTP_CHECK"])
}

// schedulerFlag is a flag that one scheduler has.
func schedulerFlag(scheduler string, field func(*VirtualServer) *bool) setter[VirtualServer] {
	return func(d *decoder, n *Node, v *VirtualServer) {
		if v.Scheduler != "" && v.Scheduler != scheduler {
			d.warnf(n.Pos, "flag-of-scheduler", "", "%s is for lb_algo %s, and this service has %s; it is ignored", n.Keyword(), scheduler, v.Scheduler)
			return
		}
		*field(v) = true
	}
}

// decodeGranularity reads a netmask, or for IPv6 a prefix length.
func decodeGranularity(d *decoder, n *Node, v *VirtualServer) {
	w := n.Words[1]
	v.granularityFamily = "inet6"
	if strings.Contains(w.Text, ".") {
		v.granularityFamily = "inet"
	}
	if mask := net.ParseIP(w.Text).To4(); mask != nil {
		bits, size := net.IPMask(mask).Size()
		if size == 0 || bits == 0 {
			d.warnf(w.Pos, "no-effect", "", "%s: a mask with holes has no effect here", d.keyword)
			return
		}
		v.Granularity = bits
		return
	}
	if bits, ok := d.integer(w, 1, 128); ok {
		v.Granularity = int(bits)
	}
}

func decodeRealServer(d *decoder, n *Node, v *VirtualServer) {
	a, ok := d.addressPort(n.Values())
	if !ok {
		v.wrong = append(v.wrong, "real_server")
		return
	}
	r := &RealServer{Pos: n.Pos, end: n.End, Addr: a, Weight: -1, InhibitOnFailure: v.inhibit}
	decodeBlock(d, n.block(), n.Block, r, realKeywords)
	r.wrongCheck = slices.ContainsFunc(wrongIn(n.block(), n.Block), func(k string) bool { return strings.HasSuffix(k, "_CHECK") || strings.HasSuffix(k, "_GET") })
	v.RealServers = append(v.RealServers, r)
}

func decodeVirtualServer(d *decoder, n *Node, c *Config) {
	v := &VirtualServer{Pos: n.Pos, Quorum: 1, weight: 1}
	if !d.serverHeader(n, v) {
		return
	}
	decodeBlock(d, n.block(), n.Block, v, serverKeywords)
	v.wrong = append(v.wrong, wrongIn(n.block(), n.Block)...)
	c.VirtualServers = append(c.VirtualServers, v)
}

// serverHeader reads ADDR [PORT], fwmark MARK or group NAME.
func (d *decoder) serverHeader(n *Node, v *VirtualServer) (ok bool) {
	words := n.Values()
	kind := words[0].Text
	if kind != "fwmark" && kind != "group" {
		v.Addr, ok = d.addressPort(words)
		return ok
	}
	if len(words) < 2 {
		d.errorf(words[0].Pos, "missing-value", "virtual_server "+kind+" VALUE", "%s has no value", kind)
		return false
	}
	if kind == "group" {
		v.Group = words[1].Text
		return true
	}
	mark, ok := d.integer(words[1], 1, 1<<32-1)
	v.FWMark = uint32(mark)
	return ok
}
