package holdfast

import (
	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/bfd"
	"github.com/holdfast-lb/holdfast/config"
)

func sessionOf(b *config.BFD) bfd.Session {
	return bfd.Session{
		Name: b.Name, Local: b.Source, Peer: b.Neighbor, MinTx: b.MinTx, MinRx: b.MinRx, IdleTx: b.IdleTx, Multiplier: uint8(b.Multiplier),
		Passive: b.Passive, Multihop: b.Multihop, TTL: uint8(b.TTL), MaxHops: b.MaxHops,
	}
}

// sessionTracker lets a session move the instances that track it.
func sessionTracker(b *config.BFD, c *config.Config, groups map[string]*config.SyncGroup) Tracker {
	return Tracker{
		Name: "bfd " + b.Name, Probe: check.Probe{Checker: bfd.Follow{Session: b.Name}, Alpha: true},
		Effects: effectsOf(tracking{"bfd", b.Name, b.Weight, b.Reverse}, c, groups),
	}
}
