package config

import "slices"

// repeats are the keywords of which every statement counts, and lvs_sync_daemon, which looks itself.
var repeats = map[string]bool{"status_code": true, "json": true, "regex_options": true, "lvs_sync_daemon": true}

// repeatsIn are those of which every statement counts in one block only, by path.
var repeatsIn = map[string]bool{"garp_group/interface": true, "vrrp_instance/auth_hmac/key": true, "webhook/events": true}

// firstCounts are the keywords of which keepalived takes the first statement of a block; of all others it takes the last.
var firstCounts = map[string]bool{
	"notify": true, "notify_master": true, "notify_backup": true, "notify_fault": true, "notify_stop": true, "notify_deleted": true,
	"notify_master_rx_lower_pri": true, "notify_up": true, "notify_down": true, "quorum_up": true, "quorum_down": true,
	"notify_fifo": true, "notify_fifo_script": true, "vrrp_notify_fifo": true, "vrrp_notify_fifo_script": true,
	"lvs_notify_fifo": true, "lvs_notify_fifo_script": true, "startup_script": true, "shutdown_script": true,
	"net_namespace": true, "net_namespace_ipvs": true, "file": true, "process": true, "vrf": true,
}

// firstCountsIn are those that are so in one block only, by path.
var firstCountsIn = map[string]bool{
	"vrrp_track_process/weight": true, "virtual_server/real_server/DNS_CHECK/name": true,
}

// countsOf says which of several statements of a keyword count.
func countsOf(k *Keyword) counts {
	switch {
	case k.Kind != "value" || !k.Effective || repeats[k.Name] || repeatsIn[k.Path()]:
		return everyOne
	case firstCounts[k.Name] || firstCountsIn[k.Path()]:
		return firstOne
	}
	return lastOne
}

// counts is which of several statements counts.
type counts uint8

const (
	everyOne counts = iota
	firstOne
	lastOne
)

// superseded says that a statement does not count since its keyword stood in the block before. Where there are two, a remark
// tells which of them counts.
func (d *decoder) superseded(k *Keyword, n *Node, before []*Node) bool {
	if k.counts == everyOne {
		return false
	}
	i := slices.IndexFunc(before, func(b *Node) bool { return b.read && b.keyword == k })
	if i < 0 {
		return false
	}
	same := slices.EqualFunc(n.Values(), before[i].Values(), func(a, b Word) bool { return a.Text == b.Text })
	switch {
	case k.counts == firstOne:
		d.warnf(n.Pos, "twice", "remove one", "%s was given at line %d, and the first counts: this one is ignored", k.Name, before[i].Line)
		return true
	case !same:
		d.warnf(n.Pos, "twice", "remove one", "%s was given at line %d, and the last counts: that one is ignored", k.Name, before[i].Line)
	}
	return false
}
