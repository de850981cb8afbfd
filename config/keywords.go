package config

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The keywords that are decoded, block by block. Everything else of the schema is read, checked and gets a note.

var methods = []string{"NAT", "DR", "TUN"}

var (
	topKeywords    map[string]setter[Config]
	serverKeywords map[string]setter[VirtualServer]
	realKeywords   map[string]setter[RealServer]
	checkKeywords  = map[string]map[string]setter[Check]{}
	// decoded is what has a setter, by path of the block; observed is what has one only to be checked against the rest.
	decoded  map[string]func(name string) bool
	observed = map[string]bool{}
)

func effective(path, name string) bool {
	has := decoded[path]
	return has != nil && has(name) && !observed[path+"/"+name]
}

var globalKeywords = map[string]setter[Global]{
	"router_id":               text(func(g *Global) *string { return &g.RouterID }),
	"vrrp_version":            number(func(g *Global) *int { return &g.VRRPVersion }),
	"vrrp_garp_master_delay":  seconds(func(g *Global) *time.Duration { return &g.GARPMasterDelay }),
	"vrrp_garp_master_repeat": number(func(g *Global) *int { return &g.GARPMasterRepeat }),
	"smtp_server":             func(d *decoder, n *Node, g *Global) { checkHostPort(d, n); g.SMTPServer = n.Words[1].Text },
	"enable_script_security":  flag(func(g *Global) *bool { return &g.ScriptSecurity }),
	"script_user":             func(_ *decoder, n *Node, g *Global) { g.ScriptUser, g.ScriptGroup = userGroup(n) },
	"vrrp_strict":             flag(func(g *Global) *bool { return &g.Strict }),
	"dynamic_interfaces":      flag(func(g *Global) *bool { return &g.DynamicInterfaces }),
	"notification_email":      func(_ *decoder, n *Node, g *Global) { g.Recipients += len(n.Block) },
}

var instanceKeywords map[string]setter[VRRPInstance]

func instanceTable() map[string]setter[VRRPInstance] {
	track := func(d *decoder, n *Node, v *VRRPInstance) { v.Tracks = append(v.Tracks, d.tracks(n)...) }
	return map[string]setter[VRRPInstance]{
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
		"garp_master_delay": func(d *decoder, _ *Node, v *VRRPInstance) {
			v.garpDelay = new(time.Duration(d.v.number) * time.Second)
		},
		"garp_master_repeat":  func(d *decoder, _ *Node, v *VRRPInstance) { v.garpRepeat = new(int(d.v.number)) },
		"garp_master_refresh": seconds(func(v *VRRPInstance) *time.Duration { return &v.GARPMasterRefresh }),
		"authentication": func(d *decoder, n *Node, v *VRRPInstance) {
			decodeBlock(d, n.block(), n.Block, v, authKeywords)
		},
		"auth_hmac":                  func(d *decoder, n *Node, v *VRRPInstance) { v.HMAC = true; d.descend(n) },
		"strict_mode":                func(d *decoder, _ *Node, v *VRRPInstance) { v.strict = new(d.v.flag) },
		"use_vmac":                   func(d *decoder, n *Node, v *VRRPInstance) { checkVMAC(d, n); v.VMAC = true },
		"use_ipvlan":                 flag(func(v *VRRPInstance) *bool { return &v.VMAC }),
		"virtual_ipaddress":          func(d *decoder, n *Node, v *VRRPInstance) { v.Addresses = append(v.Addresses, d.addresses(n)...) },
		"virtual_ipaddress_excluded": func(d *decoder, n *Node, v *VRRPInstance) { v.Excluded = append(v.Excluded, d.addresses(n)...) },
		"no_virtual_ipaddress":       flag(func(v *VRRPInstance) *bool { return &v.NoAddresses }),
		"smtp_alert":                 flag(func(v *VRRPInstance) *bool { return &v.SMTPAlert }),
		"track_script":               track, "track_interface": track, "track_file": track, "track_process": track, "track_bfd": track,
	}
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

// block is what the statement's block holds.
func (n *Node) block() *block { return n.keyword.inside }

// descend looks into a block that has no setters.
func (d *decoder) descend(n *Node) {
	d.quiet++
	decodeBlock(d, n.block(), n.Block, &struct{}{}, nil)
	d.quiet--
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
		if len(e.Words) > 1 {
			d.warnf(e.Words[1].Pos, "no-effect", "", "%s has no effect here: adverts of any TTL are taken", e.Words[1].Text)
		}
		a, err := netip.ParseAddr(e.Words[0].Text)
		switch {
		case err != nil:
		case v.clashes(a):
			d.errorf(e.Pos, "family-clash", "", "unicast_peer %v is not of the family of the instance's virtual addresses", a)
		default:
			v.UnicastPeers = append(v.UnicastPeers, a)
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

// setDecoded writes down which keywords of a block have setters, and which of these only watch.
func setDecoded[T any](path string, table map[string]setter[T], watching ...string) {
	decoded[path] = func(name string) bool { _, ok := table[name]; return ok }
	for _, name := range watching {
		observed[path+"/"+name] = true
	}
}

func init() { // the tables refer to each other
	decoded = map[string]func(string) bool{}
	instanceKeywords = instanceTable()
	topKeywords = map[string]setter[Config]{
		"global_defs": func(d *decoder, n *Node, c *Config) {
			c.Global.Pos = n.Pos
			decodeBlock(d, n.block(), n.Block, &c.Global, globalKeywords)
		},
		"vrrp_instance": func(d *decoder, n *Node, c *Config) {
			v := &VRRPInstance{Pos: n.Pos, Name: n.Words[1].Text, Priority: 100, AdvertInt: time.Second}
			v.GARPMasterDelay, v.GARPMasterRepeat = c.Global.GARPMasterDelay, c.Global.GARPMasterRepeat // those of now: see late-globals
			decodeBlock(d, n.block(), n.Block, v, instanceKeywords)
			c.Instances = append(c.Instances, v)
		},
		"virtual_server":       decodeVirtualServer,
		"virtual_server_group": decodeServerGroup,
		"vrrp_sync_group":      decodeSyncGroup,
		"vrrp_script":          decodeScript,
		"track_file":           decodeNamed("file"),
		"vrrp_track_file":      decodeNamed("file"),
		"vrrp_track_process":   decodeNamed("process"),
		"bfd_instance":         decodeNamed("bfd"),
	}
	setDecoded("", topKeywords, "virtual_server_group", "track_file", "vrrp_track_file", "vrrp_track_process", "bfd_instance")
	setDecoded("global_defs", globalKeywords, "smtp_server", "vrrp_strict", "dynamic_interfaces", "notification_email")
	setDecoded("vrrp_instance", instanceKeywords, "auth_hmac", "strict_mode", "use_vmac", "use_ipvlan",
		"no_virtual_ipaddress", "smtp_alert", "track_file", "track_process", "track_bfd")
	setDecoded("vrrp_instance/authentication", authKeywords)
	setDecoded("vrrp_script", scriptKeywords)
	setDecoded("vrrp_sync_group", syncKeywords, "track_file", "track_process", "track_bfd")
	initServers()
}

func decodeServerGroup(d *decoder, n *Node, c *Config) {
	g := &ServerGroup{Pos: n.Pos, Name: n.Words[1].Text}
	for e := range n.entries() {
		if entry, ok := d.groupEntry(e); ok {
			g.Entries = append(g.Entries, entry)
		}
	}
	c.ServerGroups = append(c.ServerGroups, g)
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

	"track_script": trackGroup, "track_interface": trackGroup, "track_file": trackGroup, "track_process": trackGroup, "track_bfd": trackGroup,
}

func decodeScript(d *decoder, n *Node, c *Config) {
	s := &Script{Pos: n.Pos, Name: n.Words[1].Text, end: n.End}
	decodeBlock(d, n.block(), n.Block, s, scriptKeywords)
	c.Scripts = append(c.Scripts, s)
}

var scriptKeywords = map[string]setter[Script]{
	"script":   func(d *decoder, _ *Node, s *Script) { s.Command, s.Args = d.v.script, arguments(d.v.script) },
	"interval": timer(func(s *Script) *time.Duration { return &s.Interval }),
	"timeout":  seconds(func(s *Script) *time.Duration { return &s.Timeout }),
	"rise":     number(func(s *Script) *int { return &s.Rise }),
	"fall":     number(func(s *Script) *int { return &s.Fall }),
	"weight":   func(d *decoder, n *Node, s *Script) { s.Weight, s.Reverse, _ = d.trackWeight(n.Values(), 254) },
	"user":     func(_ *decoder, n *Node, s *Script) { s.User, s.Group = userGroup(n) },
}

// decodeNamed remembers what can be tracked.
func decodeNamed(kind string) setter[Config] {
	return func(d *decoder, n *Node, c *Config) {
		c.Trackers = append(c.Trackers, Tracker{n.Pos, kind, n.Words[1].Text})
		d.descend(n)
	}
}

// Servers.

var policyKeywords = map[string]setter[policy]{
	"retry":              func(d *decoder, _ *Node, p *policy) { p.retry = new(int(d.v.number)) },
	"delay_loop":         func(d *decoder, _ *Node, p *policy) { p.delayLoop = new(d.v.time) },
	"delay_before_retry": func(d *decoder, _ *Node, p *policy) { p.delayBeforeRetry = new(d.v.time) },
	"connect_timeout":    func(d *decoder, _ *Node, p *policy) { p.timeout = new(d.v.time) },
	"warmup":             func(d *decoder, _ *Node, p *policy) { p.warmup = new(d.v.time) },
	"alpha":              func(d *decoder, _ *Node, p *policy) { p.alpha = new(d.v.flag) },
	"nb_get_retry":       func(d *decoder, _ *Node, p *policy) { p.retry = new(int(d.v.number)) },
}

// withPolicy adds those of the policy's keywords that the block knows.
func withPolicy[T any](table map[string]setter[T], policyOf func(*T) *policy, names ...string) map[string]setter[T] {
	for _, name := range names {
		set := policyKeywords[name]
		table[name] = func(d *decoder, n *Node, into *T) { set(d, n, policyOf(into)) }
	}
	return table
}

func initServers() {
	methodOf := func(d *decoder, n *Node, v *VirtualServer) {
		method, tun, ok := d.method(n)
		if ok {
			v.Method = method
			d.noTunnelOptions(n, tun)
		}
	}
	command := func(*decoder, *Node, *VirtualServer) {}
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
		"sorry_server": func(d *decoder, n *Node, v *VirtualServer) {
			if a, ok := d.addressPort(n.Values()); ok {
				v.SorryServer = &RealServer{Pos: n.Pos, Addr: a, Weight: 1}
			}
		},
		"sorry_server_inhibit": func(d *decoder, n *Node, v *VirtualServer) {
			if v.SorryServerInhibit = v.SorryServer != nil; !v.SorryServerInhibit {
				d.warnf(n.Pos, "out-of-order", "write it after sorry_server", "sorry_server_inhibit stands before sorry_server, or there is none; it is ignored")
			}
		},
		"real_server": decodeRealServer,
		"smtp_alert":  flag(func(v *VirtualServer) *bool { return &v.SMTPAlert }),
		"quorum_up":   command, "quorum_down": command,
		"ha_suspend": flag(func(v *VirtualServer) *bool { return &v.HASuspend }),
	}, func(v *VirtualServer) *policy { return &v.policy }, "retry", "delay_loop", "delay_before_retry", "connect_timeout", "warmup")
	setDecoded("virtual_server", serverKeywords, "smtp_alert", "quorum_up", "quorum_down", "ha_suspend", "hashed")

	realKeywords = withPolicy(map[string]setter[RealServer]{
		"weight": number(func(r *RealServer) *int { return &r.Weight }),
		"lvs_method": func(d *decoder, n *Node, r *RealServer) {
			if method, tun, ok := d.method(n); ok {
				r.Method = method
				d.noTunnelOptions(n, tun)
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
	setDecoded("virtual_server/real_server", realKeywords, checkKinds[checksThatRun:]...)
	for _, kind := range checkKinds[:checksThatRun] {
		setDecoded("virtual_server/real_server/"+kind, checkKeywords[kind])
		setDecoded("virtual_server/real_server/"+kind+"/url", urlKeywords, "regex")
	}
}

// checkKinds are all checkers; the first so many run here.
var checkKinds = []string{"TCP_CHECK", "HTTP_GET", "SSL_GET", "MISC_CHECK", "SMTP_CHECK", "DNS_CHECK", "UDP_CHECK", "PING_CHECK", "FILE_CHECK", "BFD_CHECK"}

const checksThatRun = 8

// checkTable has what the checkers have in common, and what some have.
func checkTable(kind string) map[string]setter[Check] {
	table := withPolicy(map[string]setter[Check]{
		"connect_ip":   addr(func(c *Check) *netip.Addr { return &c.ip }),
		"connect_port": number(func(c *Check) *int { return &c.port }),
		"bindto": func(d *decoder, n *Node, c *Check) {
			if d.v.addr.Is6() != c.ip.Is6() {
				d.errorf(n.Words[1].Pos, "family-clash", "", "bindto %v is not of the family of %v, where the check connects to", d.v.addr, c.ip)
				return
			}
			c.Source = d.v.addr
		},
		"virtualhost":  text(func(c *Check) *string { return &c.virtualhost }),
		"misc_path":    func(d *decoder, _ *Node, c *Check) { c.Command, c.Args = d.v.script, arguments(d.v.script) },
		"user":         func(_ *decoder, n *Node, c *Check) { c.User, c.Group = userGroup(n) },
		"misc_timeout": func(d *decoder, _ *Node, c *Check) { c.timed = time.Duration(d.v.number) * time.Second },
		"require_reply": func(_ *decoder, n *Node, c *Check) {
			c.Reply = true
			c.Pattern, c.Mask = octets(n.Values())
		},
		"payload":          func(_ *decoder, n *Node, c *Check) { c.Payload, _ = octets(n.Values()) },
		"min_reply_length": number(func(c *Check) *int { return &c.ReplyMin }),
		"max_reply_length": number(func(c *Check) *int { return &c.ReplyMax }),
		"helo_name":        text(func(c *Check) *string { return &c.Helo }),
		"type":             text(func(c *Check) *string { return &c.DNSType }),
		"name":             func(d *decoder, n *Node, c *Check) { checkDomain(d, n); c.DNSName = n.Words[1].Text },
		"enable_sni":       flag(func(c *Check) *bool { return &c.sni }),
		"sni_name":         text(func(c *Check) *string { return &c.ServerName }),
		"url": func(d *decoder, n *Node, c *Check) {
			u := &URL{Pos: n.Pos, end: n.End}
			decodeBlock(d, n.block(), n.Block, u, urlKeywords)
			c.URLs = append(c.URLs, u)
		},
	}, func(c *Check) *policy { return &c.policy }, "retry", "delay_loop", "delay_before_retry", "connect_timeout", "warmup", "alpha")
	switch kind {
	case "HTTP_GET":
		delete(table, "enable_sni") // they are for TLS
		delete(table, "sni_name")
		fallthrough
	case "SSL_GET":
		return withPolicy(table, func(c *Check) *policy { return &c.policy }, "nb_get_retry")
	case "FILE_CHECK":
		table["track_file"] = checkTracks("file")
	case "BFD_CHECK":
		table["name"] = checkTracks("bfd")
	}
	return table
}

var urlKeywords = map[string]setter[URL]{
	"path":        text(func(u *URL) *string { return &u.Path }),
	"virtualhost": text(func(u *URL) *string { return &u.VirtualHost }),
	"status_code": func(d *decoder, n *Node, u *URL) { u.Status = append(u.Status, d.statusCodes(n)...) },
	"digest":      func(d *decoder, n *Node, u *URL) { checkDigest(d, n); u.Digest, u.Matches = n.Words[1].Text, true },
	"regex":       func(_ *decoder, _ *Node, u *URL) { u.Matches = true },
}

func decodeCheck(d *decoder, n *Node, r *RealServer) {
	c := &Check{Pos: n.Pos, Kind: n.Keyword(), end: n.End}
	c.Runs = slices.Contains(checkKinds[:checksThatRun], c.Kind)
	c.ip = r.Addr.Addr()
	if c.Runs {
		decodeBlock(d, n.block(), n.Block, c, checkKeywords[c.Kind])
	} else { // it is only looked at
		before := d.cfg.Effective
		d.quiet++
		decodeBlock(d, n.block(), n.Block, c, checkKeywords[c.Kind])
		d.quiet--
		d.cfg.Accepted += d.cfg.Effective - before
		d.cfg.Effective = before
	}
	r.Checks = append(r.Checks, c)
}

// checkTracks reads the name of what a checker looks at, which stands above it.
func checkTracks(kind string) setter[Check] {
	return func(d *decoder, n *Node, c *Check) {
		if d.hasTracker(kind, d.v.text) {
			c.Tracks = d.v.text
			return
		}
		d.errorf(n.Words[1].Pos, "unknown-tracker", "define it, above what uses it", "%s: there is no %s %s to look at", c.Kind, kind, quoted(d.v.text))
	}
}

func (d *decoder) noTunnelOptions(n *Node, t tunnel) {
	if t != (tunnel{}) {
		d.warnf(n.Words[2].Pos, "no-effect", "", "options of %s have no effect here: the tunnel is ipip", n.Keyword())
	}
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
		return
	}
	r := &RealServer{Pos: n.Pos, end: n.End, Addr: a, Weight: -1, InhibitOnFailure: v.inhibit}
	decodeBlock(d, n.block(), n.Block, r, realKeywords)
	v.RealServers = append(v.RealServers, r)
}

func decodeVirtualServer(d *decoder, n *Node, c *Config) {
	v := &VirtualServer{Pos: n.Pos, Quorum: 1, weight: 1}
	if !d.serverHeader(n, v) {
		return
	}
	decodeBlock(d, n.block(), n.Block, v, serverKeywords)
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
	mark, ok := d.integer(words[1], 0, 1<<32-1)
	v.FWMark = uint32(mark)
	return ok
}
