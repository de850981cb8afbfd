package holdfast

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/vrrp"
	"golang.org/x/net/dns/dnsmessage"
)

// FromConfig makes a Spec from a keepalived.conf. The error says, statement by statement, what it asks for that cannot be held
// and without which the rest would be something else ([config.Config.NotHeld]). Other statements without effect are left
// out.
func FromConfig(c *config.Config) (Spec, error) {
	var spec Spec
	var errs []error
	for _, d := range c.NotHeld {
		errs = append(errs, fmt.Errorf("%v: %s", d.Pos, d.Message))
	}
	if err := errors.Join(errs...); err != nil {
		return spec, err
	}
	groups := make(map[string]*config.SyncGroup)
	for _, g := range c.SyncGroups {
		for _, member := range g.Members {
			groups[member.Text] = g
		}
	}
	for _, v := range c.Instances {
		in := instanceOf(v)
		if g := groups[v.Name]; g != nil {
			joinGroup(&in, g)
		}
		spec.Instances = append(spec.Instances, in)
	}
	for _, v := range c.VirtualServers {
		spec.Services = append(spec.Services, serviceOf(v, &c.Global))
	}
	for _, s := range c.Scripts {
		if t := trackerOf(s, c, groups); len(t.Effects) > 0 {
			spec.Trackers = append(spec.Trackers, t)
		}
	}
	if err := spec.Validate(); err != nil {
		return Spec{}, fmt.Errorf("holdfast: %s: %w", c.Name, err)
	}
	return spec, nil
}

func instanceOf(v *config.VRRPInstance) vrrp.Instance {
	in := vrrp.Instance{
		Name: v.Name, Interface: v.Interface, VRID: uint8(v.VRID), Version: uint8(v.Version), Priority: uint8(v.Priority),
		Interval: v.AdvertInt, Source: v.SourceIP, NoPreempt: v.NoPreempt, PreemptDelay: v.PreemptDelay,
		Announce: vrrp.Announce{Rounds: v.GARPMasterRepeat, Delay: orNone(v.GARPMasterDelay), Refresh: v.GARPMasterRefresh},
	}
	in.Group, in.Peers = v.MulticastGroup, v.UnicastPeers
	if v.UnicastSource.IsValid() {
		in.Source = v.UnicastSource
	}
	for _, a := range v.Addresses {
		in.Addrs = append(in.Addrs, a.Prefix)
	}
	for _, a := range v.Excluded {
		in.Excluded = append(in.Excluded, a.Prefix)
	}
	in.Track = tracked(v.Tracks)
	if v.AuthType == "PASS" {
		in.AuthType, in.Password = vrrp.AuthPass, v.AuthPass
	}
	return in
}

// joinGroup puts an instance into its sync group, whose trackers are those of all members. Weights of a member's own trackers
// count only when the group says so: what would move one member alone takes all to FAULT instead.
func joinGroup(in *vrrp.Instance, g *config.SyncGroup) {
	in.Sync = g.Name
	for i := range in.Track {
		if !g.Weights {
			in.Track[i].Weight = 0
		}
	}
	in.Track = append(in.Track, tracked(g.Tracks)...)
}

// trackerOf makes a tracker of a vrrp_script, with what it does to the instances that name it or whose group does. Until its
// first success it counts as down.
func trackerOf(s *config.Script, c *config.Config, groups map[string]*config.SyncGroup) Tracker {
	t := Tracker{Name: s.Name, Probe: check.Probe{
		Checker: check.Command{Args: s.Args, User: s.User, Group: s.Group, Secure: c.Global.ScriptSecurity},
		Policy: check.Policy{
			DelayLoop: s.Interval, DelayBeforeRetry: s.Interval, Retry: s.Fall - 1, Rise: s.Rise, Timeout: s.Timeout, Warmup: -1,
		},
		Alpha: true,
	}}
	for _, v := range c.Instances {
		own, hasOwn := effectOn(v.Tracks, s, v.Name)
		g := groups[v.Name]
		if g != nil && !g.Weights {
			own.Weight = 0
		}
		if g != nil {
			if shared, isShared := effectOn(g.Tracks, s, v.Name); isShared {
				own, hasOwn = shared, true
			}
		}
		if hasOwn {
			t.Effects = append(t.Effects, own)
		}
	}
	return t
}

// effectOn finds a script among what is tracked. A weight there is instead of the script's own.
func effectOn(tracks []config.Track, s *config.Script, instance string) (Effect, bool) {
	for _, t := range tracks {
		if t.Kind != "script" || t.Name != s.Name {
			continue
		}
		if t.HasWeight {
			return Effect{instance, t.Weight, t.Reverse}, true
		}
		return Effect{instance, s.Weight, s.Reverse}, true
	}
	return Effect{}, false
}

// tracked are the interfaces among what is tracked.
func tracked(tracks []config.Track) (list []vrrp.TrackInterface) {
	for _, t := range tracks {
		if t.Kind == "interface" {
			list = append(list, vrrp.TrackInterface{Interface: t.Name, Weight: min(max(t.Weight, -253), 253), Reverse: t.Reverse})
		}
	}
	return list
}

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

func probeOf(c *config.Check, g *config.Global) check.Probe {
	id := fmt.Sprintf("%s %v", c.Kind, c.Addr)
	if c.Kind == "MISC_CHECK" {
		id = c.Kind + " " + strings.Join(c.Args, " ")
	}
	return check.Probe{
		ID:      id,
		Checker: checkerOf(c, g),
		Policy: check.Policy{
			DelayLoop: c.DelayLoop, Retry: c.Retry, DelayBeforeRetry: orNone(c.DelayBeforeRetry), Timeout: c.ConnectTimeout, Warmup: orNone(c.Warmup),
		},
		Alpha: c.Alpha,
	}
}

// orNone translates none: 0 means the default to a Policy.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

func checkerOf(c *config.Check, g *config.Global) check.Checker {
	if c.Kind == "MISC_CHECK" {
		return check.Command{Args: c.Args, User: c.User, Group: c.Group, Secure: g.ScriptSecurity}
	}
	target := check.Target{Addr: c.Addr, Source: c.Source}
	switch c.Kind {
	case "TCP_CHECK":
		return check.TCP{Target: target}
	case "SMTP_CHECK":
		return check.SMTP{Target: target, Helo: c.Helo}
	case "DNS_CHECK":
		return check.DNS{Target: target, Name: c.DNSName, Type: dnsTypes[c.DNSType]}
	case "UDP_CHECK":
		return udpOf(c, target)
	case "PING_CHECK":
		return check.Ping{Addr: c.Addr.Addr(), Source: c.Source}
	}
	return httpOf(c, target)
}

var dnsTypes = map[string]dnsmessage.Type{
	"A": dnsmessage.TypeA, "NS": dnsmessage.TypeNS, "CNAME": dnsmessage.TypeCNAME, "SOA": dnsmessage.TypeSOA, "MX": dnsmessage.TypeMX,
	"TXT": dnsmessage.TypeTXT, "AAAA": dnsmessage.TypeAAAA, "RRSIG": 46, "DNSKEY": 48,
}

func udpOf(c *config.Check, target check.Target) check.Checker {
	u := check.UDP{Target: target, Payload: c.Payload}
	if c.Reply {
		u.Reply = &check.Reply{Data: c.Pattern, Mask: c.Mask, Min: c.ReplyMin, Max: c.ReplyMax}
	}
	return u
}

func httpOf(c *config.Check, target check.Target) check.Checker {
	h := check.HTTP{Target: target}
	if c.Kind == "SSL_GET" {
		h.TLS = &check.TLS{ServerName: c.ServerName, SkipVerify: true}
	}
	for _, u := range c.URLs {
		url := check.URL{Path: u.Path, VirtualHost: u.VirtualHost, Digest: u.Digest}
		for _, r := range u.Status {
			url.Status = append(url.Status, check.StatusRange{Low: r.Low, High: r.High})
		}
		h.URLs = append(h.URLs, url)
	}
	return h
}
