package iproute

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/holdfast-lb/holdfast/internal/rtnl"
)

// Env is what a text is about on this host.
type Env struct {
	// Index is the number of an interface.
	Index func(name string) (int, error)
	// VRFTable is the table of a VRF interface.
	VRFTable func(name string) (uint32, error)
	// Dirs are where iproute2's files of names are; the first that has a name counts. None means the usual ones.
	Dirs []string
}

// Protocol is what marks routes and rules as ours, unless they say otherwise and are not tracked.
const Protocol = 18

// Names that every kernel has, by file.
var builtin = map[string]map[string]uint32{
	"rt_tables": {"default": 253, "main": 254, "local": 255, "unspec": 0},
	"rt_protos": {"unspec": 0, "redirect": 1, "kernel": 2, "boot": 3, "static": 4, "gated": 8, "ra": 9, "mrt": 10, "zebra": 11, "bird": 12,
		"dnrouted": 13, "xorp": 14, "ntk": 15, "dhcp": 16, "keepalived": 18, "babel": 42, "bgp": 186, "isis": 187, "ospf": 188, "rip": 189, "eigrp": 192},
	"rt_scopes":  {"global": 0, "universe": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255},
	"rt_realms":  {"cosmos": 0},
	"rt_dsfield": {},
	"group":      {"default": 0},
	"protocols":  {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "vrrp": 112, "sctp": 132},
}

// lookup is the number that a name stands for in a file of iproute2.
func (e *Env) lookup(file string, n Name, most uint32) (uint32, error) {
	if n == "" {
		return 0, nil
	}
	v, err := strconv.ParseUint(string(n), 0, 32)
	if err != nil {
		var ok bool
		if v, ok = e.named(file, string(n)); !ok {
			return 0, fmt.Errorf("%s is no name in %s", n, file)
		}
	}
	if v > uint64(most) {
		return 0, fmt.Errorf("%s of %s is above %d", n, file, most)
	}
	return uint32(v), nil
}

func (e *Env) named(file, name string) (uint64, bool) {
	if v, ok := builtin[file][strings.ToLower(name)]; ok {
		return uint64(v), true
	}
	dirs := e.Dirs
	if len(dirs) == 0 {
		dirs = []string{"/etc/iproute2", "/usr/share/iproute2", "/usr/lib/iproute2"}
	}
	for _, dir := range dirs {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "#")
			if f := strings.Fields(line); len(f) >= 2 && f[1] == name {
				if v, err := strconv.ParseUint(f[0], 0, 32); err == nil {
					return v, true
				}
			}
		}
	}
	return 0, false
}

// Messages and attributes of linux/rtnetlink.h.
const (
	newRoute, delRoute = 24, 25
	newRule, delRule   = 32, 33
	create, excl       = 0x400, 0x200
	rtnhOnLink         = 4

	rtaDst, rtaSrc, rtaOIF, rtaGateway, rtaPriority, rtaPrefSrc, rtaMetrics, rtaMultipath = 1, 2, 4, 5, 6, 7, 8, 9
	rtaFlow, rtaTable, rtaVia, rtaPref, rtaEncapType, rtaEncap, rtaExpires, rtaPropagate  = 11, 15, 18, 20, 21, 22, 23, 26
)

// Add is the request that adds the route. One that is there is EEXIST, unless it shall stand beside equal ones.
func (r *Route) Add(e *Env) (rtnl.Request, error) {
	b, err := r.encode(e, false)
	return rtnl.Request{Type: newRoute, Flags: create | r.Flags, Data: b}, err
}

// Remove is the request that removes it. One that is not there is ESRCH.
func (r *Route) Remove(e *Env) (rtnl.Request, error) {
	b, err := r.encode(e, true)
	return rtnl.Request{Type: delRoute, Data: b}, err
}

func (r *Route) family() uint8 {
	if r.IPv6 {
		return 10
	}
	return 2
}

func (r *Route) encode(e *Env, remove bool) ([]byte, error) {
	tos, err1 := e.lookup("rt_dsfield", r.TOS, 255)
	table, err2 := r.table(e)
	proto, err3 := e.lookup("rt_protos", r.Protocol, 255)
	scope, err4 := r.scope(e)
	if err := cmp.Or(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	if !r.NoTrack || r.Protocol == "" {
		proto = Protocol
	}
	flags := uint32(0)
	if len(r.Hops) == 1 && !r.Multi && r.Hops[0].OnLink {
		flags = rtnhOnLink
	}
	b := []byte{r.family(), uint8(bitsOf(r.Dst)), uint8(bitsOf(r.From)), uint8(tos), 0, uint8(proto), uint8(scope), r.Type}
	b = binary.NativeEndian.AppendUint32(b, flags)
	b = appendAddr(b, rtaDst, r.Dst.Addr())
	b = appendAddr(b, rtaSrc, r.From.Addr())
	b = appendAddr(b, rtaPrefSrc, r.Src)
	b = rtnl.AppendUint32(b, rtaTable, table)
	if r.Metric != 0 {
		b = rtnl.AppendUint32(b, rtaPriority, r.Metric)
	}
	if r.Expires != 0 && !remove {
		b = rtnl.AppendUint32(b, rtaExpires, r.Expires)
	}
	if r.Pref >= 0 {
		b = rtnl.AppendAttr(b, rtaPref, []byte{uint8(r.Pref)})
	}
	if r.Propagate >= 0 {
		b = rtnl.AppendAttr(b, rtaPropagate, []byte{uint8(r.Propagate)})
	}
	if r.hasMetrics() && !remove {
		b = r.appendMetrics(b)
	}
	return r.appendHops(b, e)
}

func (r *Route) table(e *Env) (uint32, error) {
	if r.Table == "" && r.VRF != "" {
		return e.VRFTable(r.VRF)
	}
	return e.lookup("rt_tables", cmp.Or(r.Table, r.usualTable()), 1<<32-1)
}

// usualTable is that of ip route: local addresses have a table of their own.
func (r *Route) usualTable() Name {
	switch r.Type {
	case routeTypes["local"], routeTypes["broadcast"], routeTypes["nat"], routeTypes["anycast"]:
		return "local"
	}
	return "main"
}

// scope is deduced as ip route does.
func (r *Route) scope(e *Env) (uint32, error) {
	if r.Scope != "" {
		return e.lookup("rt_scopes", r.Scope, 255)
	}
	if r.IPv6 {
		return 0, nil
	}
	const host, link = 254, 253
	switch r.Type {
	case routeTypes["local"], routeTypes["nat"]:
		return host, nil
	case routeTypes["broadcast"], routeTypes["multicast"], routeTypes["anycast"]:
		return link, nil
	case routeTypes["unicast"]:
		if !r.needsGateway() {
			return link, nil
		}
	}
	return 0, nil
}

func (r *Route) appendMetrics(b []byte) []byte {
	var inside []byte
	lock := r.lock
	if lock != 0 {
		inside = rtnl.AppendUint32(inside, 1, lock)
	}
	for i, v := range r.Metrics {
		if r.set&(1<<i) != 0 {
			inside = rtnl.AppendUint32(inside, uint16(i), v)
		}
	}
	if r.CongCtl != "" {
		inside = rtnl.AppendString(inside, metricCongCtl, r.CongCtl)
	}
	return rtnl.AppendAttr(b, rtaMetrics, inside)
}

func (r *Route) appendHops(b []byte, e *Env) ([]byte, error) {
	if !r.Multi {
		index, attrs, err := r.Hops[0].encode(e, r.IPv6)
		if index != 0 {
			b = rtnl.AppendUint32(b, rtaOIF, uint32(index))
		}
		return append(b, attrs...), err
	}
	var all []byte
	for i := range r.Hops {
		h := &r.Hops[i]
		index, attrs, err := h.encode(e, r.IPv6)
		if err != nil {
			return nil, err
		}
		flags := uint8(0)
		if h.OnLink {
			flags = rtnhOnLink
		}
		all = binary.NativeEndian.AppendUint16(all, uint16(8+len(attrs)))
		all = append(all, flags, h.Weight)
		all = binary.NativeEndian.AppendUint32(all, uint32(index))
		all = append(all, attrs...)
	}
	return rtnl.AppendAttr(b, rtaMultipath, all), nil
}

func (h *Hop) encode(e *Env, six bool) (index int, b []byte, err error) {
	if h.Dev != "" {
		if index, err = e.Index(h.Dev); err != nil {
			return 0, nil, err
		}
	}
	switch {
	case !h.Via.IsValid():
	case h.Via.Is6() == six:
		b = appendAddr(b, rtaGateway, h.Via)
	default: // a gateway of the other family
		family := uint16(2)
		if h.Via.Is6() {
			family = 10
		}
		b = rtnl.AppendAttr(b, rtaVia, append(binary.NativeEndian.AppendUint16(nil, family), h.Via.AsSlice()...))
	}
	if h.Realms != "" {
		flow, err := e.realms(h.Realms)
		if err != nil {
			return 0, nil, err
		}
		b = rtnl.AppendUint32(b, rtaFlow, flow)
	}
	if h.Encap != nil {
		kind, inside := h.Encap.encode()
		b = rtnl.AppendNested(b, rtaEncap, inside)
		b = rtnl.AppendAttr(b, rtaEncapType, binary.NativeEndian.AppendUint16(nil, kind))
	}
	return index, b, nil
}

// realms reads [SRC/]DST.
func (e *Env) realms(text string) (uint32, error) {
	src, dst, both := strings.Cut(text, "/")
	if !both {
		src, dst = "", src
	}
	a, err1 := e.lookup("rt_realms", Name(src), 65535)
	b, err2 := e.lookup("rt_realms", Name(dst), 65535)
	return a<<16 | b, cmp.Or(err1, err2)
}

func (e *Encap) encode() (kind uint16, b []byte) {
	be64 := func(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
	switch e.Kind {
	case "mpls":
		var stack []byte
		for i, label := range e.Labels {
			v := label << 12
			if i == len(e.Labels)-1 {
				v |= 1 << 8
			}
			stack = binary.BigEndian.AppendUint32(stack, v)
		}
		return 1, rtnl.AppendAttr(nil, 1, stack)
	case "ila":
		return 3, rtnl.AppendAttr(nil, 1, be64(e.Locator))
	}
	kind, ttl, tos := 2, uint16(4), uint16(5)
	if e.Kind == "ip6" {
		kind = 4
	}
	if e.given["id"] {
		b = rtnl.AppendAttr(b, 1, be64(e.ID))
	}
	b = appendAddr(b, 2, e.Dst)
	b = appendAddr(b, 3, e.Src)
	if e.given["ttl"] || e.given["hoplimit"] {
		b = rtnl.AppendAttr(b, ttl, []byte{e.TTL})
	}
	if e.given["tos"] || e.given["tc"] {
		b = rtnl.AppendAttr(b, tos, []byte{e.TOS})
	}
	if e.given["flags"] {
		b = rtnl.AppendAttr(b, 6, binary.BigEndian.AppendUint16(nil, e.Flags))
	}
	return kind, b
}

// Attributes of linux/fib_rules.h.
const (
	fraDst, fraSrc, fraIIF, fraGoto, fraPriority, fraMark, fraFlow, fraTunnel, fraSuppressIf, fraSuppressLen = 1, 2, 3, 4, 6, 10, 11, 12, 13, 14
	fraTable, fraMask, fraOIF, fraL3MDev, fraUIDs, fraProtocol, fraIPProto, fraSport, fraDport               = 15, 16, 17, 19, 20, 21, 22, 23, 24
	ruleInvert                                                                                               = 2
)

// Add is the request that adds the rule. One that is there is EEXIST.
func (r *Rule) Add(e *Env) (rtnl.Request, error) {
	b, err := r.encode(e)
	return rtnl.Request{Type: newRule, Flags: create | excl, Data: b}, err
}

// Remove is the request that removes it. One that is not there is ENOENT.
func (r *Rule) Remove(e *Env) (rtnl.Request, error) {
	b, err := r.encode(e)
	return rtnl.Request{Type: delRule, Data: b}, err
}

func (r *Rule) encode(e *Env) ([]byte, error) {
	tos, err1 := e.lookup("rt_dsfield", r.TOS, 255)
	table, err2 := e.lookup("rt_tables", r.Table, 1<<32-1)
	group, err3 := e.lookup("group", r.SuppressIf, 1<<31-1)
	flow, err4 := e.realms(r.Realms)
	proto, err5 := e.lookup("rt_protos", r.Protocol, 255)
	ipproto, err6 := e.lookup("protocols", r.IPProto, 255)
	if err := cmp.Or(err1, err2, err3, err4, err5, err6); err != nil {
		return nil, err
	}
	if r.Protocol == "" {
		proto = Protocol
	}
	family, flags := uint8(2), uint32(0)
	if r.IPv6 {
		family = 10
	}
	if r.Not {
		flags = ruleInvert
	}
	short := uint8(0)
	if table < 256 {
		short = uint8(table)
	}
	b := []byte{family, uint8(bitsOf(r.To)), uint8(bitsOf(r.From)), uint8(tos), short, 0, 0, r.Action}
	b = binary.NativeEndian.AppendUint32(b, flags)
	b = appendAddr(b, fraDst, r.To.Addr())
	b = appendAddr(b, fraSrc, r.From.Addr())
	number := func(kind uint16, v uint32, given bool) {
		if given {
			b = rtnl.AppendUint32(b, kind, v)
		}
	}
	text := func(kind uint16, s string) {
		if s != "" {
			b = rtnl.AppendString(b, kind, s)
		}
	}
	number(fraPriority, r.Priority, r.HasPriority)
	number(fraTable, table, r.Table != "")
	number(fraGoto, r.Goto, r.Action == ActionGoto)
	number(fraMark, r.Mark, r.HasMark)
	number(fraMask, r.Mask, r.HasMask)
	number(fraFlow, flow, r.Realms != "")
	number(fraSuppressLen, uint32(r.SuppressLen), r.SuppressLen >= 0)
	number(fraSuppressIf, group, r.SuppressIf != "")
	text(fraIIF, r.IIF)
	text(fraOIF, r.OIF)
	return r.appendRest(b, uint8(proto), uint8(ipproto)), nil
}

func (r *Rule) appendRest(b []byte, proto, ipproto uint8) []byte {
	b = rtnl.AppendAttr(b, fraProtocol, []byte{proto})
	if r.IPProto != "" {
		b = rtnl.AppendAttr(b, fraIPProto, []byte{ipproto})
	}
	if r.L3MDev {
		b = rtnl.AppendAttr(b, fraL3MDev, []byte{1})
	}
	if r.TunnelID != 0 {
		b = rtnl.AppendAttr(b, fraTunnel, binary.BigEndian.AppendUint64(nil, r.TunnelID))
	}
	if r.UIDs != nil {
		b = rtnl.AppendAttr(b, fraUIDs, binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, r.UIDs[0]), r.UIDs[1]))
	}
	for kind, ports := range map[uint16]*[2]uint16{fraSport: r.Sport, fraDport: r.Dport} {
		if ports != nil {
			b = rtnl.AppendAttr(b, kind, binary.NativeEndian.AppendUint16(binary.NativeEndian.AppendUint16(nil, ports[0]), ports[1]))
		}
	}
	return b
}

func bitsOf(p netip.Prefix) int {
	if !p.IsValid() {
		return 0
	}
	return p.Bits()
}

func appendAddr(b []byte, kind uint16, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	return rtnl.AppendAttr(b, kind, a.AsSlice())
}
