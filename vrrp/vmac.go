package vrrp

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// VMAC is the wish for a virtual MAC address (RFC 9568, Section 7.3): a macvlan link on top of the instance's interface, which
// carries adverts and addresses. It exists for as long as the instance does.
type VMAC struct {
	// Use asks for it.
	Use bool
	// Name is the link's. Empty means Prefix.VRID, or the first of Prefix1.VRID, ... that is free; for IPv6 Prefix6.VRID is
	// tried before these.
	Name string
	// Prefix is the stem of names, AddrPrefix that of links for addresses with [Address.VMAC]. Empty means vrrp, and Prefix.
	Prefix, AddrPrefix string
	// MAC is the address. The zero value means 00:00:5e:00:01:VRID, or 00:00:5e:00:02:VRID for IPv6.
	MAC [6]byte
	// TransmitBase sends and receives adverts on the interface itself (vmac_xmit_base). Unicast does so anyway.
	TransmitBase bool
	// Group is the group of interfaces that the link is put into. 0 means the default one.
	Group uint32
}

// mac is the virtual router's MAC address.
func (in *Instance) mac() [6]byte {
	if in.VMAC.MAC != [6]byte{} {
		return in.VMAC.MAC
	}
	family := byte(1)
	if in.is6() {
		family = 2
	}
	return [6]byte{0, 0, 0x5e, 0, family, in.VRID}
}

// parents are the interfaces that get a virtual link: the instance's own first, if it does.
func (in *Instance) parents() (list []string) {
	if in.linked() {
		list = append(list, in.Interface)
	}
	seen := map[string]bool{}
	for _, a := range in.held() {
		if a.VMAC && !seen[a.Interface] {
			seen[a.Interface] = true
			list = append(list, a.Interface)
		}
	}
	return list
}

func (in *Instance) validateVMAC(bad func(string, ...any)) {
	v := in.VMAC
	if v.Use && in.Interface == "" {
		bad("a virtual MAC address needs an interface")
	}
	if v.MAC[0]&1 != 0 {
		bad("virtual MAC address %x is a multicast address", v.MAC)
	}
	if len(v.Name) > 15 || len(v.Prefix) > 11 || len(v.AddrPrefix) > 11 {
		bad("names of interfaces have at most 15 bytes, prefixes 11")
	}
}

// vlink is a virtual link of an instance.
type vlink struct {
	VirtualLink
	made  bool
	seen  bool // it was there since, with the address of its own
	index int  // of the parent that it was made on
	busy  bool
	err   error
	again time.Time // when to try again
}

// nameLinks chooses the names of the instance's virtual links.
func (r *Router) nameLinks(x *runner) {
	x.device, x.vlinks = x.in.Interface, nil
	for _, parent := range x.in.parents() {
		own := parent == x.in.Interface && x.in.linked()
		v := x.virtualLink(own, parent)
		if v.Name == "" {
			v.Name = r.freeName(x, x.prefix(own))
		}
		r.vmacs[v.Name] = x
		x.vlinks = append(x.vlinks, &vlink{VirtualLink: v})
		if own {
			x.device = v.Name
		}
	}
}

// virtualLink is the link on that parent, with its name if it is given.
func (x *runner) virtualLink(own bool, parent string) VirtualLink {
	v := VirtualLink{Parent: parent, IPv6: x.usesIPv6(own, parent), Group: x.in.VMAC.Group}
	switch {
	case own && x.in.IPVLAN.Use:
		v.Name, v.IPVLAN, v.Group = x.in.IPVLAN.Name, x.in.IPVLAN, x.in.IPVLAN.Group
	case own:
		v.Name = x.in.VMAC.Name
		fallthrough
	default:
		v.MAC = x.in.mac()
	}
	return v
}

// prefix is the stem of a link's name.
func (x *runner) prefix(own bool) string {
	prefix := cmp.Or(x.in.VMAC.Prefix, "vrrp")
	switch {
	case own && x.in.IPVLAN.Use:
		return cmp.Or(x.in.IPVLAN.Prefix, "vrrp")
	case own:
		return prefix
	}
	return cmp.Or(x.in.VMAC.AddrPrefix, prefix)
}

// usesIPv6 says whether a virtual link carries IPv6: adverts, or an address.
func (x *runner) usesIPv6(own bool, parent string) bool {
	if own && x.in.is6() {
		return true
	}
	for _, a := range x.in.held() {
		if a.Addr().Is6() && (own && a.Interface == "" || a.VMAC && a.Interface == parent) {
			return true
		}
	}
	return false
}

func (r *Router) freeName(x *runner, prefix string) string {
	tries := []string{fmt.Sprintf("%s.%d", prefix, x.in.VRID)}
	if x.in.is6() {
		tries = append(tries, fmt.Sprintf("%s6.%d", prefix, x.in.VRID))
	}
	for _, name := range tries {
		if r.vmacs[name] == nil {
			return name
		}
	}
	for i := 1; ; i++ {
		if name := fmt.Sprintf("%s%d.%d", prefix, i, x.in.VRID); r.vmacs[name] == nil {
			return name
		}
	}
}

// transmit is the interface that adverts are on. What comes for an address of the own link comes there.
func (x *runner) transmit() string {
	if x.in.VMAC.TransmitBase || x.in.unicast() && !x.in.ownSource().IsValid() {
		return x.in.Interface
	}
	return x.device
}

// placed are addresses with the links that they are really put on.
func (x *runner) placed(addrs []Address) []Address {
	list := make([]Address, len(addrs))
	for i, a := range addrs {
		a.Interface = cmp.Or(a.Interface, x.device)
		for _, v := range x.vlinks {
			if a.VMAC && v.Parent == a.Interface {
				a.Interface, a.VMAC = v.Name, false
			}
		}
		list[i] = a
	}
	return list
}

// extra are those of placed addresses that [Announce.Extra] is about.
func (x *runner) extra(addrs []Address) (list []Address) {
	seen := map[string]bool{x.device: true}
	for _, a := range addrs {
		virtual := slices.ContainsFunc(x.vlinks, func(v *vlink) bool { return v.Name == a.Interface })
		if !seen[a.Interface] && (virtual || x.in.Announce.ExtraAll) {
			seen[a.Interface] = true
			list = append(list, a)
		}
	}
	return list
}

// lacksLink is why a virtual link is not there, or empty. It sees to it that it is made.
func (r *Router) lacksLink(now time.Time, x *runner) string {
	for _, v := range x.vlinks {
		parent, l := r.link(v.Parent), r.link(v.Name)
		switch {
		case parent.err != nil:
			return fmt.Sprintf("interface %s: %v", v.Parent, parent.err)
		case v.made && l.err == nil && v.index == parent.state.Index && v.addressed(l):
			v.seen = true
			continue
		case v.busy:
		case v.made && !v.seen && now.Before(v.again): // the news is on its way
			r.lookAgain(now, x)
		case v.err != nil && now.Before(v.again):
			r.lookAgain(now, x)
			return v.err.Error()
		default:
			r.makeLink(x, v, parent.state.Index)
		}
		if l.err == nil && !v.addressed(l) {
			return fmt.Sprintf("interface %s has not its address %v", v.Name, v.IPVLAN.Addr)
		}
		return fmt.Sprintf("interface %s does not exist yet", v.Name)
	}
	return ""
}

// addressed says whether the link has the address of its own, if it shall have one.
func (v *vlink) addressed(l *link) bool {
	return !v.IPVLAN.Addr.IsValid() || slices.Contains(l.state.Addrs, v.IPVLAN.Addr)
}

func (r *Router) makeLink(x *runner, v *vlink, index int) {
	v.busy, v.made, v.seen = true, false, false
	r.after(x.home, func() {
		err := r.net.MakeLink(v.VirtualLink)
		r.locked(func(now time.Time) {
			v.busy, v.made, v.err, v.index, v.again = false, err == nil, err, index, now.Add(retryTime)
			if err != nil {
				r.log.Error("virtual interface", "instance", x.in.String(), "error", err)
				r.lookAgain(now, x)
			}
			r.ask(now, r.link(v.Name))
			r.look(x)
		})
		r.poke()
	})
}

// dropLinks removes the virtual links of an instance that is gone, or does not want them any more.
func (r *Router) dropLinks(x *runner, links []*vlink) {
	for _, v := range links {
		if again := slices.ContainsFunc(x.vlinks, func(w *vlink) bool { return w != v && w.Name == v.Name }); !again && r.vmacs[v.Name] == x {
			delete(r.vmacs, v.Name)
		}
		if !r.running || r.keep {
			continue
		}
		r.after(x.home, func() {
			if err := r.net.RemoveLink(v.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				r.log.Error("remove virtual interface", "interface", v.Name, "error", err)
			}
		})
	}
}

// promote sets promote_secondaries where the instance's addresses are.
func (r *Router) promote(x *runner, on bool) {
	if !x.in.Promote || x.promoted == on {
		return
	}
	x.promoted = on
	seen := map[string]bool{}
	for _, a := range x.placed(x.in.held()) {
		if seen[a.Interface] || a.Addr().Is6() {
			continue
		}
		seen[a.Interface] = true
		r.after(x.home, func() {
			if err := r.net.Promote(a.Interface, on); err != nil {
				r.log.Error("promote secondaries", "interface", a.Interface, "error", err)
			}
		})
	}
}

// keepLinks lets the instance keep virtual links that it had before, and lists those that it does not want any more.
func (x *runner) keepLinks(before []*vlink) (unwanted []*vlink) {
	for _, old := range before {
		kept := false
		for i, v := range x.vlinks {
			if v.VirtualLink == old.VirtualLink {
				x.vlinks[i], kept = old, true
			}
		}
		if !kept {
			unwanted = append(unwanted, old)
		}
	}
	return unwanted
}
