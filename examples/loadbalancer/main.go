// Command loadbalancer balances TCP connections over web servers and throws sick ones out: a load balancer of one's own, with
// no configuration file and no daemon.
//
//	loadbalancer -listen 127.0.0.1:8080 -health /health -status 127.0.0.1:9112 127.0.0.1:8001 127.0.0.1:8002
//
// It works as any user, for it balances in user space. With -kernel the kernel's table does, which wants privileges and
// Linux.
package main

import (
	"context"
	"flag"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/relay"
	"github.com/holdfast-lb/holdfast/observe"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "where clients connect")
	health := flag.String("health", "/", "what a server that is well answers with 200")
	status := flag.String("status", "", "where to serve the status page")
	kernel := flag.Bool("kernel", false, "balance in the kernel")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *listen, *health, *status, *kernel, flag.Args()); err != nil {
		slog.Error("ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, health, status string, kernel bool, servers []string) error {
	service, err := describe(listen, health, servers)
	if err != nil {
		return err
	}
	table, err := open(kernel)
	if err != nil {
		return err
	}
	defer table.Close()
	c := holdfast.New(holdfast.Options{Table: table, Logger: slog.Default()})
	o := observe.New(c, observe.Options{})
	if err := c.Apply(ctx, holdfast.Spec{Services: []holdfast.Service{service}}); err != nil {
		return err
	}
	go o.Run(ctx)
	if status != "" {
		l, err := net.Listen("tcp", status)
		if err != nil {
			return err
		}
		go observe.Serve(ctx, l, o.Handler())
	}
	return c.Run(ctx) // until ctx ends; then the table's entries are removed
}

// describe is the whole load balancer as a value.
func describe(listen, health string, servers []string) (holdfast.Service, error) {
	addr, err := netip.ParseAddrPort(listen)
	service := holdfast.Service{Service: ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: addr}, Scheduler: "wlc"}}
	if err != nil {
		return service, err
	}
	for _, server := range servers {
		addr, err := netip.ParseAddrPort(server)
		if err != nil {
			return service, err
		}
		service.Servers = append(service.Servers, holdfast.Server{
			RealServer: ipvs.RealServer{Destination: ipvs.Destination{Addr: addr, Weight: 1}},
			Checks: []check.Probe{{
				ID:      "GET " + health,
				Checker: check.HTTP{Target: check.Target{Addr: addr}, URLs: []check.URL{{Path: health}}},
				Policy:  check.Policy{DelayLoop: time.Second, Timeout: time.Second, AtOnce: true},
			}},
		})
	}
	return service, nil
}

func open(kernel bool) (ipvs.Table, error) {
	if !kernel {
		return relay.New(relay.Options{Logger: slog.Default()}), nil
	}
	if err := ipvs.EnsureModule(); err != nil {
		return nil, err
	}
	return ipvs.Open(ipvs.ClientOptions{})
}
