package holdfast

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/bfd"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// Plan is the difference between two Specs, or between what is in force and a Spec.
type Plan struct {
	// Table is what changes in the load balancer's table.
	Table ipvs.Plan
	// Instances has one line for each VRRP instance that comes, changes or goes.
	Instances []string
	// Checks has one line for each server that stays and whose checks change, and for each tracker that comes, changes or
	// goes while there are instances before and after. Checks and trackers come and go with what they are for. BFD sessions
	// have one line each.
	Checks []string
	// Tuning has one line for each part of the table's tuning that changes.
	Tuning []string
	// Notify has one line for each receiver of notifications that comes, changes or goes, and for the programs of start and end.
	Notify []string
}

// Empty says that nothing changes.
func (p Plan) Empty() bool {
	return len(p.Table)+len(p.Instances)+len(p.Checks)+len(p.Tuning)+len(p.Notify) == 0
}

// String has one line for each change: those of the table as ipvsadm writes them.
func (p Plan) String() string {
	var b strings.Builder
	b.WriteString(p.Table.String())
	for _, line := range slices.Concat(p.Instances, p.Checks, p.Tuning, p.Notify) {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// Diff tells what there is to do to get from one Spec to another when every server is well. From the zero Spec it is what
// the other asks for. Neither is validated.
func Diff(have, want Spec) Plan {
	plan := diffBeside(have, want)
	plan.Table = ipvs.Diff(healthy(have.Services), healthy(want.Services))
	return plan
}

// diffBeside is everything but the table.
func diffBeside(have, want Spec) Plan {
	return Plan{
		Instances: append(diffInstances(have.Instances, want.Instances), diffHost(&have.Host, &want.Host)...),
		Checks:    slices.Concat(diffChecks(have.Services, want.Services), diffTrackers(have, want), diffSessions(have.Sessions, want.Sessions)),
		Tuning:    diffTuning(&have.Tuning, &want.Tuning),
		Notify:    diffNotify(&have, &want),
	}
}

func healthy(services []Service) []ipvs.Service {
	return newState(&Spec{Services: alwaysUp(services)}, &state{}).want()
}

// alwaysUp are the services with every server well.
func alwaysUp(services []Service) []Service {
	up := slices.Clone(services)
	for i := range up {
		up[i].Servers = slices.Clone(up[i].Servers)
		for j := range up[i].Servers {
			up[i].Servers[j].Checks = nil
		}
	}
	return up
}

func diffInstances(have, want []vrrp.Instance) (lines []string) {
	old := make(map[string]*vrrp.Instance, len(have))
	for i := range have {
		old[have[i].String()] = &have[i]
	}
	for i := range want {
		in := &want[i]
		before := old[in.String()]
		delete(old, in.String())
		switch {
		case before == nil:
			lines = append(lines, fmt.Sprintf("vrrp_instance %v add: %s", in, describe(in)))
		case !before.Equal(in):
			lines = append(lines, fmt.Sprintf("vrrp_instance %v edit: %s", in, changes(before, in)))
		}
	}
	for i := range have {
		if old[have[i].String()] != nil {
			lines = append(lines, fmt.Sprintf("vrrp_instance %v delete", &have[i]))
		}
	}
	return lines
}

// diffHost has one line when what the instances share changes.
func diffHost(have, want *vrrp.Host) []string {
	if reflect.DeepEqual(*have, *want) {
		return nil
	}
	return []string{"vrrp host edit: static entries, pacing, delays and polls of links, firewall, scheduling or what is heard"}
}

// attribute is one value of an instance under keepalived's keyword for it.
type attribute struct{ keyword, value string }

func attributes(in *vrrp.Instance) []attribute {
	return []attribute{
		{"interface", in.Interface},
		{"virtual_router_id", fmt.Sprint(in.VRID)},
		{"version", fmt.Sprint(cmp.Or(in.Version, 3))},
		{"priority", fmt.Sprint(cmp.Or(in.Priority, 100))},
		{"advert_int", cmp.Or(in.Interval, time.Second).String()},
		{"virtual_ipaddress", strings.Trim(fmt.Sprint(in.Addrs), "[]")},
		{"virtual_ipaddress_excluded", strings.Trim(fmt.Sprint(in.Excluded), "[]")},
		{"virtual_routes", strings.Join(in.Routes, "; ")},
		{"virtual_rules", strings.Join(in.Rules, "; ")},
		{"use_vmac", vmac(in.VMAC)},
		{"use_ipvlan", ipvlan(in.IPVLAN)},
		{"no_accept", orBlank(in.NoAccept)},
		{"promote_secondaries", orBlank(in.Promote)},
		{"unicast_ttl", orBlank(in.TTL)},
		{"track_src_ip", orBlank(in.TrackSource)},
		{"dont_track_primary", orBlank(in.IgnoreLink)},
		{"kernel_rx_buf_size", orBlank(in.ReceiveBuffer)},
		{"fault", in.Fault},
		{"source", orBlank(in.Source)},
		{"mcast_dst_ip", orBlank(in.Group)},
		{"unicast_peer", strings.Trim(fmt.Sprint(in.Peers), "[]")},
		{"vrrp_sync_group", in.Sync},
		{"track_interface", strings.Trim(fmt.Sprint(in.Track), "[]")},
		{"nopreempt", orBlank(in.NoPreempt)},
		{"preempt_delay", orBlank(in.PreemptDelay)},
		{"check_unicast_src", orBlank(in.CheckSource)},
		{"start_delay", orBlank(max(in.StartDelay, in.BootDelay))},
		{"start_backup", orBlank(in.StartBackup)},
		{"down_timer_adverts", downAdverts(in.DownAdverts)},
		{"owner_ignore_adverts", orBlank(in.IgnoreAdverts)},
		{"lower_prio_no_advert", orBlank(in.LowerPrioNoAdvert)},
		{"higher_prio_send_advert", orBlank(in.HigherPrioSendAdvert)},
		{"timer_expired_backup", orBlank(in.TimerExpiredBackup)},
		{"strict_mode", orBlank(in.Strict)},
		{"auth_type", orBlank(in.AuthType)},
		{"auth_hmac", hmac(in.HMAC)},
		{"checksum", orBlank(in.Checksum)},
		{"announce", announce(in.Announce)},
	}
}

// vmac is blank without a virtual MAC address.
func vmac(v vrrp.VMAC) string {
	if !v.Use {
		return ""
	}
	return on(attribute{"name", cmp.Or(v.Name, v.Prefix)}, attribute{"mac", orBlank(v.MAC)}, attribute{"xmit_base", orBlank(v.TransmitBase)},
		attribute{"group", orBlank(v.Group)})
}

// ipvlan is blank without one.
func ipvlan(v vrrp.IPVLAN) string {
	if !v.Use {
		return ""
	}
	return on(attribute{"name", cmp.Or(v.Name, v.Prefix)}, attribute{"address", orBlank(v.Addr)}, attribute{"private", orBlank(v.Private)},
		attribute{"vepa", orBlank(v.VEPA)}, attribute{"group", orBlank(v.Group)})
}

// on lists the attributes that are not blank.
func on(attributes ...attribute) string {
	parts := []string{"on"}
	for _, a := range attributes {
		if a.value != "" {
			parts = append(parts, a.keyword+" "+a.value)
		}
	}
	return strings.Join(parts, " ")
}

// announce is blank for keepalived's default.
func announce(a vrrp.Announce) string {
	rounds, delay := cmp.Or(a.Rounds, 5), max(cmp.Or(a.Delay, 5*time.Second), 0)
	again, lower, later := cmp.Or(a.RefreshRounds, 1), max(cmp.Or(a.LowerPrioRounds, rounds), 0), max(cmp.Or(a.LowerPrioDelay, delay), 0)
	text := ""
	if rounds != 5 || delay != 5*time.Second || a.Refresh != 0 {
		text = fmt.Sprintf("rounds=%d delay=%v refresh=%v", rounds, delay, a.Refresh)
	}
	if again != 1 || lower != rounds || later != delay {
		text += fmt.Sprintf(" refresh_rounds=%d lower_prio_rounds=%d lower_prio_delay=%v", again, lower, later)
	}
	if a.Extra != 0 {
		text += fmt.Sprintf(" extra=%v all=%v", a.Extra, a.ExtraAll)
	}
	return strings.TrimSpace(text)
}

// downAdverts is blank for the default.
func downAdverts(n uint8) string {
	if n == 3 {
		return ""
	}
	return orBlank(n)
}

// hmac says which key signs, and of how many.
func hmac(h vrrp.HMAC) string {
	if len(h.Keys) == 0 {
		return ""
	}
	return fmt.Sprintf("%v, key %d of %d", h.Mode, h.Active, len(h.Keys))
}

func orBlank[V comparable](v V) string {
	var none V
	if v == none {
		return ""
	}
	return fmt.Sprint(v)
}

func describe(in *vrrp.Instance) string {
	var parts []string
	for _, a := range attributes(in) {
		if a.value != "" {
			parts = append(parts, a.keyword+" "+a.value)
		}
	}
	return strings.Join(parts, ", ")
}

func changes(before, after *vrrp.Instance) string {
	var parts []string
	old := attributes(before)
	for i, a := range attributes(after) {
		if a.value != old[i].value {
			parts = append(parts, fmt.Sprintf("%s %s -> %s", a.keyword, cmp.Or(old[i].value, "none"), cmp.Or(a.value, "none")))
		}
	}
	if before.Password != after.Password {
		parts = append(parts, "auth_pass changes")
	}
	if len(parts) == 0 {
		parts = append(parts, "settings without a word of their own change")
	}
	return strings.Join(parts, ", ")
}

type serverID struct {
	service string
	addr    netip.AddrPort
}

func diffChecks(have, want []Service) (lines []string) {
	old := make(map[serverID][]check.Probe)
	for _, s := range have {
		for _, server := range s.Servers {
			old[serverID{s.String(), server.Addr}] = server.Checks
		}
	}
	for _, s := range want {
		for _, server := range s.Servers {
			before, stays := old[serverID{s.String(), server.Addr}]
			if stays && !sameChecks(before, server.Checks) {
				lines = append(lines, fmt.Sprintf("check edit %v %v: %s -> %s", &s, server.Addr, names(before), names(server.Checks)))
			}
		}
	}
	return lines
}

func diffTrackers(have, want Spec) (lines []string) {
	if len(have.Instances) == 0 || len(want.Instances) == 0 {
		return nil
	}
	old := make(map[string]*Tracker, len(have.Trackers))
	for i := range have.Trackers {
		old[have.Trackers[i].Name] = &have.Trackers[i]
	}
	for i := range want.Trackers {
		t := &want.Trackers[i]
		before := old[t.Name]
		delete(old, t.Name)
		verb := "add"
		if before != nil {
			verb = "edit"
		}
		if before == nil || !before.equal(t) {
			lines = append(lines, fmt.Sprintf("tracker %s %s: %s, moves %s", t.Name, verb, pace(t.Probe), effects(t.Effects)))
		}
	}
	for _, t := range have.Trackers {
		if old[t.Name] != nil {
			lines = append(lines, fmt.Sprintf("tracker %s delete", t.Name))
		}
	}
	return lines
}

// diffSessions has one line for each BFD session that comes, changes or goes.
func diffSessions(have, want []bfd.Session) (lines []string) {
	old := make(map[string]*bfd.Session, len(have))
	for i := range have {
		old[have[i].Name] = &have[i]
	}
	for i := range want {
		s := &want[i]
		before := old[s.Name]
		delete(old, s.Name)
		switch {
		case before == nil:
			lines = append(lines, fmt.Sprintf("bfd %s add: with %v", s.Name, s.Peer))
		case !reflect.DeepEqual(before, s):
			lines = append(lines, fmt.Sprintf("bfd %s edit: with %v", s.Name, s.Peer))
		}
	}
	for i := range have {
		if old[have[i].Name] != nil {
			lines = append(lines, fmt.Sprintf("bfd %s delete", have[i].Name))
		}
	}
	return lines
}

func effects(list []Effect) string {
	var parts []string
	for _, e := range list {
		parts = append(parts, fmt.Sprintf("%s by %d", e.Instance, e.Weight))
	}
	return strings.Join(parts, ", ")
}

// sameChecks compares by value. Functions are never the same: nobody can tell.
func sameChecks(a, b []check.Probe) bool {
	return slices.EqualFunc(a, b, sameProbe)
}

func names(probes []check.Probe) string {
	if len(probes) == 0 {
		return "none"
	}
	parts := make([]string, len(probes))
	for i, p := range probes {
		parts[i] = cmp.Or(p.ID, "check") + " " + pace(p)
	}
	return strings.Join(parts, ", ")
}

// pace is when a probe looks.
func pace(p check.Probe) string {
	if _, tells := p.Checker.(check.Watcher); tells {
		return "at each change"
	}
	return fmt.Sprintf("every %v", cmp.Or(p.Policy.DelayLoop, time.Minute))
}
