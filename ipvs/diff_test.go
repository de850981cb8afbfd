package ipvs_test

import (
	"context"
	"errors"
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
	ipvstest.Suite(t, func(*testing.T) ipvs.Table { return new(ipvstest.Fake) }, nil)
}

// randomState is small, so that two of them have much in common; now and then a service has many destinations.
func randomState(r *rand.Rand) (all []ipvs.Service) {
	for port := range uint16(4) {
		if r.IntN(3) == 0 {
			continue
		}
		s, at := service(80+port), 80+port
		if port == 3 {
			s.ServiceKey, at = ipvs.ServiceKey{FWMark: 3}, 0
		}
		s.Scheduler = []string{"rr", "wlc", ""}[r.IntN(3)]
		s.Persistence = time.Duration(r.IntN(2)) * time.Minute
		for host := range byte([]int{5, 5, 5, 40}[r.IntN(4)]) {
			if r.IntN(2) == 0 {
				s.Destinations = append(s.Destinations, randomDestination(r, host, at))
			}
		}
		r.Shuffle(len(s.Destinations), func(i, j int) {
			s.Destinations[i], s.Destinations[j] = s.Destinations[j], s.Destinations[i]
		})
		all = append(all, s)
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func randomDestination(r *rand.Rand, host byte, port uint16) ipvs.Destination {
	d := ipvs.Destination{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, host}), port), Weight: r.IntN(3)}
	switch r.IntN(8) {
	case 0:
		d.Forward, d.Tunnel = ipvs.Tunnel, ipvs.TunnelOptions{Type: ipvs.GUE, Port: 6080 + uint16(r.IntN(2))}
	case 1:
		d.UpperThreshold = uint32(r.IntN(2))
	}
	return d
}

func service(port uint16) ipvs.Service {
	return ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), port)}}
}

// TestDiffGetsThere: applying the difference of any two states to the one gives the other, with as few operations as there
// are entries that differ, and no service is without weight in between when it has some before and after.
func TestDiffGetsThere(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		have, want := randomState(r), randomState(r)
		var fake ipvstest.Fake
		plan := ipvs.Diff(have, want)
		if err := fake.Apply(context.Background(), ipvs.Diff(nil, have)); err != nil {
			t.Fatalf("from\n%v%v", ipvs.Diff(nil, have), err)
		}
		fed := serving(&fake)
		for _, op := range plan {
			if err := fake.Apply(context.Background(), ipvs.Plan{op}); err != nil {
				t.Fatalf("from\n%vto\n%v%v", ipvs.Diff(nil, have), ipvs.Diff(nil, want), err)
			}
			starved(t, fed, &fake, want, plan)
		}
		if got, want := fake.Dump(), ipvs.Diff(nil, want).String(); got != want {
			t.Fatalf("reached\n%swant\n%s", got, want)
		}
		if n := differing(have, want); len(plan) != n {
			t.Fatalf("%d operations where %d entries differ:\n%vfrom\n%vto\n%v", len(plan), n, plan, ipvs.Diff(nil, have), ipvs.Diff(nil, want))
		}
		if again := ipvs.Diff(want, shuffled(r, want)); again != nil {
			t.Fatalf("a state differs from itself by\n%v", again)
		}
	}
}

func shuffled(r *rand.Rand, all []ipvs.Service) (list []ipvs.Service) {
	for _, i := range r.Perm(len(all)) {
		s := all[i]
		s.Destinations = nil
		for _, j := range r.Perm(len(all[i].Destinations)) {
			s.Destinations = append(s.Destinations, all[i].Destinations[j])
		}
		list = append(list, s)
	}
	return list
}

func serving(table ipvs.Table) map[ipvs.ServiceKey]bool {
	list, _ := table.Services(context.Background())
	fed := make(map[ipvs.ServiceKey]bool)
	for _, s := range list {
		fed[s.ServiceKey] = weight(s.Wish()) > 0
	}
	return fed
}

func weight(s ipvs.Service) (sum int) {
	for _, d := range s.Destinations {
		sum += d.Weight
	}
	return sum
}

func starved(t *testing.T, before map[ipvs.ServiceKey]bool, table ipvs.Table, want []ipvs.Service, plan ipvs.Plan) {
	now := serving(table)
	for _, s := range want {
		if before[s.ServiceKey] && weight(s) > 0 && !now[s.ServiceKey] {
			t.Fatalf("%v has no weight in the middle of\n%v", s.ServiceKey, plan)
		}
	}
}

// differing counts, from the lines of both states, the entries that are to be touched; the destinations of a service that
// goes, go with it.
func differing(have, want []ipvs.Service) int {
	old, wanted := entries(have), entries(want)
	n := 0
	for name, line := range wanted {
		if old[name] != line {
			n++
		}
	}
	for name := range old {
		_, kept := wanted[name]
		service, _, isDestination := strings.Cut(name, " -r ")
		if _, serviceKept := wanted[service]; !kept && (!isDestination || serviceKept) {
			n++
		}
	}
	return n
}

// entries are the lines of a state by what they are about.
func entries(all []ipvs.Service) map[string]string {
	m := make(map[string]string)
	for _, op := range ipvs.Diff(nil, all) {
		name := op.Service.ServiceKey.String()
		if op.Destination.Addr.IsValid() {
			name += " -r " + op.Destination.Addr.String()
		}
		m[name] = op.String()
	}
	return m
}

// TestEveryFieldMakesADifference: there is nothing that one can say and Diff does not see; but for the two ways to say the
// default.
func TestEveryFieldMakesADifference(t *testing.T) {
	base := func() ipvs.Service {
		s := service(80)
		s.Protocol, s.Scheduler, s.Persistence = ipvs.UDP, "wlc", time.Minute
		s.Destinations = []ipvs.Destination{{Addr: netip.MustParseAddrPort("10.0.1.1:80"), Forward: ipvs.Tunnel, Weight: 1}}
		return s
	}
	for want, edits := range map[ipvs.Action][]func(s *ipvs.Service){
		ipvs.EditService: {
			func(s *ipvs.Service) { s.Scheduler = "rr" }, func(s *ipvs.Service) { s.Flags = ipvs.Sched3 },
			func(s *ipvs.Service) { s.Persistence = 0 }, func(s *ipvs.Service) { s.Granularity = 24 }, func(s *ipvs.Service) { s.Engine = "sip" },
		},
		ipvs.EditDestination: {
			func(s *ipvs.Service) { s.Destinations[0].Forward = ipvs.Direct }, func(s *ipvs.Service) { s.Destinations[0].Weight = 2 },
			func(s *ipvs.Service) { s.Destinations[0].UpperThreshold = 1 }, func(s *ipvs.Service) { s.Destinations[0].LowerThreshold = 1 },
			func(s *ipvs.Service) { s.Destinations[0].Tunnel.Type = ipvs.GRE }, func(s *ipvs.Service) { s.Destinations[0].Tunnel.Port = 1 },
			func(s *ipvs.Service) { s.Destinations[0].Tunnel.Checksum = ipvs.Checksum },
		},
		0: {func(s *ipvs.Service) { s.Scheduler = "" }, func(s *ipvs.Service) { s.Granularity = 32 }},
	} {
		for i, edit := range edits {
			have, changed := base(), base()
			edit(&changed)
			plan := ipvs.Diff([]ipvs.Service{have}, []ipvs.Service{changed})
			if want == 0 && len(plan) > 0 || want != 0 && (len(plan) != 1 || plan[0].Action != want) {
				t.Errorf("%v, edit %d: %v", want, i, plan)
			}
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
		"its family is not the service's":   func(s *ipvs.Service) { s.Destinations[0].Addr = netip.MustParseAddrPort("[fd00::1]:80") },
		"Protocol(1)":                       func(s *ipvs.Service) { s.Protocol = 1 },
		"needs persistence":                 func(s *ipvs.Service) { s.Addr = netip.MustParseAddrPort("10.0.0.1:0"); s.Destinations = nil },
		"of a kind that IPVS does not know": func(s *ipvs.Service) { s.Destinations[0].Addr = netip.MustParseAddrPort("[::ffff:10.0.1.1]:80") },
		"an address tells its family":       func(s *ipvs.Service) { s.IPv6 = true },
		"one-packet scheduling is for UDP":  func(s *ipvs.Service) { s.Flags = ipvs.OnePacket },
		"flags 0x1 cannot be set":           func(s *ipvs.Service) { s.Flags = 1 },
		"a name has at most 15 letters":     func(s *ipvs.Service) { s.Scheduler = "sixteen-letters!" },
		"engine sip without persistence":    func(s *ipvs.Service) { s.Engine = "sip" },
		"must be a prefix length up to 32":  func(s *ipvs.Service) { s.Granularity = 33 },
		"weight 2147483648":                 func(s *ipvs.Service) { s.Destinations[0].Weight = 1 << 31 },
		"tunnel options with NAT":           func(s *ipvs.Service) { s.Destinations[0].Tunnel.Type = ipvs.GRE },
		"gue needs a port": func(s *ipvs.Service) {
			s.Destinations[0].Forward, s.Destinations[0].Tunnel.Type = ipvs.Tunnel, ipvs.GUE
		},
		"tunnel gre has no remcsum": func(s *ipvs.Service) {
			s.Destinations[0].Forward, s.Destinations[0].Tunnel = ipvs.Tunnel, ipvs.TunnelOptions{Type: ipvs.GRE, Checksum: ipvs.RemoteChecksum}
		},
		"whole seconds":            func(s *ipvs.Service) { s.Persistence = time.Millisecond },
		"a firewall mark together": func(s *ipvs.Service) { s.FWMark = 1 },
	} {
		if err := bad(edit); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "ipvs: service ") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := bad(func(*ipvs.Service) {}); err != nil {
		t.Error(err)
	}
}

func TestParseFlags(t *testing.T) {
	for names, want := range map[string]ipvs.Flags{
		"": 0, "ops": ipvs.OnePacket, "sh-port,sh-fallback": ipvs.SHPort | ipvs.SHFallback, "mh-port": ipvs.Sched2,
		"flag-1,flag-2,flag-3": ipvs.Sched1 | ipvs.Sched2 | ipvs.Sched3,
	} {
		got, err := ipvs.ParseFlags(names)
		if again, _ := ipvs.ParseFlags(got.String()); got != want || err != nil || again != want {
			t.Errorf("%q: %v %v, want %v", names, got, err, want)
		}
	}
	if _, err := ipvs.ParseFlags("ops,mh"); err == nil || !strings.Contains(err.Error(), `"mh"`) {
		t.Errorf("an unknown flag: %v", err)
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

// What a table refuses names its operation; the rest is done.
func ExampleError() {
	var table ipvstest.Fake // in production: ipvs.Open(ipvs.ClientOptions{})
	wish := []ipvs.Service{service(80), service(81)}
	wish[0].Scheduler = "maglev" // it is called mh
	err := table.Apply(context.Background(), ipvs.Diff(nil, wish))
	fmt.Println(err)
	if e, ok := errors.AsType[*ipvs.Error](err); ok {
		fmt.Println(e.Op, "|", errors.Is(err, ipvs.ErrSchedulerNotFound))
	}
	fmt.Print(table.Dump())
	// Output:
	// ipvs: add service TCP 10.0.0.1:80: no such scheduler, or its module cannot be loaded (scheduler maglev)
	// -A -t 10.0.0.1:80 -s maglev | true
	// -A -t 10.0.0.1:81 -s wlc
}
