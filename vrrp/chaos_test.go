package vrrp_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// TestChaos does to whole Routers what the simulation does to Machines, on a smaller scale: their hosts lose cables, links,
// interfaces and addresses, configurations and health change, until a calm, in which there must be one holder. CHAOS_SEED=N
// plays another of them.
func TestChaos(t *testing.T) {
	first, worlds := uint64(1), 24
	if raceDetector {
		worlds = 6
	}
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, worlds = seed, 1
	}
	for seed := first; seed < first+uint64(worlds); seed++ {
		synctest.Test(t, func(t *testing.T) { chaos(t, seed) })
		if t.Failed() {
			t.Fatalf("again: CHAOS_SEED=%d go test -run TestChaos ./vrrp", seed)
		}
	}
}

// victim is a host with what was done to it.
type victim struct {
	*station
	in                 []vrrp.Instance
	cut, down, missing bool
}

func chaos(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	lan := vrrptest.NewLAN()
	lan.Drop = func(netip.Addr, netip.Addr) bool { return false }
	var victims []*victim
	group := rng.IntN(2) == 0
	for i := range 3 {
		in := []vrrp.Instance{instance(uint8(60 + 50*i))}
		if group {
			other := instance(in[0].Priority)
			in[0].Sync, other.Sync, other.Name, other.VRID, other.Addrs = "G", "G", "other", 52, vrrp.MustAddresses("10.0.0.200")
			in = append(in, other)
		}
		victims = append(victims, &victim{station: boot(t, lan.Host(fmt.Sprintf("10.0.0.%d", i+1)), in...), in: in})
	}
	var did []string
	for range 3 {
		for range 30 {
			did = append(did, harm(rng, victims[rng.IntN(len(victims))]))
			time.Sleep(time.Duration(rng.Int64N(int64(4 * time.Second))))
		}
		for _, v := range victims {
			v.heal(t)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		for _, addr := range []string{vip, "10.0.0.200"}[:len(victims[0].in)] {
			if h := lan.Holders(addr); !slices.Equal(h, []string{"10.0.0.3"}) {
				t.Fatalf("in a calm %s is on %v after\n%s", addr, h, strings.Join(did, "\n"))
			}
		}
	}
	for _, v := range victims {
		v.stop()
	}
	if h := lan.Holders(vip); len(h) > 0 {
		t.Fatalf("after the end %s is on %v", vip, h)
	}
}

// harm does one thing to a host.
func harm(rng *rand.Rand, v *victim) string {
	kind := rng.IntN(9)
	switch {
	case kind == 0:
		v.host.Cut()
		v.cut = true
	case kind == 1:
		v.host.Restore()
		v.cut = false
	case kind == 2 && !v.missing:
		v.host.Down()
		v.down = true
	case kind == 3 && !v.missing:
		v.host.Up()
		v.down = false
	case kind == 4 && !v.missing:
		v.host.Remove()
		v.missing = true
	case kind == 5 && v.missing:
		v.host.Create()
		v.missing = false
	case kind == 6:
		v.host.Take(netip.MustParsePrefix(vip + "/32"))
	case kind == 7:
		v.SetTracking("web", vrrp.Tracking{Priority: rng.IntN(200) - 100, Fault: rng.IntN(4) == 0, Reason: "health"})
	case kind == 8:
		in := slices.Clone(v.in)
		in[0].Announce.Rounds = 1 + rng.IntN(9)
		in[0].PreemptDelay = time.Duration(rng.IntN(3)) * time.Second
		if rng.IntN(3) == 0 {
			in[0].Addrs = append(slices.Clone(in[0].Addrs), vrrp.MustAddresses("10.0.0.150")...)
		}
		_ = v.Set(in)
	}
	return fmt.Sprintf("%d to %v", kind, v.Status()[0].Source)
}

func (v *victim) heal(t *testing.T) {
	if v.missing {
		v.host.Create()
	}
	v.host.Up()
	v.host.Restore()
	v.cut, v.down, v.missing = false, false, false
	v.SetTracking("web", vrrp.Tracking{})
	if err := v.Set(v.in); err != nil {
		t.Fatal(err)
	}
}
