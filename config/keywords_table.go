package config

import (
	"maps"
	"net/netip"
	"time"
)

// LVSTimeouts is lvs_timeouts. What is 0 is not said.
type LVSTimeouts struct{ TCP, TCPFin, UDP time.Duration }

// SyncDaemon is lvs_sync_daemon.
type SyncDaemon struct {
	Pos
	Interface string
	// Instance decides who tells and who listens; empty means that this machine does both.
	Instance string
	// ID is the instance's VRID unless said otherwise. MaxLen, Port, TTL and Group are 0 or not valid when they are not said.
	ID, MaxLen, Port, TTL int
	Group                 netip.Addr

	hasID bool
}

// initTable adds what is said of the table as a whole.
func initTable() {
	flush := func(d *decoder, n *Node, g *Global) {
		if len(n.Words) > 1 {
			d.oneOf(n.Words[1], []string{"VS"})
			return // services are removed with what is behind them in any case
		}
		g.LVSFlushOnStop = true
	}
	maps.Copy(globalKeywords, map[string]setter[Global]{
		"lvs_flush":         flag(func(g *Global) *bool { return &g.LVSFlush }),
		"lvs_flush_on_stop": flush, "lvs_flush_onstop": flush,
		"lvs_timeouts":    decodeTimeouts,
		"lvs_sync_daemon": decodeSyncDaemon,
	})
	instanceKeywords["lvs_sync_daemon_interface"] = text(func(v *VRRPInstance) *string { return &v.syncInterface })
}

func decodeTimeouts(d *decoder, n *Node, g *Global) {
	words := n.Values()
	if len(words) == 0 {
		d.warnf(n.Pos, "missing-value", "lvs_timeouts [tcp N] [tcpfin N] [udp N]", "lvs_timeouts says nothing")
	}
	for i := 0; i < len(words); i += 2 {
		kind, ok := d.oneOf(words[i], []string{"tcp", "tcpfin", "udp"})
		if !ok {
			return
		}
		if i+1 == len(words) {
			d.errorf(words[i].Pos, "missing-value", "lvs_timeouts [tcp N] [tcpfin N] [udp N]", "%s has no value", words[i].Text)
			return
		}
		if v, ok := d.integer(words[i+1], 0, 2678400); ok {
			into := map[string]*time.Duration{"tcp": &g.LVSTimeouts.TCP, "tcpfin": &g.LVSTimeouts.TCPFin, "udp": &g.LVSTimeouts.UDP}[kind]
			*into = time.Duration(v) * time.Second
		}
	}
}

var syncOptions = map[string][2]int64{"id": {0, 255}, "maxlen": {1, 65507}, "port": {1, 65535}, "ttl": {1, 255}}

// decodeSyncDaemon reads IF [[inst] NAME [ID]] and options.
func decodeSyncDaemon(d *decoder, n *Node, g *Global) {
	words := n.Values()
	s := &SyncDaemon{Pos: n.Pos, Interface: words[0].Text}
	for i := 1; i < len(words); i++ {
		w := words[i]
		r, isOption := syncOptions[w.Text]
		if isOption = isOption || w.Text == "group" || w.Text == "inst"; isOption && i+1 == len(words) {
			d.errorf(w.Pos, "missing-value", "", "%s has no value", w.Text)
			return
		}
		ok := true
		switch {
		case w.Text == "group":
			i++
			s.Group, ok = d.address(words[i])
		case w.Text == "inst":
			i++
			s.Instance = words[i].Text
		case isOption:
			i++
			ok = s.option(d, w.Text, words[i], r)
		case s.Instance == "":
			s.Instance = w.Text
		default:
			ok = s.option(d, "id", w, syncOptions["id"])
		}
		if !ok {
			return
		}
	}
	if g.SyncDaemon != nil {
		d.warnf(n.Pos, "duplicate-keyword", "remove one", "lvs_sync_daemon stands here for the second time; this one is ignored")
		return
	}
	g.SyncDaemon = s
}

func (s *SyncDaemon) option(d *decoder, name string, w Word, r [2]int64) bool {
	v, ok := d.integer(w, r[0], r[1])
	into := map[string]*int{"id": &s.ID, "maxlen": &s.MaxLen, "port": &s.Port, "ttl": &s.TTL}[name]
	*into, s.hasID = int(v), s.hasID || name == "id"
	return ok
}

// resolveSync finds the instance that decides, which may have said so itself.
func (d *decoder) resolveSync() {
	g := &d.cfg.Global
	for _, v := range d.cfg.Instances {
		if g.SyncDaemon == nil && v.syncInterface != "" {
			g.SyncDaemon = &SyncDaemon{Pos: v.Pos, Interface: v.syncInterface, Instance: v.Name}
		}
	}
	s := g.SyncDaemon
	if s == nil || s.Instance == "" {
		return
	}
	for _, v := range d.cfg.Instances {
		if v.Name == s.Instance {
			if !s.hasID {
				s.ID = v.VRID
			}
			return
		}
	}
	d.errorf(s.Pos, "unknown-instance", "", "lvs_sync_daemon: there is no vrrp_instance %s", quoted(s.Instance))
}
