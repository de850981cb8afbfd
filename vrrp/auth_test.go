package vrrp_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// TestAuthenticatedPairs: two Routers that share a secret elect a MASTER; one of higher priority that has none, or another, is
// not believed, and that is counted and told.
func TestAuthenticatedPairs(t *testing.T) {
	secret := func(in *vrrp.Instance, with string) {
		in.HMAC = vrrp.HMAC{Keys: []vrrp.HMACKey{{ID: 1, Secret: strings.Repeat(with, 40)}}, Active: 1}
	}
	for name, c := range map[string]struct {
		a, b, c, vip  string
		ours, another func(in *vrrp.Instance)
		counted       func(s vrrp.Stats) uint64
	}{
		"PASS": {"10.0.0.1", "10.0.0.2", "10.0.0.3", vip,
			func(in *vrrp.Instance) { in.Version, in.AuthType, in.Password = 2, vrrp.AuthPass, "ours" },
			func(in *vrrp.Instance) { in.Password = "another" },
			func(s vrrp.Stats) uint64 { return s.AuthFailures }},
		"AH": {"10.0.0.1", "10.0.0.2", "10.0.0.3", vip,
			func(in *vrrp.Instance) { in.Version, in.AuthType, in.Password = 2, vrrp.AuthAH, "ours" },
			func(in *vrrp.Instance) { in.Password = "another" },
			func(s vrrp.Stats) uint64 { return s.AuthFailures }},
		"HMAC, version 2": {"10.0.0.1", "10.0.0.2", "10.0.0.3", vip,
			func(in *vrrp.Instance) { in.Version = 2; secret(in, "o") },
			func(in *vrrp.Instance) { in.HMAC = vrrp.HMAC{} },
			func(s vrrp.Stats) uint64 { return s.HMACMissing }},
		"HMAC": {"10.0.0.1", "10.0.0.2", "10.0.0.3", vip,
			func(in *vrrp.Instance) { secret(in, "o") },
			func(in *vrrp.Instance) { secret(in, "a") },
			func(s vrrp.Stats) uint64 { return s.HMACInvalid }},
		"HMAC, IPv6": {"fe80::1", "fe80::2", "fe80::3", "fe80::100",
			func(in *vrrp.Instance) { secret(in, "o") },
			func(in *vrrp.Instance) { in.HMAC.Keys[0].ID, in.HMAC.Active = 2, 2 },
			func(s vrrp.Stats) uint64 { return s.HMACUnknownKey }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lan := vrrptest.NewLAN()
				wish := func(priority uint8, edits ...func(in *vrrp.Instance)) vrrp.Instance {
					in := instance(priority)
					in.Addrs = vrrp.MustAddresses(c.vip)
					for _, edit := range append([]func(in *vrrp.Instance){c.ours}, edits...) {
						edit(&in)
					}
					return in
				}
				a := boot(t, lan.Host(c.a), wish(200))
				b := boot(t, lan.Host(c.b), wish(100))
				time.Sleep(10 * time.Second)
				if state(a) != vrrp.Master || state(b) != vrrp.Backup || b.Status()[0].Stats.AdvertsReceived < 5 {
					t.Fatalf("a %v, b %v: %+v", state(a), state(b), b.Status()[0].Stats)
				}
				boot(t, lan.Host(c.c), wish(250, c.another))
				time.Sleep(10 * time.Second)
				if state(a) != vrrp.Master || state(b) != vrrp.Backup {
					t.Errorf("an intruder made a %v and b %v", state(a), state(b))
				}
				s := a.Status()[0]
				if c.counted(s.Stats) == 0 || s.Conflicts["auth"] == 0 {
					t.Errorf("a counted %+v, %v", s.Stats, s.Conflicts)
				}
				a.stop()
				time.Sleep(2 * time.Second)
				if state(b) != vrrp.Master {
					t.Errorf("a has left, b is %v", state(b))
				}
			})
		})
	}
}
