package vrrp

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Address is an address that an instance holds while MASTER, as it is put on an interface. Only Prefix must be set; see
// [MustAddresses] for lists of plain ones. Addresses are compared with ==.
type Address struct {
	// Prefix is the address and the length of its network: /32 or /128 unless it shall bring a route to its network.
	Prefix netip.Prefix `json:"prefix"`
	// Interface is the link to put it on. Empty means the instance's. If there is another one, it is tracked too: the
	// instance is in FAULT while it is down.
	Interface string `json:"interface,omitempty"`
	// Label is the address's label, as ip-address(8) shows it (IPv4). At most 15 bytes.
	Label string `json:"label,omitempty"`
	// Scope is that of rtnetlink(7). 0 is global.
	Scope uint8 `json:"scope,omitempty"`
	// Broadcast is the broadcast address (IPv4). The zero Addr means none.
	Broadcast netip.Addr `json:"broadcast,omitzero"`
	// Peer is the other end of a point-to-point link. The zero Prefix means none.
	Peer netip.Prefix `json:"peer,omitzero"`
	// Preferred is how long the address may be chosen as source of what this host sends. 0 means for ever, but of an IPv6
	// address with /128: not at all. A negative value means not at all, [Forever] for ever.
	Preferred time.Duration `json:"preferred,omitempty"`
	// DAD asks for duplicate address detection (IPv6). Without, the election alone decides whose the address is.
	DAD bool `json:"dad,omitempty"`
	// Home, ManageTempAddr, NoPrefixRoute and AutoJoin are flags of ip-address(8).
	Home           bool `json:"home,omitempty"`
	ManageTempAddr bool `json:"mngtmpaddr,omitempty"`
	NoPrefixRoute  bool `json:"noprefixroute,omitempty"`
	AutoJoin       bool `json:"autojoin,omitempty"`
	// NoTrack makes the loss of the address, or of its interface, be of no consequence.
	NoTrack bool `json:"noTrack,omitempty"`
	// VMAC puts the address on a link of its own with the virtual MAC address, on top of Interface.
	VMAC bool `json:"vmac,omitempty"`
}

// Forever is a lifetime without end.
const Forever = time.Duration(1<<63 - 1)

// MustAddresses are plain addresses of literals like "192.0.2.10/24" or, with the whole address as network, "192.0.2.10". It
// panics when one is no address.
func MustAddresses(literals ...string) []Address {
	addrs := make([]Address, len(literals))
	for i, text := range literals {
		if !strings.Contains(text, "/") {
			a := netip.MustParseAddr(text)
			addrs[i].Prefix = netip.PrefixFrom(a, a.BitLen())
			continue
		}
		addrs[i].Prefix = netip.MustParsePrefix(text)
	}
	return addrs
}

// Addr is the address itself.
func (a Address) Addr() netip.Addr { return a.Prefix.Addr() }

// String is the address in the words of ip-address(8).
func (a Address) String() string {
	var b strings.Builder
	fmt.Fprint(&b, a.Prefix)
	option := func(set bool, format string, args ...any) {
		if set {
			fmt.Fprintf(&b, " "+format, args...)
		}
	}
	option(a.Peer.IsValid(), "peer %v", a.Peer)
	option(a.Broadcast.IsValid(), "brd %v", a.Broadcast)
	option(a.Scope != 0, "scope %d", a.Scope)
	option(a.Interface != "", "dev %s", a.Interface)
	option(a.Label != "", "label %s", a.Label)
	option(a.Preferred == Forever, "preferred_lft forever")
	option(a.Preferred != 0 && a.Preferred != Forever, "preferred_lft %d", max(a.Preferred, 0)/time.Second)
	option(a.Home, "home")
	option(a.DAD, "-nodad")
	option(a.ManageTempAddr, "mngtmpaddr")
	option(a.NoPrefixRoute, "noprefixroute")
	option(a.AutoJoin, "autojoin")
	option(a.NoTrack, "no_track")
	option(a.VMAC, "use_vmac")
	return b.String()
}

// check says what is wrong with the options of a valid address.
func (a *Address) check() error {
	switch six := a.Addr().Is6(); {
	case len(a.Label) > 15:
		return fmt.Errorf("virtual address %v: label %q is longer than 15 bytes", a.Prefix, a.Label)
	case six && (a.Label != "" || a.Broadcast.IsValid()):
		return fmt.Errorf("virtual address %v: labels and broadcast addresses are IPv4's", a.Prefix)
	case a.Peer.IsValid() && a.Peer.Addr().Is6() != six:
		return fmt.Errorf("%w: peer %v is not of the family of virtual address %v", ErrAddressFamily, a.Peer, a.Prefix)
	case a.Broadcast.IsValid() && a.Broadcast.Is6():
		return fmt.Errorf("%w: broadcast address %v is IPv6", ErrAddressFamily, a.Broadcast)
	case a.VMAC && a.Interface == "":
		return fmt.Errorf("virtual address %v: a virtual MAC address of its own needs an interface of its own", a.Prefix)
	}
	return nil
}
