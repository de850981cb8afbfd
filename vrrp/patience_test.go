package vrrp_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// thrifty is a host that counts how often its Router wakes up, and how often it sends.
type thrifty struct {
	*vrrptest.Host
	waits, sends *atomic.Int64
}

func newThrifty(h *vrrptest.Host) thrifty { return thrifty{h, new(atomic.Int64), new(atomic.Int64)} }

func (h thrifty) Sockets() (vrrp.Sockets, error) {
	s, err := h.Host.Sockets()
	return thriftySockets{s, h}, err
}

type thriftySockets struct {
	vrrp.Sockets
	h thrifty
}

func (s thriftySockets) Wait(until time.Time) error {
	s.h.waits.Add(1)
	return s.Sockets.Wait(until)
}

func (s thriftySockets) Open(socket vrrp.Socket, ready func()) (vrrp.Conn, error) {
	c, err := s.Sockets.Open(socket, ready)
	return thriftyConn{c, s.h}, err
}

type thriftyConn struct {
	vrrp.Conn
	h thrifty
}

func (c thriftyConn) Send(d []vrrp.Datagram) {
	c.h.sends.Add(1)
	c.Conn.Send(d)
}

// many are instances of one priority, every 100 ms.
func many(count int, priority uint8) (list []vrrp.Instance) {
	for vrid := 1; vrid <= count; vrid++ {
		in := instance(priority)
		in.Name, in.VRID, in.Interval = fmt.Sprint("i", vrid), uint8(vrid), 100*time.Millisecond
		in.Addrs = vrrp.MustAddresses(fmt.Sprintf("10.0.1.%d", vrid))
		list = append(list, in)
	}
	return list
}

// TestPatience: a BACKUP of many instances whose adverts come at all times looks at its socket now and then, and yet each takes
// over at the very time that its last advert asks for, or its priority 0. Where the adverts come together it is told of them.
func TestPatience(t *testing.T) {
	const count, interval = 120, 100 * time.Millisecond
	for name, c := range map[string]struct {
		priority uint8
		left     bool
		apart    time.Duration // one advert from the next
		wakes    int64         // in a second, at most
	}{
		"silence":               {100, false, interval / count, 30},
		"priority 0":            {100, true, interval / count, 30},
		"priority 0, high":      {200, true, interval / count, 70},
		"together":              {240, false, 0, 600}, // of 1,200: how many come while it is awake is up to the scheduler
		"priority 0, very high": {254, true, interval / count, 2500},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lan := vrrptest.NewLAN()
				host := newThrifty(lan.Host("10.0.0.2"))
				var mu sync.Mutex
				masters := make(map[string]time.Time)
				r := vrrp.NewRouter(vrrp.Options{Network: host, OnTransition: func(tr vrrp.Transition) {
					mu.Lock()
					defer mu.Unlock()
					if tr.To == vrrp.Master {
						masters[tr.Instance] = tr.At
					}
				}})
				if err := r.Set(many(count, c.priority)); err != nil {
					t.Fatal(err)
				}
				stop := start(t, r)
				<-r.Ready()
				last := make(map[string]time.Time)
				round := func(priority uint8) {
					began := time.Now()
					for i, in := range many(count, priority) {
						inject(t, lan, in)
						last[in.Name] = time.Now()
						time.Sleep(time.Until(began.Add(time.Duration(i+1) * c.apart)))
					}
					time.Sleep(time.Until(began.Add(interval)))
				}
				for range 10 {
					round(255)
				}
				host.waits.Store(0)
				for range 10 {
					round(255)
				}
				if waits := host.waits.Load(); waits > c.wakes {
					t.Errorf("it woke up %d times in a second", waits)
				}
				silence := interval * time.Duration(256-int(c.priority)) / 256
				if c.left {
					round(0)
				} else {
					silence += 3 * interval
				}
				time.Sleep(time.Second)
				synctest.Wait()
				mu.Lock()
				for name, at := range last {
					if late := masters[name].Sub(at) - silence; late < 0 || late > 0 && c.priority < 250 || late > time.Millisecond {
						t.Errorf("%s took over %v late", name, late)
						break
					}
				}
				mu.Unlock()
				stop()
			})
		})
	}
}

// inject sends an instance's advert as 10.0.0.1 would.
func inject(t *testing.T, lan *vrrptest.LAN, in vrrp.Instance) {
	t.Helper()
	from := netip.MustParseAddr("10.0.0.1")
	a := vrrp.Advertisement{Version: 3, VRID: in.VRID, Priority: in.Priority, Interval: in.Interval, Addrs: []netip.Addr{in.Addrs[0].Addr()}}
	message, err := a.AppendPacket(nil, from, vrrp.GroupIPv4)
	if err != nil {
		t.Fatal(err)
	}
	lan.Inject(from, 255, message)
}

// TestTogether: a MASTER of many instances that began at all times of an interval sends at few of them.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newThrifty(vrrptest.NewLAN().Host("10.0.0.1"))
		r := vrrp.NewRouter(vrrp.Options{Network: host})
		stop := start(t, r)
		for i := range 60 {
			if err := r.Set(many(60, 200)[:i+1]); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond * 17 / 16)
		}
		time.Sleep(time.Second + 10*time.Millisecond) // and not when any is due
		before := r.Status()[59].Stats.AdvertsSent
		host.sends.Store(0)
		time.Sleep(time.Second)
		if sends := host.sends.Load(); sends > 40 {
			t.Errorf("it sent %d times in a second", sends)
		}
		if sent := r.Status()[59].Stats.AdvertsSent - before; sent != 10 {
			t.Errorf("%d adverts in a second, 10 are due", sent)
		}
		stop()
	})
}

// start runs a Router until stop.
func start(t *testing.T, r *vrrp.Router) (stop func()) {
	t.Helper()
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- r.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
