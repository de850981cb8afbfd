package vrrp_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// TestKernelIPVLAN: adverts and addresses are on an ipvlan, which has the MAC address of its parent; clients reach the address
// there; whoever takes the link or its address away is put right; nothing is left behind.
func TestKernelIPVLAN(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	for name, c := range map[string]struct {
		addr, source string // of the virtual router, and that adverts come from
		edit         func(in *vrrp.Instance)
		want         string // in what ip -d link says
	}{
		"plain": {"10.0.0.100/24", "10.0.0.1", func(*vrrp.Instance) {}, "ipvlan  mode l2 bridge"},
		"own address": {"10.0.0.100/24", "10.0.0.11", func(in *vrrp.Instance) {
			in.IPVLAN.Name, in.IPVLAN.Addr, in.IPVLAN.Private = "vip0", netip.MustParsePrefix("10.0.0.11/24"), true
		}, "ipvlan  mode l2 private"},
		"unicast": {"10.0.0.100/24", "10.0.0.11", func(in *vrrp.Instance) {
			in.IPVLAN.Addr, in.IPVLAN.VEPA, in.IPVLAN.Group = netip.MustParsePrefix("10.0.0.11/24"), true, 7
			in.Peers = []vrrp.Peer{{Addr: netip.MustParseAddr("10.0.0.12")}}
		}, "ipvlan  mode l2 vepa"},
		"IPv6": {"2001:db8::100/64", "fe80::11", func(in *vrrp.Instance) {
			in.IPVLAN.Addr = netip.MustParsePrefix("fe80::11/64")
		}, "ipvlan  mode l2 bridge"},
	} {
		t.Run(name, func(t *testing.T) {
			n := lab.New(t)
			a, b, client := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24"), n.Host("client", "10.0.0.9/24", "2001:db8::9/64")
			a.Sysctl("net.ipv4.conf.all.rp_filter", "1")
			before := sysctls(t, a)
			wish := func(priority uint8) vrrp.Instance {
				in := instance(priority)
				in.Interval, in.Addrs, in.IPVLAN.Use = 50*time.Millisecond, vrrp.MustAddresses(c.addr), true
				c.edit(&in)
				if own := in.IPVLAN.Addr; own.IsValid() && priority == 100 {
					in.IPVLAN.Addr = netip.PrefixFrom(own.Addr().Next(), own.Bits())
					in.Peers = nil
					if name == "unicast" {
						in.Peers = []vrrp.Peer{{Addr: own.Addr()}}
					}
				}
				return in
			}
			link, addr := "vrrp.51", strings.Split(c.addr, "/")[0]
			if n := wish(1).IPVLAN.Name; n != "" {
				link = n
			}
			ra, stopA := runInHost(t, a, wish(200))
			eventually(t, 20*time.Second, "a holds the address", func() bool { return on(a, link, addr) })
			if s := ra.Status()[0]; s.Source.String() != c.source {
				t.Errorf("adverts come from %v, want %s", s.Source, c.source)
			}
			if out := a.MustRun("ip", "-d", "link", "show", link); !strings.Contains(out, c.want) || !strings.Contains(out, "group "+map[bool]string{true: "7", false: "default"}[name == "unicast"]) {
				t.Errorf("the link is not as wished: %s", out)
			}
			rb, stopB := runInHost(t, b, wish(100))
			eventually(t, 20*time.Second, "b hears a", func() bool { return rb.Status()[0].Stats.AdvertsReceived > 3 })
			if s := rb.Status()[0]; s.State != vrrp.Backup || s.Stats.BecomeMaster > 0 || s.Master.String() != c.source {
				t.Errorf("b: %+v", s)
			}
			eventually(t, 20*time.Second, "the client reaches the address", func() bool {
				_, err := client.Run(t.Context(), "ping", "-c1", "-W1", addr)
				return err == nil
			})
			if name == "plain" {
				exchangeIPVLAN(t, ra, a, wish(200), addr)
			}
			if name == "own address" {
				disturbIPVLAN(t, a, b, link, addr, wish(200).IPVLAN.Addr)
			}
			stopB()
			stopA()
			if out, err := a.Run(t.Context(), "ip", "link", "show", link); err == nil {
				t.Errorf("the link is left over: %s", out)
			}
			if after := sysctls(t, a); after != before {
				t.Errorf("sysctls were\n%s\nand are\n%s", before, after)
			}
		})
	}
}

// exchangeIPVLAN makes the link one with a virtual MAC address, and back.
func exchangeIPVLAN(t *testing.T, r *vrrp.Router, h *lab.Host, in vrrp.Instance, addr string) {
	other := in
	other.IPVLAN.Use, other.VMAC.Use = false, true
	for _, c := range []struct {
		in   vrrp.Instance
		kind string
	}{{other, "macvlan mode private"}, {in, "ipvlan  mode l2"}} {
		if err := r.Set([]vrrp.Instance{c.in}); err != nil {
			t.Fatal(err)
		}
		eventually(t, 20*time.Second, "the address is on a "+c.kind, func() bool {
			out, err := h.Run(t.Context(), "ip", "-d", "link", "show", "vrrp.51")
			return err == nil && strings.Contains(out, c.kind) && on(h, "vrrp.51", addr)
		})
	}
}

// disturbIPVLAN takes from a what it has, and from b the way to it.
func disturbIPVLAN(t *testing.T, a, b *lab.Host, link, addr string, own netip.Prefix) {
	a.MustRun("ip", "addr", "del", own.String(), "dev", link)
	eventually(t, 20*time.Second, "a has the link's own address again", func() bool { return on(a, link, own.Addr().String()) })
	a.MustRun("ip", "link", "del", link)
	eventually(t, 20*time.Second, "a makes its link again", func() bool { return on(a, link, addr) && !on(b, link, addr) })
	a.Cut()
	eventually(t, 20*time.Second, "b takes over", func() bool { return on(b, link, addr) })
	a.Restore()
	eventually(t, 20*time.Second, "a is back", func() bool { return on(a, link, addr) && !on(b, link, addr) })
}
