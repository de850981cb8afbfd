package vrrp

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Instance is the wish for one virtual router: what to hold, where, and how strongly. It is a value: the Router copies it.
type Instance struct {
	// Name is for people: logs, events, [Router.SetTracking]. Empty means INTERFACE/VRID. Names are unique in a Router.
	Name string
	// Interface is the link that adverts and addresses are on. It may be missing: the instance is then in FAULT until
	// the link appears.
	Interface string
	// VRID is the virtual router's id, 1 to 255. It must be the same on all routers of the group and unique on the link.
	VRID uint8
	// Version of the protocol, 2 or 3. 0 means 3.
	Version uint8
	// Priority, 1 to 254; the highest holds the addresses. 255 makes the instance the owner of its addresses. 0 means 100.
	Priority uint8
	// Interval between adverts; see [Advertisement]. 0 means 1 s.
	Interval time.Duration
	// Addrs are the virtual addresses, all of one family, advertised in this order. IPv6 needs version 3. The prefix length is that of the address as it is put on
	// the interface: /32 unless the address shall bring a route to its network.
	Addrs []netip.Prefix
	// Excluded are further addresses that are held with the others and not advertised, of either family
	// (virtual_ipaddress_excluded).
	Excluded []netip.Prefix
	// Source is the source address of adverts. The zero Addr means the interface's first address that is not virtual; for
	// IPv6 its first link-local one.
	Source netip.Addr
	// Group is the multicast group that adverts are sent to. The zero Addr means [GroupIPv4] or [GroupIPv6].
	Group netip.Addr
	// Peers, if there are any, get adverts by unicast, one copy each, and the group gets none. Of a received advert neither
	// the TTL nor the sender is checked then.
	Peers []netip.Addr
	// Sync names the group of instances that change state together: all are MASTER, or none; one in FAULT takes all there.
	// Empty means none. Members are instances of the same Router with the same name here.
	Sync string
	// Track lists other interfaces that the instance depends on.
	Track []TrackInterface
	// NoPreempt keeps a lower-priority MASTER in office. An owner always preempts (RFC 9568, Section 6.1).
	NoPreempt bool
	// PreemptDelay is how long a lower-priority MASTER is left in office once it was heard. 0 means not at all.
	PreemptDelay time.Duration
	// AuthType and Password are for version 2. Of the password the first 8 bytes count.
	AuthType AuthType
	Password string `json:"-"`
	// Checksum is the form of the checksum that is sent; either is accepted. See [Checksum].
	Checksum Checksum
	// Announce is the schedule of gratuitous ARP.
	Announce Announce
}

// TrackInterface is an interface, other than the instance's own, that matters to an instance.
type TrackInterface struct {
	// Interface may be missing: it is down then.
	Interface string
	// Weight and Reverse are those of [Contribution], -253 to 253.
	Weight  int
	Reverse bool
}

// Announce says how often the new holder of the addresses tells the link so. The zero value is keepalived's default: 5 rounds at
// once and 5 more 5 s later.
type Announce struct {
	// Rounds at once on becoming MASTER, each over all addresses. 0 means 5.
	Rounds int
	// Delay until the second burst. 0 means 5 s, a negative value no second burst.
	Delay time.Duration
	// Refresh is the period of single rounds while MASTER. 0 means none.
	Refresh time.Duration
}

func (in *Instance) version() uint8          { return cmp.Or(in.Version, 3) }
func (in *Instance) priority() uint8         { return cmp.Or(in.Priority, 100) }
func (in *Instance) interval() time.Duration { return cmp.Or(in.Interval, time.Second) }
func (in *Instance) owner() bool             { return in.priority() == 255 }
func (in *Instance) unicast() bool           { return len(in.Peers) > 0 }
func (a Announce) rounds() int               { return cmp.Or(a.Rounds, 5) }
func (a Announce) delay() time.Duration      { return cmp.Or(a.Delay, 5*time.Second) }

// is6 is the family of the instance.
func (in *Instance) is6() bool { return len(in.Addrs) > 0 && in.Addrs[0].Addr().Is6() }

// held are all addresses of a MASTER.
func (in *Instance) held() []netip.Prefix { return slices.Concat(in.Addrs, in.Excluded) }

func (in *Instance) group() netip.Addr {
	if in.is6() {
		return cmp.Or(in.Group, GroupIPv6)
	}
	return cmp.Or(in.Group, GroupIPv4)
}

func (in *Instance) authData() (data [8]byte) {
	copy(data[:], in.Password)
	return data
}

// String is the instance's name.
func (in *Instance) String() string {
	if in.Name != "" {
		return in.Name
	}
	return fmt.Sprintf("%s/%d", in.Interface, in.VRID)
}

// Clone is a copy that shares nothing with the instance.
func (in *Instance) Clone() Instance {
	c := *in
	c.Addrs, c.Excluded = slices.Clone(in.Addrs), slices.Clone(in.Excluded)
	c.Peers, c.Track = slices.Clone(in.Peers), slices.Clone(in.Track)
	return c
}

// Equal says whether two wishes are the same.
func (in *Instance) Equal(other *Instance) bool {
	a, b := *in, *other
	return slices.Equal(in.Addrs, other.Addrs) && slices.Equal(in.Excluded, other.Excluded) && slices.Equal(in.Peers, other.Peers) && slices.Equal(in.Track, other.Track) && a.sameScalars(&b)
}

func (in *Instance) sameScalars(o *Instance) bool {
	return in.String() == o.String() && in.Interface == o.Interface && in.VRID == o.VRID && in.version() == o.version() &&
		in.priority() == o.priority() && in.interval() == o.interval() && in.Source == o.Source && in.NoPreempt == o.NoPreempt &&
		in.PreemptDelay == o.PreemptDelay && in.AuthType == o.AuthType && in.Password == o.Password && in.Checksum == o.Checksum &&
		in.Announce == o.Announce && in.Sync == o.Sync && in.group() == o.group()
}

// Validate reports everything that is wrong with the wish, joined.
func (in *Instance) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("vrrp: instance "+in.String()+": "+format, args...))
	}
	if in.Interface == "" {
		bad("no interface")
	}
	if in.VRID == 0 {
		bad("no VRID: set one of 1 to 255, the same on all routers of the group")
	}
	if v := in.version(); v != 2 && v != 3 {
		bad("%w %d: 2 and 3 exist", ErrVersion, v)
	} else if err := checkInterval(v, in.interval()); err != nil {
		bad("%w", err)
	}
	if in.version() == 3 && in.AuthType != AuthNone {
		bad("%w %v: version 3 has no authentication; use version 2 or none", ErrAuthType, in.AuthType)
	}
	if in.AuthType > AuthPass {
		bad("%w %v is not implemented: use none or PASS", ErrAuthType, in.AuthType)
	}
	if in.PreemptDelay < 0 || in.Announce.Rounds < 0 || in.Announce.Refresh < 0 {
		bad("negative delay or count")
	}
	for _, t := range in.Track {
		if t.Interface == "" || t.Weight < -253 || t.Weight > 253 {
			bad("tracked interface %q with weight %d: must have a name, and -253 to 253", t.Interface, t.Weight)
		}
	}
	in.validateAddrs(bad)
	return errors.Join(errs...)
}

func (in *Instance) validateAddrs(bad func(string, ...any)) {
	if n := len(in.Addrs); n == 0 || n > 255 {
		bad("%d virtual addresses: an advert carries 1 to 255", n)
	}
	seen := make(map[netip.Addr]bool, len(in.Addrs))
	for _, p := range in.Addrs {
		switch {
		case !p.IsValid():
			bad("virtual address %v is not valid", p)
		case p.Addr().Is6() != in.is6():
			bad("%w: virtual address %v is not of the family of %v: use an instance for each", ErrAddressFamily, p, in.Addrs[0])
		case seen[p.Addr()]:
			bad("virtual address %v is there twice", p)
		}
		seen[p.Addr()] = true
	}
	for _, p := range in.Excluded {
		if !p.IsValid() || seen[p.Addr()] {
			bad("excluded address %v is not valid, or there twice", p)
		}
		seen[p.Addr()] = true
	}
	if in.is6() && in.version() == 2 {
		bad("%w 2 is for IPv4: use version 3", ErrVersion)
	}
	for _, other := range append([]netip.Addr{in.Source, in.Group}, in.Peers...) {
		if other.IsValid() && other.Is6() != in.is6() {
			bad("%w: %v is not of the family of the virtual addresses", ErrAddressFamily, other)
		}
	}
	if in.Group.IsValid() && !in.Group.IsMulticast() {
		bad("group %v is no multicast address", in.Group)
	}
}
