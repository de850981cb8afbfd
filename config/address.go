package config

import (
	"math"
	"net/netip"
	"strconv"
	"time"
)

// VirtualAddress is an entry of virtual_ipaddress, virtual_ipaddress_excluded or static_ipaddress.
type VirtualAddress struct {
	Pos
	Prefix netip.Prefix
	// Dev is the interface, empty for the instance's or default_interface.
	Dev       string
	Label     string
	Scope     uint8
	Broadcast netip.Addr
	Peer      netip.Prefix
	// Preferred is preferred_lft, [Forever] for forever; nil is what is not said.
	Preferred *time.Duration
	// DAD is the option -nodad, which asks for duplicate address detection in spite of its name.
	DAD                                                          bool
	Home, ManageTempAddr, NoPrefixRoute, AutoJoin, NoTrack, VMAC bool
	// TrackGroup is that of a static address.
	TrackGroup string
}

// Forever is a time without end.
const Forever = time.Duration(math.MaxInt64)

// addressOptions are the options of an address with how many values each has.
var addressOptions = map[string]int{
	"dev": 1, "brd": 1, "broadcast": 1, "scope": 1, "label": 1, "peer": 1, "home": 0, "-nodad": 0, "mngtmpaddr": 0, "noprefixroute": 0,
	"autojoin": 0, "no_track": 0, "preferred_lft": 1, "use_vmac": 0, "track_group": 1,
}

// addressEntry reads ADDR[/LEN] and its options, in any order.
func (d *decoder) addressEntry(e *Node) (a VirtualAddress, ok bool) {
	rest, ok := d.options(e.Words, addressOptions)
	if !ok {
		return a, false
	}
	if len(rest) == 0 {
		d.errorf(e.Pos, "missing-value", "ADDR[/LEN] [options]", "%s: the entry has no address", d.keyword)
		return a, false
	}
	if a.Prefix, ok = d.prefix(rest[0]); !ok {
		return a, false
	}
	for _, w := range rest[1:] {
		d.errorf(w.Pos, "unknown-option", nearestOption(w.Text, addressOptions), "%s: unknown option %s of an address", d.keyword, quoted(w.Text))
		return a, false
	}
	a.Pos = e.Pos
	for i := 0; i < len(e.Words); i++ {
		w := e.Words[i]
		count, known := addressOptions[w.Text]
		if !known {
			continue
		}
		value := Word{}
		if i += count; count > 0 {
			value = e.Words[i]
		}
		if !d.addressOption(&a, w, value) {
			return a, false
		}
	}
	return a, true
}

func (d *decoder) addressOption(a *VirtualAddress, option, value Word) (ok bool) {
	six := a.Prefix.Addr().Is6()
	switch option.Text {
	case "dev":
		if a.Dev != "" {
			d.errorf(option.Pos, "duplicate-option", "", "%v: dev is there twice", a.Prefix)
			return false
		}
		a.Dev = value.Text
	case "brd", "broadcast":
		return d.broadcast(a, value)
	case "scope":
		if six {
			d.warnf(option.Pos, "ipv4-option", "", "%v: IPv6 addresses have no scope to be set; it is ignored", a.Prefix)
			return true
		}
		a.Scope, ok = d.scope(value)
		return ok
	case "label":
		if len(value.Text) > 15 {
			d.bad(value, "a label of at most 15 characters")
			return false
		}
		if six {
			d.warnf(option.Pos, "ipv4-option", "", "%v: IPv6 addresses have no label; it is ignored", a.Prefix)
			return true
		}
		a.Label = value.Text
	case "peer":
		if a.Peer, ok = d.prefix(value); ok && a.Peer.Addr().Is6() != six {
			d.bad(value, "of the family of %v", a.Prefix)
			return false
		}
		return ok
	case "preferred_lft":
		return d.preferred(a, value)
	case "track_group":
		a.TrackGroup = value.Text
	default:
		a.setFlag(option.Text)
	}
	return true
}

func (a *VirtualAddress) setFlag(option string) {
	*map[string]*bool{
		"home": &a.Home, "-nodad": &a.DAD, "mngtmpaddr": &a.ManageTempAddr, "noprefixroute": &a.NoPrefixRoute, "autojoin": &a.AutoJoin,
		"no_track": &a.NoTrack, "use_vmac": &a.VMAC,
	}[option] = true
}

// broadcast reads an address, + for all host bits 1, or - for all 0.
func (d *decoder) broadcast(a *VirtualAddress, w Word) (ok bool) {
	if a.Prefix.Addr().Is6() {
		d.errorf(w.Pos, "family-clash", "", "%v: IPv6 has no broadcast addresses", a.Prefix)
		return false
	}
	if w.Text != "+" && w.Text != "-" {
		a.Broadcast, ok = d.address(w)
		if ok && a.Broadcast.Is6() {
			d.bad(w, "an IPv4 address")
			return false
		}
		return ok
	}
	if a.Prefix.Bits() > 30 {
		d.bad(w, "possible with a prefix longer than /30")
		return false
	}
	a.Broadcast = a.Prefix.Masked().Addr()
	if w.Text == "+" {
		a.Broadcast = lastOf(a.Prefix.Masked())
	}
	return true
}

func (d *decoder) preferred(a *VirtualAddress, w Word) bool {
	if w.Text == "forever" {
		a.Preferred = new(Forever)
		return true
	}
	n, ok := d.integer(w, 0, math.MaxUint32)
	a.Preferred = new(time.Duration(n) * time.Second)
	return ok
}

// scopes are the names of iproute2.
var scopes = map[string]uint8{"global": 0, "universe": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}

func (d *decoder) scope(w Word) (uint8, bool) {
	if s, ok := scopes[w.Text]; ok {
		return s, true
	}
	n, err := strconv.ParseUint(w.Text, 0, 8)
	if err != nil {
		d.bad(w, "a scope: global, site, link, host, nowhere or 0 to 255")
	}
	return uint8(n), err == nil
}
