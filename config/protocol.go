package config

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// said is what a file says about the protocol, of an instance or as the default of all. Nil is what is not said.
type said struct {
	garpDelay, garpRefresh, lowerDelay              *time.Duration
	garpRepeat, garpRefreshRepeat, lowerRepeat      *int
	downAdverts                                     *int
	lowerNoAdvert, higherSend, ownerIgnores, strict *bool
	checksumAsV2                                    *bool
	checkSource                                     bool
}

func givenSeconds[T any](field func(*T) **time.Duration) setter[T] {
	return func(d *decoder, _ *Node, into *T) { *field(into) = new(time.Duration(d.v.number) * time.Second) }
}

func givenNumber[T any](field func(*T) **int) setter[T] {
	return func(d *decoder, _ *Node, into *T) { *field(into) = new(int(d.v.number)) }
}

func givenFlag[T any](field func(*T) **bool) setter[T] {
	return func(d *decoder, _ *Node, into *T) { *field(into) = new(d.v.flag) }
}

// saidTable has the keywords that instances and, with a prefix, global_defs have.
func saidTable[T any](prefix string, of func(*T) *said) map[string]setter[T] {
	return map[string]setter[T]{
		prefix + "garp_master_delay":          givenSeconds(func(v *T) **time.Duration { return &of(v).garpDelay }),
		prefix + "garp_master_repeat":         givenNumber(func(v *T) **int { return &of(v).garpRepeat }),
		prefix + "garp_master_refresh":        givenSeconds(func(v *T) **time.Duration { return &of(v).garpRefresh }),
		prefix + "garp_master_refresh_repeat": givenNumber(func(v *T) **int { return &of(v).garpRefreshRepeat }),
		prefix + "garp_lower_prio_delay":      givenSeconds(func(v *T) **time.Duration { return &of(v).lowerDelay }),
		prefix + "garp_lower_prio_repeat":     givenNumber(func(v *T) **int { return &of(v).lowerRepeat }),
		prefix + "down_timer_adverts":         givenNumber(func(v *T) **int { return &of(v).downAdverts }),
		prefix + "lower_prio_no_advert":       givenFlag(func(v *T) **bool { return &of(v).lowerNoAdvert }),
		prefix + "higher_prio_send_advert":    givenFlag(func(v *T) **bool { return &of(v).higherSend }),
		prefix + "owner_ignore_adverts":       givenFlag(func(v *T) **bool { return &of(v).ownerIgnores }),
		prefix + "check_unicast_src":          func(_ *decoder, _ *Node, v *T) { of(v).checkSource = true },
		"v3_checksum_as_v2":                   givenFlag(func(v *T) **bool { return &of(v).checksumAsV2 }),
	}
}

// resolveProtocol fills in defaults. keepalived copies some of them when an instance begins (see the rule late-globals), and
// takes the others from the whole file.
func (v *VRRPInstance) resolveProtocol(g Global) {
	copied, s := v.globals.said, v.said
	delay, repeat := 5*time.Second, 5
	if v.globals.minGARP {
		delay, repeat = 0, 1
	}
	v.GARPMasterDelay = first(delay, s.garpDelay, copied.garpDelay)
	v.GARPMasterRepeat = max(first(repeat, s.garpRepeat, copied.garpRepeat), 1)
	v.GARPMasterRefresh = first(0, s.garpRefresh, copied.garpRefresh)
	v.GARPMasterRefreshRepeat = max(first(1, s.garpRefreshRepeat, copied.garpRefreshRepeat), 1)
	v.GARPLowerPrioDelay = first(delay, s.lowerDelay, g.said.lowerDelay, g.said.garpDelay)
	v.GARPLowerPrioRepeat = first(repeat, s.lowerRepeat, g.said.lowerRepeat, g.said.garpRepeat)
	v.DownTimerAdverts = first(3, s.downAdverts, copied.downAdverts)
	v.ChecksumAsV2 = first(false, s.checksumAsV2, copied.checksumAsV2)
	v.Strict = first(false, s.strict, g.said.strict)
	v.LowerPrioNoAdvert = first(false, s.lowerNoAdvert, g.said.lowerNoAdvert)
	v.HigherPrioSendAdvert = first(false, s.higherSend, g.said.higherSend)
	v.OwnerIgnoreAdverts = first(false, s.ownerIgnores, g.said.ownerIgnores)
	v.CheckUnicastSource = g.said.checkSource || s.checkSource
	if !v.ExtraGARP.said {
		v.ExtraGARP = g.ExtraGARP
	}
	v.StartupDelay, v.DelayAfterBoot = g.StartupDelay, g.DelayAfterBoot
	if !v.MulticastGroup.IsValid() {
		v.MulticastGroup = g.MulticastGroup4
		if v.is6() {
			v.MulticastGroup = g.MulticastGroup6
		}
	}
}

func decodeGroup(field func(*Global) *netip.Addr) setter[Global] {
	return func(d *decoder, n *Node, g *Global) {
		checkGroup(d, n)
		if a, err := netip.ParseAddr(n.Words[1].Text); err == nil && a.IsMulticast() {
			*field(g) = a
		}
	}
}

func decodeExpired(d *decoder, n *Node, v *VRRPInstance) {
	v.TimerExpiredBackup = 254
	if len(n.Values()) > 0 {
		v.TimerExpiredBackup = int(d.v.number)
	}
}

func decodeOldChecksum(d *decoder, n *Node, v *VRRPInstance) {
	v.OldUnicastChecksum = "old"
	if words := n.Values(); len(words) > 0 {
		v.OldUnicastChecksum, _ = d.oneOf(words[0], []string{"never"})
	}
}

// peerTTLs reads min_ttl N and max_ttl N, which have been checked.
func peerTTLs(words []Word, p *UnicastPeer) {
	for i := 0; i+1 < len(words); i += 2 {
		ttl, _ := strconv.ParseUint(words[i+1].Text, 10, 8)
		if words[i].Text == "min_ttl" {
			p.MinTTL = uint8(ttl)
		} else {
			p.MaxTTL = uint8(ttl)
		}
	}
}

var hmacKeywords = map[string]setter[HMAC]{
	"key": func(d *decoder, n *Node, h *HMAC) {
		checkKey(d, n)
		if words := n.Values(); len(words) > 1 {
			id, _ := strconv.Atoi(words[0].Text)
			h.Keys = append(h.Keys, HMACKey{words[1].Pos, id, words[1].Text})
		}
	},
	"active_key":  number(func(h *HMAC) *int { return &h.Active }),
	"time_window": seconds(func(h *HMAC) *time.Duration { return &h.Window }),
	"anti_replay": func(d *decoder, _ *Node, h *HMAC) { h.Monotonic = d.v.text == "monotonic" },
	"mode":        text(func(h *HMAC) *string { return &h.Mode }),
}

// validateHMAC finds what would leave adverts unsigned. What is wrong in a file is found when the file is read, by
// [HMACKey.Secret].
func (d *decoder) validateHMAC(v *VRRPInstance) {
	h := &v.HMAC
	if h.Line == 0 {
		return
	}
	if v.Strict && h.Mode != "" && h.Mode != "enforce" {
		d.warnf(h.Pos, "hmac-strict", "", "instance %s: strict mode enforces auth_hmac; mode %s is ignored", v.Name, h.Mode)
		h.Mode = "enforce"
	}
	seen := make(map[int]bool)
	for _, k := range h.Keys {
		if seen[k.ID] {
			d.errorf(k.Pos, "duplicate-key", "give each key an id of its own", "instance %s has two keys of id %d", v.Name, k.ID)
		}
		seen[k.ID] = true
		if secret, inFile, err := k.inline(); !inFile && (err != nil || len(secret) < 32 || len(secret) > 64) {
			d.errorf(k.Pos, "bad-value", "openssl rand -hex 32, written as hex:...", "key %d must have 32 to 64 bytes, as text, hex:DIGITS or file:PATH", k.ID)
		}
	}
	if h.Mode != "receive-only" && !seen[h.Active] || len(h.Keys) == 0 {
		d.errorf(h.Pos, "missing-keyword", "add key ID VALUE and active_key ID", "instance %s: auth_hmac has no key that is the active one", v.Name)
	}
}

// inline is the secret, unless it is in a file.
func (k HMACKey) inline() (secret []byte, inFile bool, err error) {
	if digits, ok := strings.CutPrefix(k.Value, "hex:"); ok {
		secret, err = hex.DecodeString(digits)
		return secret, false, err
	}
	return []byte(k.Value), strings.HasPrefix(k.Value, "file:"), nil
}

// Secret is the key's bytes; those of a file are read now, by the given function (os.ReadFile), without a newline at their end.
func (k HMACKey) Secret(read func(name string) ([]byte, error)) (string, error) {
	secret, inFile, err := k.inline()
	if inFile {
		secret, err = read(strings.TrimPrefix(k.Value, "file:"))
		secret = []byte(strings.TrimSuffix(string(secret), "\n"))
	}
	return string(secret), err
}

// validateStrict is what strict mode corrects, and what it cannot do with.
func (d *decoder) validateStrict(v *VRRPInstance) {
	if !v.Strict {
		return
	}
	if unicast(v) {
		d.errorf(v.Pos, "strict-unicast", "remove unicast_peer and unicast_src_ip, or vrrp_strict", "instance %s: strict mode is by multicast only", v.Name)
	}
	if v.Version == 2 && v.is6() {
		d.warnf(v.Pos, "strict-version", "add version 3", "instance %s: strict mode speaks version 3 by IPv6", v.Name)
		v.Version = 3
	}
	if v.PreemptDelay > 0 || v.DownTimerAdverts != 3 {
		d.warnf(v.Pos, "strict-timers", "remove preempt_delay and down_timer_adverts, or vrrp_strict",
			"instance %s: strict mode has no preempt_delay, and waits for 3 adverts", v.Name)
		v.PreemptDelay, v.DownTimerAdverts = 0, 3
	}
	if v.Version == 2 && v.accept != nil && *v.accept {
		d.warnf(v.Pos, "strict-accept", "remove accept, or vrrp_strict", "instance %s: in strict mode version 2 has no accept mode", v.Name)
	}
	if v.said.lowerDelay != nil || v.said.lowerRepeat != nil {
		d.warnf(v.Pos, "strict-garp", "remove garp_lower_prio_delay and garp_lower_prio_repeat, or vrrp_strict",
			"instance %s: in strict mode a lesser MASTER is not answered, and nothing announced", v.Name)
	}
	if v.State == "MASTER" && v.Priority != 255 || v.State == "BACKUP" && v.Priority == 255 {
		d.warnf(v.Pos, "strict-state", "state MASTER is for priority 255, and the reverse", "instance %s: in strict mode the priority alone says who is MASTER at start", v.Name)
		v.State = ""
	}
}

// validateExpired is for timer_expired_backup.
func (d *decoder) validateExpired(v *VRRPInstance) {
	if v.TimerExpiredBackup > 0 && !v.NoPreempt {
		d.warnf(v.Pos, "expired-without-nopreempt", "add nopreempt", "instance %s: timer_expired_backup is ignored without nopreempt", v.Name)
		v.TimerExpiredBackup = 0
	}
}

// validatePeerTTLs finds empty ranges.
func (d *decoder) validatePeers(pos Pos, p UnicastPeer, peers []UnicastPeer) bool {
	if p.MaxTTL != 0 && p.MinTTL > p.MaxTTL {
		d.errorf(pos, "bad-value", "", "unicast_peer %v: min_ttl is above max_ttl", p.Addr)
		return false
	}
	if slices.ContainsFunc(peers, func(q UnicastPeer) bool { return q.Addr == p.Addr }) {
		d.warnf(pos, "duplicate-peer", "", "unicast_peer %v is there already", p.Addr)
		return false
	}
	return true
}
