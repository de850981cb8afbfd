package iproute

import (
	"net/netip"
	"strconv"
	"strings"
)

// Route is a route.
type Route struct {
	// IPv6 is the family.
	IPv6 bool
	Type uint8
	// Dst is not valid for a default route.
	Dst      netip.Prefix
	From     netip.Prefix // IPv6 only
	Src      netip.Addr
	TOS      Name
	Table    Name
	Protocol Name
	Scope    Name
	Metric   uint32
	Hops     []Hop // one, or several of a multipath route
	Multi    bool  // they were written as nexthop
	Expires  uint32
	Pref     int // router preference as the kernel has it, -1 for none
	Flags    uint16
	Metrics  [18]uint32 // by RTAX_ number; set says which are there
	set      uint32
	lock     uint32
	CongCtl  string
	// Propagate is ttl-propagate: -1 not said, 0 disabled, 1 enabled.
	Propagate int
	VRF       string
	NoTrack   bool
}

// Hop is a next hop.
type Hop struct {
	Via    netip.Addr
	Dev    string
	OnLink bool
	Weight uint8 // as the kernel has it: one less
	Realms string
	Encap  *Encap
}

// Encap is a light-weight tunnel.
type Encap struct {
	Kind     string // ip, ip6, mpls or ila
	ID       uint64
	Dst, Src netip.Addr
	TTL, TOS uint8
	Flags    uint16
	Labels   []uint32
	Locator  uint64
	given    map[string]bool
}

var routeTypes = map[string]uint8{
	"unicast": 1, "local": 2, "broadcast": 3, "anycast": 4, "multicast": 5, "blackhole": 6, "unreachable": 7, "prohibit": 8, "throw": 9,
	"nat": 10, "xresolve": 11,
}

// How a route is added beside equal ones: netlink's flags.
const (
	flagExcl   = 0x200
	flagAppend = 0x800
)

var metricNames = map[string]int{
	"mtu": 2, "window": 3, "rtt": 4, "rttvar": 5, "ssthresh": 6, "cwnd": 7, "advmss": 8, "reordering": 9, "hoplimit": 10, "initcwnd": 11,
	"features": 12, "rto_min": 13, "initrwnd": 14, "quickack": 15, "fastopen_no_cookie": 17,
}

const (
	metricCongCtl = 16
	featureECN    = 1
)

// ParseRoute reads a route. The error is an [*Error].
func ParseRoute(text []string) (*Route, error) {
	r := &Route{Type: routeTypes["unicast"], Pref: -1, Propagate: -1, Hops: []Hop{{}}}
	w := &words{all: text}
	family, hasDst := 0, false
	for w.more() {
		switch option := w.take(); option {
		case "inet":
			family = 4
		case "inet6":
			family = 6
		case "to":
		case "default", "any", "all":
			hasDst = true
		case "default6":
			hasDst, family = true, 6
		case "nexthop":
			if err := r.nexthops(w); err != nil {
				return nil, err
			}
		default:
			if t, ok := routeTypes[option]; ok {
				r.Type = t
				continue
			}
			known, err := r.option(w, option)
			if err == nil && !known {
				hasDst = true
				r.Dst, err = w.prefix(option)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	if !hasDst {
		return nil, &Error{-1, "the route has no destination"}
	}
	return r, r.settle(family)
}

// settle finds the family out, and whether all is of it.
func (r *Route) settle(family int) error {
	families := []netip.Addr{r.Dst.Addr(), r.From.Addr(), r.Src}
	if r.Type != routeTypes["unicast"] && r.Type != routeTypes["throw"] && len(r.Hops) == 1 && r.Hops[0].Via.IsValid() && family == 0 {
		families = append(families, r.Hops[0].Via)
	}
	for _, a := range families {
		switch {
		case !a.IsValid():
		case family == 0:
			family = 4
			if a.Is6() {
				family = 6
			}
		case a.Is6() != (family == 6):
			return &Error{-1, a.String() + " is not of the family of the route"}
		}
	}
	if family == 0 {
		family = 4
		for _, h := range r.Hops {
			if h.Via.Is6() {
				family = 6
			}
		}
	}
	r.IPv6 = family == 6
	if r.From.IsValid() && !r.IPv6 {
		return &Error{-1, "from is for IPv6 routes"}
	}
	if r.Dst.IsValid() && r.Dst.Bits() == 0 {
		r.Dst = netip.Prefix{}
	}
	return nil
}

// option reads an option with its values. Of a word that is none known is false.
func (r *Route) option(w *words, option string) (known bool, err error) {
	if i, ok := metricNames[option]; ok {
		return true, r.metric(w, option, i)
	}
	if known, err := r.Hops[0].option(w, option); known {
		return true, err
	}
	var n uint64
	switch option {
	case "src":
		r.Src, err = w.addr(option)
	case "from":
		var text string
		if text, err = w.value(option); err == nil {
			r.From, err = w.prefix(text)
		}
	case "tos", "dsfield":
		r.TOS, err = w.name(option)
	case "table":
		r.Table, err = w.name(option)
	case "protocol":
		r.Protocol, err = w.name(option)
	case "scope":
		r.Scope, err = w.name(option)
	case "metric", "priority", "preference":
		n, err = w.number(option, 32)
		r.Metric = uint32(n)
	case "expires":
		n, err = w.number(option, 32)
		r.Expires = uint32(n)
	case "congctl":
		r.locked(w, metricCongCtl)
		r.CongCtl, err = w.value(option)
	case "pref":
		r.Pref, err = w.choice(option, map[string]int{"low": 3, "medium": 0, "high": 1})
	case "ttl-propagate":
		r.Propagate, err = w.choice(option, map[string]int{"enabled": 1, "disabled": 0})
	case "add":
		r.Flags = flagExcl
	case "prepend":
		r.Flags = 0
	case "append":
		r.Flags = flagAppend
	case "or":
		var via netip.Addr
		if via, err = w.addr(option); err == nil {
			r.Multi, r.Hops = true, append(r.Hops, Hop{Via: via})
		}
	case "as":
		return true, w.bad("as is not supported, by kernels neither")
	case "vrf":
		r.VRF, err = w.iface(option)
	case "no_track":
		r.NoTrack = true
	default:
		return false, nil
	}
	return true, err
}

func (w *words) choice(option string, of map[string]int) (int, error) {
	text, err := w.value(option)
	if err != nil {
		return 0, err
	}
	v, ok := of[text]
	if !ok {
		return 0, w.bad("%s: %s cannot be chosen", option, text)
	}
	return v, nil
}

func (r *Route) locked(w *words, metric int) {
	if w.skip("lock") {
		r.lock |= 1 << metric
	}
}

func (r *Route) metric(w *words, option string, i int) (err error) {
	r.locked(w, i)
	var v uint32
	var n uint64
	switch option {
	case "rtt", "rttvar", "rto_min":
		v, err = w.time(option)
		v <<= map[string]int{"rtt": 3, "rttvar": 2}[option] // the kernel counts in eighths and quarters
	case "features":
		var text string
		if text, err = w.value(option); err == nil && text != "ecn" {
			err = w.bad("features: only ecn is known")
		}
		v = featureECN
	case "quickack", "fastopen_no_cookie":
		n, err = w.number(option, 1)
		v = uint32(n)
	case "hoplimit":
		n, err = w.number(option, 8)
		v = uint32(n)
	default:
		n, err = w.number(option, 32)
		v = uint32(n)
	}
	r.Metrics[i], r.set = v, r.set|1<<i
	return err
}

// hasMetrics says whether any metric is set.
func (r *Route) hasMetrics() bool { return r.set != 0 || r.CongCtl != "" }

// nexthops reads the hops of a multipath route, which are last.
func (r *Route) nexthops(w *words) error {
	r.Multi, r.Hops = true, nil
	for more := true; more; more = w.skip("nexthop") {
		var h Hop
		for w.more() && w.all[w.next] != "nexthop" {
			option := w.take()
			known, err := h.option(w, option)
			if option == "weight" {
				var n uint64
				known = true
				if n, err = w.number(option, 9); err == nil && (n < 1 || n > 256) {
					err = w.bad("weight: %d is not 1 to 256", n)
				}
				h.Weight = uint8(n - 1)
			}
			if err == nil && !known {
				err = w.bad("unknown option %s of a next hop", option)
			}
			if err != nil {
				return err
			}
		}
		if !h.Via.IsValid() && h.Dev == "" {
			return w.bad("a next hop needs via or dev")
		}
		r.Hops = append(r.Hops, h)
	}
	return nil
}

// option is what a route and a next hop have in common.
func (h *Hop) option(w *words, option string) (known bool, err error) {
	switch option {
	case "via", "gw":
		six, four := w.skip("inet6"), w.skip("inet")
		if h.Via, err = w.addr(option); err == nil && (six && !h.Via.Is6() || four && h.Via.Is6()) {
			err = w.bad("%s: %v is not of that family", option, h.Via)
		}
	case "dev", "oif":
		h.Dev, err = w.iface(option)
	case "onlink":
		h.OnLink = true
	case "realms":
		h.Realms, err = w.value(option)
	case "encap":
		h.Encap, err = parseEncap(w)
	default:
		return false, nil
	}
	return true, err
}

func parseEncap(w *words) (*Encap, error) {
	kind, err := w.value("encap")
	if err != nil {
		return nil, err
	}
	e := &Encap{Kind: kind, given: map[string]bool{}}
	switch kind {
	case "mpls":
		return e, e.mpls(w)
	case "ila":
		var n uint64
		text, err := w.value("ila")
		if err == nil {
			n, err = locator(text)
		}
		if err != nil {
			return nil, w.bad("encap ila: %s is no locator", text)
		}
		e.Locator = n
		return e, nil
	case "ip", "ip6":
	default:
		return nil, w.bad("encap: %s is not ip, ip6, mpls or ila", kind)
	}
	for w.more() {
		option := w.all[w.next]
		if !strings.Contains(" id dst src tos ttl tc hoplimit flags ", " "+option+" ") {
			break
		}
		w.take()
		if err := e.option(w, option); err != nil {
			return nil, err
		}
		e.given[option] = true
	}
	return e, nil
}

func (e *Encap) option(w *words, option string) (err error) {
	var n uint64
	switch option {
	case "id":
		e.ID, err = w.number(option, 64)
	case "dst":
		e.Dst, err = w.addr(option)
	case "src":
		e.Src, err = w.addr(option)
	case "tos", "tc":
		n, err = w.number(option, 8)
		e.TOS = uint8(n)
	case "ttl", "hoplimit":
		n, err = w.number(option, 8)
		e.TTL = uint8(n)
	case "flags":
		n, err = w.number(option, 16)
		e.Flags = uint16(n)
	}
	return err
}

// mpls reads LABEL[/LABEL...].
func (e *Encap) mpls(w *words) error {
	text, err := w.value("mpls")
	if err != nil {
		return err
	}
	for _, label := range strings.Split(text, "/") {
		n, err := strconv.ParseUint(label, 0, 20)
		if err != nil {
			return w.bad("encap mpls: %s is no label", label)
		}
		e.Labels = append(e.Labels, uint32(n))
	}
	return nil
}

// locator reads four groups of hexadecimal digits.
func locator(text string) (n uint64, err error) {
	groups := strings.Split(text, ":")
	if len(groups) != 4 {
		return 0, strconv.ErrSyntax
	}
	for _, g := range groups {
		v, err := strconv.ParseUint(g, 16, 16)
		if err != nil {
			return 0, err
		}
		n = n<<16 | v
	}
	return n, nil
}

// Interfaces are those that the route is about.
func (r *Route) Interfaces() (names []string) {
	for _, h := range r.Hops {
		if h.Dev != "" {
			names = append(names, h.Dev)
		}
	}
	return names
}

// needsGateway says whether the route leads to a router.
func (r *Route) needsGateway() bool {
	for _, h := range r.Hops {
		if h.Via.IsValid() {
			return true
		}
	}
	return r.Multi
}
