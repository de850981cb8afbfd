package holdfast

import (
	"cmp"
	"fmt"
	"os"
	"slices"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/vrrp"
)

func instanceOf(v *config.VRRPInstance, g *config.Global) (vrrp.Instance, error) {
	in := vrrp.Instance{
		Name: v.Name, Interface: cmp.Or(v.Interface, v.VRF), VRID: uint8(v.VRID), Version: uint8(v.Version), Priority: uint8(v.Priority),
		Interval: v.AdvertInt, Source: v.SourceIP, NoPreempt: v.NoPreempt, PreemptDelay: v.PreemptDelay,
		StartDelay: v.StartupDelay, BootDelay: v.DelayAfterBoot, StartBackup: v.State == "BACKUP", DownAdverts: uint8(v.DownTimerAdverts),
		IgnoreAdverts: v.OwnerIgnoreAdverts, LowerPrioNoAdvert: v.LowerPrioNoAdvert, HigherPrioSendAdvert: v.HigherPrioSendAdvert,
		TimerExpiredBackup: uint8(v.TimerExpiredBackup), Strict: v.Strict, NoAddrs: len(v.Addresses) == 0, Checksum: checksumOf(v),
		Announce: vrrp.Announce{
			Rounds: v.GARPMasterRepeat, Delay: orNone(v.GARPMasterDelay), Refresh: v.GARPMasterRefresh, RefreshRounds: v.GARPMasterRefreshRepeat,
			LowerPrioRounds: orNone(v.GARPLowerPrioRepeat), LowerPrioDelay: orNone(v.GARPLowerPrioDelay),
			Extra: v.ExtraGARP.Period, ExtraAll: v.ExtraGARP.All,
		},
	}
	in.Group, in.CheckSource = v.MulticastGroup, v.CheckUnicastSource
	for _, p := range v.UnicastPeers {
		in.Peers = append(in.Peers, vrrp.Peer(p))
	}
	if v.UnicastSource.IsValid() {
		in.Source = v.UnicastSource
	}
	in.Addrs, in.Excluded = addressesOf(v.Addresses, v.Interface), addressesOf(v.Excluded, v.Interface)
	in.Routes, in.Rules = textsOf(v.Routes), textsOf(v.Rules)
	in.NoAccept = v.NoAccept && v.Priority != 255
	in.Promote = v.PromoteSecondaries
	in.VMAC = vrrp.VMAC{
		Use: v.VMAC, Name: v.VMACName, Prefix: g.VMACPrefix, AddrPrefix: g.VMACAddrPrefix, MAC: v.VMACAddress, TransmitBase: v.VMACXmitBase, Group: v.VMACGroup,
	}
	if l := v.IPVLAN; l.Use {
		in.IPVLAN = vrrp.IPVLAN{
			Use: true, Name: l.Name, Prefix: g.VMACPrefix, Addr: l.Addr, Private: l.Mode == "private", VEPA: l.Mode == "vepa", Group: l.Group,
		}
	}
	for _, list := range [][]vrrp.Address{in.Addrs, in.Excluded} {
		for i := range list {
			if list[i].VMAC && list[i].Interface == "" && !v.VMAC {
				list[i].Interface = v.Interface
			}
			list[i].VMAC = list[i].Interface != "" && (list[i].VMAC || v.VMACAddr)
		}
	}
	in.TTL, in.TrackSource, in.IgnoreLink, in.ReceiveBuffer = uint8(v.UnicastTTL), v.TrackSource, v.IgnoreLink, cmp.Or(v.ReceiveBuffer, g.ReceiveBuffer)
	if v.FaultNoPeer && len(v.UnicastPeers) == 0 {
		in.Fault = "no unicast_peer"
	}
	in.Track = tracked(v.Tracks)
	switch v.AuthType {
	case "PASS":
		in.AuthType, in.Password = vrrp.AuthPass, v.AuthPass
	case "AH":
		in.AuthType, in.Password = vrrp.AuthAH, v.AuthPass
	}
	var err error
	in.HMAC, err = hmacOf(v)
	return in, err
}

// checksumOf is the form of checksum that is sent. Without a word about it peers decide.
func checksumOf(v *config.VRRPInstance) vrrp.Checksum {
	switch {
	case v.Version == 2 || len(v.Addresses) > 0 && v.Addresses[0].Prefix.Addr().Is6():
		return vrrp.ChecksumDefault
	case v.ChecksumAsV2:
		return vrrp.ChecksumMessage
	case v.OldUnicastChecksum == "old":
		return vrrp.ChecksumGroup
	case v.OldUnicastChecksum == "never":
		return vrrp.ChecksumPseudo
	}
	return vrrp.ChecksumDefault
}

func hmacOf(v *config.VRRPInstance) (h vrrp.HMAC, err error) {
	for _, k := range v.HMAC.Keys {
		secret, err := k.Secret(os.ReadFile)
		if err != nil {
			return h, fmt.Errorf("%v: key %d: %w", k.Pos, k.ID, err)
		}
		h.Keys = append(h.Keys, vrrp.HMACKey{ID: uint8(k.ID), Secret: secret})
	}
	h.Active, h.Window, h.Monotonic = uint8(v.HMAC.Active), v.HMAC.Window, v.HMAC.Monotonic
	switch v.HMAC.Mode {
	case "permissive":
		h.Mode = vrrp.HMACPermissive
	case "receive-only":
		h.Mode = vrrp.HMACReceiveOnly
	}
	return h, nil
}

// joinGroup puts an instance into its sync group, whose trackers are those of all members. Weights of a member's own trackers
// count only when the group says so: what would move one member alone takes all to FAULT instead. What the group says of an
// interface counts before what its member says, unless that is FAULT.
func joinGroup(in *vrrp.Instance, g *config.SyncGroup) {
	in.Sync = g.Name
	for i := range in.Track {
		if !g.Weights {
			in.Track[i].Weight = 0
		}
	}
	for _, shared := range tracked(g.Tracks) {
		i := slices.IndexFunc(in.Track, func(t vrrp.TrackInterface) bool { return t.Interface == shared.Interface })
		if i < 0 {
			in.Track = append(in.Track, shared)
		} else if in.Track[i].Weight != 0 {
			in.Track[i] = shared
		}
	}
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
