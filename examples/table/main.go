// Command table keeps one service in the kernel's load balancer: package ipvs alone, with no health checks.
//
//	table -listen 192.0.2.10:80 -scheduler wlc 10.0.0.1:80 10.0.0.2:80=3
//
// The part behind = is the weight. With -plan it says what it would do, as ipvsadm lines, and changes nothing. At the end its
// service is removed, and nothing else.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast/ipvs"
)

func main() {
	listen := flag.String("listen", "192.0.2.10:80", "where clients connect")
	scheduler := flag.String("scheduler", "wlc", "how connections are spread")
	plan := flag.Bool("plan", false, "say what would be done")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	want, err := describe(*listen, *scheduler, flag.Args())
	if err == nil && *plan {
		fmt.Print(ipvs.Diff(nil, []ipvs.Service{want}))
		return
	}
	if err == nil {
		err = hold(ctx, want)
	}
	if err != nil {
		slog.Error("ended", "error", err)
		os.Exit(1)
	}
}

// describe is the wish.
func describe(listen, scheduler string, servers []string) (ipvs.Service, error) {
	addr, err := netip.ParseAddrPort(listen)
	if err != nil {
		return ipvs.Service{}, err
	}
	s := ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: addr}, Scheduler: scheduler}
	for _, server := range servers {
		text, weight, found := strings.Cut(server, "=")
		d := ipvs.Destination{Forward: ipvs.Masq, Weight: 1}
		if d.Addr, err = netip.ParseAddrPort(text); err != nil {
			return s, err
		}
		if found {
			if d.Weight, err = strconv.Atoi(weight); err != nil {
				return s, err
			}
		}
		s.Destinations = append(s.Destinations, d)
	}
	return s, s.Validate()
}

// hold keeps the wish in the kernel's table until ctx ends.
func hold(ctx context.Context, want ipvs.Service) error {
	if err := ipvs.EnsureModule(); err != nil {
		return err
	}
	table, err := ipvs.Open(ipvs.ClientOptions{})
	if err != nil {
		return err
	}
	defer table.Close()
	return keep(ctx, table, want)
}

func keep(ctx context.Context, table ipvs.Table, want ipvs.Service) error {
	r := ipvs.NewReconciler(table, ipvs.ReconcilerOptions{
		Logger: slog.Default(),
		OnRepair: func(p ipvs.Plan, err error) {
			slog.Warn("somebody changed the table", "repair", p.String(), "error", err)
		},
	})
	if err := r.Set(ctx, []ipvs.Service{want}); err != nil {
		return err
	}
	if err := r.Run(ctx); err != nil { // looks for drift
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return r.Release(ctx)
}
