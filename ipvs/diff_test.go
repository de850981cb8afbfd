package ipvs_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
)

func TestFakeKeepsTheSuite(t *testing.T) {
	ipvstest.Suite(t, func(*testing.T) ipvs.Table { return new(ipvstest.Fake) })
}

// randomState is small, so that two of them have much in common.
func randomState(r *rand.Rand) (all []ipvs.Service) {
	for port := range uint16(4) {
		if r.IntN(3) == 0 {
			continue
		}
		s := service(80 + port)
		s.Scheduler = []string{"rr", "wlc", ""}[r.IntN(3)]
		s.Persistence = time.Duration(r.IntN(2)) * time.Minute
		for host := range byte(5) {
			if r.IntN(2) == 0 {
				addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, host}), 80+port)
				s.Destinations = append(s.Destinations, ipvs.Destination{Addr: addr, Weight: r.IntN(3)})
			}
		}
		r.Shuffle(len(s.Destinations), func(i, j int) {
			s.Destinations[i], s.Destinations[j] = s.Destinations[j], s.Destinations[i]
		})
		all = append(all, s)
	}
	return all
}

func service(port uint16) ipvs.Service {
	return ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port)}}
}

// TestDiffGetsThere: applying the difference of any two states to the one gives the other, nothing is done twice, and
// between equal states nothing is done.
func TestDiffGetsThere(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		have, want := randomState(r), randomState(r)
		var fake ipvstest.Fake
		plan := ipvs.Diff(have, want)
		if err := fake.Apply(context.Background(), append(ipvs.Diff(nil, have), plan...)); err != nil {
			t.Fatalf("from\n%vto\n%v%v", ipvs.Diff(nil, have), ipvs.Diff(nil, want), err)
		}
		if got, want := fake.Dump()+"\n", ipvs.Diff(nil, want).String(); strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Fatalf("reached\n%swant\n%s", got, want)
		}
		if again := ipvs.Diff(want, want); len(again) != 0 {
			t.Fatalf("a state differs from itself by\n%v", again)
		}
		touched := make(map[string]bool)
		for _, op := range plan {
			name := fmt.Sprint(op.Service.ServiceKey, op.Destination.Addr)
			if touched[name] {
				t.Fatalf("%s is touched twice by\n%v", name, plan)
			}
			touched[name] = true
		}
	}
}

// TestDiffNeverEmptiesAService: when no destination stays, the new ones are there before the old ones go.
func TestDiffNeverEmptiesAService(t *testing.T) {
	have, want := service(80), service(80)
	have.Destinations = []ipvs.Destination{{Addr: netip.MustParseAddrPort("10.0.1.1:80"), Weight: 1}}
	want.Destinations = []ipvs.Destination{{Addr: netip.MustParseAddrPort("10.0.1.2:80"), Weight: 1}}
	got := ipvs.Diff([]ipvs.Service{have}, []ipvs.Service{want}).String()
	if want := "-a -t 10.0.0.1:80 -r 10.0.1.2:80 -m -w 1\n-d -t 10.0.0.1:80 -r 10.0.1.1:80\n"; got != want {
		t.Fatalf("plan\n%swant\n%s", got, want)
	}
}

func TestValidateNamesTheObject(t *testing.T) {
	bad := func(edit func(s *ipvs.Service)) error {
		s := service(80)
		s.Destinations = []ipvs.Destination{{Addr: netip.MustParseAddrPort("10.0.1.1:80"), Weight: 1}}
		edit(&s)
		return s.Validate()
	}
	for want, edit := range map[string]func(s *ipvs.Service){
		"is there twice": func(s *ipvs.Service) { s.Destinations = append(s.Destinations, s.Destinations[0]) },
		"weight -1":      func(s *ipvs.Service) { s.Destinations[0].Weight = -1 },
		"cannot change the port": func(s *ipvs.Service) {
			s.Destinations[0] = ipvs.Destination{Addr: netip.MustParseAddrPort("10.0.1.1:81"), Forward: ipvs.Direct}
		},
		"its family is not the service's": func(s *ipvs.Service) { s.Destinations[0].Addr = netip.MustParseAddrPort("[fd00::1]:80") },
		"Protocol(1)":                     func(s *ipvs.Service) { s.Protocol = 1 },
		"needs persistence":               func(s *ipvs.Service) { s.Addr = netip.MustParseAddrPort("10.0.0.1:0"); s.Destinations = nil },
		"whole seconds":                   func(s *ipvs.Service) { s.Persistence = time.Millisecond },
		"a firewall mark together":        func(s *ipvs.Service) { s.FWMark = 1 },
	} {
		if err := bad(edit); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "ipvs: service ") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := bad(func(*ipvs.Service) {}); err != nil {
		t.Error(err)
	}
}

func ExampleDiff() {
	have, want := service(80), service(80)
	have.Destinations = []ipvs.Destination{{Addr: netip.MustParseAddrPort("10.0.1.1:80"), Weight: 1}}
	want.Destinations = []ipvs.Destination{
		{Addr: netip.MustParseAddrPort("10.0.1.1:80"), Weight: 5},
		{Addr: netip.MustParseAddrPort("10.0.1.2:80"), Weight: 1},
	}
	fmt.Print(ipvs.Diff([]ipvs.Service{have}, []ipvs.Service{want}))
	// Output:
	// -a -t 10.0.0.1:80 -r 10.0.1.2:80 -m -w 1
	// -e -t 10.0.0.1:80 -r 10.0.1.1:80 -m -w 5
}
