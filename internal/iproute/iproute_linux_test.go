package iproute_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/iproute"
	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/internal/rtnl"
)

func TestMain(m *testing.M) { lab.Main(m) }

// TestKernel: what the kernel has after a text is what ip shows for it, and it is gone after its removal.
func TestKernelHasIt(t *testing.T) {
	lab.Need(t, "ip")
	h := lab.New(t).Host("h", "10.0.0.1/24", "2001:db8::1/64")
	h.MustRun("ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1")
	h.MustRun("ip", "link", "set", "d0", "up")
	h.MustRun("ip", "link", "set", "d1", "up")
	h.MustRun("ip", "addr", "add", "10.1.0.1/24", "dev", "d0")
	var c *rtnl.Conn
	if err := h.Do(func() (err error) { c, err = rtnl.Dial(); return err }); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	env := &iproute.Env{Index: func(name string) (index int, err error) {
		err = h.Do(func() error {
			ifi, err := net.InterfaceByName(name)
			if err == nil {
				index = ifi.Index
			}
			return err
		})
		return index, err
	}}
	show := func(args ...string) string {
		out, _ := h.Run(context.Background(), "ip", args...)
		return strings.Join(strings.Fields(out), " ")
	}
	for text, want := range map[string]string{
		"10.9.0.0/16 via 10.0.0.2": "10.9.0.0/16 via 10.0.0.2 dev eth0 proto keepalived",
		"10.9.1.0/24 dev d0":       "10.9.1.0/24 dev d0 proto keepalived scope link",
		"to unicast 10.9.2.0/24 via inet 10.0.0.2 dev eth0 metric 7 src 10.0.0.1 mtu lock 1400 advmss 1300 hoplimit 9":                      "10.9.2.0/24 via 10.0.0.2 dev eth0 proto keepalived src 10.0.0.1 metric 7 mtu lock 1400 advmss 1300 hoplimit 9",
		"10.9.3.0/24 via 10.0.0.2 table 77 tos 0x10 rtt 300ms rttvar 2s rto_min lock 200ms":                                                 "10.9.3.0/24 tos 0x10 via 10.0.0.2 dev eth0 table 77 proto keepalived rtt 300ms rttvar 2s rto_min lock 200ms",
		"10.9.4.0/24 via 10.0.0.2 window 1000 cwnd 5 ssthresh 6 initcwnd 10 initrwnd 20 quickack 1 features ecn congctl cubic reordering 4": "10.9.4.0/24 via 10.0.0.2 dev eth0 proto keepalived window 1000 ssthresh 6 cwnd 5 reordering 4 initcwnd 10 features ecn initrwnd 20 quickack 1 congctl cubic",
		"blackhole 10.9.5.0/24":            "blackhole 10.9.5.0/24 proto keepalived",
		"unreachable 10.9.6.0/24 metric 3": "unreachable 10.9.6.0/24 proto keepalived metric 3",
		"prohibit 10.9.7.0/24":             "prohibit 10.9.7.0/24 proto keepalived",
		"throw 10.9.8.0/24 table 77":       "throw 10.9.8.0/24 table 77 proto keepalived",
		"10.9.9.0/24 proto_is_checked no_track protocol static via 10.0.0.2":            "",
		"10.9.9.0/24 no_track protocol static via 10.0.0.2":                             "10.9.9.0/24 via 10.0.0.2 dev eth0 proto static",
		"default via 10.0.0.2 table 78":                                                 "default via 10.0.0.2 dev eth0 table 78 proto keepalived",
		"10.9.10.0/24 via inet6 2001:db8::2 dev eth0":                                   "10.9.10.0/24 via inet6 2001:db8::2 dev eth0 proto keepalived",
		"10.9.11.0/24 via 10.7.7.7 dev eth0 onlink":                                     "10.9.11.0/24 via 10.7.7.7 dev eth0 proto keepalived onlink",
		"10.9.12.0/24 nexthop via 10.0.0.2 weight 2 nexthop via 10.1.0.2 dev d0 onlink": "10.9.12.0/24 proto keepalived nexthop via 10.0.0.2 dev eth0 weight 2 nexthop via 10.1.0.2 dev d0 weight 1 onlink",
		"10.9.13.0/24 via 10.0.0.2 or 10.0.0.3":                                         "",
		"2001:db8:9::/48 via 2001:db8::2 pref high":                                     "2001:db8:9::/48 via 2001:db8::2 dev eth0 proto keepalived metric 1024 pref high",
		"2001:db8:a::/48 from 2001:db8::/64 via 2001:db8::2 metric 5 expires 100":       "2001:db8:a::/48 from 2001:db8::/64 via 2001:db8::2 dev eth0 proto keepalived metric 5 expires",
		"inet6 default via 2001:db8::2 table 79":                                        "default via 2001:db8::2 dev eth0 table 79 proto keepalived metric 1024",
		"local 10.9.14.1 dev lo":                                                        "local 10.9.14.1 dev lo table local proto keepalived scope host",
	} {
		r, err := iproute.ParseRoute(strings.Fields(text))
		if want == "" {
			if r != nil && err == nil && strings.Contains(text, " or ") { // the old spelling of a multipath route
				continue
			}
			if err == nil {
				t.Errorf("%s: no error", text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		list := func() string {
			return show("-4", "route", "show", "table", "all") + " | " + show("-6", "route", "show", "table", "all")
		}
		add, err1 := r.Add(env)
		remove, err2 := r.Remove(env)
		if err := errors.Join(err1, err2); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if err := errors.Join(c.Do([]rtnl.Request{add})...); err != nil {
			t.Errorf("%s: add: %v", text, err)
			continue
		}
		if got := list(); !strings.Contains(got, want) {
			t.Errorf("%s: no %q in\n%s", text, want, got)
		}
		if err := errors.Join(c.Do([]rtnl.Request{remove})...); err != nil {
			t.Errorf("%s: remove: %v", text, err)
		}
		if got := list(); strings.Contains(got, want) {
			t.Errorf("%s: left over in\n%s", text, got)
		}
	}
	for text, want := range map[string]string{
		"from 10.0.0.1 table 77 preference 100":       "100: from 10.0.0.1 lookup 77 proto keepalived",
		"to 10.2.0.0/16 lookup main priority 101 not": "101: not from all to 10.2.0.0/16 lookup main proto keepalived",
		"from any fwmark 0x10/0xff iif eth0 oif d0 table 77 order 102 suppress_prefixlength 8 suppress_ifgroup 3": "102: from all fwmark 0x10/0xff iif eth0 oif d0 lookup 77 suppress_prefixlength 8 suppress_ifgroup 3 proto keepalived",
		"uidrange 10-20 ipproto tcp sport 1000-2000 dport 80 table 77 preference 103":                             "103: from all uidrange 10-20 ipproto tcp sport 1000-2000 dport 80 lookup 77 proto keepalived",
		"from 10.0.0.9 blackhole preference 104":                                                                  "104: from 10.0.0.9 blackhole proto keepalived",
		"from 10.0.0.9 type prohibit preference 105 tos 0x10":                                                     "105: from 10.0.0.9 tos 0x10 prohibit proto keepalived",
		"nop preference 106":                               "106: from all nop proto keepalived",
		"goto 300 preference 107":                          "107: from all goto 300",
		"from 2001:db8::/64 unreachable preference 108":    "108: from 2001:db8::/64 unreachable proto keepalived",
		"l3mdev preference 109":                            "109: from all lookup [l3mdev-table] proto keepalived",
		"from 10.0.0.3 realms 3/4 table 77 preference 110": "110: from 10.0.0.3 lookup 77 realms 3/4 proto keepalived",
	} {
		r, err := iproute.ParseRule(strings.Fields(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		list := func() string { return show("-4", "rule") + " | " + show("-6", "rule") }
		add, err1 := r.Add(env)
		remove, err2 := r.Remove(env)
		if err := errors.Join(append(c.Do([]rtnl.Request{add}), err1, err2)...); err != nil {
			if strings.Contains(err.Error(), "not supported") {
				t.Logf("%s: this kernel: %v", text, err)
				continue
			}
			t.Errorf("%s: add: %v", text, err)
			continue
		}
		if got := list(); !strings.Contains(got, want) {
			t.Errorf("%s: no %q in\n%s", text, want, got)
		}
		if err := errors.Join(c.Do([]rtnl.Request{remove})...); err != nil || strings.Contains(list(), want) {
			t.Errorf("%s: remove: %v, then\n%s", text, err, list())
		}
	}
}
