// Command loadbalancer balances TCP connections over web servers and throws sick ones out: a load balancer of one's own, with
// no configuration file and no daemon.
//
//	loadbalancer -listen 127.0.0.1:8080 -health /health -status 127.0.0.1:9112 127.0.0.1:8001 127.0.0.1:8002
//	loadbalancer -listen 127.0.0.1:8080 -resolver 127.0.0.53:53 app.internal:8001
//
// A server that is given by name is as many servers as the name has addresses, and looked up again when the answer's time to
// live is over.
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
	dns := flag.String("resolver", "", "the name server for servers given by name, in place of resolv.conf's")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *listen, *health, *status, *dns, *kernel, flag.Args()); err != nil {
		slog.Error("ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, health, status, dns string, kernel bool, servers []string) error {
	service, names, err := describe(listen, health, servers)
	if err != nil {
		return err
	}
	resolver := &check.Resolver{}
	if dns != "" {
		addr, err := netip.ParseAddrPort(dns)
		if err != nil {
			return err
		}
		resolver.Servers = []netip.AddrPort{addr}
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
	go follow(ctx, c, service, health, names, resolver)
	return c.Run(ctx) // until ctx ends; then the table's entries are removed
}

// describe is the whole load balancer as a value, but for servers that are known by name.
func describe(listen, health string, servers []string) (service holdfast.Service, names []name, err error) {
	addr, err := netip.ParseAddrPort(listen)
	if err != nil {
		return service, nil, err
	}
	service.Service = ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: addr}, Scheduler: "wlc"}
	for _, text := range servers {
		if addr, err := netip.ParseAddrPort(text); err == nil {
			service.Servers = append(service.Servers, server(addr, health))
			continue
		}
		n, err := parseName(text)
		if err != nil {
			return service, nil, err
		}
		names = append(names, n)
	}
	return service, names, nil
}

// server is a real server and how it is checked.
func server(addr netip.AddrPort, health string) holdfast.Server {
	return holdfast.Server{
		RealServer: ipvs.RealServer{Destination: ipvs.Destination{Addr: addr, Weight: 1}},
		Checks: []check.Probe{{
			ID:      "GET " + health,
			Checker: check.HTTP{Target: check.Target{Addr: addr}, URLs: []check.URL{{Path: health}}},
			Policy:  check.Policy{DelayLoop: time.Second, Timeout: time.Second, AtOnce: true},
		}},
	}
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
