package holdfast_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
)

// farm is a Spec of so many services with four servers each, and a check of each server.
func farm(services int) holdfast.Spec {
	var spec holdfast.Spec
	for i := range services {
		s := holdfast.Service{Service: ipvs.Service{ServiceKey: ipvs.ServiceKey{
			Protocol: ipvs.TCP, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 80),
		}, Scheduler: "rr"}}
		for j := range 4 {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, byte(i), byte(j)}), 80)
			s.Servers = append(s.Servers, holdfast.Server{
				RealServer: ipvs.RealServer{Destination: ipvs.Destination{Addr: addr, Weight: 1}},
				Checks:     []check.Probe{{Checker: check.TCP{Target: check.Target{Addr: addr}}, Policy: check.Policy{DelayLoop: time.Hour}}},
			})
		}
		spec.Services = append(spec.Services, s)
	}
	return spec
}

// BenchmarkApply is a reload without parsing: the Spec is new, and what it says differs in nothing or in one weight.
func BenchmarkApply(b *testing.B) {
	for _, services := range []int{2000, 10000} {
		ctx, cancel := context.WithCancel(context.Background())
		c := holdfast.New(holdfast.Options{Table: &ipvstest.Fake{}, RepairInterval: time.Hour})
		specs := [2]holdfast.Spec{farm(services), farm(services)}
		if err := c.Apply(ctx, specs[0]); err != nil {
			b.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		<-c.Ready()
		for name, change := range map[string]func(i int) error{
			"nothing": func(i int) error { return c.Apply(ctx, specs[i%2]) },
			"one of it": func(i int) error {
				specs[i%2].Services[7].Servers[1].Weight = i%100 + 1
				return c.Apply(ctx, specs[i%2])
			},
			"a verb": func(i int) error {
				return c.SetWeight(ctx, holdfast.ServerKey{Service: "TCP 10.0.0.7:80", Addr: specs[0].Services[7].Servers[1].Addr}, i%100+1)
			},
		} {
			b.Run(fmt.Sprintf("%d services/%s", services, name), func(b *testing.B) {
				i := 0
				for b.Loop() {
					if err := change(i); err != nil {
						b.Fatal(err)
					}
					i++
				}
			})
		}
		cancel()
		<-done
	}
}
