package ipvs_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/holdfast-lb/holdfast/ipvs"
)

// big is n services with four destinations each.
func big(n int) []ipvs.Service {
	all := make([]ipvs.Service, n)
	for i := range all {
		s := &all[i]
		s.ServiceKey = ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 80)}
		s.Scheduler = "wlc"
		for host := range byte(4) {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2, byte(i), host + 1}), 80)
			s.Destinations = append(s.Destinations, ipvs.Destination{Addr: addr, Weight: 10})
		}
	}
	return all
}

// asKernel is the order in which the kernel lists: services by hash, destinations newest first.
func asKernel(all []ipvs.Service) []ipvs.Service {
	var hashed []ipvs.Service
	for i := range all {
		s := all[i*7919%len(all)]
		s.Destinations = slices.Clone(s.Destinations)
		slices.Reverse(s.Destinations)
		hashed = append(hashed, s)
	}
	return hashed
}

func BenchmarkDiff(b *testing.B) {
	want := big(10_000)
	changed := slices.Clone(want)
	changed[5000].Destinations = slices.Clone(want[5000].Destinations)
	changed[5000].Destinations[2].Weight = 1
	for _, c := range []struct {
		name       string
		have, want []ipvs.Service
		ops        int
	}{
		{"all is new", nil, want, 50_000},
		{"nothing differs", asKernel(want), want, 0},
		{"one weight differs", want, changed, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if plan := ipvs.Diff(c.have, c.want); len(plan) != c.ops {
					b.Fatalf("%d operations", len(plan))
				}
			}
		})
	}
	b.Run("one service", func(b *testing.B) {
		b.ReportAllocs()
		plan := make(ipvs.Plan, 0, 4)
		for b.Loop() {
			if plan = ipvs.AppendDiff(plan[:0], &want[5000], &changed[5000]); len(plan) != 1 {
				b.Fatalf("%d operations", len(plan))
			}
		}
	})
}
