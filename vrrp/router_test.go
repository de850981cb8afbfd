package vrrp_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

const vip = "10.0.0.100"

func instance(priority uint8) vrrp.Instance {
	return vrrp.Instance{
		Name: "web", Interface: vrrptest.Interface, VRID: 51, Priority: priority,
		Addrs: vrrp.MustAddresses(vip),
	}
}

// station is a Router on a host of the LAN.
type station struct {
	*vrrp.Router
	host *vrrptest.Host
	stop func()

	mu    sync.Mutex
	heard []string
}

func (s *station) transitions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.heard...)
}

func boot(t *testing.T, host *vrrptest.Host, in ...vrrp.Instance) *station {
	t.Helper()
	s := &station{host: host}
	s.Router = vrrp.NewRouter(vrrp.Options{Network: host, OnTransition: func(tr vrrp.Transition) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.heard = append(s.heard, fmt.Sprintf("%v -> %v", tr.From, tr.To))
	}})
	if err := s.Set(in); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

func state(s *station) vrrp.State { return s.Status()[0].State }

func wantHolders(t *testing.T, lan *vrrptest.LAN, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := lan.Holders(vip); !reflect.DeepEqual(got, want) {
		t.Fatalf("%s is on %v, want %v", vip, got, want)
	}
}

// TestTwoRouters is the life of a pair: election, preemption, orderly leave, sudden death, a healed link.
func TestTwoRouters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		a := boot(t, lan.Host("10.0.0.1"), instance(100))
		time.Sleep(3600 * time.Millisecond)
		wantHolders(t, lan)
		time.Sleep(20 * time.Millisecond)
		wantHolders(t, lan, "10.0.0.1")

		b := boot(t, lan.Host("10.0.0.2"), instance(200))
		time.Sleep(3300 * time.Millisecond) // b preempts after 3.21875 s
		wantHolders(t, lan, "10.0.0.2")
		if state(a) != vrrp.Backup || a.Status()[0].Master.String() != "10.0.0.2" {
			t.Fatalf("a: %+v", a.Status()[0])
		}

		b.stop() // priority 0: a needs its skew of 609 ms only
		time.Sleep(time.Millisecond)
		wantHolders(t, lan)
		time.Sleep(610 * time.Millisecond)
		wantHolders(t, lan, "10.0.0.1")

		c := boot(t, lan.Host("10.0.0.3"), instance(200))
		time.Sleep(5 * time.Second)
		wantHolders(t, lan, "10.0.0.3")
		c.host.Cut()
		time.Sleep(5 * time.Second)
		wantHolders(t, lan, "10.0.0.1", "10.0.0.3") // neither can know better
		c.host.Restore()
		time.Sleep(1100 * time.Millisecond)
		wantHolders(t, lan, "10.0.0.3")
		want := []string{"INIT -> BACKUP", "BACKUP -> MASTER", "MASTER -> BACKUP", "BACKUP -> MASTER", "MASTER -> BACKUP", "BACKUP -> MASTER", "MASTER -> BACKUP"}
		if got := a.transitions(); !reflect.DeepEqual(got, want) {
			t.Errorf("a went %v, want %v", got, want)
		}
	})
}

// TestModes: the same election by IPv6, by unicast and on another group; strangers of another mode do not take part.
func TestModes(t *testing.T) {
	addrs := func(list ...string) (out []netip.Addr) {
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	for name, c := range map[string]struct {
		a, b, vip string
		mode      func(in *vrrp.Instance, peer string)
	}{
		"IPv6":          {"fe80::1", "fe80::2", "fe80::100", func(*vrrp.Instance, string) {}},
		"unicast":       {"10.0.0.1", "10.0.0.2", "10.0.0.100", func(in *vrrp.Instance, peer string) { in.Peers = peers("10.0.0.77", peer) }},
		"IPv6 unicast":  {"fe80::1", "fe80::2", "2001:db8::100", func(in *vrrp.Instance, peer string) { in.Peers = peers(peer) }},
		"another group": {"10.0.0.1", "10.0.0.2", "10.0.0.100", func(in *vrrp.Instance, _ string) { in.Group = addrs("224.0.0.99")[0] }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lan := vrrptest.NewLAN()
				wish := func(priority uint8, peer string) vrrp.Instance {
					in := instance(priority)
					vip := netip.MustParseAddr(c.vip)
					in.Addrs = vrrp.MustAddresses(vip.String())
					c.mode(&in, peer)
					return in
				}
				holders := func(want ...string) {
					t.Helper()
					if got := lan.Holders(c.vip); !slices.Equal(got, want) {
						t.Errorf("holders: %v, want %v", got, want)
					}
				}
				boot(t, lan.Host(c.a), wish(100, c.b))
				time.Sleep(5 * time.Second)
				holders(c.a)
				b := boot(t, lan.Host(c.b), wish(200, c.a))
				time.Sleep(5 * time.Second)
				holders(c.b)
				stranger := instance(250)
				stranger.Addrs = vrrp.MustAddresses("10.0.0.200")
				boot(t, lan.Host("10.0.0.9"), stranger)
				time.Sleep(10 * time.Second)
				if holders(c.b); len(lan.Holders("10.0.0.200")) == 0 {
					t.Error("the stranger does not hold its own address")
				}
				b.stop()
				time.Sleep(time.Second)
				holders(c.a)
			})
		})
	}
}

func peers(list ...string) (out []vrrp.Peer) {
	for _, a := range list {
		out = append(out, vrrp.Peer{Addr: netip.MustParseAddr(a)})
	}
	return out
}

// TestExcludedAddresses: they come and go with the others, and no advert has them.
func TestExcludedAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		in := instance(100)
		in.Excluded = vrrp.MustAddresses("10.0.0.150", "2001:db8::150")
		a := boot(t, lan.Host("10.0.0.1"), in)
		b := boot(t, lan.Host("10.0.0.2"), instance(90))
		time.Sleep(10 * time.Second)
		for _, addr := range []string{vip, "10.0.0.150", "2001:db8::150"} {
			if h := lan.Holders(addr); len(h) != 1 || h[0] != "10.0.0.1" {
				t.Errorf("%s is on %v", addr, h)
			}
		}
		if s := b.Status()[0].Stats; s.AddressListErrors != 0 || s.AdvertsReceived == 0 {
			t.Errorf("b: %+v", s)
		}
		in.Excluded = in.Excluded[:1]
		if err := a.Set([]vrrp.Instance{in}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if h := lan.Holders("2001:db8::150"); len(h) != 0 {
			t.Errorf("an address that is gone is on %v", h)
		}
		a.stop()
		if h := lan.Holders("10.0.0.150"); len(h) != 0 {
			t.Errorf("after the end the address is on %v", h)
		}
	})
}

// TestLateTimerReadsAdvertsFirst: a Router that nobody told of the MASTER's adverts finds its timer run out and the adverts
// in its socket, as a process does that was stopped for a while. It must stay BACKUP.
func TestLateTimerReadsAdvertsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		a := boot(t, lan.Host("10.0.0.1"), instance(200))
		time.Sleep(4 * time.Second)
		b := vrrp.NewRouter(vrrp.Options{Network: untold{lan.Host("10.0.0.2")}})
		if err := b.Set([]vrrp.Instance{instance(100)}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go b.Run(ctx)
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := b.Status()[0]; s.State != vrrp.Backup || s.Stats.BecomeMaster != 0 || s.Stats.AdvertsReceived == 0 {
			t.Fatalf("after a minute of late timers: %+v", s)
		}
		a.stop()
		time.Sleep(10 * time.Second)
		wantHolders(t, lan, "10.0.0.2")
	})
}

// untold is a host whose sockets never say that there is something to read.
type untold struct{ *vrrptest.Host }

func (u untold) Sockets() (vrrp.Sockets, error) {
	s, err := u.Host.Sockets()
	return mute{s}, err
}

type mute struct{ vrrp.Sockets }

func (m mute) Open(s vrrp.Socket, ready func()) (vrrp.Conn, error) {
	c, err := m.Sockets.Open(s, ready)
	return c, errors.Join(err, c.Listen(false))
}

// TestSlowHostApplication: a callback that hangs delays no advert.
func TestSlowHostApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		release := make(chan struct{})
		r := vrrp.NewRouter(vrrp.Options{Network: lan.Host("10.0.0.1"), OnTransition: func(vrrp.Transition) { <-release }})
		if err := r.Set([]vrrp.Instance{instance(200)}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		b := boot(t, lan.Host("10.0.0.2"), instance(100))
		time.Sleep(time.Minute)
		wantHolders(t, lan, "10.0.0.1")
		if sent := r.Status()[0].Stats.AdvertsSent; sent != 57 || state(b) != vrrp.Backup {
			t.Fatalf("%d adverts in a minute, the other is %v", sent, state(b))
		}
		close(release)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestInterfaceComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		host := lan.Host("10.0.0.1")
		host.Remove()
		a := boot(t, host, instance(100))
		time.Sleep(time.Minute)
		if state(a) != vrrp.Fault {
			t.Fatalf("without an interface: %v", state(a))
		}
		host.Create()
		time.Sleep(4 * time.Second)
		wantHolders(t, lan, "10.0.0.1")
		host.Down()
		time.Sleep(time.Second)
		if state(a) != vrrp.Fault {
			t.Fatalf("with the link down: %v", state(a))
		}
		wantHolders(t, lan)
		host.Up()
		time.Sleep(4 * time.Second)
		wantHolders(t, lan, "10.0.0.1")
		host.Remove()
		host.Create()
		time.Sleep(4 * time.Second)
		b := boot(t, lan.Host("10.0.0.2"), instance(200))
		time.Sleep(4 * time.Second)
		if state(a) != vrrp.Backup || state(b) != vrrp.Master {
			t.Fatalf("the new interface is deaf: a %v, b %v", state(a), state(b))
		}
	})
}

// TestUnicastTellsWhereItIs: back from FAULT, peers must find the way here again.
func TestUnicastTellsWhereItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		in := instance(100)
		in.Peers = peers("10.0.0.2")
		a := boot(t, lan.Host("10.0.0.1"), in)
		a.host.Down()
		time.Sleep(time.Second)
		a.host.Up()
		time.Sleep(time.Second)
		if trace := lan.Trace(); len(trace) != 1 || trace[0] != "10.0.0.1 announce 10.0.0.1" {
			t.Errorf("the LAN saw %q", trace)
		}
	})
}

// TestSetWakesARunningRouter: what is set while nothing was there takes part too.
func TestSetWakesARunningRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		a := boot(t, lan.Host("10.0.0.1"))
		time.Sleep(time.Minute)
		if err := a.Set([]vrrp.Instance{instance(100)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		wantHolders(t, lan, "10.0.0.1")
	})
}

func TestTrackingMovesPriorityAndFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		a := boot(t, lan.Host("10.0.0.1"), instance(150))
		b := boot(t, lan.Host("10.0.0.2"), instance(100))
		time.Sleep(5 * time.Second)
		wantHolders(t, lan, "10.0.0.1")
		a.SetTracking("web", vrrp.Tracking{Priority: -100, Reason: "application is gone"})
		time.Sleep(5 * time.Second)
		wantHolders(t, lan, "10.0.0.2")
		a.SetTracking("web", vrrp.Tracking{})
		time.Sleep(5 * time.Second)
		wantHolders(t, lan, "10.0.0.1")
		a.SetTracking("web", vrrp.Tracking{Fault: true, Reason: "disk"})
		time.Sleep(700 * time.Millisecond)
		wantHolders(t, lan, "10.0.0.2")
		if state(a) != vrrp.Fault || state(b) != vrrp.Master {
			t.Fatalf("a %v, b %v", state(a), state(b))
		}
	})
}

func TestSetChangesInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		a := boot(t, lan.Host("10.0.0.1"), instance(100))
		time.Sleep(10 * time.Second)
		before := len(lan.Trace())
		if err := a.Set([]vrrp.Instance{instance(100)}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := lan.Trace()[before:]; len(got) != 0 {
			t.Fatalf("the same wish again did %v", got)
		}
		changed := instance(120)
		changed.Addrs = vrrp.MustAddresses("10.0.0.101")
		if err := a.Set([]vrrp.Instance{changed}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		got := strings.Join(lan.Trace()[before:before+3], "; ")
		if want := "10.0.0.1 remove 10.0.0.100/32; 10.0.0.1 add 10.0.0.101/32; 10.0.0.1 announce 10.0.0.101"; got != want {
			t.Fatalf("did %q, want %q", got, want)
		}
		if s := a.Status()[0]; s.State != vrrp.Master || s.Priority != 120 {
			t.Fatalf("%+v", s)
		}
		if err := a.Set(nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if left := lan.Holders("10.0.0.101"); len(left) != 0 {
			t.Fatalf("a removed instance left its address on %v", left)
		}
	})
}

func TestSetRefusesAsAWhole(t *testing.T) {
	r := vrrp.NewRouter(vrrp.Options{Network: vrrptest.NewLAN().Host("10.0.0.1")})
	twin := instance(100)
	twin.Name = "twin"
	err := r.Set([]vrrp.Instance{instance(100), twin})
	if err == nil || !strings.Contains(err.Error(), "both have VRID 51") {
		t.Fatalf("two instances of one VRID: %v", err)
	}
	if len(r.Status()) != 0 {
		t.Fatal("a refused wish is in force")
	}
	bad := instance(100)
	bad.Interval = time.Hour
	if err := r.Set([]vrrp.Instance{bad}); !errors.Is(err, vrrp.ErrInterval) {
		t.Fatalf("an interval of an hour: %v", err)
	}
}

// TestHostilePacketsChangeNothing: they are counted, and the MASTER goes on.
func TestHostilePacketsChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		a := boot(t, lan.Host("10.0.0.1"), instance(100))
		time.Sleep(4 * time.Second)
		attacker := netip.MustParseAddr("10.0.0.66")
		good := vrrp.Advertisement{Version: 3, VRID: 51, Priority: 255, Interval: time.Second, Addrs: []netip.Addr{netip.MustParseAddr(vip)}}
		wire, err := good.AppendPacket(nil, attacker, vrrp.GroupIPv4)
		if err != nil {
			t.Fatal(err)
		}
		for range 500 {
			lan.Inject(attacker, 64, wire)                                                         // through a router
			lan.Inject(attacker, 255, wire[:9])                                                    // cut off
			lan.Inject(attacker, 255, append([]byte{0x31, 51, 255, 1, 0, 100, 1, 2}, 10, 0, 0, 1)) // wrong checksum
			lan.Inject(attacker, 255, []byte{1})
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond) // a look at a socket that brings many packets may be that late
		s := a.Status()[0]
		if s.State != vrrp.Master || s.Stats.TTLErrors != 500 || s.Stats.LengthErrors != 500 || s.Stats.ChecksumErrors != 500 {
			t.Fatalf("%v %+v", s.State, s.Stats)
		}
		if s.Stats.AdvertsSent != 6 { // at 3.6, 4.6, ... 8.6 s
			t.Fatalf("%d adverts in 9 s: the flood moved the schedule", s.Stats.AdvertsSent)
		}
	})
}
