package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/observe"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// The dumps have the lines and members of keepalived's that programs look for, so that what reads those reads ours.

// writeData is what SIGUSR1 asks for.
func writeData(w io.Writer, file string, s holdfast.Status) error {
	var b strings.Builder
	fmt.Fprintf(&b, "------< Global definitions >------\n Configuration file = %s\n", file)
	if len(s.Instances) > 0 {
		b.WriteString("------< VRRP Topology >------\n")
	}
	for i := range s.Instances {
		dumpInstance(&b, &s.Instances[i])
	}
	b.WriteString("------< Status >------\n")
	if err := observe.WriteText(&b, s, false); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func dumpInstance(b *strings.Builder, in *vrrp.InstanceStatus) {
	wish := &in.Instance
	line := func(format string, args ...any) { fmt.Fprintf(b, "   "+format+"\n", args...) }
	fmt.Fprintf(b, " VRRP Instance = %s\n", oneWord(wish.String()))
	line("VRRP Version = %d", cmp.Or(wish.Version, 3))
	line("State = %v", in.State)
	line("Last transition = %s (%s)", epoch(in.Since), in.Since.Format(time.ANSIC))
	line("Interface = %s", wish.Interface)
	if in.Source.IsValid() {
		line("Using src_ip = %v", in.Source)
	}
	line("Virtual Router ID = %d", wish.VRID)
	line("Priority = %d", cmp.Or(wish.Priority, 100))
	line("Effective priority = %d", in.Priority)
	line("Advert interval = %v", cmp.Or(wish.Interval, time.Second))
	line("Preempt = %s", map[bool]string{true: "disabled", false: "enabled"}[wish.NoPreempt])
	line("Virtual IP (%d):", len(wish.Addrs))
	for _, a := range wish.Addrs {
		line("  %v dev %s", a.Prefix, cmp.Or(a.Interface, wish.Interface))
	}
}

// oneWord keeps a name on its line.
func oneWord(name string) string { return strings.Join(strings.Fields(name), "_") }

func epoch(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000)
}

// released is how often the instance left office.
func released(in *vrrp.InstanceStatus) uint64 {
	n := in.Stats.BecomeMaster
	if in.State == vrrp.Master && n > 0 {
		return n - 1
	}
	return n
}

// writeStats is what SIGUSR2 asks for.
func writeStats(w io.Writer, s holdfast.Status) error {
	var b strings.Builder
	for i := range s.Instances {
		in, n := &s.Instances[i], &s.Instances[i].Stats
		fmt.Fprintf(&b, "VRRP Instance: %s\n", oneWord(in.Instance.String()))
		fmt.Fprintf(&b, "  Advertisements:\n    Received: %d\n    Sent: %d\n", n.AdvertsReceived, n.AdvertsSent)
		fmt.Fprintf(&b, "  Became master: %d\n  Released master: %d\n", n.BecomeMaster, released(in))
		fmt.Fprintf(&b, "  Packet Errors:\n    Length: %d\n    TTL: %d\n    Invalid Type: %d\n", n.LengthErrors, n.TTLErrors, n.TypeErrors)
		fmt.Fprintf(&b, "    Advertisement Interval: %d\n    Address List: %d\n", n.IntervalErrors, n.AddressListErrors)
		fmt.Fprintf(&b, "  Authentication Errors:\n    Invalid Type: %d\n    Type Mismatch: %d\n    Failure: %d\n", n.AuthTypeErrors, n.AuthMismatches, n.AuthFailures)
		fmt.Fprintf(&b, "  Priority Zero:\n    Received: %d\n    Sent: %d\n", n.PriorityZeroReceived, n.PriorityZeroSent)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// instanceJSON is an instance as keepalived's JSON has it. Times are in seconds; states are 0 INIT, 1 BACKUP, 2 MASTER, 3 FAULT.
type instanceJSON struct {
	Data struct {
		Name              string   `json:"iname"`
		Interface         string   `json:"ifp_ifname"`
		LastTransition    float64  `json:"last_transition"`
		VRID              uint8    `json:"vrid"`
		BasePriority      uint8    `json:"base_priority"`
		EffectivePriority uint8    `json:"effective_priority"`
		AdvertInterval    float64  `json:"adver_int"`
		NoPreempt         bool     `json:"nopreempt"`
		PreemptDelay      float64  `json:"preempt_delay"`
		State             int      `json:"state"`
		WantState         int      `json:"wantstate"` // the same: who is wanted as MASTER, the priorities say
		Version           uint8    `json:"version"`
		VIPSet            bool     `json:"vipset"`
		VIPs              []string `json:"vips"`
	} `json:"data"`
	Stats map[string]uint64 `json:"stats"`
}

var stateNumbers = map[vrrp.State]int{vrrp.Init: 0, vrrp.Backup: 1, vrrp.Master: 2, vrrp.Fault: 3}

// writeKeepalivedJSON is what the JSON signal asks for: version 1 is an array, version 2 an object around it.
func writeKeepalivedJSON(w io.Writer, s holdfast.Status, version int) error {
	list := make([]instanceJSON, len(s.Instances))
	for i := range s.Instances {
		list[i] = toJSON(&s.Instances[i])
	}
	if version == 2 {
		return printIndented(w, map[string]any{"vrrp": list})
	}
	return printIndented(w, list)
}

func toJSON(in *vrrp.InstanceStatus) (j instanceJSON) {
	wish, n, d := &in.Instance, &in.Stats, &j.Data
	d.Name, d.Interface, d.VRID, d.Version = wish.String(), wish.Interface, wish.VRID, cmp.Or(wish.Version, 3)
	if !in.Since.IsZero() {
		d.LastTransition = float64(in.Since.UnixMicro()) / 1e6
	}
	d.BasePriority, d.EffectivePriority = cmp.Or(wish.Priority, 100), in.Priority
	d.AdvertInterval, d.NoPreempt, d.PreemptDelay = cmp.Or(wish.Interval, time.Second).Seconds(), wish.NoPreempt, wish.PreemptDelay.Seconds()
	d.State, d.WantState = stateNumbers[in.State], stateNumbers[in.State]
	d.VIPSet, d.VIPs = in.State == vrrp.Master, []string{}
	for _, a := range wish.Addrs {
		d.VIPs = append(d.VIPs, fmt.Sprintf("%v dev %s", a.Prefix, cmp.Or(a.Interface, wish.Interface)))
	}
	j.Stats = map[string]uint64{
		"advert_rcvd": n.AdvertsReceived, "advert_sent": n.AdvertsSent, "become_master": n.BecomeMaster, "release_master": released(in),
		"packet_len_err": n.LengthErrors, "advert_interval_err": n.IntervalErrors, "ip_ttl_err": n.TTLErrors, "invalid_type_rcvd": n.TypeErrors,
		"addr_list_err": n.AddressListErrors, "invalid_authtype": n.AuthTypeErrors, "authtype_mismatch": n.AuthMismatches,
		"auth_failure": n.AuthFailures, "pri_zero_rcvd": n.PriorityZeroReceived, "pri_zero_sent": n.PriorityZeroSent,
	}
	return j
}
