package config

import (
	"maps"
	"net/netip"
	"time"
)

// The keywords that are decoded, block by block. Everything else of the schema is read, checked and gets a note.

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
	"router_id":              text(func(g *Global) *string { return &g.RouterID }),
	"vrrp_version":           number(func(g *Global) *int { return &g.VRRPVersion }),
	"vrrp_startup_delay":     timer(func(g *Global) *time.Duration { return &g.StartupDelay }),
	"vrrp_delay_after_boot":  timer(func(g *Global) *time.Duration { return &g.DelayAfterBoot }),
	"vrrp_min_garp":          flag(func(g *Global) *bool { return &g.minGARP }),
	"vrrp_mcast_group4":      decodeGroup(func(g *Global) *netip.Addr { return &g.MulticastGroup4 }),
	"vrrp_mcast_group6":      decodeGroup(func(g *Global) *netip.Addr { return &g.MulticastGroup6 }),
	"enable_script_security": flag(func(g *Global) *bool { return &g.ScriptSecurity }),
	"script_user": func(_ *decoder, n *Node, g *Global) {
		g.ScriptUser, g.ScriptGroup, g.ScriptGroups = userGroup(n)
	},
	"use_symlink_paths":        flag(func(g *Global) *bool { return &g.SymlinkPaths }),
	"checker_log_all_failures": flag(func(g *Global) *bool { return &g.LogFailures }),
	"vrrp_strict":              givenFlag(func(g *Global) **bool { return &g.said.strict }),
	"dynamic_interfaces":       flag(func(g *Global) *bool { return &g.DynamicInterfaces }),
	"state_dump_file":          text(func(g *Global) *string { return &g.StateDumpFile }),
	"stats_dump_file":          text(func(g *Global) *string { return &g.StatsDumpFile }),
	"json_dump_file":           text(func(g *Global) *string { return &g.JSONDumpFile }),
	"json_version":             number(func(g *Global) *int { return &g.JSONVersion }),
}

// sslKeywords are the client's part. The rest has no effect, which is told.
var sslKeywords = map[string]setter[Config]{
	"certificate": text(func(c *Config) *string { return &c.ClientCertificate }),
	"key":         text(func(c *Config) *string { return &c.ClientKey }),
}

// block is what the statement's block holds.
func (n *Node) block() *block { return n.keyword.inside }

// descend looks into a block that has no setters.
func (d *decoder) descend(n *Node) {
	d.quiet++
	decodeBlock(d, n.block(), n.Block, &struct{}{}, nil)
	d.quiet--
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
	maps.Copy(globalKeywords, hostGlobals())
	maps.Copy(globalKeywords, reloadGlobals())
	maps.Copy(globalKeywords, mailGlobals())
	maps.Copy(globalKeywords, saidTable("vrrp_", func(g *Global) *said { return &g.said }))
	topKeywords = map[string]setter[Config]{
		"net_namespace": text(func(c *Config) *string { return &c.NetNamespace }),
		"net_namespace_ipvs": func(d *decoder, n *Node, c *Config) {
			if c.NetNamespaceIPVS = d.v.text; len(n.Words) == 1 {
				c.NetNamespaceIPVS = FirstNamespace
			}
		},
		"global_defs": func(d *decoder, n *Node, c *Config) {
			c.Global.Pos = n.Pos
			decodeBlock(d, n.block(), n.Block, &c.Global, globalKeywords)
		},
		"vrrp_instance": func(d *decoder, n *Node, c *Config) {
			v := &VRRPInstance{Pos: n.Pos, Name: n.Words[1].Text, Priority: 100, AdvertInt: time.Second}
			v.globals = c.Global // those of now: see late-globals
			decodeBlock(d, n.block(), n.Block, v, instanceKeywords)
			v.wrong = append(v.wrong, wrongIn(n.block(), n.Block)...)
			c.Instances = append(c.Instances, v)
		},
		"SSL": func(d *decoder, n *Node, c *Config) {
			decodeBlock(d, n.block(), n.Block, c, sslKeywords)
		},
		"virtual_server":       decodeVirtualServer,
		"virtual_server_group": decodeServerGroup,
		"vrrp_sync_group":      decodeSyncGroup,
		"vrrp_script":          decodeScript,
		"track_file":           decodeTrackFile,
		"vrrp_track_file":      decodeTrackFile,
		"vrrp_track_process":   decodeTrackProcess,
		"bfd_instance":         decodeBFD,
		"webhook":              decodeWebhook,
	}
	initHost()
	setDecoded("", topKeywords)
	setDecoded("track_file", fileKeywords)
	setDecoded("vrrp_track_file", fileKeywords)
	setDecoded("vrrp_track_process", processKeywords)
	setDecoded("SSL", sslKeywords)
	setDecoded("global_defs", globalKeywords, "dynamic_interfaces", "vrrp_iptables")
	setDecoded("vrrp_instance", instanceKeywords)
	setDecoded("vrrp_instance/authentication", authKeywords)
	setDecoded("vrrp_instance/auth_hmac", hmacKeywords)
	setDecoded("vrrp_script", scriptKeywords)
	setDecoded("vrrp_sync_group", syncKeywords)
	setDecoded("bfd_instance", bfdKeywords)
	setDecoded("webhook", webhookKeywords)
	initServers()
	initNotifications()
	initTable()
}
