package config

import (
	"net/netip"
	"time"
)

// BFD is a bfd_instance. Zero values are what is not said.
type BFD struct {
	Pos
	Name                string
	Source, Neighbor    netip.Addr
	MinRx, MinTx        time.Duration
	IdleTx              time.Duration
	Multiplier          int
	Passive, Multihop   bool
	TTL                 int
	MaxHops             int
	Weight              int
	Reverse             bool
	ForVRRP, ForChecker bool // vrrp, checker: who hears of it; both when neither is said

	end Pos
}

var bfdKeywords = map[string]setter[BFD]{
	"source_ip":    addr(func(b *BFD) *netip.Addr { return &b.Source }),
	"neighbor_ip":  addr(func(b *BFD) *netip.Addr { return &b.Neighbor }),
	"neighbour_ip": addr(func(b *BFD) *netip.Addr { return &b.Neighbor }),
	"min_rx":       timer(func(b *BFD) *time.Duration { return &b.MinRx }),
	"min_tx":       timer(func(b *BFD) *time.Duration { return &b.MinTx }),
	"idle_tx":      timer(func(b *BFD) *time.Duration { return &b.IdleTx }),
	"multiplier":   number(func(b *BFD) *int { return &b.Multiplier }),
	"passive":      flag(func(b *BFD) *bool { return &b.Passive }),
	"multihop":     flag(func(b *BFD) *bool { return &b.Multihop }),
	"ttl":          number(func(b *BFD) *int { return &b.TTL }),
	"hoplimit":     number(func(b *BFD) *int { return &b.TTL }),
	"max_hops":     number(func(b *BFD) *int { return &b.MaxHops }),
	"weight":       func(d *decoder, n *Node, b *BFD) { b.Weight, b.Reverse, _ = d.trackWeight(n.Values(), 253) },
	"vrrp":         flag(func(b *BFD) *bool { return &b.ForVRRP }),
	"checker":      flag(func(b *BFD) *bool { return &b.ForChecker }),
}

// decodeBFD reads a session. One that cannot be is left out, as keepalived does.
func decodeBFD(d *decoder, n *Node, c *Config) {
	b := &BFD{Pos: n.Pos, Name: n.Words[1].Text, end: n.End}
	decodeBlock(d, n.block(), n.Block, b, bfdKeywords)
	switch {
	case !b.Neighbor.IsValid():
		d.errorf(n.End, "missing-value", "neighbor_ip ADDRESS", "bfd_instance %s has no neighbor_ip", b.Name)
		return
	case b.Source.IsValid() && b.Source.Is4() != b.Neighbor.Is4():
		d.errorf(n.End, "family-clash", "", "bfd_instance %s: source_ip %v is not of the family of neighbor_ip %v", b.Name, b.Source, b.Neighbor)
		return
	}
	for _, other := range c.BFD {
		if other.Neighbor == b.Neighbor && other.Source == b.Source && other.Multihop == b.Multihop {
			d.errorf(n.Pos, "duplicate", "", "bfd_instance %s is between the same addresses as %s", b.Name, other.Name)
			return
		}
	}
	if !b.ForVRRP && !b.ForChecker {
		b.ForVRRP, b.ForChecker = true, true
	}
	c.BFD = append(c.BFD, b)
	c.Trackers = append(c.Trackers, Tracker{n.Pos, "bfd", b.Name})
}
