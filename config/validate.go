package config

import (
	"fmt"
	"time"
)

// validate finds what no single statement shows.
func (d *decoder) validate() {
	names, ids := make(map[string]Pos), make(map[string]*VRRPInstance)
	for _, v := range d.cfg.Instances {
		if first, taken := names[v.Name]; taken {
			d.errorf(v.Pos, "duplicate-name", "rename one", "instance %s exists already, at line %d", v.Name, first.Line)
		}
		names[v.Name] = v.Pos
		id := fmt.Sprint(v.Interface, "/", v.VRID)
		if other, taken := ids[id]; taken && v.VRID != 0 {
			d.errorf(v.Pos, "vrid-clash", "give one another virtual_router_id", "instances %s and %s both have VRID %d on %s", other.Name, v.Name, v.VRID, v.Interface)
		}
		ids[id] = v
		d.validateInstance(v)
	}
	services := make(map[string]Pos)
	for _, v := range d.cfg.VirtualServers {
		key := v.Protocol + " " + v.String()
		if first, taken := services[key]; taken {
			d.errorf(v.Pos, "duplicate-service", "put the real servers into one block", "virtual_server %s exists already, at line %d", v, first.Line)
		}
		services[key] = v.Pos
		d.validateServer(v)
	}
}

func (d *decoder) validateInstance(v *VRRPInstance) {
	if v.Interface == "" {
		d.errorf(v.Pos, "missing-keyword", "add interface IF", "instance %s has no interface", v.Name)
	}
	if v.VRID == 0 {
		d.errorf(v.Pos, "missing-keyword", "add virtual_router_id N, the same on all routers of the group", "instance %s has no virtual_router_id", v.Name)
	}
	if len(v.VirtualAddresses) == 0 {
		d.errorf(v.Pos, "missing-keyword", "add virtual_ipaddress { ADDRESS }", "instance %s has no virtual address", v.Name)
	}
	d.validateTimes(v)
	d.validateAuth(v)
	d.validateFamily(v)
	if v.NoPreempt && (v.State == "MASTER" || v.Priority == 255) {
		d.diags.add(v.Pos, Warning, "nopreempt-master", "use state BACKUP on both routers", "instance %s: nopreempt is ignored with state MASTER or priority 255", v.Name)
		v.NoPreempt = false
	}
	if v.PreemptDelay > 0 && v.State == "MASTER" {
		d.diags.add(v.Pos, Warning, "preempt-delay-master", "use state BACKUP", "instance %s: preempt_delay is ignored with state MASTER", v.Name)
		v.PreemptDelay = 0
	}
}

// validateTimes rounds the interval to what the version can say.
func (d *decoder) validateTimes(v *VRRPInstance) {
	unit, most := 10*time.Millisecond, 40950*time.Millisecond
	if v.Version == 2 {
		unit, most = time.Second, 255*time.Second
	}
	rounded := min(max(v.AdvertInt.Round(unit), unit), most)
	if rounded != v.AdvertInt {
		d.diags.add(v.Pos, Warning, "interval-rounded", "version 3 takes 0.01 to 40.95 s, version 2 whole seconds to 255 s",
			"instance %s: version %d cannot say advert_int %v; %v is used", v.Name, v.Version, v.AdvertInt, rounded)
		v.AdvertInt = rounded
	}
}

func (d *decoder) validateAuth(v *VRRPInstance) {
	switch {
	case v.AuthType == "":
	case v.Version == 3:
		d.diags.add(v.Pos, Warning, "auth-version-3", "remove the authentication block", "instance %s: VRRP version 3 has no authentication; it is ignored", v.Name)
		v.AuthType = ""
	case v.AuthType == "AH":
		d.errorf(v.Pos, "unsupported", "use auth_type PASS", "instance %s: auth_type AH is not spoken yet", v.Name)
	case v.AuthPass == "":
		d.errorf(v.Pos, "missing-keyword", "add auth_pass", "instance %s has auth_type PASS and no password", v.Name)
	}
}

func (d *decoder) validateFamily(v *VRRPInstance) {
	for _, p := range v.VirtualAddresses {
		if !p.Addr().Is4() {
			d.errorf(v.Pos, "unsupported", "", "instance %s: virtual address %v: IPv6 is not held yet", v.Name, p)
		}
	}
	if v.SourceIP.IsValid() && !v.SourceIP.Is4() {
		d.errorf(v.Pos, "unsupported", "", "instance %s: mcast_src_ip %v: IPv6 is not spoken yet", v.Name, v.SourceIP)
	}
}

func (d *decoder) validateServer(v *VirtualServer) {
	if len(v.RealServers) == 0 {
		d.errorf(v.Pos, "missing-keyword", "add real_server ADDR PORT { }", "virtual_server %s has no real server", v)
	}
	if v.FWMark == 0 && v.Addr.Port() == 0 && v.Persistence == 0 {
		d.diags.add(v.Pos, Warning, "port-0", "give it a port or persistence_timeout", "virtual_server %s has no port: persistence of 360 s is forced", v)
		v.Persistence = 360 * time.Second
	}
	if v.OnePacket && v.Protocol != "UDP" {
		d.diags.add(v.Pos, Warning, "ops-not-udp", "remove ops", "virtual_server %s: ops is for UDP; it is ignored", v)
		v.OnePacket = false
	}
	d.validateQuorum(v)
	seen := make(map[string]Pos)
	for _, r := range v.RealServers {
		if first, taken := seen[r.Addr.String()]; taken {
			d.errorf(r.Pos, "duplicate-server", "remove one", "real_server %v exists already, at line %d", r.Addr, first.Line)
		}
		seen[r.Addr.String()] = r.Pos
		d.validateReal(v, r)
	}
}

func (d *decoder) validateQuorum(v *VirtualServer) {
	total := 0
	for _, r := range v.RealServers {
		total += r.Weight
	}
	if total > 0 && v.Quorum > total {
		d.diags.add(v.Pos, Warning, "quorum-unreachable", "lower quorum", "virtual_server %s: quorum %d is above the weight of all real servers; %d is used", v, v.Quorum, total)
		v.Quorum = total
	}
	if v.Hysteresis >= v.Quorum && v.Hysteresis > 0 {
		d.diags.add(v.Pos, Warning, "hysteresis", "lower hysteresis", "virtual_server %s: hysteresis %d must be below quorum %d; %d is used", v, v.Hysteresis, v.Quorum, v.Quorum-1)
		v.Hysteresis = v.Quorum - 1
	}
}

func (d *decoder) validateReal(v *VirtualServer, r *RealServer) {
	if v.FWMark == 0 && r.Addr.Addr().Is4() != v.Addr.Addr().Is4() && r.Method != "TUN" {
		d.errorf(r.Pos, "family-clash", "", "real_server %v is not of the family of virtual_server %s", r.Addr, v)
	}
	for _, c := range r.Checks {
		if c.Kind == "HTTP_GET" && len(c.URLs) == 0 {
			d.errorf(c.Pos, "missing-keyword", "add url { path / status_code 200 }", "HTTP_GET has no url")
		}
	}
}
