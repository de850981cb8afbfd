package vrrp_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/internal/ipheader"
	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// broken is a host whose sockets do not work while it says so.
type broken struct {
	*vrrptest.Host
	mu                     sync.Mutex
	opening, reading, send error
	opened                 int
}

func (b *broken) fails(opening, reading, send error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opening, b.reading, b.send = opening, reading, send
}

func (b *broken) Sockets() (vrrp.Sockets, error) {
	s, err := b.Host.Sockets()
	return brokenSockets{s, b}, err
}

type brokenSockets struct {
	vrrp.Sockets
	b *broken
}

func (s brokenSockets) Open(socket vrrp.Socket, ready func()) (vrrp.Conn, error) {
	b := s.b
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opened++
	if b.opening != nil {
		return nil, b.opening
	}
	c, err := s.Sockets.Open(socket, ready)
	return brokenConn{c, b}, err
}

type brokenConn struct {
	vrrp.Conn
	b *broken
}

func (c brokenConn) Recv(packets []vrrp.Packet) (int, error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.b.reading != nil {
		return 0, c.b.reading
	}
	return c.Conn.Recv(packets)
}

func (c brokenConn) Send(datagrams []vrrp.Datagram) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.b.send == nil {
		c.Conn.Send(datagrams)
		return
	}
	for i := range datagrams {
		datagrams[i].Err = c.b.send
	}
}

// talk is a station whose log, transitions and conflicts are kept.
type talk struct {
	*vrrp.Router
	mu        sync.Mutex
	log       bytes.Buffer
	moves     []vrrp.Transition
	conflicts []vrrp.Conflict
}

func (k *talk) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.log.Write(b)
}

func (k *talk) count(text string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Count(k.log.String(), text)
}

func listenTo(t *testing.T, network vrrp.Network, level slog.Level, in ...vrrp.Instance) *talk {
	t.Helper()
	k := &talk{}
	k.Router = vrrp.NewRouter(vrrp.Options{
		Network: network, Logger: slog.New(slog.NewTextHandler(k, &slog.HandlerOptions{Level: level})),
		OnTransition: func(tr vrrp.Transition) { k.mu.Lock(); defer k.mu.Unlock(); k.moves = append(k.moves, tr) },
		OnConflict:   func(c vrrp.Conflict) { k.mu.Lock(); defer k.mu.Unlock(); k.conflicts = append(k.conflicts, c) },
	})
	if err := k.Set(in); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return k
}

func (k *talk) only(t *testing.T) vrrp.InstanceStatus {
	t.Helper()
	synctest.Wait()
	all := k.Status()
	if len(all) != 1 {
		t.Fatalf("%d instances", len(all))
	}
	return all[0]
}

// TestSocketsThatBreakAreOpenedAgain: one that cannot be read takes its instances to nothing worse than a new socket, and one that cannot be
// opened to FAULT until it can.
func TestSocketsThatBreakAreOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		b := &broken{Host: lan.Host("10.0.0.1")}
		k := listenTo(t, b, slog.LevelInfo, instance(200))
		other := boot(t, lan.Host("10.0.0.2"), instance(250))
		time.Sleep(5 * time.Second)
		if k.only(t).State != vrrp.Backup || b.opened != 1 {
			t.Fatalf("%v, %d sockets", k.only(t).State, b.opened)
		}
		b.fails(nil, errors.New("torn"), nil)
		time.Sleep(1500 * time.Millisecond) // an advert comes, and cannot be read
		b.fails(nil, nil, nil)
		time.Sleep(20 * time.Second)
		if s := k.only(t); s.State != vrrp.Backup || b.opened < 2 {
			t.Errorf("%v, %d sockets", s.State, b.opened)
		}
		if k.count("receive adverts") == 0 || k.count("torn") == 0 {
			t.Errorf("the log says nothing of it:\n%s", k.log.String())
		}
		b.fails(errors.New("no descriptor"), errors.New("torn"), nil)
		time.Sleep(20 * time.Second)
		if s := k.only(t); s.State != vrrp.Fault {
			t.Errorf("without a socket: %v", s.State)
		}
		b.fails(nil, nil, nil)
		other.stop()
		time.Sleep(20 * time.Second)
		wantHolders(t, lan, "10.0.0.1")
	})
}

// TestAdvertsThatCannotBeSentAreCounted, and of a peer that is a conflict.
func TestAdvertsThatCannotBeSentAreCounted(t *testing.T) {
	for name, unicast := range map[string]bool{"multicast": false, "unicast": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &broken{Host: vrrptest.NewLAN().Host("10.0.0.1")}
				in := instance(200)
				if unicast {
					in.Peers = peers("10.0.0.9")
				}
				k := listenTo(t, b, slog.LevelDebug, in)
				b.fails(nil, nil, errors.New("no route to host"))
				time.Sleep(10 * time.Second)
				s := k.only(t)
				if s.State != vrrp.Master || s.Stats.SendErrors != 7 || s.Stats.AdvertsSent != 0 {
					t.Errorf("%v, %+v", s.State, s.Stats)
				}
				told := 0
				if unicast {
					told = 1
				}
				if int(min(s.Conflicts["peer"], 1)) != told || len(k.conflicts) != told || told == 1 && k.conflicts[0].From != netip.MustParseAddr("10.0.0.9") {
					t.Errorf("conflicts %v, told %v", s.Conflicts, k.conflicts)
				}
				if k.count("no route to host") < 7 {
					t.Errorf("the log:\n%s", k.log.String())
				}
				b.fails(nil, nil, nil)
				time.Sleep(2 * time.Second)
				if s := k.only(t).Stats; s.SendErrors != 7 || s.AdvertsSent != 2 {
					t.Errorf("and then %+v", s)
				}
			})
		})
	}
}

// TestRejectedAdvertsAreLoggedOnce of a kind, until the state changes: a flood must not fill the disk.
func TestRejectedAdvertsAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		k := listenTo(t, lan.Host("10.0.0.1"), slog.LevelWarn, instance(100))
		good := vrrp.Advertisement{Version: 3, VRID: 51, Priority: 50, Interval: time.Second, Addrs: []netip.Addr{netip.MustParseAddr(vip)}}
		from := netip.MustParseAddr("10.0.0.66")
		wire, err := good.AppendPacket(nil, from, vrrp.GroupIPv4)
		if err != nil {
			t.Fatal(err)
		}
		flood := func() {
			for range 50 {
				lan.Inject(from, 64, wire)
				lan.Inject(from, 255, wire[:9])
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		flood()
		flood()
		if n := k.count("advert rejected"); n != 2 {
			t.Errorf("%d lines of two kinds", n)
		}
		time.Sleep(5 * time.Second) // it is MASTER now
		flood()
		if n := k.count("advert rejected"); n != 4 {
			t.Errorf("%d lines of two kinds in two states", n)
		}
	})
}

// TestStatsTellOfDepartures, and a Transition how long the former MASTER had been silent.
func TestStatsTellOfDepartures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		k := listenTo(t, lan.Host("10.0.0.1"), slog.LevelDebug, instance(100))
		time.Sleep(5 * time.Second)
		other := boot(t, lan.Host("10.0.0.2"), instance(200))
		time.Sleep(5 * time.Second)
		other.stop()
		if s := other.Status()[0].Stats; s.PriorityZeroSent != 1 || s.AdvertsSent != s.PriorityZeroSent+2 {
			t.Errorf("the one that left: %+v", s)
		}
		time.Sleep(5 * time.Second)
		if s := k.only(t).Stats; s.PriorityZeroReceived != 1 || s.PriorityZeroSent != 0 || s.AdvertsReceived != 3 {
			t.Errorf("the other: %+v", s)
		}
		if first, last := k.moves[1], k.moves[len(k.moves)-1]; first.Took != 0 || last.Took < 600*time.Millisecond || last.Took > 620*time.Millisecond {
			t.Errorf("alone: %v; after a departure: %v", first.Took, last.Took)
		}
		if k.count("advert received") != 3 || k.count("from=BACKUP to=MASTER") != 2 {
			t.Errorf("the log:\n%s", k.log.String())
		}
	})
}

// TestOtherChecksumFormIsTold: it is accepted, and not what we send.
func TestOtherChecksumFormIsTold(t *testing.T) {
	for form, want := range map[vrrp.Checksum]uint64{vrrp.ChecksumPseudo: 0, vrrp.ChecksumMessage: 3} {
		synctest.Test(t, func(t *testing.T) {
			lan := vrrptest.NewLAN()
			k := listenTo(t, lan.Host("10.0.0.1"), slog.LevelWarn, instance(100))
			good := vrrp.Advertisement{Version: 3, VRID: 51, Priority: 200, Interval: time.Second, Checksum: form, Addrs: []netip.Addr{netip.MustParseAddr(vip)}}
			from := netip.MustParseAddr("10.0.0.66")
			wire, err := good.AppendPacket(nil, from, vrrp.GroupIPv4)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			for range 3 {
				lan.Inject(from, 255, wire)
				time.Sleep(time.Second)
			}
			if s := k.only(t); s.Conflicts["checksum"] != want || s.ChecksumSeen != form || s.Stats.ChecksumErrors != 0 || len(k.conflicts) != int(min(want, 1)) || k.count("kind=checksum") != len(k.conflicts) {
				t.Errorf("%v: conflicts %v, told %v, seen %v", form, s.Conflicts, k.conflicts, s.ChecksumSeen)
			}
		})
	}
}

// TestUnicastTTL: what the instance says, 255 otherwise.
func TestUnicastTTL(t *testing.T) {
	for given, want := range map[uint8]uint8{0: 255, 7: 7} {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{Host: vrrptest.NewLAN().Host("10.0.0.1")}
			in := instance(200)
			in.Peers, in.TTL = peers("10.0.0.9"), given
			k := listenTo(t, r, slog.LevelWarn, in)
			time.Sleep(5 * time.Second)
			k.only(t)
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.sent) == 0 {
				t.Fatal("nothing was sent")
			}
			if got := ipheader.Parse(r.sent[0].Data).TTL; got != want {
				t.Errorf("TTL %d, want %d", got, want)
			}
		})
	}
}

// TestOwnAddressAsSource: an owner's virtual address is the host's own, and its adverts may come from nowhere else; another's never is.
func TestOwnAddressAsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := listenTo(t, vrrptest.NewLAN().Host(vip), slog.LevelWarn, instance(255))
		time.Sleep(time.Second)
		if s := k.only(t); s.State != vrrp.Master || s.Source != netip.MustParseAddr(vip) {
			t.Errorf("an owner is %v and sends from %v", s.State, s.Source)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		k := listenTo(t, vrrptest.NewLAN().Host(vip), slog.LevelWarn, instance(100))
		time.Sleep(5 * time.Second)
		if s := k.only(t); s.State != vrrp.Fault {
			t.Errorf("%v with no address but the virtual one", s.State)
		}
		// It is free for adverts as soon as no instance has it.
		in := instance(100)
		in.Addrs = vrrp.MustAddresses("10.0.0.200")
		if err := k.Set([]vrrp.Instance{in}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if s := k.only(t); s.State != vrrp.Master || s.Source != netip.MustParseAddr(vip) {
			t.Errorf("%v, from %v", s.State, s.Source)
		}
	})
}

// TestInstancesComeAndGo: what one had is free for the next.
func TestInstancesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		host := lan.Host("10.0.0.1")
		a := boot(t, host, instance(100))
		time.Sleep(5 * time.Second)
		wantHolders(t, lan, "10.0.0.1")
		set := func(list ...vrrp.Instance) {
			t.Helper()
			if err := a.Set(list); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
		}
		set()
		wantHolders(t, lan)
		a.SetTracking("web", vrrp.Tracking{}) // of nobody
		lan.Inject(netip.MustParseAddr("10.0.0.66"), 255, []byte{0x31, 51})
		host.Down()
		host.Up()
		time.Sleep(time.Second)

		// The same name and address with another VRID, beside another one with the old VRID.
		moved, other := instance(100), instance(100)
		moved.VRID, other.Name, other.Addrs = 52, "other", vrrp.MustAddresses("10.0.0.101")
		set(moved, other)
		wantHolders(t, lan, "10.0.0.1")
		master := boot(t, lan.Host("10.0.0.2"), func() vrrp.Instance { in := other; in.Priority = 200; return in }())
		time.Sleep(5 * time.Second)
		if s := a.Status(); s[0].State != vrrp.Master || s[1].State != vrrp.Backup || s[1].Stats.AdvertsReceived == 0 {
			t.Errorf("%v and %v", s[0].State, s[1].State)
		}
		set(moved) // the other one leaves
		master.stop()
		time.Sleep(5 * time.Second)
		if h := lan.Holders("10.0.0.101"); len(h) != 0 {
			t.Errorf("an instance that is gone holds its address on %v", h)
		}
		// An address that somebody takes concerns the one that has it now.
		host.Take(netip.MustParsePrefix("10.0.0.101/32"))
		synctest.Wait()
		if s := a.Status()[0]; s.State != vrrp.Master || s.Stats.BecomeMaster != 1 {
			t.Errorf("%v, %d times", s.State, s.Stats.BecomeMaster)
		}
		host.Take(netip.MustParsePrefix(vip + "/32"))
		synctest.Wait()
		if s := a.Status()[0]; s.State != vrrp.Backup {
			t.Errorf("%v without its address", s.State)
		}
	})
}

// TestGroupsChangeAtRunTime: an instance that leaves its group is alone, and one that joins follows it.
func TestGroupsChangeAtRunTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		both := group(100)
		a := boot(t, lan.Host("10.0.0.1"), both...)
		time.Sleep(10 * time.Second)
		wantBoth(t, lan, "10.0.0.1", "10.0.0.1")
		both[0].Sync, both[1].Sync = "", ""
		if err := a.Set(both); err != nil {
			t.Fatal(err)
		}
		a.SetTracking("inside", vrrp.Tracking{Fault: true, Reason: "x"})
		time.Sleep(10 * time.Second)
		wantBoth(t, lan, "", "10.0.0.1")
		both[0].Sync, both[1].Sync = "H", "H"
		if err := a.Set(both); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		wantBoth(t, lan, "", "") // the fault of one is that of all
		a.SetTracking("inside", vrrp.Tracking{})
		time.Sleep(10 * time.Second)
		wantBoth(t, lan, "10.0.0.1", "10.0.0.1")
		a.SetTracking("inside", vrrp.Tracking{Fault: true, Reason: "x"})
		time.Sleep(10 * time.Second)
		wantBoth(t, lan, "", "")
		if err := a.Set(both[1:]); err != nil { // what is left has no fault
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		wantBoth(t, lan, "", "10.0.0.1")
		boot(t, lan.Host("10.0.0.2"), group(200)...)
		time.Sleep(10 * time.Second)
		wantBoth(t, lan, "10.0.0.2", "10.0.0.2")
	})
}

// TestSetBeforeRun: what counts is what was set last.
func TestSetBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		r := vrrp.NewRouter(vrrp.Options{Network: lan.Host("10.0.0.1")})
		for _, priority := range []uint8{50, 255} {
			if err := r.Set([]vrrp.Instance{instance(priority)}); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(time.Second)
		wantHolders(t, lan, "10.0.0.1")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestNothingIsLeftOfAnInstance: a Router that lives for years, and whose instances come and go, keeps nothing of them.
func TestNothingIsLeftOfAnInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := vrrptest.NewLAN().Host("10.0.0.1")
		host.SetLink("uplink", true)
		a := boot(t, host)
		wish := func(edit func(in *vrrp.Instance)) vrrp.Instance {
			in := instance(100)
			edit(&in)
			return in
		}
		for range 2 {
			list := append(group(100),
				wish(func(in *vrrp.Instance) { in.Track = []vrrp.TrackInterface{{Interface: "uplink"}} }),
				wish(func(in *vrrp.Instance) {
					in.Name, in.VRID, in.Priority, in.Addrs = "owner", 9, 255, vrrp.MustAddresses("10.0.0.1")
				}),
				wish(func(in *vrrp.Instance) { in.Name, in.VRID, in.Peers = "unicast", 10, peers("10.0.0.9") }),
				wish(func(in *vrrp.Instance) {
					in.Name, in.VRID, in.Version, in.AuthType, in.Password = "AH", 11, 2, vrrp.AuthAH, "x"
				}))
			if err := a.Set(list); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			for i := range list {
				list[i].Priority = min(list[i].Priority, 200) // and the owner is none any more
				list[i].Sync = ""
				if list[i].Name == "web" {
					list[i].Peers, list[i].Track = peers("10.0.0.7"), nil
				}
			}
			if err := a.Set(list); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			if err := a.Set(nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			if got, want := a.Remains(), "0 instances, 0 names, 0 machines, 0 ports, 0 holders, 0 VMACs, 0 ears, 0 virtual addresses, 0 timers, 0 users of links, 0 unheard"; got != want {
				t.Errorf("%s", got)
			}
		}
	})
}

// TestAuthenticationChangesAtRunTime: on both sides, one after the other, and the MASTER stays. AH has a socket of its own.
func TestAuthenticationChangesAtRunTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		wish := func(priority uint8, auth vrrp.AuthType) vrrp.Instance {
			in := instance(priority)
			if in.Version, in.AuthType = 2, auth; auth != vrrp.AuthNone {
				in.Password = "x"
			}
			return in
		}
		a, b := boot(t, lan.Host("10.0.0.1"), wish(200, vrrp.AuthNone)), boot(t, lan.Host("10.0.0.2"), wish(100, vrrp.AuthNone))
		time.Sleep(5 * time.Second)
		for _, auth := range []vrrp.AuthType{vrrp.AuthAH, vrrp.AuthPass, vrrp.AuthAH, vrrp.AuthNone} {
			if err := errors.Join(a.Set([]vrrp.Instance{wish(200, auth)}), b.Set([]vrrp.Instance{wish(100, auth)})); err != nil {
				t.Fatal(err)
			}
			heard := b.Status()[0].Stats.AdvertsReceived
			time.Sleep(10 * time.Second)
			wantHolders(t, lan, "10.0.0.1")
			if s := a.Status()[0]; s.Stats.SendErrors != 0 { // the change is told at once, and by the new socket
				t.Errorf("%v: %+v", auth, s.Stats)
			}
			if s := b.Status()[0]; s.State != vrrp.Backup || s.Stats.BecomeMaster != 0 || s.Stats.AuthFailures != 0 || s.Stats.AdvertsReceived-heard < 9 {
				t.Errorf("%v: %v, %+v", auth, s.State, s.Stats)
			}
		}
	})
}
