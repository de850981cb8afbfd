package bfd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/check"
)

// memory is a network in memory: every speaker has one address, and packets arrive a millisecond later.
type memory struct {
	mu    sync.Mutex
	heard map[kind]map[netip.Addr]func(datagram)
	cut   bool
	ttl   int
}

func newMemory() *memory {
	return &memory{heard: make(map[kind]map[netip.Addr]func(datagram)), ttl: 255}
}

// at is the network as one host sees it.
func (m *memory) at(addr string) wire { return memoryWire{m, netip.MustParseAddr(addr)} }

type memoryWire struct {
	*memory
	addr netip.Addr
}

func (w memoryWire) listen(k kind, heard func(datagram)) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.heard[k] == nil {
		w.heard[k] = make(map[netip.Addr]func(datagram))
	}
	if w.heard[k][w.addr] != nil {
		return nil, errors.New("address in use")
	}
	w.heard[k][w.addr] = heard
	return func() { w.mu.Lock(); delete(w.heard[k], w.addr); w.mu.Unlock() }, nil
}

func (w memoryWire) open(s *Session, port uint16) (sender, error) {
	return memorySender{w, s.kind(), s.Peer}, nil
}

type memorySender struct {
	memoryWire
	kind kind
	to   netip.Addr
}

func (s memorySender) port() uint16 { return firstPort }
func (s memorySender) close()       {}

func (s memorySender) send(payload []byte) error {
	d := datagram{payload: append([]byte(nil), payload...), src: s.addr, dst: s.to, ttl: s.ttl, multihop: s.kind.multihop}
	time.AfterFunc(time.Millisecond, func() {
		s.mu.Lock()
		heard, cut := s.heard[s.kind][s.to], s.cut
		s.mu.Unlock()
		if heard != nil && !cut {
			heard(d)
		}
	})
	return nil
}

func (m *memory) setCut(cut bool) { m.mu.Lock(); m.cut = cut; m.mu.Unlock() }
func (m *memory) setTTL(ttl int)  { m.mu.Lock(); m.ttl = ttl; m.mu.Unlock() }

// speak runs a speaker at an address of the network.
func speak(t *testing.T, w wire, sessions ...Session) (*Speaker, *[]Transition) {
	t.Helper()
	moves, mu := new([]Transition), new(sync.Mutex)
	s := NewSpeaker(Options{OnTransition: func(tr Transition) { mu.Lock(); *moves = append(*moves, tr); mu.Unlock() }})
	s.wire = w
	if err := s.Set(sessions); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-s.Ready()
	return s, moves
}

const a, b = "192.0.2.1", "192.0.2.2"

func to(peer string) Session {
	return Session{Name: "to " + peer, Peer: netip.MustParseAddr(peer), MinTx: 50 * time.Millisecond, MinRx: 50 * time.Millisecond, Multiplier: 3}
}

// settle lets time pass and everything that is to happen happen.
func settle(d time.Duration) { time.Sleep(d); synctest.Wait() }

func want(t *testing.T, s *Speaker, state State, alive bool) Status {
	t.Helper()
	got := s.Status()[0]
	if got.State != state || got.Alive != alive {
		t.Fatalf("%v, alive %v; want %v, %v: %+v", got.State, got.Alive, state, alive, got)
	}
	return got
}

func TestSessionLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemory()
		x, moves := speak(t, net.at(a), to(b))
		y, _ := speak(t, net.at(b), to(a))
		settle(3 * time.Second)
		want(t, x, Up, true)
		got := want(t, y, Up, true)
		if got.Transmission != 50*time.Millisecond || got.Detection != 150*time.Millisecond {
			t.Errorf("times in use: %v and %v", got.Transmission, got.Detection)
		}
		before := x.Status()[0].Stats.Sent
		settle(time.Second)
		if sent := x.Status()[0].Stats.Sent - before; sent < 20 || sent > 28 {
			t.Errorf("%d packets in a second at 50 ms less jitter", sent)
		}
		net.setCut(true)
		cut := time.Now()
		settle(time.Second)
		want(t, x, Down, false)
		last := (*moves)[len(*moves)-1]
		if took := last.At.Sub(cut); last.Diag != DiagExpired || took > 150*time.Millisecond {
			t.Errorf("%v after %v", last, took)
		}
		net.setCut(false)
		settle(4 * time.Second)
		want(t, x, Up, true)
		want(t, y, Up, true)
	})
}

func TestSignedSessions(t *testing.T) {
	for kind := SimplePassword; kind <= MeticulousSHA1; kind++ {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := newMemory()
				left, right := to(b), to(a)
				left.Auth, right.Auth = &Auth{kind, 7, "secret"}, &Auth{kind, 7, "secret"}
				x, _ := speak(t, net.at(a), left)
				y, _ := speak(t, net.at(b), right)
				settle(3 * time.Second)
				want(t, x, Up, true)
				wrong := right
				wrong.Auth = &Auth{kind, 7, "Secret"}
				if err := y.Set([]Session{wrong}); err != nil {
					t.Fatal(err)
				}
				settle(time.Second)
				if got := want(t, x, Down, false); got.Stats.AuthFailures == 0 {
					t.Error("nothing was counted")
				}
			})
		})
	}
}

// TestFromTooFar is RFC 5881, Section 5, and max_hops.
func TestFromTooFar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemory()
		net.setTTL(254)
		near, far := to(b), to(a)
		far.MaxHops = 1
		x, _ := speak(t, net.at(a), near)
		y, _ := speak(t, net.at(b), far)
		settle(3 * time.Second)
		if got := want(t, x, Down, false); got.Stats.TTLErrors == 0 || got.Stats.Received != 0 {
			t.Errorf("%+v", got.Stats)
		}
		want(t, y, Init, false)
		near.MaxHops = -1
		if err := x.Set([]Session{near}); err != nil {
			t.Fatal(err)
		}
		settle(3 * time.Second)
		want(t, x, Up, true)
	})
}

func TestSetKeepsWhatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemory()
		x, moves := speak(t, net.at(a), to(b))
		y, theirs := speak(t, net.at(b), to(a))
		settle(3 * time.Second)
		before, heard := len(*moves), len(*theirs)
		slower := to(b)
		slower.MinTx, slower.MinRx = 200*time.Millisecond, 200*time.Millisecond
		if err := x.Set([]Session{slower}); err != nil {
			t.Fatal(err)
		}
		settle(3 * time.Second)
		if got := want(t, x, Up, true); got.Transmission != 200*time.Millisecond || got.Detection != 600*time.Millisecond || len(*moves) != before || len(*theirs) != heard {
			t.Errorf("after slower timers: %+v, transitions %v", got, (*moves)[before:])
		}
		if got := want(t, y, Up, true); got.Detection != 600*time.Millisecond {
			t.Errorf("the peer detects in %v", got.Detection)
		}
		if err := x.Set(nil); err != nil {
			t.Fatal(err)
		}
		settle(100 * time.Millisecond)
		if got := want(t, y, Down, true); got.Remote != AdminDown { // maintenance is no failure
			t.Errorf("%+v", got)
		}
	})
}

// TestStopIsToldAsMaintenance is what Run says on leaving.
func TestStopIsToldAsMaintenance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemory()
		x := NewSpeaker(Options{})
		x.wire = net.at(a)
		if err := x.Set([]Session{to(b)}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- x.Run(ctx) }()
		y, _ := speak(t, net.at(b), to(a))
		settle(3 * time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		settle(10 * time.Millisecond)
		want(t, y, Down, true)
	})
}

func TestManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemory()
		var left []Session
		peers := make([]*Speaker, 60)
		for i := range peers {
			addr := netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}).String()
			left = append(left, to(addr))
			peers[i], _ = speak(t, net.at(addr), to(a))
		}
		x, _ := speak(t, net.at(a), left...)
		settle(4 * time.Second)
		for _, s := range x.Status() {
			if s.State != Up {
				t.Fatalf("%s is %v", s.Session.Name, s.State)
			}
		}
	})
}

func TestWishesThatCannotBe(t *testing.T) {
	s := NewSpeaker(Options{})
	for _, c := range []struct {
		change func(*Session)
		want   string
	}{
		{func(x *Session) { x.Name = "" }, "name"},
		{func(x *Session) { x.Peer = netip.Addr{} }, "peer"},
		{func(x *Session) { x.Peer = netip.MustParseAddr("224.0.0.1") }, "peer"},
		{func(x *Session) { x.Peer = netip.MustParseAddr("fe80::1") }, "zone"},
		{func(x *Session) { x.Local = netip.MustParseAddr("2001:db8::1") }, "family"},
		{func(x *Session) { x.MinTx = time.Microsecond }, "MinTx"},
		{func(x *Session) { x.MinRx = 5000 * time.Second }, "MinRx"},
		{func(x *Session) { x.IdleTx = 999 * time.Millisecond }, "IdleTx"},
		{func(x *Session) { x.MaxHops = 256 }, "MaxHops"},
		{func(x *Session) { x.Auth = &Auth{SimplePassword, 1, ""} }, "key"},
		{func(x *Session) { x.Auth = &Auth{6, 1, "k"} }, "type"},
	} {
		x := to(b)
		c.change(&x)
		if err := s.Set([]Session{x}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want something of %s", x, err, c.want)
		}
	}
	twice := to(b)
	twice.Name = "another"
	if err := s.Set([]Session{to(b), to(b)}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("one name twice: %v", err)
	}
	if err := s.Set([]Session{to(b), twice}); err == nil || !strings.Contains(err.Error(), "path") {
		t.Errorf("one path twice: %v", err)
	}
	if len(s.Status()) != 0 {
		t.Error("an invalid wish left something behind")
	}
}

// TestStrangersAreIgnored: nothing that a stranger sends moves a session or stops the speaker.
func TestStrangersAreIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemory()
		x, _ := speak(t, net.at(a), to(b))
		speak(t, net.at(b), to(a))
		settle(3 * time.Second)
		before := want(t, x, Up, true).Stats
		down := Packet{State: Down, Multiplier: 3, Mine: 9}
		wire, _ := down.AppendBinary(nil)
		for _, d := range []datagram{
			{payload: wire, src: netip.MustParseAddr("192.0.2.99"), ttl: 255},
			{payload: wire, src: netip.MustParseAddr(b), ttl: 255, multihop: true},
			{payload: wire[:20], src: netip.MustParseAddr(b), ttl: 255},
			{payload: wire, src: netip.MustParseAddr(b), ttl: 1},
		} {
			x.heard(d)
		}
		if got := want(t, x, Up, true).Stats; got.Received != before.Received || got.TTLErrors != before.TTLErrors+1 {
			t.Errorf("%+v after %+v", got, before)
		}
	})
}

func BenchmarkPacketPerSession(b *testing.B) {
	s := NewSpeaker(Options{Logger: slog.New(slog.DiscardHandler)})
	s.wire = newMemory().at("192.0.2.1")
	session := to("192.0.2.2")
	if err := s.Set([]Session{session}); err != nil {
		b.Fatal(err)
	}
	p := Packet{State: Down, Multiplier: 3, Mine: 9, MinTx: time.Second, MinRx: time.Second}
	wire, _ := p.AppendBinary(nil)
	d := datagram{payload: wire, src: session.Peer, ttl: 255}
	b.ReportAllocs()
	for b.Loop() {
		s.heard(d)
	}
}

// TestPortTaken: another daemon has the port for a while.
func TestPortTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemory()
		stop, err := net.at(a).listen(kind{}, func(datagram) {})
		if err != nil {
			t.Fatal(err)
		}
		x, _ := speak(t, net.at(a), to(b))
		speak(t, net.at(b), to(a))
		settle(4 * time.Second)
		want(t, x, Down, false)
		stop()
		settle(5 * time.Second)
		want(t, x, Up, true)
	})
}

// TestSecondSpeakerOnTheHost is told who may have the port, and what to do.
func TestSecondSpeakerOnTheHost(t *testing.T) {
	first, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	_, err = net.ListenUDP("udp4", first.LocalAddr().(*net.UDPAddr))
	if err == nil {
		t.Fatal("two have one port")
	}
	for k, want := range map[kind]string{{}: "UDP port 3784", {multihop: true}: "sport = :4784"} {
		told := deaf(k, err)
		if !errors.Is(told, syscall.EADDRINUSE) || !strings.Contains(told.Error(), want) || !strings.Contains(told.Error(), "another program on this host speaks BFD already") {
			t.Error(told)
		}
	}
	if told := deaf(kind{}, syscall.EACCES); !errors.Is(told, syscall.EACCES) || strings.Contains(told.Error(), "another program") {
		t.Error(told)
	}
}

// TestFollow: a Monitor hears of a session at once.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newMemory()
		x, _ := speak(t, net.at(a), to(b))
		speak(t, net.at(b), to(a))
		said := make(chan check.Transition, 10)
		m := check.NewMonitor(check.Options{OnTransition: func(tr check.Transition) { said <- tr }})
		if err := m.Set([]check.Probe{{ID: "path", Checker: Follow{to(b).Name, x}}, {ID: "none", Checker: Follow{"none", x}}}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		defer func() { cancel(); <-done }()
		settle(4 * time.Second)
		status := m.Status()
		if !status["path"].Up || status["none"].Up {
			t.Fatalf("%+v", status)
		}
		for len(said) > 0 {
			<-said
		}
		net.setCut(true)
		cut := time.Now()
		tr := <-said
		if took := time.Since(cut); tr.ID != "path" || tr.Up || took > 150*time.Millisecond || tr.Err == nil {
			t.Errorf("%v after %v", tr, took)
		}
		net.setCut(false)
		if tr := <-said; !tr.Up {
			t.Errorf("%v", tr)
		}
	})
}
