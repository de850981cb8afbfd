package relay

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/ipvs"
)

// farm are destinations of the given weights.
func farm(weights ...int) (list []*destination) {
	for i, w := range weights {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i + 1)}), 80)
		list = append(list, &destination{Destination: ipvs.Destination{Addr: addr, Weight: w}, addr: addr})
	}
	return list
}

func client(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}), uint16(1024+i))
}

// shares lets so many clients come, whose connections stay, and counts where they go.
func shares(name string, flags ipvs.Flags, list []*destination, clients int) []int {
	s := newScheduler(&ipvs.Service{ServiceKey: ipvs.ServiceKey{Addr: netip.MustParseAddrPort("10.0.0.1:80")}, Scheduler: name, Flags: flags})
	s.changed(list)
	got := make([]int, len(list)+1)
	for i := range clients {
		d := s.pick(list, client(i))
		at := len(list)
		for j := range list {
			if list[j] == d {
				at = j
			}
		}
		if got[at]++; d != nil {
			d.active++
		}
	}
	return got
}

// TestSchedulers: where 600 clients go whose connections stay. The last number is of those that nobody takes.
func TestSchedulers(t *testing.T) {
	for _, c := range []struct {
		name    string
		weights []int
		want    []int
	}{
		{"rr", []int{1, 5, 1}, []int{200, 200, 200, 0}},
		{"rr", []int{1, 0, 1}, []int{300, 0, 300, 0}},
		{"wrr", []int{1, 2, 3}, []int{100, 200, 300, 0}},
		{"wrr", []int{0, 2, 4}, []int{0, 200, 400, 0}},
		{"lc", []int{1, 5, 0}, []int{300, 300, 0, 0}},
		{"wlc", []int{1, 2, 3}, []int{100, 200, 300, 0}},
		{"", []int{1, 5}, []int{100, 500, 0}},
		{"sed", []int{1, 2, 3}, []int{100, 200, 300, 0}},
		{"nq", []int{1, 2, 3}, []int{100, 200, 300, 0}},
		{"fo", []int{1, 3, 2}, []int{0, 600, 0, 0}},
		{"ovf", []int{100, 300, 50}, []int{100, 300, 50, 150}},
		{"rr", []int{0, 0}, []int{0, 0, 600}},
		{"sh", []int{0}, []int{0, 600}},
		{"mh", nil, []int{600}},
	} {
		if got := shares(c.name, 0, farm(c.weights...), 600); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s %v: %v, want %v", c.name, c.weights, got, c.want)
		}
	}
}

// TestNeverQueueTakesIdle: nq prefers an idle slow server to a busy fast one, sed does not.
func TestNeverQueueTakesIdle(t *testing.T) {
	for name, want := range map[string]string{"nq": "1", "sed": "2"} {
		list := farm(1, 9)
		list[1].active = 3
		d := newScheduler(&ipvs.Service{Scheduler: name}).pick(list, client(0))
		if got := d.addr.Addr().String(); !strings.HasSuffix(got, "."+want) {
			t.Errorf("%s takes %s", name, got)
		}
	}
}

// TestHashesKeepTheirClients: the same client goes to the same destination, shares follow weights, and with mh few move when a
// destination goes.
func TestHashesKeepTheirClients(t *testing.T) {
	for name, moves := range map[string]int{"sh": 3000, "mh": 1200} {
		list := farm(1, 1, 2, 1)
		s := newScheduler(&ipvs.Service{Scheduler: name})
		s.changed(list)
		const clients = 4000
		before := make([]*destination, clients)
		count := make(map[*destination]int)
		for i := range clients {
			before[i] = s.pick(list, client(i))
			count[before[i]]++
		}
		for i, d := range list {
			if share, want := count[d], clients*d.Weight/5; share < want*7/10 || share > want*13/10 {
				t.Errorf("%s: destination %d of weight %d has %d of %d", name, i, d.Weight, share, clients)
			}
		}
		list[1].Weight = 0
		s.changed(list)
		moved := 0
		for i := range clients {
			switch d := s.pick(list, client(i)); {
			case d == list[1]:
				t.Fatalf("%s: a client goes to weight 0", name)
			case d != before[i]:
				moved++
			}
		}
		if moved < count[list[1]] || moved > moves {
			t.Errorf("%s: %d clients moved, %d had to", name, moved, count[list[1]])
		}
	}
}

func TestHashFlags(t *testing.T) {
	one := func(flags ipvs.Flags, overloaded bool) (addrs map[string]bool) {
		list := farm(1, 1, 1, 1)
		s := newScheduler(&ipvs.Service{Scheduler: "sh", Flags: flags})
		s.changed(list)
		first := s.pick(list, client(0))
		first.overloaded = overloaded
		addrs = make(map[string]bool)
		for port := range 50 {
			if d := s.pick(list, netip.AddrPortFrom(client(0).Addr(), uint16(port))); d != nil {
				addrs[d.addr.String()] = true
			}
		}
		return addrs
	}
	if got := one(0, false); len(got) != 1 {
		t.Errorf("the port counts without sh-port: %v", got)
	}
	if got := one(ipvs.SHPort, false); len(got) < 3 {
		t.Errorf("the port does not count with sh-port: %v", got)
	}
	if got := one(0, true); len(got) != 0 {
		t.Errorf("an overloaded destination is left without sh-fallback: %v", got)
	}
	if got := one(ipvs.SHFallback, true); len(got) != 1 {
		t.Errorf("sh-fallback: %v", got)
	}
}

// TestWeightsFarApart: a table is filled whatever the weights.
func TestWeightsFarApart(t *testing.T) {
	for _, name := range []string{"sh", "mh"} {
		got := shares(name, 0, farm(1, 1<<31-1), 2000)
		if got[2] != 0 || got[1] < 1900 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, name := range []string{"rr", "wrr", "wlc", "sh", "mh"} {
		b.Run(name, func(b *testing.B) {
			list := farm(1, 2, 3, 4, 5, 6, 7, 8)
			s := newScheduler(&ipvs.Service{Scheduler: name})
			s.changed(list)
			for i := 0; b.Loop(); i++ {
				s.pick(list, client(i))
			}
		})
	}
}
