package holdfast

import (
	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/vrrp"
)

func instanceOf(v *config.VRRPInstance) vrrp.Instance {
	in := vrrp.Instance{
		Name: v.Name, Interface: v.Interface, VRID: uint8(v.VRID), Version: uint8(v.Version), Priority: uint8(v.Priority),
		Interval: v.AdvertInt, Source: v.SourceIP, NoPreempt: v.NoPreempt, PreemptDelay: v.PreemptDelay,
		Announce: vrrp.Announce{Rounds: v.GARPMasterRepeat, Delay: orNone(v.GARPMasterDelay), Refresh: v.GARPMasterRefresh},
	}
	in.Group = v.MulticastGroup
	for _, a := range v.UnicastPeers {
		in.Peers = append(in.Peers, vrrp.Peer{Addr: a})
	}
	if v.UnicastSource.IsValid() {
		in.Source = v.UnicastSource
	}
	for _, a := range v.Addresses {
		in.Addrs = append(in.Addrs, vrrp.Address{Prefix: a.Prefix})
	}
	for _, a := range v.Excluded {
		in.Excluded = append(in.Excluded, vrrp.Address{Prefix: a.Prefix})
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
	t.Effects = effectsOf(tracking{"script", s.Name, s.Weight, s.Reverse}, c, groups)
	return t
}

// tracking is what a track_ list can name, with the weight that it has unless the list says another.
type tracking struct {
	kind, name string
	weight     int
	reverse    bool
}

// effectsOf are those on the instances that name it or whose group does.
func effectsOf(what tracking, c *config.Config, groups map[string]*config.SyncGroup) (list []Effect) {
	for _, v := range c.Instances {
		own, hasOwn := what.on(v.Tracks, v.Name)
		g := groups[v.Name]
		if g != nil && !g.Weights {
			own.Weight = 0
		}
		if g != nil {
			if shared, isShared := what.on(g.Tracks, v.Name); isShared {
				own, hasOwn = shared, true
			}
		}
		if hasOwn {
			list = append(list, own)
		}
	}
	return list
}

// on finds it among what is tracked. A weight there is instead of its own.
func (what tracking) on(tracks []config.Track, instance string) (Effect, bool) {
	for _, t := range tracks {
		if t.Kind != what.kind || t.Name != what.name {
			continue
		}
		if t.HasWeight {
			return Effect{instance, t.Weight, t.Reverse}, true
		}
		return Effect{instance, what.weight, what.reverse}, true
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
