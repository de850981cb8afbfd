package ipvs_test

import (
	"context"
	"log"
	"net/netip"

	"github.com/holdfast-lb/holdfast/ipvs"
)

// The kernel's table as one wishes it, and kept so.
func Example() {
	ctx := context.Background()                   // in a program: signal.NotifyContext
	table, err := ipvs.Open(ipvs.ClientOptions{}) // in tests: &ipvstest.Fake{}
	if err != nil {
		log.Fatal(err)
	}
	r := ipvs.NewReconciler(table, ipvs.ReconcilerOptions{})
	err = r.Set(ctx, []ipvs.Service{{
		ServiceKey:   ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.10:80")},
		Scheduler:    "mh",
		Flags:        ipvs.MHPort,
		Destinations: []ipvs.Destination{{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Forward: ipvs.Direct, Weight: 10}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(r.Run(ctx)) // what others change is put right at the next look
}
