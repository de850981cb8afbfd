package holdfast

import (
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/ipvs"
)

var (
	protocols = map[string]ipvs.Protocol{"TCP": ipvs.TCP, "UDP": ipvs.UDP, "SCTP": ipvs.SCTP}
	forwards  = map[string]ipvs.Forward{"NAT": ipvs.Masq, "DR": ipvs.Direct, "TUN": ipvs.Tunnel}
)

func serviceOf(v *config.VirtualServer, g *config.Global) Service {
	s := Service{Quorum: v.Quorum, Hysteresis: v.Hysteresis}
	s.ServiceKey = ipvs.ServiceKey{Protocol: protocols[v.Protocol], Addr: v.Addr, FWMark: v.FWMark, IPv6: markedIPv6(v)}
	s.Scheduler, s.Persistence, s.Granularity = v.Scheduler, v.Persistence, v.Granularity
	for flag, set := range map[ipvs.Flags]bool{ipvs.OnePacket: v.OnePacket, ipvs.Sched1: v.Flag1, ipvs.Sched2: v.Flag2, ipvs.Sched3: v.Flag3} {
		if set {
			s.Flags |= flag
		}
	}
	for _, r := range v.RealServers {
		server := Server{RealServer: realServerOf(r)}
		for _, c := range r.Checks {
			if c.Runs {
				server.Checks = append(server.Checks, probeOf(c, g))
			}
		}
		s.Servers = append(s.Servers, server)
	}
	if v.SorryServer != nil {
		sorry := realServerOf(v.SorryServer)
		s.Sorry = &sorry
	}
	return s
}

// markedIPv6 tells the family of a service by mark from its first real server.
func markedIPv6(v *config.VirtualServer) bool {
	return v.FWMark != 0 && len(v.RealServers) > 0 && v.RealServers[0].Addr.Addr().Is6()
}

func realServerOf(r *config.RealServer) ipvs.RealServer {
	return ipvs.RealServer{
		Destination: ipvs.Destination{
			Addr: r.Addr, Forward: forwards[r.Method], Weight: r.Weight,
			UpperThreshold: uint32(r.UpperThreshold), LowerThreshold: uint32(r.LowerThreshold),
		},
		Inhibit: r.InhibitOnFailure,
	}
}
