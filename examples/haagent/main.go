// Command haagent holds one virtual IP by VRRP: for whom a daemon and its configuration are too much.
//
//	haagent -interface eth0 -vrid 50 -priority 100 192.0.2.10/24
//
// It gives the address up while the file named by -unless exists, so that a person or a program can take the host out.
package main

import (
	"context"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
)

func main() {
	iface := flag.String("interface", "eth0", "interface that holds the address")
	vrid := flag.Uint("vrid", 50, "virtual router id, the same on all agents of the group")
	priority := flag.Uint("priority", 100, "the highest holds the address, 1 to 254")
	unless := flag.String("unless", "", "file whose existence gives the address up")
	flag.Parse()

	addr, err := netip.ParsePrefix(flag.Arg(0))
	if err != nil || *vrid > 255 || *priority > 254 {
		slog.Error("usage: haagent [flags] ADDRESS/LENGTH; vrid 1 to 255, priority 1 to 254", "error", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	router := vrrp.NewRouter(vrrp.Options{Logger: slog.Default()})
	vip := vrrp.Instance{Name: "vip", Interface: *iface, VRID: uint8(*vrid), Priority: uint8(*priority), Addrs: []vrrp.Address{{Prefix: addr}}}
	if err := router.Set([]vrrp.Instance{vip}); err != nil {
		slog.Error("not started", "error", err)
		os.Exit(2)
	}
	go func() {
		for range time.Tick(100 * time.Millisecond) {
			_, err := os.Stat(*unless)
			router.SetTracking("vip", vrrp.Tracking{Fault: err == nil, Reason: *unless + " exists"})
		}
	}()
	if err := router.Run(ctx); err != nil {
		slog.Error("ended", "error", err)
		os.Exit(1)
	}
}
