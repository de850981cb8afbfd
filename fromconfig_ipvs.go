package holdfast

import (
	"cmp"
	"fmt"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/ipvs"
)

var (
	protocols = map[string]ipvs.Protocol{"TCP": ipvs.TCP, "UDP": ipvs.UDP, "SCTP": ipvs.SCTP}
	forwards  = map[string]ipvs.Forward{"NAT": ipvs.Masq, "DR": ipvs.Direct, "TUN": ipvs.Tunnel}
	tunnels   = map[string]ipvs.TunnelType{"ipip": ipvs.IPIP, "gue": ipvs.GUE, "gre": ipvs.GRE}
	checksums = map[string]ipvs.TunnelChecksum{"nocsum": ipvs.NoChecksum, "csum": ipvs.Checksum, "remcsum": ipvs.RemoteChecksum}
)

// serviceOf makes a service of a virtual_server.
func serviceOf(v *config.VirtualServer, c *config.Config) (Service, error) {
	s := Service{Quorum: v.Quorum, Hysteresis: v.Hysteresis}
	s.ServiceKey = ipvs.ServiceKey{Protocol: protocols[v.Protocol], Addr: v.Addr, FWMark: v.FWMark, IPv6: v.FWMark != 0 && markedIPv6(v, "")}
	if v.Group != "" {
		if err := addEntries(&s, v, c); err != nil {
			return s, err
		}
	}
	s.Omega, s.HASuspend = v.Omega, v.HASuspend
	s.Scheduler, s.Persistence, s.Granularity, s.Engine = v.Scheduler, v.Persistence, v.Granularity, v.Engine
	for _, flag := range [...]struct {
		bit ipvs.Flags
		set bool
	}{{ipvs.OnePacket, v.OnePacket}, {ipvs.Sched1, v.Flag1}, {ipvs.Sched2, v.Flag2}, {ipvs.Sched3, v.Flag3}} {
		if flag.set {
			s.Flags |= flag.bit
		}
	}
	s.Servers = make([]Server, len(v.RealServers))
	for i, r := range v.RealServers {
		s.Servers[i] = Server{RealServer: realServerOf(r), Checks: make([]check.Probe, len(r.Checks))}
		for j, one := range r.Checks {
			s.Servers[i].Checks[j] = probeOf(one, &c.Global)
		}
	}
	if v.SorryServer != nil {
		sorry := realServerOf(v.SorryServer)
		s.Sorry = &sorry
	}
	return s, nil
}

// addEntries gives a service the entries of its group, each once, and a name: the group's, with a number when an earlier
// virtual server uses the group too.
func addEntries(s *Service, v *config.VirtualServer, c *config.Config) error {
	seen := make(map[ipvs.ServiceKey]bool)
	for _, e := range v.Entries {
		keys, err := keysOf(e, v)
		if err != nil {
			return fmt.Errorf("%v: %w", e.Pos, err)
		}
		for _, key := range keys {
			if !seen[key] {
				seen[key] = true
				s.Keys = append(s.Keys, key)
			}
		}
	}
	if len(s.Keys) == 0 {
		return fmt.Errorf("%v: virtual_server_group %s has no entries", v.Pos, v.Group)
	}
	s.ServiceKey = s.Keys[0]
	ordinal := 1
	for _, other := range c.VirtualServers {
		if other == v {
			break
		}
		if other.Group == v.Group {
			ordinal++
		}
	}
	if s.Name = "group " + v.Group; ordinal > 1 {
		s.Name = fmt.Sprintf("%s %d", s.Name, ordinal)
	}
	return nil
}

func keysOf(e config.GroupEntry, v *config.VirtualServer) ([]ipvs.ServiceKey, error) {
	if e.FWMark != 0 {
		return []ipvs.ServiceKey{{FWMark: e.FWMark, IPv6: markedIPv6(v, e.Family)}}, nil
	}
	return ipvs.Range(protocols[v.Protocol], e.First, e.Last, e.Port)
}

// markedIPv6 tells the family of a mark: what is said of it, else of its service, else what its real servers are.
func markedIPv6(v *config.VirtualServer, family string) bool {
	if family = cmp.Or(family, v.Family); family != "" {
		return family == "inet6"
	}
	for _, e := range v.Entries {
		if e.First.IsValid() {
			return e.First.Is6()
		}
	}
	return len(v.RealServers) > 0 && v.RealServers[0].Addr.Addr().Is6()
}

func realServerOf(r *config.RealServer) ipvs.RealServer {
	return ipvs.RealServer{
		Destination: ipvs.Destination{
			Addr: r.Addr, Forward: forwards[r.Method], Weight: r.Weight,
			Tunnel:         ipvs.TunnelOptions{Type: tunnels[r.Tunnel.Type], Port: uint16(r.Tunnel.Port), Checksum: checksums[r.Tunnel.Checksum]},
			UpperThreshold: uint32(r.UpperThreshold), LowerThreshold: uint32(r.LowerThreshold),
		},
		Inhibit: r.InhibitOnFailure,
	}
}

// tuningOf is what global_defs says of the table.
func tuningOf(c *config.Config) Tuning {
	g := &c.Global
	t := Tuning{
		Timeouts: ipvs.Timeouts{TCP: g.LVSTimeouts.TCP, TCPFin: g.LVSTimeouts.TCPFin, UDP: g.LVSTimeouts.UDP},
		Flush:    g.LVSFlush, FlushAtEnd: g.LVSFlushOnStop,
	}
	if d := g.SyncDaemon; d != nil {
		t.Sync = &Sync{Instance: d.Instance, Daemon: ipvs.SyncDaemon{
			Interface: d.Interface, ID: d.ID, MaxLen: d.MaxLen, Group: d.Group, Port: uint16(d.Port), TTL: uint8(d.TTL),
		}}
	}
	return t
}
