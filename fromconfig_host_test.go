package holdfast_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/vrrp"
)

func extra(s *holdfast.Spec) any {
	return []any{s.Instances[0].Announce.Extra, s.Instances[0].Announce.ExtraAll}
}

func process(s *holdfast.Spec) any { return s.Host.Process }

func buffer(s *holdfast.Spec) any { return s.Instances[0].ReceiveBuffer }

func polls(s *holdfast.Spec) any { return s.Host.Polls }

// TestFromConfigVRF: an instance without an interface is on the VRF.
func TestFromConfigVRF(t *testing.T) {
	spec := parse("vrrp_instance A {\nvirtual_router_id 1\nvrf blue\nunicast_src_ip 192.0.2.1\nunicast_peer {\n192.0.2.2\n}\nvirtual_ipaddress {\n192.0.2.10 dev eth0\n}\n}\n")
	if in := spec.Instances[0]; in.Interface != "blue" || in.Addrs[0].Interface != "eth0" || in.Validate() != nil {
		t.Errorf("%+v: %v", in, in.Validate())
	}
}

// TestFromConfigHost: what an instance asks of its host arrives there.
func TestFromConfigHost(t *testing.T) {
	for _, c := range []struct {
		globals, lines string
		got            func(s *holdfast.Spec) any
		want           any
	}{
		{"vmac_prefix vip", "use_ipvlan own0 192.0.2.5/24 vepa group 3", func(s *holdfast.Spec) any { return s.Instances[0].IPVLAN },
			vrrp.IPVLAN{Use: true, Name: "own0", Prefix: "vip", Addr: netip.MustParsePrefix("192.0.2.5/24"), VEPA: true, Group: 3}},
		{"", "use_ipvlan private", func(s *holdfast.Spec) any { return s.Instances[0].IPVLAN }, vrrp.IPVLAN{Use: true, Private: true}},
		{"vrrp_garp_extra_if 60", "", extra, []any{time.Minute, false}},
		{"vrrp_garp_extra_if 60", "garp_extra_if all 10", extra, []any{10 * time.Second, true}},
		{"vrrp_vmac_garp_intvl all 60", "vmac_garp_intvl 0", extra, []any{time.Duration(0), false}},
		{"log_unknown_vrids\ndisable_local_igmp", "", func(s *holdfast.Spec) any { return []bool{s.Host.LogUnknown, s.Host.QuietIGMP} }, []bool{true, true}},
		{"nftables_ifindex\nnftables own", "", func(s *holdfast.Spec) any { return s.Host.Firewall }, vrrp.Firewall{Table: "own", ByIndex: true}},
		{"max_auto_priority\nmin_auto_priority_delay 250000", "", process, vrrp.Process{AutoRealTime: 99, AutoDelay: 250 * time.Millisecond}},
		{"max_auto_priority 7", "", process, vrrp.Process{AutoRealTime: 7}},
		{"max_auto_priority -1", "", process, vrrp.Process{}},
		{"vrrp_rx_bufs_policy 70000", "", buffer, 70000},
		{"vrrp_rx_bufs_policy ADVERT\nvrrp_rx_bufs_multiplier 5", "", buffer, 0},
		{"vrrp_rx_bufs_policy 70000", "kernel_rx_buf_size 9000", buffer, 9000},
		{"", "linkbeat_use_polling", polls, []vrrp.LinkPoll{{Interface: "eth0"}}},
		{"}\nlinkbeat_use_polling\nlinkbeat_interfaces {\neth1 MII\neth2\n", "track_interface {\neth3\neth1\n}", polls,
			[]vrrp.LinkPoll{{Interface: "eth1", How: "MII"}, {Interface: "eth2"}, {Interface: "eth0"}, {Interface: "eth3"}}},
	} {
		spec := parse("global_defs {\n" + c.globals + "\n}\nvrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.10/24\n}\n" + c.lines + "\n}\n")
		if got := c.got(&spec); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s: %+v, want %+v", c.globals, c.lines, got, c.want)
		}
	}
}

// TestPlanTellsOfLinks: a change of the instance's link, or of its further announcements, is in the plan.
func TestPlanTellsOfLinks(t *testing.T) {
	of := func(lines string) holdfast.Spec {
		return parse("vrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.10\n}\n" + lines + "\n}\n")
	}
	have, want := of(""), of("use_ipvlan own0 192.0.2.5/24 private\ngarp_extra_if all 10")
	plan := holdfast.Diff(have, want).String()
	for _, text := range []string{"use_ipvlan", "on name own0 address 192.0.2.5/24 private true", "extra=10s all=true"} {
		if !strings.Contains(plan, text) {
			t.Errorf("%q is not in the plan: %s", text, plan)
		}
	}
}
