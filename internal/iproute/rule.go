package iproute

import (
	"net/netip"
	"strconv"
	"strings"
)

// Rule is a policy rule.
type Rule struct {
	IPv6     bool
	From, To netip.Prefix // not valid: any
	Table    Name
	Not      bool
	// Priority is the preference; 0 is none given.
	Priority     uint32
	HasPriority  bool
	TOS          Name
	Mark, Mask   uint32
	HasMark      bool
	HasMask      bool
	Realms       string
	SuppressLen  int // -1 for none
	SuppressIf   Name
	IIF, OIF     string
	TunnelID     uint64
	UIDs         *[2]uint32
	L3MDev       bool
	Protocol     Name
	IPProto      Name
	Sport, Dport *[2]uint16
	NoTrack      bool
	Action       uint8
	Goto         uint32
}

// The actions.
const (
	ActionTable       = 1
	ActionGoto        = 2
	ActionNop         = 3
	ActionBlackhole   = 6
	ActionUnreachable = 7
	ActionProhibit    = 8
)

var ruleActions = map[string]uint8{"blackhole": ActionBlackhole, "unreachable": ActionUnreachable, "prohibit": ActionProhibit, "nop": ActionNop}

// ParseRule reads a rule. The error is an [*Error].
func ParseRule(text []string) (*Rule, error) {
	r := &Rule{SuppressLen: -1}
	w := &words{all: text}
	family := 0
	for w.more() {
		option := w.take()
		switch option {
		case "inet":
			family = 4
			continue
		case "inet6":
			family = 6
			continue
		}
		known, err := r.match(w, option)
		if err == nil && !known {
			known, err = r.act(w, option)
		}
		if err == nil && !known {
			err = w.bad("unknown option %s of a rule", option)
		}
		if err != nil {
			return nil, err
		}
	}
	return r, r.settle(family)
}

func (r *Rule) settle(family int) error {
	for _, p := range []netip.Prefix{r.From, r.To} {
		switch {
		case !p.IsValid():
		case family == 0 && p.Addr().Is6():
			family = 6
		case family == 0:
			family = 4
		case p.Addr().Is6() != (family == 6):
			return &Error{-1, p.String() + " is not of the family of the rule"}
		}
	}
	r.IPv6 = family == 6
	tabled := r.Action == ActionTable && !r.L3MDev
	switch {
	case r.Action == 0:
		return &Error{-1, "the rule has no action: add table TABLE"}
	case !tabled && (r.SuppressLen >= 0 || r.SuppressIf != "" || r.Realms != ""):
		return &Error{-1, "realms and suppress options need table TABLE"}
	case r.Action == ActionGoto && r.Goto <= r.Priority:
		return &Error{-1, "goto must lead to a rule of a higher preference"}
	case r.Realms != "" && r.IPv6:
		return &Error{-1, "realms are for IPv4 rules"}
	}
	return nil
}

// match reads what a packet must be like.
func (r *Rule) match(w *words, option string) (known bool, err error) {
	var n uint64
	switch option {
	case "from", "to":
		var text string
		if text, err = w.value(option); err != nil || text == "default" || text == "any" || text == "all" {
			return true, err
		}
		p, err := w.prefix(text)
		if option == "from" {
			r.From = p
		} else {
			r.To = p
		}
		return true, err
	case "not":
		r.Not = true
	case "preference", "order", "priority":
		n, err = w.number(option, 32)
		r.Priority, r.HasPriority = uint32(n), true
	case "tos", "dsfield":
		r.TOS, err = w.name(option)
	case "fwmark":
		err = r.mark(w)
	case "iif", "dev":
		r.IIF, err = w.iface(option)
	case "oif":
		r.OIF, err = w.iface(option)
	case "tunnel-id":
		r.TunnelID, err = w.number(option, 64)
	case "uidrange":
		low, high, e := w.span(option, 32)
		r.UIDs, err = &[2]uint32{uint32(low), uint32(high)}, e
	case "sport", "dport":
		low, high, e := w.span(option, 16)
		ports := &[2]uint16{uint16(low), uint16(high)}
		if err = e; option == "sport" {
			r.Sport = ports
		} else {
			r.Dport = ports
		}
	case "ipproto":
		r.IPProto, err = w.name(option)
	case "protocol":
		r.Protocol, err = w.name(option)
	case "no_track":
		r.NoTrack = true
	default:
		return false, nil
	}
	return true, err
}

// mark reads N[/MASK].
func (r *Rule) mark(w *words) error {
	text, err := w.value("fwmark")
	if err != nil {
		return err
	}
	value, mask, masked := strings.Cut(text, "/")
	n, err := strconv.ParseUint(value, 0, 32)
	m, errMask := uint64(0), error(nil)
	if masked {
		m, errMask = strconv.ParseUint(mask, 0, 32)
	}
	if err != nil || errMask != nil {
		return w.bad("fwmark: %s is not MARK or MARK/MASK", text)
	}
	r.Mark, r.Mask, r.HasMark, r.HasMask = uint32(n), uint32(m), true, masked
	return nil
}

// span reads A-B, or A for A-A.
func (w *words) span(option string, bits int) (low, high uint64, err error) {
	text, err := w.value(option)
	if err != nil {
		return 0, 0, err
	}
	a, b, ranged := strings.Cut(text, "-")
	if !ranged {
		b = a
	}
	low, errLow := strconv.ParseUint(a, 10, bits)
	high, errHigh := strconv.ParseUint(b, 10, bits)
	if errLow != nil || errHigh != nil || low > high {
		return 0, 0, w.bad("%s: %s is no range A-B", option, text)
	}
	return low, high, nil
}

// act reads what is done with the packet.
func (r *Rule) act(w *words, option string) (known bool, err error) {
	if a, ok := ruleActions[option]; ok {
		r.Action = a
		return true, nil
	}
	var n uint64
	switch option {
	case "type":
	case "table", "lookup":
		r.Action = ActionTable
		r.Table, err = w.name(option)
	case "l3mdev":
		r.Action, r.L3MDev = ActionTable, true
	case "goto":
		n, err = w.number(option, 32)
		r.Action, r.Goto = ActionGoto, uint32(n)
	case "realms":
		r.Realms, err = w.value(option)
	case "suppress_prefixlength", "sup_pl":
		n, err = w.number(option, 31)
		r.SuppressLen = int(n)
	case "suppress_ifgroup", "sup_group":
		r.SuppressIf, err = w.name(option)
	default:
		return false, nil
	}
	return true, err
}

// Interfaces are those that the rule is about.
func (r *Rule) Interfaces() (names []string) {
	for _, name := range []string{r.IIF, r.OIF} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}
