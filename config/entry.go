package config

import (
	"bytes"
	"iter"
	"net/netip"
	"strconv"
	"strings"
)

// entries checks the entries of a list without effect here, one a line.
func (d *decoder) entries(k *Keyword, n *Node) {
	check := entryChecks[k.Name]
	for e := range n.entries() {
		if e.HasBlock {
			d.errorf(e.Pos, "unexpected-brace", "", "%s holds entries, no blocks", k.Name)
			continue
		}
		if check != nil {
			d.keyword = k.Name
			check(d, e)
		}
	}
}

// entries are the lines of a list that are not mere comments.
func (n *Node) entries() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		for _, e := range n.Block {
			if len(e.Words) > 0 && !yield(e) {
				return
			}
		}
	}
}

var entryChecks map[string]func(d *decoder, e *Node)

func init() {
	addresses := func(d *decoder, e *Node) { d.addressEntry(e) }
	entryChecks = map[string]func(*decoder, *Node){
		"virtual_ipaddress": addresses, "virtual_ipaddress_excluded": addresses, "static_ipaddress": addresses,
		"virtual_routes": checkRoute, "static_routes": checkRoute, "virtual_rules": checkRule, "static_rules": checkRule,
		"unicast_peer": checkPeer, "virtual_server_group": checkGroupEntry, "interface_up_down_delays": checkDelays,
		"track_interface": checkTrack, "track_script": checkTrack, "track_file": checkTrack, "track_process": checkTrack, "track_bfd": checkTrack,
		"linkbeat_interfaces": checkLinkbeat,
	}
}

// options reads the words of an entry against a table of how many values each option has. Words that are no option are
// returned.
func (d *decoder) options(words []Word, table map[string]int) (rest []Word, ok bool) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		count, known := table[w.Text]
		if !known {
			rest = append(rest, w)
			continue
		}
		if i+count >= len(words) {
			d.errorf(w.Pos, "missing-value", "", "%s has no value", w.Text)
			return rest, false
		}
		i += count
	}
	return rest, true
}

func nearestOption(word string, table map[string]int) string {
	best, distance := "", 3
	for known := range table {
		if d := editDistance(word, known); d < distance || d == distance && known < best {
			best, distance = known, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

var routeOptions = map[string]int{
	"inet": 0, "inet6": 0, "src": 1, "as": 1, "from": 1, "tos": 1, "dsfield": 1, "table": 1, "protocol": 1, "scope": 1, "metric": 1,
	"priority": 1, "preference": 1, "dev": 1, "oif": 1, "onlink": 0, "expires": 1, "hoplimit": 1, "window": 1, "realms": 1, "initcwnd": 1,
	"initrwnd": 1, "features": 1, "quickack": 1, "pref": 1, "ttl-propagate": 1, "fastopen_no_cookie": 1, "add": 0, "prepend": 0,
	"append": 0, "or": 1, "no_track": 0, "track_group": 1, "vrf": 1, "to": 0, "via": 1, "gw": 1,
	"mtu": 1, "advmss": 1, "rtt": 1, "rttvar": 1, "rto_min": 1, "reordering": 1, "cwnd": 1, "ssthresh": 1, "congctl": 1,
}

var routeTypes = map[string]bool{
	"unicast": true, "local": true, "broadcast": true, "anycast": true, "multicast": true, "nat": true, "unreachable": true,
	"prohibit": true, "blackhole": true, "throw": true, "xresolve": true, "default": true, "any": true, "all": true,
}

// checkRoute finds a destination among the options of a route. Hops and encapsulations have a grammar of their own.
func checkRoute(d *decoder, e *Node) {
	words := e.Words
	for i, w := range words {
		if w.Text == "nexthop" || w.Text == "encap" {
			words = words[:i]
			break
		}
	}
	words = without(words, "lock")
	for i := 0; i+2 < len(words); i++ { // via inet6 ADDR is via ADDR
		if (words[i].Text == "via" || words[i].Text == "gw") && strings.HasPrefix(words[i+1].Text, "inet") {
			words = append(words[:i+1:i+1], words[i+2:]...)
		}
	}
	rest, ok := d.options(words, routeOptions)
	if !ok {
		return
	}
	destinations := 0
	for _, w := range rest {
		if routeTypes[w.Text] {
			destinations++
			continue
		}
		if _, ok := d.prefix(w); !ok {
			return
		}
		destinations++
	}
	if destinations == 0 {
		d.errorf(e.Pos, "missing-value", "DEST [options]", "%s: the route has no destination", d.keyword)
		return
	}
	d.oldRoute(e)
}

// oldRoute warns of what keepalived warns of: old names, and a route that cannot be tracked.
func (d *decoder) oldRoute(e *Node) {
	tracked := false
	for _, w := range e.Words {
		switch w.Text {
		case "or", "gw":
			d.warnf(w.Pos, "deprecated", map[string]string{"or": "use nexthop", "gw": "use via"}[w.Text], "%s of a route is deprecated", w.Text)
		case "dev", "oif", "no_track", "blackhole", "unreachable", "prohibit", "throw":
			tracked = true
		}
	}
	if !tracked && strings.HasPrefix(d.keyword, "virtual_") {
		d.warnf(e.Pos, "untracked-route", "add dev IF, or no_track", "the route has no interface and cannot be tracked")
	}
}

func without(words []Word, text string) (rest []Word) {
	for _, w := range words {
		if w.Text != text {
			rest = append(rest, w)
		}
	}
	return rest
}

var ruleOptions = map[string]int{
	"inet": 0, "inet6": 0, "from": 1, "to": 1, "table": 1, "lookup": 1, "not": 0, "preference": 1, "order": 1, "priority": 1, "tos": 1,
	"dsfield": 1, "fwmark": 1, "realms": 1, "suppress_prefixlength": 1, "sup_pl": 1, "suppress_ifgroup": 1, "sup_group": 1, "iif": 1,
	"dev": 1, "oif": 1, "tunnel-id": 1, "uidrange": 1, "l3mdev": 0, "protocol": 1, "ipproto": 1, "sport": 1, "dport": 1, "no_track": 0,
	"track_group": 1, "type": 0, "blackhole": 0, "prohibit": 0, "unreachable": 0, "goto": 1, "nop": 0,
}

var ruleActions = map[string]bool{
	"table": true, "lookup": true, "blackhole": true, "prohibit": true, "unreachable": true, "goto": true, "nop": true, "l3mdev": true,
}

func checkRule(d *decoder, e *Node) {
	rest, ok := d.options(e.Words, ruleOptions)
	if !ok {
		return
	}
	for _, w := range rest {
		d.errorf(w.Pos, "unknown-option", nearestOption(w.Text, ruleOptions), "%s: unknown option %s of a rule", d.keyword, quoted(w.Text))
		return
	}
	action, preference := false, false
	for i, w := range e.Words {
		action = action || ruleActions[w.Text]
		preference = preference || w.Text == "preference" || w.Text == "order" || w.Text == "priority"
		if (w.Text == "from" || w.Text == "to") && i+1 < len(e.Words) && !anyAddress[e.Words[i+1].Text] {
			if _, ok := d.prefix(e.Words[i+1]); !ok {
				return
			}
		}
	}
	if !action {
		d.errorf(e.Pos, "missing-value", "add table TABLE", "%s: the rule has no action", d.keyword)
	} else if !preference {
		d.warnf(e.Pos, "rule-preference", "add preference N", "the rule has no preference; keepalived counts down from 16384")
	}
}

var anyAddress = map[string]bool{"default": true, "any": true, "all": true}

// checkPeer reads ADDR [min_ttl N] [max_ttl N].
func checkPeer(d *decoder, e *Node) {
	if _, ok := d.address(e.Words[0]); !ok {
		return
	}
	words := e.Words[1:]
	for i := 0; i < len(words); i += 2 {
		if _, ok := d.oneOf(words[i], []string{"min_ttl", "max_ttl"}); !ok {
			return
		}
		if i+1 == len(words) {
			d.errorf(words[i].Pos, "missing-value", "", "%s has no value", words[i].Text)
			return
		}
		d.integer(words[i+1], 0, 255)
	}
}

// checkTrack reads NAME [weight W [reverse|noreverse]].
func checkTrack(d *decoder, e *Node) {
	words := e.Words[1:]
	for i := 0; i < len(words); i++ {
		switch w := words[i]; {
		case w.Text == "weight" && i+1 < len(words):
			i++
			d.integer(words[i], -254, 254)
		case w.Text == "weight":
			d.errorf(w.Pos, "missing-value", "weight W", "weight has no value")
		case w.Text == "reverse" || w.Text == "noreverse":
		default:
			d.errorf(w.Pos, "unknown-option", "weight W [reverse]", "%s: unknown option %s", d.keyword, quoted(w.Text))
			return
		}
	}
}

func checkLinkbeat(d *decoder, e *Node) {
	if len(e.Words) > 1 {
		d.oneOf(e.Words[1], []string{"MII", "ETHTOOL", "IOCTL"})
	}
}

func checkDelays(d *decoder, e *Node) {
	if len(e.Words) < 2 {
		d.errorf(e.Pos, "missing-value", "IF DOWN [UP]", "%s: the entry has no time", d.keyword)
		return
	}
	for _, w := range e.Words[1:min(len(e.Words), 3)] {
		d.timer(w, 0, 255, "seconds", 6, 1e9)
	}
}

func checkGroupEntry(d *decoder, e *Node) { d.groupEntry(e) }

// GroupEntry is an entry of a virtual_server_group: addresses First to Last with a port, or a mark.
type GroupEntry struct {
	Pos
	First, Last netip.Addr
	Port        uint16
	FWMark      uint32
	// Family of a mark is inet or inet6; empty means that of the virtual server.
	Family string
}

// maxEntries is how many addresses a range of a virtual_server_group may have.
const maxEntries = 1 << 16

func (d *decoder) groupEntry(e *Node) (g GroupEntry, ok bool) {
	g.Pos = e.Pos
	words := e.Words
	if words[0].Text == "fwmark" {
		if len(words) < 2 {
			d.errorf(e.Pos, "missing-value", "fwmark MARK", "fwmark has no value")
			return g, false
		}
		mark, ok := d.integer(words[1], 1, 1<<32-1)
		g.FWMark = uint32(mark)
		if ok && len(words) > 2 {
			g.Family, ok = d.oneOf(words[2], []string{"inet", "inet6"})
		}
		return g, ok
	}
	if g.First, g.Last, ok = d.addressRange(words[0]); !ok {
		return g, false
	}
	if len(words) > 1 && strings.Trim(words[1].Text, "0") != "" {
		port, ok := d.integer(words[1], 1, 65535)
		g.Port = uint16(port)
		return g, ok
	}
	return g, true
}

// addressRange reads ADDR, ADDR-N, ADDR-ADDR or ADDR/LEN.
func (d *decoder) addressRange(w Word) (first, last netip.Addr, ok bool) {
	if p, err := netip.ParsePrefix(w.Text); err == nil {
		if p.Masked() != p || p.Bits() == 0 {
			d.bad(w, "a network: the host bits are not zero")
			return first, last, false
		}
		return p.Addr(), lastOf(p), d.holdsRange(w, p.Addr(), lastOf(p))
	}
	text, end, isRange := strings.Cut(w.Text, "-")
	first, err := netip.ParseAddr(text)
	last = first
	if err == nil && isRange {
		last, err = rangeEnd(first, end)
	}
	if err != nil || first.BitLen() != last.BitLen() || last.Less(first) {
		d.bad(w, "an address, a range (10.0.0.1-9) or a network")
		return first, last, false
	}
	return first, last, d.holdsRange(w, first, last)
}

// holdsRange says whether a range has no more addresses than there may be.
func (d *decoder) holdsRange(w Word, first, last netip.Addr) bool {
	a, b := first.AsSlice(), last.AsSlice()
	n := len(a) - 3
	tail := func(b []byte) int { return int(b[n])<<16 | int(b[n+1])<<8 | int(b[n+2]) }
	if bytes.Equal(a[:n], b[:n]) && tail(b)-tail(a) < maxEntries {
		return true
	}
	d.errorf(w.Pos, "range-too-large", "use a fwmark entry and a rule that sets the mark", "%s has more than %d addresses", quoted(w.Text), maxEntries)
	return false
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// rangeEnd reads a whole address, or its last octet (IPv6: last group, in hexadecimal).
func rangeEnd(first netip.Addr, end string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(end); err == nil {
		return a, nil
	}
	base, size := 10, 8
	if first.Is6() {
		base, size = 16, 16
	}
	v, err := strconv.ParseUint(end, base, size)
	if err != nil {
		return netip.Addr{}, err
	}
	b := first.AsSlice()
	b[len(b)-1] = byte(v)
	if first.Is6() {
		b[len(b)-2] = byte(v >> 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a, nil
}
