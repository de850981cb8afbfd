package relay_test

import (
	"context"
	"log"
	"log/slog"
	"net/netip"
	"os/signal"
	"syscall"

	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/relay"
)

// A program that passes connections to one port on to two servers, as any user.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	table := relay.New(relay.Options{Logger: slog.Default()})
	defer table.Close() // ends every connection
	r := ipvs.NewReconciler(table, ipvs.ReconcilerOptions{})
	err := r.Set(ctx, []ipvs.Service{{
		ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort("127.0.0.1:8080")},
		Scheduler:  "lc",
		Destinations: []ipvs.Destination{
			{Addr: netip.MustParseAddrPort("127.0.0.1:8001"), Weight: 1},
			{Addr: netip.MustParseAddrPort("127.0.0.1:8002"), Weight: 1},
		},
	}})
	if err != nil {
		log.Fatal(err)
	}
	<-ctx.Done()
}
