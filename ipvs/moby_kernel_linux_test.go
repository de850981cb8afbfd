package ipvs_test

import (
	"context"
	"net"
	"net/netip"
	"testing"

	moby "github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/ipvs"
)

// TestKernelAgreesWithMoby: what one of the two puts into the table the other reads, as far as moby/ipvs can say it.
func TestKernelAgreesWithMoby(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ipvsadm")
	table, ctx := openKernel(t), context.Background()
	other, err := moby.New("")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	service := &moby.Service{AddressFamily: unix.AF_INET, Protocol: unix.IPPROTO_TCP, Address: net.IPv4(10, 99, 0, 1).To4(), Port: 80,
		SchedName: moby.SourceHashing, Flags: uint32(ipvs.SHPort) | 1, Timeout: 60, Netmask: 0x00ffffff}
	destination := &moby.Destination{AddressFamily: unix.AF_INET, Address: net.IPv4(10, 99, 1, 1).To4(), Port: 80, Weight: 7,
		ConnectionFlags: moby.ConnFwdDirectRoute, UpperThreshold: 9, LowerThreshold: 3}
	if err := other.NewService(service); err != nil {
		t.Fatal(err)
	}
	if err := other.NewDestination(service, destination); err != nil {
		t.Fatal(err)
	}
	want := []ipvs.Service{{
		ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort("10.99.0.1:80")},
		Scheduler:  "sh", Flags: ipvs.SHPort, Persistence: 60e9, Granularity: 24,
		Destinations: []ipvs.Destination{{Addr: netip.MustParseAddrPort("10.99.1.1:80"), Forward: ipvs.Direct, Weight: 7, UpperThreshold: 9, LowerThreshold: 3}},
	}}
	if plan := ipvs.Diff(read(t, table), want); len(plan) > 0 {
		t.Fatalf("what moby/ipvs wrote is read with a difference of\n%v", plan)
	}
	if err := table.Apply(ctx, ipvs.Diff(want, nil)); err != nil {
		t.Fatal(err)
	}
	if err := table.Apply(ctx, ipvs.Diff(nil, want)); err != nil {
		t.Fatal(err)
	}
	services, err := other.GetServices()
	if err != nil || len(services) != 1 {
		t.Fatalf("moby/ipvs reads %d services, %v", len(services), err)
	}
	s := services[0]
	if !s.Address.Equal(service.Address) || s.Port != 80 || s.SchedName != "sh" || s.Timeout != 60 || s.Netmask != service.Netmask || s.Flags&^2 != service.Flags {
		t.Errorf("moby/ipvs reads %+v, want %+v", s, service)
	}
	destinations, err := other.GetDestinations(s)
	if err != nil || len(destinations) != 1 {
		t.Fatalf("moby/ipvs reads %d destinations, %v", len(destinations), err)
	}
	d := destinations[0]
	if !d.Address.Equal(destination.Address) || d.Port != 80 || d.Weight != 7 || d.ConnectionFlags&moby.ConnFwdMask != moby.ConnFwdDirectRoute || d.UpperThreshold != 9 || d.LowerThreshold != 3 {
		t.Errorf("moby/ipvs reads %+v, want %+v", d, destination)
	}
}
