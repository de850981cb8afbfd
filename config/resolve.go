package config

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// resolve fills in what global_defs and enclosing blocks say, once the whole file is read, so that order does not matter.
func (d *decoder) resolve() {
	d.resolveSync()
	for _, v := range d.cfg.Instances {
		d.resolveInstance(v)
	}
	eachServer(d.cfg, d.kept, phaseResolve, &d.diags, d.resolveServer)
	d.resolveNotifications()
	for _, g := range d.cfg.SyncGroups {
		d.resolveGroup(g)
	}
	g := d.cfg.Global
	for _, s := range d.cfg.Scripts {
		s.Interval, s.Rise, s.Fall = cmp.Or(s.Interval, time.Second), cmp.Or(s.Rise, 1), cmp.Or(s.Fall, 1)
		s.Timeout = cmp.Or(s.Timeout, s.Interval)
		if s.User == "" {
			s.User, s.Group, s.Groups = g.ScriptUser, g.ScriptGroup, g.ScriptGroups
		}
	}
}

// resolveGroup takes the weights off the trackers of a group that has an owner: an owner's priority does not move, and its
// group must not come apart.
func (d *decoder) resolveGroup(g *SyncGroup) {
	owner := slices.ContainsFunc(d.cfg.Instances, func(v *VRRPInstance) bool {
		return v.Priority == 255 && slices.ContainsFunc(g.Members, func(m Word) bool { return m.Text == v.Name })
	})
	for i := range g.Tracks {
		if owner {
			g.Tracks[i].HasWeight, g.Tracks[i].Weight = true, 0
		}
	}
}

func (d *decoder) resolveInstance(v *VRRPInstance) {
	g := d.cfg.Global
	if v.Version == 0 && v.is6() {
		v.Version = 3
	}
	v.Version = cmp.Or(v.Version, g.VRRPVersion)
	v.resolveProtocol(g)
	v.resolveAccept()
	if !v.prioritySet && v.State == "MASTER" {
		v.Priority = 255
	}
}

func (d *decoder) resolveServer(v *VirtualServer) {
	d.entriesOf(v)
	d.defaults(v)
	for _, r := range v.RealServers {
		if r.Method == "" {
			r.Method, r.Tunnel = v.Method, v.Tunnel
		}
		if r.Weight < 0 {
			r.Weight = v.weight
		}
		r.written = r.Addr
		r.Addr = v.destinationAddr(r)
		for _, c := range r.Checks {
			c.resolve(v, r)
			if !c.plain() {
				c.resolveOptions(v, r, d.cfg)
			}
			c.LogFailures = first(d.cfg.Global.LogFailures, c.logFailures)
			switch c.Kind {
			case "MISC_CHECK":
				c.resolveScript(d.cfg.Global)
			case "FILE_CHECK":
				c.resolveFile(d.cfg.Files)
			}
		}
	}
	if v.SorryServer != nil {
		if v.SorryServer.Method == "" {
			v.SorryServer.Method, v.SorryServer.Tunnel = v.Method, v.Tunnel
		}
		v.SorryServer.InhibitOnFailure = v.SorryServerInhibit
		v.SorryServer.Addr = v.destinationAddr(v.SorryServer)
	}
}

// defaults are those that keepalived tells of when it has to use them.
func (d *decoder) defaults(v *VirtualServer) {
	if v.Scheduler == "" {
		v.Scheduler = "wlc"
		d.defaulted(v, v.wrong.has("lb_algo", "lvs_sched"), "default", "add lb_algo wlc", "virtual_server %s has no lb_algo: it is wlc")
	}
	if v.Method == "" {
		v.Method = "NAT"
		if !allHaveMethod(v) {
			d.defaulted(v, v.wrong.has("lb_kind", "lvs_method"), "default", "add lb_kind NAT", "virtual_server %s has no lb_kind: it is NAT")
		}
	}
	v.Family = cmp.Or(v.Family, v.granularityFamily)
	if v.Granularity > 0 && v.Persistence == 0 {
		v.Persistence = 360 * time.Second
	}
	if v.Engine != "" && v.Persistence == 0 {
		d.warnf(v.Pos, "engine-without-persistence", "add persistence_timeout", "virtual_server %s: persistence_engine needs persistence_timeout; it is ignored", v)
		v.Engine = ""
	}
	switch {
	case v.onlyMarks():
		v.Protocol = ""
	case v.Protocol == "":
		v.Protocol = "UDP"
		d.defaulted(v, v.wrong.has("protocol"), "default-protocol", "add protocol TCP", "virtual_server %s has no protocol: it is UDP")
	}
}

// defaulted tells of a default, unless the keyword stands there and something is wrong with it.
func (d *decoder) defaulted(v *VirtualServer, told bool, code, hint, format string) {
	if !told {
		d.warnf(v.Pos, code, hint, format, v)
	}
}

// entriesOf looks the group up; of two with one name it is the first.
func (d *decoder) entriesOf(v *VirtualServer) {
	if v.Group == "" {
		return
	}
	for _, g := range d.cfg.ServerGroups {
		if g.Name == v.Group {
			if v.Entries = g.Entries; len(v.Entries) == 0 {
				d.errorf(v.Pos, "empty-group", "give it entries", "virtual_server_group %s has no entries", quoted(v.Group))
			}
			return
		}
	}
	d.errorf(v.Pos, "unknown-group", "define it", "there is no virtual_server_group %s", quoted(v.Group))
}

// onlyMarks says that the service has no address, and so no protocol.
func (v *VirtualServer) onlyMarks() bool {
	for _, e := range v.Entries {
		if e.FWMark == 0 {
			return false
		}
	}
	return v.FWMark != 0 || len(v.Entries) > 0
}

func allHaveMethod(v *VirtualServer) bool {
	for _, r := range v.RealServers {
		if r.Method == "" {
			return false
		}
	}
	return len(v.RealServers) > 0
}

// destinationAddr is the address with the port that the kernel gets: NAT keeps the real server's own, DR and TUN cannot
// change the service's.
func (v *VirtualServer) destinationAddr(r *RealServer) netip.AddrPort {
	port := r.Addr.Port()
	switch {
	case v.FWMark != 0 && r.Method != "NAT":
		port = 0
	case v.FWMark == 0 && v.Group == "" && (port == 0 || r.Method != "NAT"):
		port = v.Addr.Port()
	}
	return netip.AddrPortFrom(r.Addr.Addr(), port)
}

// resolve inherits from the real server, then from the virtual server, then from keepalived's defaults.
func (c *Check) resolve(v *VirtualServer, r *RealServer) {
	p, rp, vp := c.policy, r.policy, v.policy
	c.DelayLoop = first(60*time.Second, p.delayLoop, rp.delayLoop, vp.delayLoop)
	c.ConnectTimeout = first(5*time.Second, p.timeout, rp.timeout, vp.timeout)
	c.Warmup = first(c.DelayLoop, p.warmup, rp.warmup, vp.warmup)
	c.Retry = first(defaultRetries(c.Kind), p.retry, rp.retry, vp.retry)
	delay := time.Second
	switch c.Kind {
	case "HTTP_GET", "SSL_GET":
		delay = 3 * time.Second
	case "DNS_CHECK":
		delay = c.DelayLoop
	}
	c.DelayBeforeRetry = first(delay, p.delayBeforeRetry, rp.delayBeforeRetry, vp.delayBeforeRetry)
	c.Alpha = first(v.alpha, p.alpha, rp.alpha)
	c.Addr = c.target(r)
}

// resolveOptions is for a check that has any.
func (c *Check) resolveOptions(v *VirtualServer, r *RealServer, cfg *Config) {
	if c.TLS.Certificate == "" {
		c.TLS.Certificate, c.TLS.Key = cfg.ClientCertificate, cfg.ClientKey
	}
	host := cmp.Or(c.virtualhost, r.virtualhost, v.virtualhost)
	c.VirtualHost = host
	c.Protocol = cmp.Or(c.Protocol, "1.0")
	if len(c.Pattern) > 0 && c.ReplyMax == 0 {
		c.ReplyMax = 255
	}
	c.DNSType = cmp.Or(c.DNSType, "SOA")
	for _, u := range c.URLs {
		u.VirtualHost = cmp.Or(u.VirtualHost, host)
		c.TLS.Compliant = c.TLS.Compliant || u.compliant
	}
}

// target is connect_ip and connect_port, else the real server as written, else with the service's port: keepalived would
// probe port 0.
func (c *Check) target(r *RealServer) netip.AddrPort {
	ip, port := r.Addr.Addr(), cmp.Or(r.written.Port(), r.Addr.Port())
	if c.ip.IsValid() {
		ip = c.ip
	}
	if c.port != 0 {
		port = uint16(c.port)
	}
	return netip.AddrPortFrom(ip, port)
}

func first[V any](fallback V, said ...*V) V {
	for _, v := range said {
		if v != nil {
			return *v
		}
	}
	return fallback
}

// resolveFile finds the file, and takes its weight unless the check has its own.
func (c *Check) resolveFile(files []*TrackFile) {
	for _, f := range files {
		if f.Name != c.Tracks {
			continue
		}
		c.Path = f.Path
		if !c.hasWeight {
			c.Weight, c.Reverse = f.Weight, f.Reverse
		}
		return
	}
}

// resolveScript gives a script the time of a delay loop, unless it has its own.
func (c *Check) resolveScript(g Global) {
	c.ConnectTimeout = cmp.Or(c.timed, c.DelayLoop)
	if c.User == "" {
		c.User, c.Group, c.Groups = g.ScriptUser, g.ScriptGroup, g.ScriptGroups
	}
}

func defaultRetries(kind string) int {
	switch kind {
	case "MISC_CHECK":
		return 0
	case "DNS_CHECK":
		return 3
	}
	return 1
}
