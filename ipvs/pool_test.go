package ipvs_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/ipvs"
)

// The numbers in the names of these tests are those of the rules in docs/pools.md.

func pool(edit func(p *ipvs.Pool)) ipvs.Pool {
	p := ipvs.Pool{Service: service(80)}
	for _, d := range web(1, 2).Destinations {
		p.Servers = append(p.Servers, ipvs.RealServer{Destination: d})
	}
	if edit != nil {
		edit(&p)
	}
	return p
}

var sorry = &ipvs.RealServer{Destination: ipvs.Destination{Addr: netip.MustParseAddrPort("10.0.1.9:80"), Weight: 1}}

// ups is health in short: + up, - down, d drained.
func ups(text string) (health []ipvs.Health) {
	for _, c := range text {
		health = append(health, ipvs.Health{Up: c != '-', Drain: c == 'd'})
	}
	return health
}

// brief is a service's destinations as host:weight, by the last byte of the host.
func brief(s ipvs.Service) string {
	var parts []string
	for _, d := range s.Destinations {
		b := d.Addr.Addr().AsSlice()
		parts = append(parts, fmt.Sprintf("%d:%d", b[len(b)-1], d.Weight))
	}
	return strings.Join(parts, " ")
}

// expect asks a pool of one entry.
func expect(t *testing.T, p ipvs.Pool, health []ipvs.Health, had bool, want string, has bool) {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	services, quorum := p.Want(health, had)
	if got := brief(services[0]); got != want || quorum != has {
		t.Errorf("health %+v, quorum before %v: %s, quorum %v; want %s, quorum %v", health, had, got, quorum, want, has)
	}
}

func TestPool12_1_LiveWeightSumsTheLiving(t *testing.T) {
	p := pool(func(p *ipvs.Pool) { p.Sorry = sorry; p.Quorum = 3 })
	expect(t, p, ups("++"), false, "1:1 2:2", true)
	expect(t, p, ups("-+"), true, "9:1", false) // the sorry server's weight counts nothing
	if got := p.LiveWeight([]ipvs.Health{{Up: true, Offset: -5}, {Up: true, Offset: 3}}); got != 5 {
		t.Errorf("live weight %d: what is below 0 must count as 0", got)
	}
}

func TestPool12_2_GainAndLoss(t *testing.T) {
	p := pool(func(p *ipvs.Pool) { p.Quorum, p.Hysteresis, p.Sorry = 2, 1, sorry })
	for _, c := range []struct {
		health string
		had    bool
		has    bool
	}{
		{"++", false, true}, {"-+", false, false}, {"+-", true, true}, {"--", true, false}, {"--", false, false},
	} {
		if _, has := p.Want(ups(c.health), c.had); has != c.has {
			t.Errorf("%s had %v: quorum %v", c.health, c.had, has)
		}
	}
	p.Quorum, p.Hysteresis = 1, 0
	p.Servers[0].Weight, p.Servers[1].Weight = 0, 0
	expect(t, p, ups("++"), true, "9:1", false) // loss at a live weight of 0, whatever lives
}

func TestPool12_4_NotGainedAtStart(t *testing.T) {
	expect(t, pool(func(p *ipvs.Pool) { p.Quorum, p.Sorry = 3, sorry }), ups("+-"), false, "9:1", false)
	expect(t, pool(func(p *ipvs.Pool) { p.Quorum = 3 }), ups("+-"), false, "1:1", false)
}

func TestPool12_5_Hysteresis(t *testing.T) {
	p := pool(func(p *ipvs.Pool) { p.Quorum, p.Hysteresis = 2, 2 })
	if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "hysteresis 2") {
		t.Errorf("hysteresis as great as the quorum: %v", err)
	}
	p = pool(func(p *ipvs.Pool) { p.Servers[0].Weight, p.Servers[1].Weight = 0, 0 })
	expect(t, p, []ipvs.Health{{Up: true, Offset: 4}, {Up: true}}, false, "1:4 2:0", true) // no total can make it unreachable
}

// TestPool12_6_SwapsWithoutAWindow walks the operations one by one: there is a destination with weight at every moment.
func TestPool12_6_SwapsWithoutAWindow(t *testing.T) {
	for name, edit := range map[string]func(p *ipvs.Pool){
		"plain":           func(p *ipvs.Pool) {},
		"inhibit":         func(p *ipvs.Pool) { p.Servers[0].Inhibit, p.Servers[1].Inhibit = true, true },
		"sorry inhibited": func(p *ipvs.Pool) { s := *sorry; s.Inhibit = true; p.Sorry = &s },
		"all inhibited": func(p *ipvs.Pool) {
			s := *sorry
			s.Inhibit, p.Sorry, p.Servers[0].Inhibit, p.Servers[1].Inhibit = true, &s, true, true
		},
	} {
		p := pool(func(p *ipvs.Pool) { p.Sorry = sorry; edit(p) })
		up, _ := p.Want(ups("++"), true)
		down, _ := p.Want(ups("--"), true)
		for _, way := range [][2][]ipvs.Service{{up, down}, {down, up}} {
			weights := map[netip.AddrPort]int{}
			for _, d := range way[0][0].Destinations {
				weights[d.Addr] = d.Weight
			}
			for _, op := range ipvs.Diff(way[0], way[1]) {
				weights[op.Destination.Addr] = op.Destination.Weight
				if op.Action == ipvs.DeleteDestination {
					weights[op.Destination.Addr] = 0
				}
				total := 0
				for _, w := range weights {
					total += w
				}
				if total == 0 {
					t.Errorf("%s: after %v nobody serves", name, op)
				}
			}
		}
	}
}

func TestPool12_7_LosingQuorumWithoutSorryServerChangesNothing(t *testing.T) {
	expect(t, pool(func(p *ipvs.Pool) { p.Quorum = 3 }), ups("-+"), true, "2:2", false)
}

func TestPool12_8_WhileTheSorryServerServesNothingElseMoves(t *testing.T) {
	p := pool(func(p *ipvs.Pool) { p.Quorum, p.Sorry = 3, sorry })
	for _, health := range [][]ipvs.Health{ups("-+"), ups("+-"), {{Up: true, Offset: 1}, {}}} {
		expect(t, p, health, false, "9:1", false)
	}
}

func TestPool12_9_RemovedOrInhibited(t *testing.T) {
	p := pool(func(p *ipvs.Pool) { p.Servers[0].Inhibit = true })
	expect(t, p, ups("-+"), true, "1:0 2:2", true)
	expect(t, p, ups("+-"), true, "1:1", true)
	before, _ := p.Want(ups("-+"), true)
	after, _ := p.Want(ups("++"), true)
	if plan := ipvs.Diff(before, after); len(plan) != 1 || plan[0].Action != ipvs.EditDestination {
		t.Errorf("recovery of an inhibited server is\n%v", plan)
	}
}

func TestPool12_11_WeightOfTheMoment(t *testing.T) {
	p := pool(func(p *ipvs.Pool) { p.Quorum, p.Sorry = 2, sorry })
	expect(t, p, []ipvs.Health{{Up: true, Offset: 9}, {}}, true, "1:10", true)
	expect(t, p, []ipvs.Health{{Up: true}, {Up: true, Offset: -2}}, true, "9:1", false) // alive with weight 0, and the quorum is lost
	most, _ := p.Want([]ipvs.Health{{Up: true, Offset: 1 << 40}, {}}, false)
	if err := most[0].Validate(); err != nil {
		t.Errorf("a weight is not held to what there can be: %v", err)
	}
}

func TestPool12_12_SorryServerIsARealServer(t *testing.T) {
	p := pool(func(p *ipvs.Pool) {
		s := p.Servers[0]
		p.Sorry = &s
	})
	expect(t, p, ups("++"), true, "1:1 2:2", true)
	expect(t, p, ups("--"), true, "1:1", false)
	p.Sorry.Inhibit = true
	expect(t, p, ups("-+"), true, "2:2 1:0", true)
}

func TestPoolDrain(t *testing.T) {
	p := pool(func(p *ipvs.Pool) { p.Sorry = sorry })
	expect(t, p, ups("d+"), true, "1:0 2:2", true)
	expect(t, p, ups("dd"), true, "1:0 2:0 9:1", false)
}

// TestPool13_7_Ports: what a server's port becomes behind each kind of service.
func TestPool13_7_Ports(t *testing.T) {
	for _, c := range []struct {
		key     ipvs.ServiceKey
		forward ipvs.Forward
		written string
		want    uint16
	}{
		{service(80).ServiceKey, ipvs.Masq, "10.0.1.1:8080", 8080},
		{service(80).ServiceKey, ipvs.Masq, "10.0.1.1:0", 80},
		{service(80).ServiceKey, ipvs.Direct, "10.0.1.1:8080", 80},
		{service(80).ServiceKey, ipvs.Tunnel, "10.0.1.1:0", 80},
		{ipvs.ServiceKey{FWMark: 5}, ipvs.Masq, "10.0.1.1:8080", 8080},
		{ipvs.ServiceKey{FWMark: 5}, ipvs.Direct, "10.0.1.1:8080", 0},
	} {
		p := ipvs.Pool{Service: ipvs.Service{ServiceKey: c.key}, Servers: []ipvs.RealServer{{Destination: ipvs.Destination{
			Addr: netip.MustParseAddrPort(c.written), Forward: c.forward, Weight: 1}}}}
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
		services, _ := p.Want(ups("+"), false)
		if got := services[0].Destinations[0].Addr.Port(); got != c.want {
			t.Errorf("%v %s behind %v: port %d, want %d", c.forward, c.written, c.key, got, c.want)
		}
	}
}

func TestPool13_8_FamilyOfADestination(t *testing.T) {
	six := ipvs.RealServer{Destination: ipvs.Destination{Addr: netip.MustParseAddrPort("[fd00::1]:80"), Weight: 1}}
	p := pool(func(p *ipvs.Pool) { p.Servers = append(p.Servers, six) })
	if err := p.Validate(); err == nil {
		t.Error("NAT to another family passes")
	}
	p.Servers[2].Forward = ipvs.Tunnel
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
}

func TestPool13_10_OneServiceForEachEntry(t *testing.T) {
	keys, err := ipvs.Range(ipvs.TCP, netip.MustParseAddr("10.0.0.254"), netip.MustParseAddr("10.0.1.1"), 80)
	if err != nil {
		t.Fatal(err)
	}
	p := pool(func(p *ipvs.Pool) { p.Keys, p.Service.ServiceKey = keys, ipvs.ServiceKey{} })
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	services, _ := p.Want(ups("+-"), true)
	var got []string
	for _, s := range services {
		got = append(got, s.ServiceKey.String()+" "+brief(s))
	}
	want := "TCP 10.0.0.254:80 1:1, TCP 10.0.0.255:80 1:1, TCP 10.0.1.0:80 1:1, TCP 10.0.1.1:80 1:1"
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("group:\n%s\nwant\n%s", text, want)
	}
}

func TestPool13_11_Ranges(t *testing.T) {
	for _, c := range []struct {
		first, last string
		count       int
	}{
		{"10.1.2.254", "10.1.3.1", 4}, {"10.0.255.255", "10.1.0.0", 2}, {"fd00::fffe", "fd00::1:1", 4}, {"10.0.0.1", "10.0.0.1", 1},
		{"10.0.0.0", "10.0.255.255", 1 << 16}, {"255.255.255.254", "255.255.255.255", 2},
		{"10.0.0.0", "10.1.0.0", 0}, {"10.0.0.2", "10.0.0.1", 0}, {"10.0.0.1", "fd00::1", 0}, {"fd00::", "fdff::", 0},
	} {
		keys, err := ipvs.Range(ipvs.UDP, netip.MustParseAddr(c.first), netip.MustParseAddr(c.last), 53)
		if len(keys) != c.count || (err == nil) != (c.count > 0) {
			t.Errorf("%s-%s: %d keys, %v; want %d", c.first, c.last, len(keys), err, c.count)
		}
		if c.count > 0 && keys[len(keys)-1].Addr.Addr().String() != c.last {
			t.Errorf("%s-%s ends with %v", c.first, c.last, keys[len(keys)-1])
		}
	}
}

func TestPool13_12_GranularityIsKeptInGroups(t *testing.T) {
	p := pool(func(p *ipvs.Pool) {
		p.Keys, p.Service.Persistence, p.Service.Granularity = []ipvs.ServiceKey{service(80).ServiceKey, service(443).ServiceKey}, 60e9, 24
	})
	services, _ := p.Want(ups("++"), true)
	for _, s := range services {
		if s.Granularity != 24 || s.Persistence != 60e9 {
			t.Errorf("%v: %+v", s.ServiceKey, s)
		}
	}
}

func TestPool13_13_OnePortInGroupsOfDirectRouting(t *testing.T) {
	p := pool(func(p *ipvs.Pool) {
		p.Keys = []ipvs.ServiceKey{service(80).ServiceKey, service(443).ServiceKey}
		for i := range p.Servers {
			p.Servers[i].Forward = ipvs.Direct
		}
		p.Servers = append(p.Servers, p.Servers[0])
		p.Servers[2].Addr, p.Servers[2].Weight = netip.MustParseAddrPort("10.0.1.1:443"), 7
	})
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	services, _ := p.Want(ups("+++"), true)
	for i, port := range []uint16{80, 443} {
		if d := services[i].Destinations; len(d) != 2 || d[0].Addr.Port() != port || brief(services[i]) != "1:7 2:2" {
			t.Errorf("entry %v: %v", services[i].ServiceKey, d)
		}
	}
}

func TestPool13_14_ASharedMarkServesBoth(t *testing.T) {
	a, b := web(1, 2), web(3, 1, 5)
	if got := brief(ipvs.MergeServices(a, b)); got != "1:3 2:2 3:5" {
		t.Errorf("merged: %s", got)
	}
	if brief(a) != "1:1 2:2" {
		t.Error("the first service was changed")
	}
}

func TestPoolTwiceIsAnError(t *testing.T) {
	p := pool(func(p *ipvs.Pool) { p.Servers = append(p.Servers, p.Servers[0]) })
	if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a server twice: %v", err)
	}
	p = pool(func(p *ipvs.Pool) { p.Keys = []ipvs.ServiceKey{service(80).ServiceKey, service(80).ServiceKey} })
	if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "twice in one pool") {
		t.Errorf("an entry twice: %v", err)
	}
}
