package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// validate finds what no single statement shows.
func (d *decoder) validate() {
	d.validateInstances()
	d.validateGroups()
	d.validateTrackGroups()
	d.validateScripts()
	d.validateWebhooks()
	type serviceKey struct {
		protocol, group string
		addr            netip.AddrPort
		mark            uint32
	}
	services := make(map[serviceKey]Pos, len(d.cfg.VirtualServers))
	for _, v := range d.cfg.VirtualServers {
		key := serviceKey{v.Protocol, v.Group, v.Addr, v.FWMark}
		if first, taken := services[key]; taken {
			d.errorf(v.Pos, "duplicate-service", "put the real servers into one block", "virtual_server %s exists already, at line %d", v, first.Line)
		}
		services[key] = v.Pos
	}
	eachServer(d.cfg, d.kept, phaseValidate, &d.diags, d.validateServer)
}

func (d *decoder) validateInstances() {
	names, ids := make(map[string]Pos), make(map[string]*VRRPInstance)
	for _, v := range d.cfg.Instances {
		if first, taken := names[v.Name]; taken {
			d.errorf(v.Pos, "duplicate-name", "rename one", "instance %s exists already, at line %d", v.Name, first.Line)
		}
		names[v.Name] = v.Pos
		id := fmt.Sprint(v.Interface, "/", v.VRID, "/", v.is6(), "/", v.MulticastGroup)
		if other, taken := ids[id]; taken && v.VRID != 0 && len(v.UnicastPeers) == 0 {
			d.errorf(v.Pos, "vrid-clash", "give one another virtual_router_id", "instances %s and %s both have VRID %d on %s", other.Name, v.Name, v.VRID, v.Interface)
		}
		if len(v.UnicastPeers) == 0 {
			ids[id] = v
		}
		d.validateInstance(v)
	}
}

// is6 is the instance's family, which is that of its first address.
func (v *VRRPInstance) is6() bool {
	switch {
	case len(v.Addresses) > 0:
		return v.Addresses[0].Prefix.Addr().Is6()
	case v.SourceIP.IsValid():
		return v.SourceIP.Is6()
	}
	return v.UnicastSource.Is6()
}

func (d *decoder) validateInstance(v *VRRPInstance) {
	if v.Interface == "" && !v.wrong.has("interface") && (!unicast(v) || v.VMAC || v.IPVLAN.Use || !v.UnicastSource.IsValid() && !v.SourceIP.IsValid()) {
		d.errorf(v.Pos, "missing-keyword", "add interface IF", "instance %s has no interface", v.Name)
	}
	if v.VRID == 0 && !v.wrong.has("virtual_router_id") {
		d.errorf(v.Pos, "missing-keyword", "add virtual_router_id N, the same on all routers of the group", "instance %s has no virtual_router_id", v.Name)
	}
	d.validateAddresses(v)
	d.validateVMAC(v)
	d.validateStrict(v)
	d.validateUnicast(v)
	d.validateTimes(v)
	d.validateAuth(v)
	d.validateHMAC(v)
	d.validateTracks(v.Tracks)
	if v.NoPreempt && (v.State == "MASTER" || v.Priority == 255) {
		d.warnf(v.Pos, "nopreempt-master", "use state BACKUP on both routers", "instance %s: nopreempt is ignored with state MASTER or priority 255", v.Name)
		v.NoPreempt = false
	}
	if v.PreemptDelay > 0 && (v.State == "MASTER" || v.NoPreempt) {
		d.warnf(v.Pos, "preempt-delay-ignored", "use state BACKUP without nopreempt", "instance %s: preempt_delay is ignored with state MASTER or nopreempt", v.Name)
		v.PreemptDelay = 0
	}
	d.validateExpired(v)
}

// validateUnicast tells of an instance that speaks of unicast and names no peer: it goes on by multicast.
func (d *decoder) validateUnicast(v *VRRPInstance) {
	if len(v.UnicastPeers) == 0 && !v.FaultNoPeer && v.speaksUnicast() {
		d.warnf(v.Pos, "no-peers", "add unicast_peer { ADDRESS }, or remove what speaks of unicast",
			"instance %s has no unicast_peer: its adverts go by multicast", v.Name)
	}
}

// speaksUnicast says that the instance has a keyword of unicast, if not peers.
func (v *VRRPInstance) speaksUnicast() bool {
	return unicast(v) || v.FaultNoPeer || v.CheckUnicastSource || v.UnicastTTL > 0
}

func unicast(v *VRRPInstance) bool { return len(v.UnicastPeers) > 0 || v.UnicastSource.IsValid() }

func (d *decoder) validateAddresses(v *VRRPInstance) {
	switch {
	case len(v.Addresses) > 0 || v.NoAddresses && !v.Strict || v.wrong.has("virtual_ipaddress"):
	case v.Version == 3 || v.Strict:
		d.errorf(v.Pos, "missing-keyword", "add virtual_ipaddress { ADDRESS }", "instance %s has no virtual address", v.Name)
	default:
		d.warnf(v.Pos, "no-address", "add virtual_ipaddress { ADDRESS }", "instance %s has no virtual address", v.Name)
	}
	var kept []VirtualAddress
	for _, a := range v.Addresses {
		if a.Prefix.Addr().Is6() != v.is6() {
			d.warnf(a.Pos, "family-clash", "use an instance for each family, or virtual_ipaddress_excluded",
				"instance %s: %v is not of the family of the first address; it is not advertised", v.Name, a.Prefix)
			v.Excluded = append(v.Excluded, a)
			continue
		}
		kept = append(kept, a)
	}
	v.Addresses = kept
	for _, a := range v.held() {
		if a.Dev == "" && v.Interface == "" && unicast(v) {
			d.errorf(a.Pos, "missing-value", "add dev IF", "instance %s has no interface: nobody can tell where %v goes", v.Name, a.Prefix)
		}
	}
}

func (d *decoder) notHeld(pos Pos, format string, args ...any) {
	d.warnf(pos, "not-held", "", format, args...)
	d.cfg.NotHeld = append(d.cfg.NotHeld, d.diags[len(d.diags)-1])
}

// validateTimes rounds the interval to what the version can say.
func (d *decoder) validateTimes(v *VRRPInstance) {
	unit, most := 10*time.Millisecond, 40950*time.Millisecond
	if v.Version == 2 {
		unit, most = time.Second, 255*time.Second
	}
	rounded := min(max(v.AdvertInt.Round(unit), unit), most)
	if rounded != v.AdvertInt {
		d.warnf(v.Pos, "interval-rounded", "version 3 takes 0.01 to 40.95 s, version 2 whole seconds to 255 s",
			"instance %s: version %d cannot say advert_int %v; %v is used", v.Name, v.Version, v.AdvertInt, rounded)
		v.AdvertInt = rounded
	}
}

func (d *decoder) validateAuth(v *VRRPInstance) {
	switch {
	case v.AuthType == "":
	case v.Version == 3:
		d.warnf(v.Pos, "auth-version-3", "remove the authentication block", "instance %s: VRRP version 3 has no authentication; it is ignored", v.Name)
		v.AuthType = ""
	case v.Strict:
		d.warnf(v.Pos, "auth-strict", "remove the authentication block, or vrrp_strict", "instance %s: strict mode has no authentication; it is ignored", v.Name)
		v.AuthType = ""
	case v.AuthPass == "":
		d.warnf(v.Pos, "auth-without-password", "add auth_pass", "instance %s has an auth_type and no password; it is ignored", v.Name)
		v.AuthType = ""
	case v.HMAC.Line > 0:
		d.warnf(v.Pos, "auth-hmac", "remove the authentication block", "instance %s has auth_hmac; its authentication block is ignored", v.Name)
		v.AuthType = ""
	case v.is6():
		d.warnf(v.Pos, "auth-ipv6", "use auth_hmac", "instance %s: authentication of version 2 is for IPv4; it is ignored", v.Name)
		v.AuthType = ""
	}
}

// validateTracks looks what is tracked up.
func (d *decoder) validateTracks(tracks []Track) {
	for _, t := range tracks {
		if t.Kind != "interface" && !d.tracker(t) {
			d.errorf(t.Pos, "unknown-tracker", "define it, above what uses it", "there is no %s %s to track", t.Kind, quoted(t.Name))
		}
	}
}

func (d *decoder) tracker(t Track) bool {
	if t.Kind == "script" {
		for _, s := range d.cfg.Scripts {
			if s.Name == t.Name {
				return s.before(t.Pos) && len(s.Command) > 0
			}
		}
		return false
	}
	return d.hasTracker(t.Kind, t.Name)
}

func (d *decoder) hasTracker(kind, name string) bool {
	for _, known := range d.cfg.Trackers {
		if known.Kind == kind && known.Name == name {
			return true
		}
	}
	return false
}

// before says whether a place is above another one of the same file; between files nobody can tell.
func (p Pos) before(o Pos) bool { return p.File != o.File || p.Line <= o.Line }

func (d *decoder) validateGroups() {
	names, groups := make(map[string]bool), make(map[string]string)
	for _, g := range d.cfg.SyncGroups {
		if names[g.Name] {
			d.errorf(g.Pos, "duplicate-name", "rename one", "vrrp_sync_group %s exists already", g.Name)
		}
		names[g.Name] = true
		if len(g.Members) == 0 {
			d.errorf(g.Pos, "missing-keyword", "add group { INSTANCE ... }", "vrrp_sync_group %s has no members", g.Name)
		}
		for _, m := range g.Members {
			if other, taken := groups[m.Text]; taken {
				d.warnf(m.Pos, "two-groups", "remove it from one", "instance %s is in vrrp_sync_group %s already", m.Text, other)
			}
			groups[m.Text] = g.Name
			if !d.hasInstance(m.Text) {
				d.warnf(m.Pos, "unknown-instance", "", "vrrp_sync_group %s: there is no vrrp_instance %s", g.Name, quoted(m.Text))
			}
		}
		if len(g.Members) == 1 {
			d.warnf(g.Pos, "lonely-group", "", "vrrp_sync_group %s has one member", g.Name)
		}
		d.validateTracks(g.Tracks)
	}
	for _, v := range d.cfg.Instances {
		if g := d.cfg.groupOf(v); g != nil && !g.Weights {
			d.validateMember(v, g)
		}
	}
}

// groupOf is the sync group of an instance: of several the last.
func (c *Config) groupOf(v *VRRPInstance) *SyncGroup {
	for _, g := range slices.Backward(c.SyncGroups) {
		if slices.ContainsFunc(g.Members, func(m Word) bool { return m.Text == v.Name }) {
			return g
		}
	}
	return nil
}

// validateMember tells of weights that would move one member of a group alone: they do not count.
func (d *decoder) validateMember(v *VRRPInstance, g *SyncGroup) {
	for _, t := range v.Tracks {
		shared := slices.ContainsFunc(g.Tracks, func(s Track) bool { return s.Kind == t.Kind && s.Name == t.Name })
		weight := d.cfg.weight(t)
		effect := "it moves nothing"
		switch {
		case weight == 0 || t.Kind == "process" || shared && t.Kind != "interface":
			continue
		case t.Kind == "interface", t.Kind == "file" && weight == 1:
			effect = "it takes to FAULT instead"
		}
		d.warnf(t.Pos, "group-weight", "add sync_group_tracking_weight to the group, or track in the group",
			"instance %s is in vrrp_sync_group %s, where weights of its own trackers do not count: %s %s has weight %d, and %s", v.Name, g.Name, t.Kind, t.Name, weight, effect)
	}
}

// weight is what an entry of a track_ list says, or what it names does.
func (c *Config) weight(t Track) int {
	if t.HasWeight {
		return t.Weight
	}
	switch t.Kind {
	case "script":
		return named(c.Scripts, func(s *Script) bool { return s.Name == t.Name }).Weight
	case "file":
		return named(c.Files, func(f *TrackFile) bool { return f.Name == t.Name }).Weight
	case "process":
		return named(c.Processes, func(p *TrackProcess) bool { return p.Name == t.Name }).Weight
	case "bfd":
		return named(c.BFD, func(b *BFD) bool { return b.Name == t.Name }).Weight
	}
	return t.Weight
}

// named is the first that fits, or the zero value.
func named[T any](list []*T, fits func(*T) bool) *T {
	if i := slices.IndexFunc(list, fits); i >= 0 {
		return list[i]
	}
	return new(T)
}

func (d *decoder) hasInstance(name string) bool {
	for _, v := range d.cfg.Instances {
		if v.Name == name {
			return true
		}
	}
	return false
}

func (d *decoder) validateScripts() {
	used := make(map[string]bool)
	tracks := func(list []Track) {
		for _, t := range list {
			used[t.Name] = used[t.Name] || t.Kind == "script"
		}
	}
	for _, v := range d.cfg.Instances {
		tracks(v.Tracks)
	}
	for _, g := range d.cfg.SyncGroups {
		tracks(g.Tracks)
	}
	for _, s := range d.cfg.Scripts {
		if len(s.Command) == 0 {
			d.errorf(s.end, "missing-keyword", `add script "COMMAND"`, "vrrp_script %s has no script", s.Name)
		} else if !used[s.Name] {
			d.warnf(s.Pos, "unused-script", "add it to a track_script", "vrrp_script %s is tracked by nothing; it does not run", s.Name)
		}
	}
}

func (d *decoder) validateServer(v *VirtualServer) {
	if v.Group != "" {
		d.validateServerGroup(v)
	}
	if v.FWMark == 0 && v.Group == "" && v.Addr.Port() == 0 && v.Persistence == 0 {
		d.warnf(v.Pos, "port-0", "give it a port or persistence_timeout", "virtual_server %s has no port: persistence of 360 s is forced", v)
		v.Persistence = 360 * time.Second
	}
	if v.OnePacket && v.Protocol != "UDP" && !v.onlyMarks() {
		d.warnf(v.Pos, "ops-not-udp", "remove ops", "virtual_server %s: ops is for UDP; it is ignored", v)
		v.OnePacket = false
	}
	if v.HASuspend && v.FWMark != 0 {
		d.warnf(v.Pos, "suspend-mark", "remove ha_suspend", "virtual_server %s: ha_suspend needs an address; it is ignored", v)
		v.HASuspend = false
	}
	seen := make(map[netip.AddrPort]Pos, len(v.RealServers))
	var kept []*RealServer
	for _, r := range v.RealServers {
		d.validateReal(v, r)
		if first, taken := seen[r.Addr]; taken {
			d.warnf(r.Pos, "duplicate-server", "remove one", "real_server %v exists already, at line %d; this one is ignored", r.Addr, first.Line)
			continue
		}
		seen[r.Addr] = r.Pos
		kept = append(kept, r)
	}
	v.RealServers = kept
	if s := v.SorryServer; s != nil {
		d.validateFamily(v, s, s.Pos, "sorry_server")
	}
	d.validateQuorum(v)
}

func (d *decoder) validateServerGroup(v *VirtualServer) {
	if v.Persistence > 0 {
		return
	}
	for _, e := range v.Entries {
		if e.FWMark == 0 && e.Port == 0 {
			d.warnf(e.Pos, "port-0", "give it a port, or the virtual server persistence_timeout", "an entry of virtual_server_group %s has no port: persistence of 360 s is forced", v.Group)
			v.Persistence = 360 * time.Second
			return
		}
	}
}

func (d *decoder) validateQuorum(v *VirtualServer) {
	total := 0
	for _, r := range v.RealServers {
		total += r.Weight
	}
	if total > 0 && v.Quorum > total {
		d.warnf(v.Pos, "quorum-unreachable", "lower quorum", "virtual_server %s: quorum %d is above the weight of all real servers; %d is used", v, v.Quorum, total)
		v.Quorum = total
	}
	if v.Hysteresis >= v.Quorum && v.Hysteresis > 0 {
		d.warnf(v.Pos, "hysteresis", "lower hysteresis", "virtual_server %s: hysteresis %d must be below quorum %d; %d is used", v, v.Hysteresis, v.Quorum, v.Quorum-1)
		v.Hysteresis = v.Quorum - 1
	}
}

func (d *decoder) validateReal(v *VirtualServer, r *RealServer) {
	d.validateFamily(v, r, r.end, "real_server")
	if r.LowerThreshold > r.UpperThreshold {
		d.errorf(r.Pos, "bad-value", "raise uthreshold", "real_server %v: the kernel refuses a lthreshold %d above uthreshold %d", r.Addr, r.LowerThreshold, r.UpperThreshold)
	}
	for _, c := range r.Checks {
		d.validateCheck(c)
	}
}

// validateFamily refuses what could not be forwarded to: only a tunnel leads from one family to the other.
func (d *decoder) validateFamily(v *VirtualServer, r *RealServer, at Pos, kind string) {
	if r.Method != "TUN" && v.hasFamily(!r.Addr.Addr().Is6()) {
		d.errorf(at, "family-clash", "", "%s %v is not of the family of virtual_server %s", kind, r.Addr, v)
	}
}

// hasFamily says whether any of the service's entries is of the family.
func (v *VirtualServer) hasFamily(is6 bool) bool {
	if v.Addr.IsValid() {
		return v.Addr.Addr().Is6() == is6
	}
	if v.Family != "" && v.FWMark != 0 {
		return (v.Family == "inet6") == is6
	}
	for _, e := range v.Entries {
		family := cmp.Or(e.Family, v.Family)
		if e.First.IsValid() && e.First.Is6() == is6 || e.FWMark != 0 && family != "" && (family == "inet6") == is6 {
			return true
		}
	}
	return false
}

// validateConnection looks at how a check connects.
func (d *decoder) validateConnection(c *Check) {
	a := c.Addr.Addr()
	if a.Is6() && a.IsLinkLocalUnicast() && c.Interface == "" && !c.local() {
		d.errorf(c.Pos, "missing-keyword", "add bind_if IF", "%s of the link-local address %v needs an interface to ask by", c.Kind, a)
	}
	if c.Source.IsValid() && c.Source.Is6() != a.Is6() && !c.local() {
		d.errorf(c.Pos, "family-clash", "", "%s: bindto %v is not of the family of %v, where the check connects to", c.Kind, c.Source, a)
	}
	if c.SourcePort != 0 && !c.Source.IsValid() {
		d.warnf(c.Pos, "no-effect", "add bindto ADDR", "%s: bind_port has no effect without bindto", c.Kind)
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		d.errorf(c.Pos, "missing-keyword", "", "%s: a client certificate needs a key, and a key a certificate", c.Kind)
	}
	if c.TLS.CA != "" && !c.TLS.Verify {
		d.warnf(c.Pos, "no-effect", "add tls_verify", "%s: tls_ca has no effect without tls_verify", c.Kind)
	}
}

func (d *decoder) validateCheck(c *Check) {
	d.validateConnection(c)
	switch c.Kind {
	case "HTTP_GET", "SSL_GET":
		if len(c.URLs) == 0 {
			d.errorf(c.end, "missing-keyword", "add url { path / status_code 200 }", "%s of line %d has no url", c.Kind, c.Line)
		}
		for _, u := range c.URLs {
			if u.Path == "" {
				d.errorf(u.end, "missing-keyword", "add path /", "the url of line %d has no path", u.Line)
			}
		}
	case "AGENT_CHECK":
		if c.port == 0 {
			d.errorf(c.Pos, "missing-keyword", "add connect_port PORT", "AGENT_CHECK needs the port of the agent, which is not the server's")
		}
	case "UDP_CHECK":
		if most := cmp.Or(c.ReplyMax, 255); c.ReplyMin > most {
			d.errorf(c.Pos, "bad-value", "", "min_reply_length %d is above max_reply_length %d: no answer could fit", c.ReplyMin, most)
		}
	case "MISC_CHECK":
		if len(c.Command) == 0 {
			d.errorf(c.Pos, "missing-keyword", `add misc_path "COMMAND"`, "MISC_CHECK has no misc_path")
		}
	case "FILE_CHECK", "BFD_CHECK":
		if c.Tracks == "" {
			d.errorf(c.end, "missing-keyword", "", "%s of line %d has nothing to look at", c.Kind, c.Line)
		}
	}
}

// local says that the check connects to nowhere.
func (c *Check) local() bool {
	return c.Kind == "MISC_CHECK" || c.Kind == "FILE_CHECK" || c.Kind == "BFD_CHECK"
}

// String names the virtual server as its block does.
func (v *VirtualServer) String() string {
	switch {
	case v.FWMark != 0:
		return fmt.Sprintf("fwmark %d", v.FWMark)
	case v.Group != "":
		return "group " + v.Group
	}
	return v.Addr.String()
}
