package holdfast_test

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/vrrp"
)

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
	} {
		spec := parse("global_defs {\n" + c.globals + "\n}\nvrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n192.0.2.10/24\n}\n" + c.lines + "\n}\n")
		if got := c.got(&spec); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s: %+v, want %+v", c.globals, c.lines, got, c.want)
		}
	}
}
