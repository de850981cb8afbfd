package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The keywords that are effective, block by block. Everything else of the schema is read and gets a note.

// maxTimer is the longest time that keepalived's microseconds hold.
const maxTimer = 4294

var schedulers = []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf"}

var (
	topKeywords      map[string]setter[Config]
	serverKeywords   map[string]setter[VirtualServer]
	realKeywords     map[string]setter[RealServer]
	httpKeywords     map[string]setter[Check]
	effectiveByBlock map[string]func(name string) bool
)

var globalKeywords = map[string]setter[Global]{
	"router_id":               text(func(g *Global) *string { return &g.RouterID }),
	"vrrp_version":            number(2, 3, func(g *Global) *int { return &g.VRRPVersion }),
	"vrrp_garp_master_delay":  timer(0, maxTimer, func(g *Global) *time.Duration { return &g.GARPMasterDelay }),
	"vrrp_garp_master_repeat": number(0, 255, func(g *Global) *int { return &g.GARPMasterRepeat }),
}

var instanceKeywords = map[string]setter[VRRPInstance]{
	"interface":         text(func(v *VRRPInstance) *string { return &v.Interface }),
	"virtual_router_id": number(1, 255, func(v *VRRPInstance) *int { return &v.VRID }),
	"version":           number(2, 3, func(v *VRRPInstance) *int { return &v.Version }),
	"priority": func(d *decoder, n *Node, v *VRRPInstance) {
		v.prioritySet = true
		number(1, 255, func(v *VRRPInstance) *int { return &v.Priority })(d, n, v)
	},
	"advert_int":    timer(0.01, 255, func(v *VRRPInstance) *time.Duration { return &v.AdvertInt }),
	"state":         choice(func(v *VRRPInstance) *string { return &v.State }, "MASTER", "BACKUP"),
	"nopreempt":     flag(func(v *VRRPInstance) *bool { return &v.NoPreempt }),
	"preempt_delay": timer(0, 1000, func(v *VRRPInstance) *time.Duration { return &v.PreemptDelay }),
	"mcast_src_ip":  addr(func(v *VRRPInstance) *netip.Addr { return &v.SourceIP }),
	"garp_master_delay": func(d *decoder, n *Node, v *VRRPInstance) {
		v.garpDelaySet = true
		timer(0, maxTimer, func(v *VRRPInstance) *time.Duration { return &v.GARPMasterDelay })(d, n, v)
	},
	"garp_master_repeat": func(d *decoder, n *Node, v *VRRPInstance) {
		v.garpRepeatSet = true
		number(0, 255, func(v *VRRPInstance) *int { return &v.GARPMasterRepeat })(d, n, v)
	},
	"garp_master_refresh": timer(0, maxTimer, func(v *VRRPInstance) *time.Duration { return &v.GARPMasterRefresh }),
	"authentication": func(d *decoder, n *Node, v *VRRPInstance) {
		decodeBlock(d, "vrrp_instance/authentication", n.Block, v, authKeywords)
	},
	"virtual_ipaddress": decodeAddresses,
}

var authKeywords = map[string]setter[VRRPInstance]{
	"auth_type": choice(func(v *VRRPInstance) *string { return &v.AuthType }, "PASS", "AH"),
	"auth_pass": func(d *decoder, n *Node, v *VRRPInstance) {
		v.AuthPass = n.Words[1].Text
		if len(v.AuthPass) > 8 {
			d.diags.add(n.Words[1].Pos, Warning, "auth-pass-length", "shorten it on all routers", "only the first 8 bytes of the password count")
			v.AuthPass = v.AuthPass[:8]
		}
	},
}

// decodeAddresses reads one address a line. Of the options only dev with the instance's own interface changes nothing.
func decodeAddresses(d *decoder, n *Node, v *VRRPInstance) {
	for _, entry := range n.Block {
		if len(entry.Words) == 0 {
			continue
		}
		if p, ok := d.prefix(entry.Words[0]); ok {
			v.VirtualAddresses = append(v.VirtualAddresses, p)
		}
		for i, w := range entry.Values() {
			harmless := w.Text == "dev" && i+1 < len(entry.Values()) && entry.Values()[i+1].Text == v.Interface
			if !harmless && (i == 0 || entry.Values()[i-1].Text != "dev") {
				d.diags.add(w.Pos, Warning, "no-effect", "", "the option %s of a virtual address has no effect here", quoted(w.Text))
				break
			}
		}
	}
}

var policyKeywords = map[string]setter[policy]{
	"retry":              func(d *decoder, n *Node, p *policy) { p.retry = orNil(d.integer(n.Words[1], 0, 1<<31-1)) },
	"nb_get_retry":       func(d *decoder, n *Node, p *policy) { p.retry = orNil(d.integer(n.Words[1], 0, 1<<31-1)) },
	"delay_loop":         func(d *decoder, n *Node, p *policy) { p.delayLoop = orNil(d.seconds(n.Words[1], 1e-6, maxTimer)) },
	"delay_before_retry": func(d *decoder, n *Node, p *policy) { p.delayBeforeRetry = orNil(d.seconds(n.Words[1], 0, maxTimer)) },
	"connect_timeout":    func(d *decoder, n *Node, p *policy) { p.timeout = orNil(d.seconds(n.Words[1], 1e-6, maxTimer)) },
	"warmup":             func(d *decoder, n *Node, p *policy) { p.warmup = orNil(d.seconds(n.Words[1], 0, maxTimer)) },
	"alpha":              func(d *decoder, n *Node, p *policy) { p.alpha = orNil(d.boolean(n)) },
}

func orNil[V any](v V, ok bool) *V {
	if !ok {
		return nil
	}
	return &v
}

// withPolicy adds those of the policy's keywords that the block knows.
func withPolicy[T any](block map[string]setter[T], policyOf func(*T) *policy, names ...string) map[string]setter[T] {
	for _, name := range names {
		set := policyKeywords[name]
		block[name] = func(d *decoder, n *Node, into *T) { set(d, n, policyOf(into)) }
	}
	return block
}

var methods = []string{"NAT", "DR", "TUN"}

// method reads lb_kind. The options of tunnels have no effect here.
func method[T any](field func(*T) *string) setter[T] {
	return func(d *decoder, n *Node, into *T) {
		choice(field, methods...)(d, n, into)
		if len(n.Words) > 2 {
			d.diags.add(n.Words[2].Pos, Warning, "no-effect", "", "options of %s have no effect here", n.Keyword())
		}
	}
}

func decodeSorry(d *decoder, n *Node, v *VirtualServer) {
	if a, ok := d.addressPort(n.Values()); ok {
		v.SorryServer = &RealServer{Pos: n.Pos, Addr: a, Weight: 1}
	}
}

// decodePersistence reads persistence_timeout, whose value may be missing: 360 s then.
func decodePersistence(d *decoder, n *Node, v *VirtualServer) {
	v.Persistence = 360 * time.Second
	if len(n.Values()) > 0 {
		if s, ok := d.integer(n.Words[1], 1, 31*86400); ok {
			v.Persistence = time.Duration(s) * time.Second
		}
	}
}

func decodeGranularity(d *decoder, n *Node, v *VirtualServer) {
	w := n.Words[1]
	if mask := net.ParseIP(w.Text).To4(); mask != nil {
		bits, size := net.IPMask(mask).Size()
		if size == 0 || bits == 0 {
			d.bad(w, "a netmask")
			return
		}
		v.Granularity = bits
		return
	}
	if bits, ok := d.integer(w, 1, 128); ok {
		v.Granularity = bits
	}
}

func decodeRealServer(d *decoder, n *Node, v *VirtualServer) {
	a, ok := d.addressPort(n.Values())
	if !ok {
		return
	}
	r := &RealServer{Pos: n.Pos, Addr: a, Weight: -1, InhibitOnFailure: v.inhibit}
	decodeBlock(d, "virtual_server/real_server", n.Block, r, realKeywords)
	v.RealServers = append(v.RealServers, r)
}

// checkBlock decodes a checker whose inside the given table knows.
func checkBlock(kind string, table map[string]setter[Check]) setter[RealServer] {
	return func(d *decoder, n *Node, r *RealServer) {
		c := &Check{Pos: n.Pos, Kind: kind}
		decodeBlock(d, "virtual_server/real_server/"+kind, n.Block, c, table)
		r.Checks = append(r.Checks, c)
	}
}

var tcpKeywords = withPolicy(map[string]setter[Check]{
	"connect_ip":   addr(func(c *Check) *netip.Addr { return &c.ip }),
	"connect_port": number(1, 65535, func(c *Check) *int { return &c.port }),
	"bindto":       addr(func(c *Check) *netip.Addr { return &c.Source }),
}, func(c *Check) *policy { return &c.policy }, "retry", "delay_loop", "delay_before_retry", "connect_timeout", "warmup", "alpha")

var urlKeywords = map[string]setter[URL]{
	"path":        text(func(u *URL) *string { return &u.Path }),
	"virtualhost": text(func(u *URL) *string { return &u.VirtualHost }),
	"status_code": func(d *decoder, n *Node, u *URL) {
		for _, w := range n.Values() {
			low, high, isRange := strings.Cut(w.Text, "-")
			if !isRange {
				high = low
			}
			l, errLow := strconv.Atoi(low)
			h, errHigh := strconv.Atoi(high)
			if errLow != nil || errHigh != nil || l < 100 || h > 999 || l > h {
				d.bad(w, "a status code (200) or a range of them (200-299)")
				continue
			}
			u.Status = append(u.Status, StatusRange{l, h})
		}
	},
}

func init() { // the tables refer to each other
	topKeywords = map[string]setter[Config]{
		"global_defs": func(d *decoder, n *Node, c *Config) {
			decodeBlock(d, "global_defs", n.Block, &c.Global, globalKeywords)
		},
		"vrrp_instance": func(d *decoder, n *Node, c *Config) {
			v := &VRRPInstance{Pos: n.Pos, Name: n.Words[1].Text, Priority: 100, AdvertInt: time.Second}
			decodeBlock(d, "vrrp_instance", n.Block, v, instanceKeywords)
			c.Instances = append(c.Instances, v)
		},
		"virtual_server": decodeVirtualServer,
	}
	serverKeywords = withPolicy(map[string]setter[VirtualServer]{
		"protocol":                choice(func(v *VirtualServer) *string { return &v.Protocol }, "TCP", "UDP", "SCTP"),
		"lb_algo":                 choice(func(v *VirtualServer) *string { return &v.Scheduler }, schedulers...),
		"lvs_sched":               choice(func(v *VirtualServer) *string { return &v.Scheduler }, schedulers...),
		"lb_kind":                 method(func(v *VirtualServer) *string { return &v.Method }),
		"lvs_method":              method(func(v *VirtualServer) *string { return &v.Method }),
		"persistence_timeout":     decodePersistence,
		"persistence_granularity": decodeGranularity,
		"ops":                     flag(func(v *VirtualServer) *bool { return &v.OnePacket }),
		"flag-1":                  flag(func(v *VirtualServer) *bool { return &v.Flag1 }),
		"flag-2":                  flag(func(v *VirtualServer) *bool { return &v.Flag2 }),
		"flag-3":                  flag(func(v *VirtualServer) *bool { return &v.Flag3 }),
		"sh-fallback":             flag(func(v *VirtualServer) *bool { return &v.Flag1 }),
		"mh-fallback":             flag(func(v *VirtualServer) *bool { return &v.Flag1 }),
		"sh-port":                 flag(func(v *VirtualServer) *bool { return &v.Flag2 }),
		"mh-port":                 flag(func(v *VirtualServer) *bool { return &v.Flag2 }),
		"quorum":                  number(1, 1<<31-1, func(v *VirtualServer) *int { return &v.Quorum }),
		"hysteresis":              number(0, 1<<31-1, func(v *VirtualServer) *int { return &v.Hysteresis }),
		"weight":                  number(0, 65535, func(v *VirtualServer) *int { return &v.weight }),
		"virtualhost":             text(func(v *VirtualServer) *string { return &v.virtualhost }),
		"inhibit_on_failure":      func(_ *decoder, _ *Node, v *VirtualServer) { v.inhibit = true },
		"alpha":                   func(_ *decoder, _ *Node, v *VirtualServer) { v.alpha = true },
		"sorry_server":            decodeSorry,
		"sorry_server_inhibit":    flag(func(v *VirtualServer) *bool { return &v.SorryServerInhibit }),
		"real_server":             decodeRealServer,
	}, func(v *VirtualServer) *policy { return &v.policy }, "retry", "delay_loop", "delay_before_retry", "connect_timeout", "warmup")
	realKeywords = withPolicy(map[string]setter[RealServer]{
		"weight":             number(0, 65535, func(r *RealServer) *int { return &r.Weight }),
		"lvs_method":         method(func(r *RealServer) *string { return &r.Method }),
		"inhibit_on_failure": flag(func(r *RealServer) *bool { return &r.InhibitOnFailure }),
		"uthreshold":         number(0, 1<<31-1, func(r *RealServer) *int { return &r.UpperThreshold }),
		"lthreshold":         number(0, 1<<31-1, func(r *RealServer) *int { return &r.LowerThreshold }),
		"virtualhost":        text(func(r *RealServer) *string { return &r.virtualhost }),
		"TCP_CHECK":          checkBlock("TCP_CHECK", tcpKeywords),
		"HTTP_GET":           checkBlock("HTTP_GET", httpKeywordsOf()),
	}, func(r *RealServer) *policy { return &r.policy }, "retry", "delay_loop", "delay_before_retry", "connect_timeout", "warmup", "alpha")
	for _, name := range otherCheckers {
		realKeywords[name] = refuseChecker
	}
	effectiveByBlock = map[string]func(string) bool{
		"": has(topKeywords), "global_defs": has(globalKeywords), "vrrp_instance": has(instanceKeywords),
		"vrrp_instance/authentication": has(authKeywords), "virtual_server": has(serverKeywords),
		"virtual_server/real_server":           has(realKeywords),
		"virtual_server/real_server/TCP_CHECK": has(tcpKeywords), "virtual_server/real_server/HTTP_GET": has(httpKeywords),
		"virtual_server/real_server/HTTP_GET/url": has(urlKeywords),
	}
}

func httpKeywordsOf() map[string]setter[Check] {
	httpKeywords = maps.Clone(tcpKeywords)
	httpKeywords["virtualhost"] = text(func(c *Check) *string { return &c.virtualhost })
	httpKeywords["url"] = func(d *decoder, n *Node, c *Check) {
		u := &URL{Pos: n.Pos}
		decodeBlock(d, "virtual_server/real_server/HTTP_GET/url", n.Block, u, urlKeywords)
		c.URLs = append(c.URLs, u)
	}
	return withPolicy(httpKeywords, func(c *Check) *policy { return &c.policy }, "nb_get_retry")
}

// otherCheckers are known and do not run here. A server that asks for one must not pass for checked.
var otherCheckers = []string{"SSL_GET", "SMTP_CHECK", "DNS_CHECK", "UDP_CHECK", "PING_CHECK", "MISC_CHECK", "FILE_CHECK", "BFD_CHECK"}

func refuseChecker(d *decoder, n *Node, r *RealServer) {
	r.Unchecked = append(r.Unchecked, n.Keyword())
	d.cfg.Effective--
	d.cfg.Accepted++
	d.diags.add(n.Pos, Warning, "checker-not-run", "use TCP_CHECK or HTTP_GET", "%s does not run here: this check cannot take the server out", n.Keyword())
	path := "virtual_server/real_server/" + n.Keyword()
	decodeBlock(d, path, n.Block, &struct{}{}, map[string]setter[struct{}]{})
}

func has[T any](table map[string]setter[T]) func(string) bool {
	return func(name string) bool { _, ok := table[name]; return ok }
}

func effective(block, name string) bool {
	known := effectiveByBlock[block]
	for _, other := range otherCheckers {
		if name == other {
			return false
		}
	}
	return known != nil && known(name)
}

func decodeVirtualServer(d *decoder, n *Node, c *Config) {
	v := &VirtualServer{Pos: n.Pos, Quorum: 1, weight: 1}
	words := n.Values()
	switch {
	case words[0].Text == "group":
		d.cfg.Effective--
		d.cfg.Accepted++
		d.errorf(words[0].Pos, "unsupported", "write one virtual_server for each address", "virtual_server group is not served yet")
		return
	case words[0].Text == "fwmark" && len(words) < 2:
		d.errorf(words[0].Pos, "missing-value", "virtual_server fwmark MARK", "fwmark has no value")
		return
	case words[0].Text == "fwmark":
		mark, ok := d.integer(words[1], 1, 1<<32-1)
		if !ok {
			return
		}
		v.FWMark = uint32(mark)
	default:
		a, ok := d.addressPort(words)
		if !ok {
			return
		}
		v.Addr = a
	}
	decodeBlock(d, "virtual_server", n.Block, v, serverKeywords)
	c.VirtualServers = append(c.VirtualServers, v)
}

// String names the virtual server as its block does.
func (v *VirtualServer) String() string {
	if v.FWMark != 0 {
		return fmt.Sprintf("fwmark %d", v.FWMark)
	}
	return v.Addr.String()
}
