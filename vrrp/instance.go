package vrrp

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"
)

// Instance is the wish for one virtual router: what to hold, where, and how strongly. It is a value: the Router copies it.
type Instance struct {
	// Name is for people: logs, events, [Router.SetTracking]. Empty means INTERFACE/VRID. Names are unique in a Router.
	Name string
	// Interface is the link that adverts and addresses are on. It may be missing: the instance is then in FAULT until
	// the link appears. Empty means none, for unicast from a Source by whatever way: every address has its own Interface then.
	Interface string
	// VRID is the virtual router's id, 1 to 255. It must be the same on all routers of the group and unique on the link.
	VRID uint8
	// Version of the protocol, 2 or 3. 0 means 3.
	Version uint8
	// Priority, 1 to 254; the highest holds the addresses. 255 makes the instance the owner of its addresses. 0 means 100.
	Priority uint8
	// Interval between adverts; see [Advertisement]. 0 means 1 s. It should be the same on all routers: one that starts with a
	// shorter interval than the MASTER's takes over before it can have heard it (RFC 9568, Section 5.2.7).
	Interval time.Duration
	// Addrs are the virtual addresses, all of one family, advertised in this order. IPv6 by version 2 is no RFC's;
	// keepalived speaks it. See [MustAddresses].
	Addrs []Address
	// NoAddrs says that Addrs is empty on purpose: the instance takes part and advertises nothing (no_virtual_ipaddress). Its
	// family is then that of Source, Group, Peers or IPVLAN, or IPv4.
	NoAddrs bool
	// Excluded are further addresses that are held with the others and not advertised, of either family
	// (virtual_ipaddress_excluded).
	Excluded []Address
	// Routes and Rules are held with the addresses (virtual_routes, virtual_rules), in the words of ip-route(8) and ip-rule(8):
	// "10.1.0.0/16 via 192.0.2.1 dev eth0 metric 5". They have the protocol number 18 of keepalived. The instance is in FAULT
	// while an interface that they name is down, unless the word no_track is among them.
	Routes, Rules []string
	// Source is the source address of adverts. The zero Addr means the interface's first address that is not virtual; for
	// IPv6 its first link-local one.
	Source netip.Addr
	// Group is the multicast group that adverts are sent to. The zero Addr means [GroupIPv4] or [GroupIPv6].
	Group netip.Addr
	// Peers, if there are any, get adverts by unicast, one copy each, and the group gets none.
	Peers []Peer
	// CheckSource refuses unicast adverts from others than Peers (check_unicast_src). It is implied by a peer's TTL range.
	CheckSource bool
	// TTL is that of adverts to Peers. 0 means 255.
	TTL uint8
	// TrackSource puts the instance into FAULT while the host has not the address Source (track_src_ip).
	TrackSource bool
	// IgnoreLink lets the instance take part while its interface is down, unless it does not exist (dont_track_primary).
	IgnoreLink bool
	// ReceiveBuffer is the room for received adverts, in bytes, to which the instances of a socket contribute. 0 means what
	// the Router thinks fit.
	ReceiveBuffer int
	// NoAccept refuses traffic to the virtual addresses, and from them, unless the instance is their owner (RFC 9568, Section
	// 6.1: Accept_Mode false). Neighbour discovery goes on.
	NoAccept bool
	// VMAC gives the instance a link of its own with the virtual MAC address. The zero value means none.
	VMAC VMAC
	// IPVLAN gives the instance a link of its own with the MAC address of its interface. The zero value means none.
	IPVLAN IPVLAN
	// Promote keeps other addresses of the interface when the first of their network is removed (promote_secondaries).
	Promote bool
	// Fault, when not empty, is why the instance must not take part: it stays in FAULT.
	Fault string
	// Sync names the group of instances that change state together: all are MASTER, or none; one in FAULT takes all there.
	// Empty means none. Members are instances of the same Router with the same name here.
	Sync string
	// Track lists other interfaces that the instance depends on.
	Track []TrackInterface

	// NoPreempt keeps a lower-priority MASTER in office. An owner always preempts (RFC 9568, Section 6.1).
	NoPreempt bool
	// PreemptDelay is how long a lower-priority MASTER is left in office once it was heard. 0 means not at all.
	PreemptDelay time.Duration
	// StartDelay holds the instance still for so long after the Router's start: it sends nothing and hears nothing.
	// BootDelay does so after the host's; the longer of them counts. While they last they can be changed; one that is over is
	// over.
	StartDelay, BootDelay time.Duration
	// StartBackup makes an owner wait for others before it takes its addresses (state BACKUP).
	StartBackup bool
	// DownAdverts is how many adverts may be missing before the MASTER counts as gone, up to 100. 0 means 3.
	DownAdverts uint8
	// IgnoreAdverts makes an owner deaf, as RFC 3768 and RFC 5798 ask for (owner_ignore_adverts).
	IgnoreAdverts bool
	// LowerPrioNoAdvert leaves a lesser MASTER without the immediate answer of RFC 9568, Section 6.4.3.
	LowerPrioNoAdvert bool
	// HigherPrioSendAdvert sends one more advert before yielding to a better MASTER.
	HigherPrioSendAdvert bool
	// TimerExpiredBackup, with NoPreempt, makes a MASTER that was held up for so long that others must have taken over a
	// BACKUP, before it sends anything. It is the highest priority of the other routers, 1 to 254. 0 means off.
	TimerExpiredBackup uint8
	// Strict does what the RFCs say where keepalived is lenient (strict_mode): one checksum form, no authentication of
	// version 2, multicast only, no preempt delay; a MASTER does not answer a lesser one, an owner is deaf.
	Strict bool

	// AuthType and Password are for version 2. Of the password the first 8 bytes count.
	AuthType AuthType
	Password string `json:"-"`
	// HMAC is keepalived's own authentication, for any version. The zero value means none.
	HMAC HMAC
	// Checksum is the form of the checksum that is sent. By default peers that speak [ChecksumGroup] are answered so.
	Checksum Checksum
	// Announce is the schedule of gratuitous ARP and unsolicited neighbour advertisements.
	Announce Announce
}

// Peer is a router that unicast adverts are sent to.
type Peer struct {
	Addr netip.Addr
	// MinTTL and MaxTTL bound the TTL of its adverts. MaxTTL 0 means 255.
	MinTTL, MaxTTL uint8
}

// String is the peer in keepalived's words.
func (p Peer) String() string {
	text := p.Addr.String()
	if p.MinTTL > 0 {
		text += fmt.Sprintf(" min_ttl %d", p.MinTTL)
	}
	if p.MaxTTL > 0 {
		text += fmt.Sprintf(" max_ttl %d", p.MaxTTL)
	}
	return text
}

func (p Peer) maxTTL() uint8 { return cmp.Or(p.MaxTTL, 255) }

// TrackInterface is an interface, other than the instance's own, that matters to an instance.
type TrackInterface struct {
	// Interface may be missing: it is down then.
	Interface string
	// Weight and Reverse are those of [Contribution], -253 to 253.
	Weight  int
	Reverse bool
}

// Announce says how often the holder of the addresses tells the link so. The zero value is keepalived's default: 5 rounds
// at once and 5 more 5 s later. Of durations and counts 0 means the default, and a negative value none.
type Announce struct {
	// Rounds at once on becoming MASTER, each over all addresses. 0 means 5.
	Rounds int
	// Delay until the second burst. 0 means 5 s.
	Delay time.Duration
	// Refresh is the period of further announcements while MASTER, of RefreshRounds each. 0 means none, of 1 round.
	Refresh       time.Duration
	RefreshRounds int
	// LowerPrioRounds are sent when a lesser MASTER was heard, and again LowerPrioDelay later. 0 means Rounds and Delay.
	LowerPrioRounds int
	LowerPrioDelay  time.Duration
	// Extra is the period in which one address of each other interface is announced, to keep what switches know of its MAC
	// address: of each virtual MAC interface of an [Address.VMAC], with ExtraAll of every interface that holds addresses, but the
	// instance's own, whose adverts do that (garp_extra_if). 0 means never.
	Extra    time.Duration
	ExtraAll bool
}

func (in *Instance) version() uint8          { return cmp.Or(in.Version, 3) }
func (in *Instance) priority() uint8         { return cmp.Or(in.Priority, 100) }
func (in *Instance) interval() time.Duration { return cmp.Or(in.Interval, time.Second) }
func (in *Instance) downAdverts() int        { return int(cmp.Or(in.DownAdverts, 3)) }
func (in *Instance) owner() bool             { return in.priority() == 255 }
func (in *Instance) unicast() bool           { return len(in.Peers) > 0 }
func (in *Instance) deaf() bool              { return in.owner() && (in.IgnoreAdverts || in.Strict) }

// checksSource says whether unicast adverts must come from a peer.
func (in *Instance) checksSource() bool {
	return in.CheckSource || slices.ContainsFunc(in.Peers, func(p Peer) bool { return p.MinTTL > 0 || p.MaxTTL > 0 })
}

func (a Announce) rounds() int        { return count(a.Rounds, 5) }
func (a Announce) refreshRounds() int { return count(a.RefreshRounds, 1) }
func (a Announce) delay() time.Duration {
	return max(cmp.Or(a.Delay, 5*time.Second), 0)
}

// lowerPrio is the burst after a lesser MASTER was heard, and its second part.
func (in *Instance) lowerPrio() (rounds int, delay time.Duration) {
	a := in.Announce
	if in.Strict {
		return 0, 0
	}
	return count(a.LowerPrioRounds, a.rounds()), max(cmp.Or(a.LowerPrioDelay, a.delay()), 0)
}

// count is a number of rounds: 0 means the given one, and what is negative none.
func count(n, fallback int) int { return min(max(cmp.Or(n, fallback), 0), 255) }

// is6 is the family of the instance.
func (in *Instance) is6() bool {
	switch {
	case len(in.Addrs) > 0:
		return in.Addrs[0].Addr().Is6()
	case len(in.Peers) > 0:
		return in.Peers[0].Addr.Is6()
	}
	return in.Source.Is6() || in.Group.Is6() || in.IPVLAN.Addr.Addr().Is6()
}

// held are all addresses of a MASTER.
func (in *Instance) held() []Address { return slices.Concat(in.Addrs, in.Excluded) }

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
	c.Routes, c.Rules = slices.Clone(in.Routes), slices.Clone(in.Rules)
	c.Peers, c.Track = slices.Clone(in.Peers), slices.Clone(in.Track)
	c.HMAC.Keys = slices.Clone(in.HMAC.Keys)
	return c
}

// Equal says whether two wishes are the same.
func (in *Instance) Equal(other *Instance) bool {
	return reflect.DeepEqual(in.normal(), other.normal())
}

// normal is the instance with its defaults written out.
func (in *Instance) normal() Instance {
	n := *in
	n.Name, n.Version, n.Priority, n.Interval, n.DownAdverts = in.String(), in.version(), in.priority(), in.interval(), uint8(in.downAdverts())
	n.Group, n.HMAC.Window = in.group(), in.HMAC.window(in.interval())
	n.Announce.Rounds, n.Announce.RefreshRounds, n.Announce.Delay = in.Announce.rounds(), in.Announce.refreshRounds(), in.Announce.delay()
	n.Announce.LowerPrioRounds, n.Announce.LowerPrioDelay = in.lowerPrio()
	n.Routes, n.Rules = some(in.Routes), some(in.Rules)
	n.Addrs, n.Excluded, n.Peers, n.Track = some(in.Addrs), some(in.Excluded), some(in.Peers), some(in.Track)
	n.HMAC.Keys = some(in.HMAC.Keys)
	return n
}

// some is nil for an empty list.
func some[E any](list []E) []E {
	if len(list) == 0 {
		return nil
	}
	return list
}

// Validate reports everything that is wrong with the wish, joined.
func (in *Instance) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("vrrp: instance "+in.String()+": "+format, args...))
	}
	if in.Interface == "" && (!in.unicast() || !in.Source.IsValid() || slices.ContainsFunc(in.held(), func(a Address) bool { return a.Interface == "" })) {
		bad("no interface: only unicast from a Source can do without, with an Interface for each address")
	}
	if in.ReceiveBuffer < 0 {
		bad("negative receive buffer")
	}
	if in.VRID == 0 {
		bad("no VRID: set one of 1 to 255, the same on all routers of the group")
	}
	if v := in.version(); v != 2 && v != 3 {
		bad("%w %d: 2 and 3 exist", ErrVersion, v)
	} else if err := checkInterval(v, in.interval()); err != nil {
		bad("%w", err)
	}
	if in.DownAdverts > 100 {
		bad("%d missing adverts: 1 to 100 can be waited for", in.DownAdverts)
	}
	if in.PreemptDelay < 0 || in.StartDelay < 0 || in.BootDelay < 0 || in.Announce.Refresh < 0 || in.Announce.Extra < 0 {
		bad("negative delay")
	}
	if in.TimerExpiredBackup > 0 && !in.NoPreempt {
		bad("it shall become BACKUP when its timer is late: that needs NoPreempt, else it takes over again at once")
	}
	in.validateVMAC(bad)
	in.validateIPVLAN(bad)
	if err := checkTexts(in.Routes, in.Rules); err != nil {
		bad("%w", err)
	}
	in.validateAuth(bad)
	in.validateStrict(bad)
	for _, t := range in.Track {
		if t.Interface == "" || t.Weight < -253 || t.Weight > 253 {
			bad("tracked interface %q with weight %d: must have a name, and -253 to 253", t.Interface, t.Weight)
		}
	}
	in.validateAddrs(bad)
	return errors.Join(errs...)
}

func (in *Instance) validateAuth(bad func(string, ...any)) {
	switch {
	case in.AuthType > AuthAH:
		bad("%w %d: none, PASS and AH exist", ErrAuthType, in.AuthType)
	case in.AuthType == AuthNone:
	case in.version() == 3:
		bad("%w %v: version 3 has none of version 2's; use version 2, or HMAC", ErrAuthType, in.AuthType)
	case in.HMAC.enabled():
		bad("%w %v and HMAC: use one of them", ErrAuthType, in.AuthType)
	case in.AuthType == AuthAH && in.is6():
		bad("%w AH is for IPv4: use HMAC", ErrAuthType)
	}
	in.HMAC.validate(bad)
	if in.Checksum > ChecksumGroup {
		bad("%w form %v cannot be sent", ErrChecksum, in.Checksum)
	}
}

func (in *Instance) validateStrict(bad func(string, ...any)) {
	switch {
	case !in.Strict:
	case in.AuthType != AuthNone:
		bad("%w %v: strict mode has none of version 2's", ErrAuthType, in.AuthType)
	case in.HMAC.enabled() && in.HMAC.Mode != HMACEnforce:
		bad("HMAC in mode %v: strict mode enforces it", in.HMAC.Mode)
	case in.unicast():
		bad("unicast peers: strict mode is by multicast only")
	case in.PreemptDelay > 0 || in.downAdverts() != 3:
		bad("strict mode has no preempt delay, and waits for 3 adverts")
	}
}

func (in *Instance) validateAddrs(bad func(string, ...any)) {
	if n := len(in.Addrs); n > 255 || (n == 0) != in.NoAddrs {
		bad("%d virtual addresses: an advert carries 1 to 255, or with NoAddrs none", n)
	}
	if in.NoAddrs && in.Strict {
		bad("strict mode has no instances without addresses")
	}
	seen := make(map[netip.Addr]bool, len(in.Addrs))
	for i, a := range in.held() {
		switch p, advertised := a.Prefix, i < len(in.Addrs); {
		case !p.IsValid():
			bad("virtual address %v is not valid", p)
		case advertised && p.Addr().Is6() != in.is6():
			bad("%w: virtual address %v is not of the family of %v: use an instance for each", ErrAddressFamily, p, in.Addrs[0].Prefix)
		case seen[p.Addr()]:
			bad("virtual address %v is there twice", p)
		default:
			if err := a.check(); err != nil {
				bad("%w", err)
			}
		}
		seen[a.Addr()] = true
	}
	if in.is6() && in.version() == 2 && in.Strict {
		bad("%w 2 is for IPv4: use version 3", ErrVersion)
	}
	others := []netip.Addr{in.Source, in.Group}
	for i, p := range in.Peers {
		others = append(others, p.Addr)
		if !p.Addr.IsValid() || p.MinTTL > p.maxTTL() || slices.ContainsFunc(in.Peers[:i], func(q Peer) bool { return q.Addr == p.Addr }) {
			bad("peer %v is not valid, or there twice, or its TTL range %d to %d is empty", p.Addr, p.MinTTL, p.maxTTL())
		}
	}
	for _, other := range others {
		if other.IsValid() && other.Is6() != in.is6() {
			bad("%w: %v is not of the family of the virtual addresses", ErrAddressFamily, other)
		}
	}
	if in.Group.IsValid() && !in.Group.IsMulticast() {
		bad("group %v is no multicast address", in.Group)
	}
}
