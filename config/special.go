package config

import (
	"cmp"
	"strings"
)

// specials check the values that no plain type describes, of keywords without effect here; by name, as a name means the same
// in every block that has it.
var specials map[string]func(d *decoder, n *Node)

func init() {
	specials = map[string]func(*decoder, *Node){
		"lb_kind": checkMethod, "lvs_method": checkMethod, "sorry_server_lvs_method": checkMethod,
		"weight": checkWeight, "init_file": checkInitFile, "digest": checkDigest, "status_code": func(d *decoder, n *Node) { d.statusCodes(n) },
		"name":              checkDomain,
		"smtp_server":       checkHostPort,
		"vrrp_mcast_group4": checkGroup, "vrrp_mcast_group6": checkGroup,
		"key": checkKey,
	}
}

// checkMethod reads METHOD [type T] [port N] [nocsum|csum|remcsum].
func checkMethod(d *decoder, n *Node) { d.method(n) }

func (d *decoder) method(n *Node) (method string, tun Tunnel, ok bool) {
	if method, ok = d.oneOf(n.Words[1], methods); !ok {
		return "", tun, false
	}
	words := n.Words[2:]
	for i := 0; i < len(words); i++ {
		last := i+1 == len(words)
		switch w := words[i]; {
		case method != "TUN":
			d.errorf(w.Pos, "bad-value", "", "%s: %s has no options", d.keyword, method)
			return method, tun, true
		case w.Text == "type" && !last:
			i++
			tun.Type, ok = d.oneOf(words[i], []string{"ipip", "gue", "gre"})
		case w.Text == "port" && !last:
			i++
			var port int64
			port, ok = d.integer(words[i], 1, 65535)
			tun.Port = int(port)
		default:
			tun.Checksum, ok = d.oneOf(w, []string{"nocsum", "csum", "remcsum"})
		}
		if !ok {
			return method, tun, false
		}
	}
	return method, tun, d.tunnelMakesSense(n, tun)
}

func (d *decoder) tunnelMakesSense(n *Node, t Tunnel) bool {
	switch {
	case (t.Type == "gue") != (t.Port != 0):
		d.errorf(n.Pos, "tunnel-port", "", "%s: type gue needs a port, and no other type has one", d.keyword)
	case t.Checksum != "" && (t.Type == "" || t.Type == "ipip"), t.Checksum == "remcsum" && t.Type == "gre":
		d.errorf(n.Pos, "tunnel-checksum", "", "%s: %s has no %s", d.keyword, cmp.Or(t.Type, "ipip"), t.Checksum)
	default:
		return true
	}
	return false
}

// checkWeight reads W [reverse|noreverse]. A plain weight has a range in the schema.
func checkWeight(d *decoder, n *Node) { d.trackWeight(n.Values(), 2147483647) }

func (d *decoder) trackWeight(words []Word, most int64) (weight int, reverse, ok bool) {
	v, ok := d.integer(words[0], -most, most)
	if !ok {
		return 0, false, false
	}
	for _, w := range words[1:] {
		if w.Text != "reverse" && w.Text != "noreverse" {
			d.bad(w, "reverse or noreverse")
			return int(v), false, false
		}
		reverse = w.Text == "reverse"
	}
	return int(v), reverse, true
}

func checkInitFile(d *decoder, n *Node) {
	for _, w := range n.Values() {
		if w.Text == "overwrite" {
			continue
		}
		if v, ok := d.integer(w, -1<<31, 1<<31-1); ok && (v < -254 || v > 254) {
			d.warnf(w.Pos, "beyond-weight", "use -254 to 254", "init_file: %d is beyond what a priority can be moved by", v)
		}
	}
}

func checkDigest(d *decoder, n *Node) {
	if w := n.Words[1]; len(w.Text) != 32 || strings.Trim(w.Text, "0123456789abcdefABCDEF") != "" {
		d.bad(w, "an MD5 digest of 32 hexadecimal digits")
	}
}

// statusCodes reads 200 or 200-299, several of them.
func (d *decoder) statusCodes(n *Node) (ranges []StatusRange) {
	for _, w := range n.Values() {
		low, high, isRange := strings.Cut(w.Text, "-")
		if !isRange {
			high = low
		}
		l, okLow := statusCode(low)
		h, okHigh := statusCode(high)
		if !okLow || !okHigh || l > h {
			d.bad(w, "a status code (200) or a range of them (200-299)")
			continue
		}
		ranges = append(ranges, StatusRange{l, h})
	}
	return ranges
}

func statusCode(text string) (code int, ok bool) {
	for _, c := range []byte(text) {
		if c < '0' || c > '9' || code > 999 {
			return 0, false
		}
		code = code*10 + int(c-'0')
	}
	return code, code >= 100 && code <= 599
}

var regexOptions = strings.Fields(`allow_empty_class alt_bsux auto_callout caseless dollar_endonly dotall dupnames extended firstline
	match_unset_backref multiline never_ucp never_utf no_auto_capture no_auto_possess no_dotstar_anchor no_start_optimize ucp ungreedy utf
	never_backslash_c alt_circumflex alt_verbnames use_offset_limit`)

func checkRegexStack(d *decoder, n *Node) {
	if len(n.Values()) < 2 {
		d.errorf(n.Pos, "missing-value", "regex_stack START MAX", "regex_stack needs two values")
		return
	}
	start, ok1 := d.integer(n.Words[1], 0, 1<<32-1)
	most, ok2 := d.integer(n.Words[2], 0, 1<<32-1)
	if ok1 && ok2 && start > most {
		d.bad(n.Words[2], "at least %d", start)
	}
}

// checkDomain reads a name of DNS_CHECK.
func checkDomain(d *decoder, n *Node) {
	name := strings.TrimSuffix(n.Words[1].Text, ".")
	if name == "" {
		return
	}
	for _, label := range strings.Split(name, ".") {
		if label == "" || len(label) > 63 {
			d.bad(n.Words[1], "a domain name: a label is empty or longer than 63")
			return
		}
	}
}

func checkHostPort(d *decoder, n *Node) {
	if len(n.Values()) > 1 {
		d.integer(n.Words[2], 1, 65535)
	}
}

// checkGroup reads the multicast group of a family.
func checkGroup(d *decoder, n *Node) {
	a, ok := d.address(n.Words[1])
	if six := strings.HasSuffix(n.Keyword(), "6"); ok && (a.Is6() != six || !a.IsMulticast()) {
		d.bad(n.Words[1], "a multicast address of its family")
	}
}

func checkKey(d *decoder, n *Node) {
	d.integer(n.Words[1], 1, 255)
	if len(n.Values()) < 2 {
		d.errorf(n.Pos, "missing-value", "key ID VALUE", "key has no value")
	}
}
