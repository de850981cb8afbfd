package vrrp_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// counting opens sockets and remembers of which protocol.
type counting struct {
	*vrrptest.Host
	opened []uint8
}

func (c *counting) Sockets() (vrrp.Sockets, error) {
	s, err := c.Host.Sockets()
	return countingSockets{s, c}, err
}

type countingSockets struct {
	vrrp.Sockets
	c *counting
}

func (s countingSockets) Open(socket vrrp.Socket, ready func()) (vrrp.Conn, error) {
	s.c.opened = append(s.c.opened, socket.Protocol)
	return s.Sockets.Open(socket, ready)
}

// with is an instance of version 2 with that authentication.
func with(priority uint8, auth vrrp.AuthType, peers ...vrrp.Peer) vrrp.Instance {
	in := instance(priority)
	in.Version, in.AuthType, in.Password, in.Peers = 2, auth, "ours", peers
	if auth == vrrp.AuthNone {
		in.Password = ""
	}
	return in
}

// TestAHAgainstNone: a router with AH and one without do not hear each other, and both are MASTER: each says why. When one of them is
// put right they agree, and nothing is left over.
func TestAHAgainstNone(t *testing.T) {
	for _, unicast := range []bool{false, true} {
		for _, other := range []vrrp.AuthType{vrrp.AuthNone, vrrp.AuthPass} {
			t.Run(fmt.Sprintf("%v, unicast %v", other, unicast), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lan := vrrptest.NewLAN()
					var toA, toB []vrrp.Peer
					if unicast {
						toA, toB = peers("10.0.0.1"), peers("10.0.0.2")
					}
					a := boot(t, lan.Host("10.0.0.1"), with(200, vrrp.AuthAH, toB...))
					b := boot(t, lan.Host("10.0.0.2"), with(100, other, toA...))
					time.Sleep(10 * time.Second)
					for name, s := range map[string]*station{"a": a, "b": b} {
						got := s.Status()[0]
						if got.State != vrrp.Master || got.Stats.AuthMismatches < 3 || got.Conflicts["auth"] != got.Stats.AuthMismatches {
							t.Errorf("%s is %v, conflicts %v, %+v", name, got.State, got.Conflicts, got.Stats)
						}
					}
					if err := b.Set([]vrrp.Instance{with(100, vrrp.AuthAH, toA...)}); err != nil {
						t.Fatal(err)
					}
					time.Sleep(3 * time.Second)
					before := b.Status()[0].Stats.AuthMismatches
					time.Sleep(10 * time.Second)
					if state(a) != vrrp.Master || state(b) != vrrp.Backup || b.Status()[0].Stats.AuthMismatches != before {
						t.Errorf("with AH on both: a %v, b %v, %+v", state(a), state(b), b.Status()[0].Stats)
					}
				})
			})
		}
	}
}

// TestTwinsCost: only version 2 over IPv4 has a second socket, and instances of both kinds on a link share two.
func TestTwinsCost(t *testing.T) {
	three, six, ah := instance(100), instance(100), with(100, vrrp.AuthAH)
	six.Name, six.Addrs, six.Version = "six", vrrp.MustAddresses("fe80::100"), 2
	ah.Name, ah.VRID, ah.Addrs = "ah", 52, vrrp.MustAddresses("10.0.0.101")
	for name, c := range map[string]struct {
		addr string
		in   []vrrp.Instance
		want string
	}{
		"version 3":       {"10.0.0.1", []vrrp.Instance{three}, "[112]"},
		"version 2, IPv6": {"fe80::1", []vrrp.Instance{six}, "[112]"},
		"version 2":       {"10.0.0.1", []vrrp.Instance{with(100, vrrp.AuthPass)}, "[112 51]"},
		"AH":              {"10.0.0.1", []vrrp.Instance{with(100, vrrp.AuthAH)}, "[51 112]"},
		"both":            {"10.0.0.1", []vrrp.Instance{with(100, vrrp.AuthNone), ah}, "[112 51]"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := &counting{Host: vrrptest.NewLAN().Host(c.addr)}
				r := vrrp.NewRouter(vrrp.Options{Network: host})
				if err := r.Set(c.in); err != nil {
					t.Fatal(err)
				}
				done := make(chan error)
				ctx, cancel := context.WithCancel(t.Context())
				go func() { done <- r.Run(ctx) }()
				<-r.Ready()
				time.Sleep(5 * time.Second)
				if got := fmt.Sprint(host.opened); got != c.want {
					t.Errorf("sockets of protocols %s, want %s", got, c.want)
				}
				for _, s := range r.Status() {
					if s.State != vrrp.Master || len(s.Conflicts) > 0 {
						t.Errorf("%v: %v, %v", &s.Instance, s.State, s.Conflicts)
					}
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
