package vrrp_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// TestNetNoAccept: a MASTER that accepts no traffic answers nobody at its addresses, and neighbours find them all the same. A
// link-local address is refused on its interface only: another one may have the same. The table ends with the last address.
func TestNetNoAccept(t *testing.T) {
	lab.Need(t, "ip", "ping", "nft")
	for name, fw := range map[string]vrrp.Firewall{"by name": {}, "by index": {Table: "own", Counters: true, ByIndex: true}} {
		t.Run(name, func(t *testing.T) {
			n := lab.New(t)
			h, client := n.Host("a", "10.0.0.1/24", "2001:db8::1/64"), n.Host("c", "10.0.0.9/24", "2001:db8::9/64", "fe80::9/64")
			h.MustRun("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth2")
			h.Sysctl("net.ipv6.conf.eth1.accept_dad", "0")
			h.MustRun("ip", "link", "set", "eth1", "up")
			h.MustRun("ip", "link", "set", "eth2", "up")
			in := instance(200)
			in.Interval, in.NoAccept = 50*time.Millisecond, true
			in.Excluded = vrrp.MustAddresses("2001:db8::100/64", "fe80::100/64")
			r := vrrp.NewRouter(vrrp.Options{Network: inHost{vrrp.HostNetwork(), h}})
			if err := errors.Join(r.SetHost(vrrp.Host{Firewall: fw}), r.Set([]vrrp.Instance{in})); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- r.Run(ctx) }()
			eventually(t, 5*time.Second, "the last address is held", func() bool { return on(h, "eth0", "fe80::100") })
			h.MustRun("ip", "addr", "add", "fe80::100/64", "dev", "eth1", "nodad")
			for _, addr := range []string{vip, "2001:db8::100", "fe80::100%eth0"} {
				if out, err := client.Run(t.Context(), "ping", "-c1", "-W0.3", addr); err == nil {
					t.Errorf("%s answers: %s", addr, out)
				}
				addr, _, _ := strings.Cut(addr, "%")
				if out := client.MustRun("ip", "neigh", "show", addr); !strings.Contains(out, "lladdr") {
					t.Errorf("the neighbour %s is not found: %q", addr, out)
				}
			}
			for _, addr := range []string{"10.0.0.1", "2001:db8::1"} {
				if _, err := client.Run(t.Context(), "ping", "-c1", "-W2", addr); err != nil {
					t.Errorf("the host's own address: %v", err)
				}
			}
			if out, err := h.Run(t.Context(), "ping", "-c1", "-W2", "fe80::100%eth1"); err != nil {
				t.Errorf("the same address on another interface: %v\n%s", err, out)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if out := h.MustRun("nft", "list", "tables"); strings.TrimSpace(out) != "" {
				t.Errorf("left over: %s", out)
			}
		})
	}
}
