package vrrp

import (
	"net/netip"
	"slices"
)

// IPVLAN is the wish for an ipvlan link, of mode L2, on top of the instance's interface, which carries adverts and addresses: it
// has the interface's MAC address, for networks that allow one for each port. It exists for as long as the instance does. All
// ipvlans of an interface are of the same kind, and the interface can have no macvlan beside them, and be in no bridge.
type IPVLAN struct {
	// Use asks for it.
	Use bool
	// Name is the link's. Empty means one as a [VMAC] has, with the same Prefix.
	Name, Prefix string
	// Addr is an address of the link's own, with the length of its network. Adverts come from it, unless there is a Source. The
	// zero Prefix means none: they come from the interface's address.
	Addr netip.Prefix
	// Private keeps the ipvlans of an interface from each other. VEPA has the switch pass on what they send each other. With
	// neither of them they are as on a bridge.
	Private, VEPA bool
	// Group is the group of interfaces that the link is put into. 0 means the default one.
	Group uint32
}

// linked says whether the instance has a link of its own.
func (in *Instance) linked() bool { return in.VMAC.Use || in.IPVLAN.Use }

func (in *Instance) validateIPVLAN(bad func(string, ...any)) {
	v := in.IPVLAN
	switch {
	case !v.Use && v != IPVLAN{}:
		bad("an ipvlan is described, and not asked for")
	case !v.Use:
		return
	case in.VMAC.Use:
		bad("an interface cannot have both a macvlan and an ipvlan: use VMAC or IPVLAN")
	case in.Interface == "":
		bad("an ipvlan needs an interface")
	case slices.ContainsFunc(in.held(), func(a Address) bool { return a.VMAC && a.Interface == in.Interface }):
		bad("interface %s cannot have both an ipvlan and a virtual MAC address for addresses", in.Interface)
	}
	if v.Private && v.VEPA {
		bad("an ipvlan is private or VEPA, not both")
	}
	if len(v.Name) > 15 || len(v.Prefix) > 11 {
		bad("names of interfaces have at most 15 bytes, prefixes 11")
	}
	if a := v.Addr.Addr(); a.IsValid() && a.Is6() != in.is6() {
		bad("%w: %v of the ipvlan is not of the family of the virtual addresses", ErrAddressFamily, v.Addr)
	} else if slices.ContainsFunc(in.held(), func(held Address) bool { return held.Addr() == a }) {
		bad("%v is a virtual address: the ipvlan needs one of its own", a)
	}
}

// ownSource is the address that the instance's own link has, which adverts come from; not valid without one.
func (in *Instance) ownSource() netip.Addr {
	if in.Source.IsValid() {
		return netip.Addr{}
	}
	return in.IPVLAN.Addr.Addr()
}
