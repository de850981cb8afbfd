package bfd_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/check/bfd"
	"github.com/holdfast-lb/holdfast/internal/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// peer is a real BFD speaker in a host.
type peer struct {
	shut func() // takes the session down as an operator; nil where that cannot be done
}

// startFRR runs FRR's bfdd with one peer.
func startFRR(t *testing.T, h *lab.Host, them, us, options string) *peer {
	name := fmt.Sprintf("peer %s%s local-address %s", us, options, them)
	frr := h.FRR("bfd\n "+name+"\n  receive-interval 50\n  transmit-interval 60\n  detect-multiplier 4\n  no shutdown\n !\n!\n", "bfdd")
	return &peer{func() {
		if out, err := frr.Tell("configure terminal", "bfd", name, "shutdown"); err != nil {
			t.Fatal(err, out)
		}
	}}
}

// startKeepalived runs keepalived's BFD process with one session.
func startKeepalived(t *testing.T, h *lab.Host, them, us, options string) *peer {
	lab.Need(t, "keepalived")
	dir := t.TempDir()
	conf := filepath.Join(dir, "k.conf")
	text := fmt.Sprintf("bfd_instance s {\n source_ip %s\n neighbor_ip %s\n min_rx 50\n min_tx 60\n multiplier 4\n %s\n}\n", them, us, options)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	h.Start(t.Context(), "keepalived", "-n", "-l", "-D", "-f", conf, "-p", dir+"/p", "-r", dir+"/r", "-c", dir+"/c", "-b", dir+"/b")
	return &peer{}
}

// speaker runs sessions on the test's own address; changed gives each transition.
func speaker(t *testing.T, sessions ...bfd.Session) (s *bfd.Speaker, changed <-chan bfd.Transition) {
	t.Helper()
	moves := make(chan bfd.Transition, 100)
	s = bfd.NewSpeaker(bfd.Options{OnTransition: func(tr bfd.Transition) { moves <- tr }})
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
	return s, moves
}

// reaches waits for a state and returns the transition to it.
func reaches(t *testing.T, changed <-chan bfd.Transition, state bfd.State) bfd.Transition {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case tr := <-changed:
			t.Log(tr)
			if tr.To == state {
				return tr
			}
		case <-limit:
			t.Fatalf("not %v within 20 s", state)
		}
	}
}

// TestRealPeers: sessions come up with the timers that were negotiated, a cut is found in the detection time, and they come back.
func TestRealPeers(t *testing.T) {
	for _, c := range []struct {
		name, us, them string
		start          func(t *testing.T, h *lab.Host, them, us, options string) *peer
		options        string
		multihop       bool
	}{
		{"FRR", "10.7.0.1", "10.7.0.2", startFRR, "", false},
		{"FRR by IPv6", "fd07::1", "fd07::2", startFRR, "", false},
		{"FRR over several hops", "10.7.0.1", "10.7.0.2", startFRR, " multihop", true},
		{"keepalived", "10.7.0.1", "10.7.0.2", startKeepalived, "", false},
		{"keepalived by IPv6", "fd07::1", "fd07::2", startKeepalived, "ttl 255", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bits := map[bool]string{true: "/64", false: "/24"}[strings.Contains(c.us, ":")]
			n := lab.New(t)
			n.Join(c.us + bits)
			host := n.Host("peer", c.them+bits)
			s, changed := speaker(t, bfd.Session{
				Name: "peer", Local: netip.MustParseAddr(c.us), Peer: netip.MustParseAddr(c.them), Multihop: c.multihop,
				MinTx: 40 * time.Millisecond, MinRx: 70 * time.Millisecond, Multiplier: 3,
			})
			p := c.start(t, host, c.them, c.us, c.options)
			reaches(t, changed, bfd.Up)
			negotiated(t, s)
			host.Unplug()
			cut := time.Now()
			down := reaches(t, changed, bfd.Down)
			if took := down.At.Sub(cut); down.Diag != bfd.DiagExpired || down.Alive || took > 4*70*time.Millisecond+200*time.Millisecond {
				t.Errorf("%v after %v, diag %v, alive %v", down, took, down.Diag, down.Alive)
			}
			host.Restore()
			reaches(t, changed, bfd.Up)
			if p.shut != nil {
				p.shut()
				if down := reaches(t, changed, bfd.Down); down.Remote != bfd.AdminDown || !down.Alive {
					t.Errorf("an operator took the peer down: %v, remote %v, alive %v", down, down.Remote, down.Alive)
				}
			}
		})
	}
}

// negotiated waits for the end of the Poll Sequences: the slower wish of each direction wins.
func negotiated(t *testing.T, s *bfd.Speaker) {
	t.Helper()
	var got bfd.Status
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(10 * time.Millisecond) { // a real peer is polled
		got = s.Status()[0]
		if got.Transmission == 50*time.Millisecond && got.Detection == 4*70*time.Millisecond {
			return
		}
	}
	t.Errorf("times in use: %v and %v, want 50ms and 280ms: %+v", got.Transmission, got.Detection, got)
}
