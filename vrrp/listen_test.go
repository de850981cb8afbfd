package vrrp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// listening is a host that remembers what was listened to.
type listening struct {
	*vrrptest.Host
	err error // of HearClaims

	mu     sync.Mutex // guards the fields below
	opened []string
	open   int
}

func (l *listening) HearClaims(name string, addrs []netip.Addr, heard func(netip.Addr, [6]byte)) (io.Closer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opened = append(l.opened, fmt.Sprintf("%s %v", name, addrs))
	if l.err != nil {
		return nil, l.err
	}
	c, err := l.Host.HearClaims(name, addrs, heard)
	l.open++
	return closer(func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open--
		return c.Close()
	}), err
}

func (l *listening) counted() (opened []string, open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.opened), l.open
}

type closer func() error

func (c closer) Close() error { return c() }

// bootOn is boot on a network of the test's own. It returns what was told of claims so far, and how to stop.
func bootOn(t *testing.T, network vrrp.Network, in ...vrrp.Instance) (r *vrrp.Router, told func() []string, stop func()) {
	t.Helper()
	var mu sync.Mutex
	var list []string
	r = vrrp.NewRouter(vrrp.Options{Network: network, OnConflict: func(c vrrp.Conflict) {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, fmt.Sprintf("%s %v %v %s", c.Instance, c.Kind, c.From, c.Detail))
	}})
	if err := r.Set(in); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	<-r.Ready()
	told = func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
	return r, told, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestStrangerClaims: while a stranger says every second that it has the address, the MASTER tells so once a minute and answers every
// ten seconds, and the BACKUP does not even listen. The addresses and the links that they are on may be any.
func TestStrangerClaims(t *testing.T) {
	for name, c := range map[string]struct {
		host, other string
		edit        func(in *vrrp.Instance)
		addr        string
	}{
		"IPv4":     {"10.0.0.1", "10.0.0.2", func(*vrrp.Instance) {}, vip},
		"IPv6":     {"fe80::1", "fe80::2", func(in *vrrp.Instance) { in.Addrs = vrrp.MustAddresses("2001:db8::100") }, "2001:db8::100"},
		"excluded": {"10.0.0.1", "10.0.0.2", func(in *vrrp.Instance) { in.Excluded = vrrp.MustAddresses("2001:db8::100", "10.0.0.101") }, "2001:db8::100"},
		"VMAC":     {"10.0.0.1", "10.0.0.2", func(in *vrrp.Instance) { in.VMAC.Use, in.VMAC.TransmitBase = true, true }, vip},
		"owner":    {"10.0.0.1", "10.0.0.2", func(in *vrrp.Instance) { in.Priority += 55 }, vip},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lan := vrrptest.NewLAN()
				wish := func(priority uint8) vrrp.Instance {
					in := instance(priority)
					in.Announce.Delay = -1
					c.edit(&in)
					return in
				}
				a, b := &listening{Host: lan.Host(c.host)}, &listening{Host: lan.Host(c.other)}
				r, told, stop := bootOn(t, a, wish(200))
				_, toldB, stopB := bootOn(t, b, wish(50))
				time.Sleep(10 * time.Second)
				before := len(announcements(lan, c.host, c.addr))
				for range 300 {
					lan.Claim(netip.MustParseAddr(c.addr), [6]byte{2, 0, 0, 0xbe, 0xef, 1})
					time.Sleep(time.Second)
				}
				time.Sleep(5 * time.Second)
				want := "web claim " + c.addr + " the host of MAC address 02:00:00:be:ef:01 says that it has this address"
				got, defended := told(), len(announcements(lan, c.host, c.addr))-before
				if len(got) != 5 || got[0] != want || got[4] != want {
					t.Errorf("told %d times, want 5: %q, want %q", len(got), got, want)
				}
				// One counts after 1.5 s, and the next one is heard at the first second after 10 s more.
				if n := r.Status()[0].Conflicts["claim"]; n != uint64(defended) || n < 24 || n > 27 {
					t.Errorf("counted %d times, defended %d times in 300 s", n, defended)
				}
				if opened, _ := b.counted(); len(opened) > 0 || len(toldB()) > 0 {
					t.Errorf("a BACKUP listened: %q, and told %q", opened, toldB())
				}
				if opened, open := a.counted(); len(opened) != 1 || open != 1 || !strings.HasPrefix(opened[0], "eth0 [") {
					t.Errorf("listened to %q, %d are open", opened, open)
				}
				stopB()
				stop()
				if _, open := a.counted(); open != 0 {
					t.Errorf("%d are open at the end", open)
				}
			})
		})
	}
}

// announcements are those of an address by a host.
func announcements(lan *vrrptest.LAN, host, addr string) []string {
	return slices.DeleteFunc(lan.Trace(), func(line string) bool { return line != host+" announce "+addr })
}

// TestDefencesArePaced: with a least gap between announcements, those against claims keep it too; and what was given up meanwhile is not
// announced any more.
func TestDefencesArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		in := instance(200)
		in.Announce.Rounds, in.Announce.Delay = -1, -1
		in.Excluded = vrrp.MustAddresses("10.0.0.101", "10.0.0.102", "10.0.0.103", "10.0.0.104")
		r := vrrp.NewRouter(vrrp.Options{Network: lan.Host("10.0.0.1")})
		if err := errors.Join(r.SetHost(vrrp.Host{Pacing: []vrrp.Pacing{{ARP: time.Second}}}), r.Set([]vrrp.Instance{in})); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(10 * time.Second)
		for i := range 5 {
			lan.Claim(netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + i)}), [6]byte{2, 0, 0, 0xbe, 0xef, 1})
		}
		said := func() (n int) {
			for _, line := range lan.Trace() {
				if strings.Contains(line, " announce ") {
					n++
				}
			}
			return n
		}
		time.Sleep(1600 * time.Millisecond)
		for want := range 3 {
			if got := said(); got != want+1 {
				t.Errorf("%d s later %d were defended, want %d", want, got, want+1)
			}
			time.Sleep(time.Second)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		before := said()
		time.Sleep(10 * time.Second)
		if said() != before {
			t.Error("they are defended after the end")
		}
	})
}

// TestListeningFollows: an ear is opened anew when there are other addresses or another link, closed when nobody needs it, and left
// alone when something else changes.
func TestListeningFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := &listening{Host: vrrptest.NewLAN().Host("10.0.0.1")}
		in := instance(200)
		r, _, stop := bootOn(t, host, in)
		set := func(in ...vrrp.Instance) {
			t.Helper()
			if err := r.Set(in); err != nil {
				t.Fatal(err)
			}
			time.Sleep(15 * time.Second)
		}
		want := func(open int, last ...string) {
			t.Helper()
			opened, n := host.counted()
			if fmt.Sprint(opened) != fmt.Sprint(last) || n != open {
				t.Fatalf("listened to %q, %d are open; want %q and %d", opened, n, last, open)
			}
		}
		time.Sleep(3500 * time.Millisecond)
		if r.Status()[0].State != vrrp.Master {
			t.Fatal("it is not MASTER")
		}
		want(0) // a takeover has other things to do
		time.Sleep(15 * time.Second)
		one, two := "eth0 [10.0.0.100]", "eth0 [10.0.0.100 10.0.0.101]"
		want(1, one)
		in.Priority, in.Announce.Rounds = 150, 3
		set(in)
		want(1, one)
		in.Addrs = vrrp.MustAddresses("10.0.0.101", vip)
		set(in)
		want(1, one, two)
		in.Addrs = vrrp.MustAddresses(vip, "10.0.0.101")
		set(in)
		want(1, one, two)
		host.Remove()
		time.Sleep(time.Second)
		host.Create()
		time.Sleep(15 * time.Second)
		want(1, one, two, two)
		set()
		want(0, one, two, two)
		set(in)
		want(1, one, two, two, two)
		stop()
		want(0, one, two, two, two)
	})
}

// TestNobodyListens: a network that cannot hear is asked again now and then, and nothing depends on it.
func TestNobodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := &listening{Host: vrrptest.NewLAN().Host("10.0.0.1"), err: errors.ErrUnsupported}
		r, _, stop := bootOn(t, host, instance(200))
		time.Sleep(63 * time.Second)
		opened, _ := host.counted()
		if s := r.Status()[0]; s.State != vrrp.Master || s.Stats.AdvertsSent < 58 || len(opened) < 5 || len(opened) > 7 {
			t.Errorf("asked %d times, %v, %+v", len(opened), s.State, s.Stats)
		}
		stop()
	})
}

// TestClaimFlood: ten thousand claims a second, of each address that there is, are told and answered like one, and delay no
// advert.
func TestClaimFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		in := instance(200)
		in.Announce.Delay = -1
		in.Excluded = vrrp.MustAddresses("10.0.0.101", "10.0.0.102")
		var late time.Duration
		r := vrrp.NewRouter(vrrp.Options{Network: lan.Host("10.0.0.1"), OnTimer: func(d time.Duration) { late = max(late, d) }})
		if err := r.Set([]vrrp.Instance{in}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(10 * time.Second)
		before, sent := len(lan.Trace()), r.Status()[0].Stats.AdvertsSent
		for range 1000 { // 10 s
			for i := range 100 {
				lan.Claim(netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + i%4)}), [6]byte{2, 0, 0, 0, byte(i >> 8), byte(i)})
			}
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		s := r.Status()[0]
		if n := len(lan.Trace()) - before; n != 3 || s.Conflicts["claim"] != 3 || s.Stats.AdvertsSent-sent != 10 || late > 0 {
			t.Errorf("%d announcements, %v, %d adverts in 10 s, timers late by %v", n, s.Conflicts, s.Stats.AdvertsSent-sent, late)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
