package holdfast_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/netip"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// A load balancer without a configuration file: one service, two servers, each asked for its health page.
func Example() {
	table, err := ipvs.Open(ipvs.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	service := holdfast.Service{Service: ipvs.Service{
		ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.10:80")},
		Scheduler:  "wlc",
	}}
	for _, addr := range []string{"192.0.2.11:80", "192.0.2.12:80"} {
		target := netip.MustParseAddrPort(addr)
		service.Servers = append(service.Servers, holdfast.Server{
			RealServer: ipvs.RealServer{Destination: ipvs.Destination{Addr: target, Forward: ipvs.Direct, Weight: 1}},
			Checks: []check.Probe{{
				Checker: check.HTTP{Target: check.Target{Addr: target}, URLs: []check.URL{{Path: "/health"}}},
				Policy:  check.Policy{DelayLoop: 2 * time.Second, Timeout: time.Second},
			}},
		})
	}
	ctx := context.Background() // in a program: signal.NotifyContext
	c := holdfast.New(holdfast.Options{Table: table, Logger: slog.Default()})
	if err := c.Apply(ctx, holdfast.Spec{Services: []holdfast.Service{service}}); err != nil {
		log.Fatal(err)
	}
	log.Fatal(c.Run(ctx))
}

const conf = `
vrrp_instance web {
    interface eth0
    virtual_router_id 50
    priority 99
    authentication { auth_type PASS
        auth_pass secret }
    virtual_ipaddress { 192.0.2.10/24 }
}
virtual_server 192.0.2.10 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    sorry_server 192.0.2.99 80
    real_server 192.0.2.11 80 {
        HTTP_GET { url { path /
            status_code 200 } }
    }
    real_server 192.0.2.12 80 {
        weight 3
        TCP_CHECK { }
    }
}`

func parse(text string) holdfast.Spec {
	cfg, diags := config.Read("k.conf", []byte(text))
	if err := diags.Err(); err != nil {
		log.Fatal(err)
	}
	spec, err := holdfast.FromConfig(cfg)
	if err != nil {
		log.Fatal(err)
	}
	return spec
}

// What a keepalived.conf asks for, and what changes with an edit.
func ExampleDiff() {
	before := parse(conf)
	fmt.Print(holdfast.Diff(holdfast.Spec{}, before))

	after := parse(conf)
	after.Instances[0].Priority = 150
	after.Services[0].Servers[1].Weight = 1
	after.Services[0].Servers[1].Checks = after.Services[0].Servers[0].Checks
	fmt.Println("---")
	fmt.Print(holdfast.Diff(before, after))
	// Output:
	// -A -t 192.0.2.10:80 -s rr
	// -a -t 192.0.2.10:80 -r 192.0.2.11:80 -g -w 1
	// -a -t 192.0.2.10:80 -r 192.0.2.12:80 -g -w 3
	// vrrp_instance web add: interface eth0, virtual_router_id 50, version 2, priority 99, advert_int 1s, virtual_ipaddress 192.0.2.10/24, auth_type PASS
	// ---
	// -e -t 192.0.2.10:80 -r 192.0.2.12:80 -g -w 1
	// vrrp_instance web edit: priority 99 -> 150
	// check edit TCP 192.0.2.10:80 192.0.2.12:80: TCP_CHECK 192.0.2.12:80 every 1m0s -> HTTP_GET 192.0.2.11:80 every 1m0s
}

// Everything that happens can be followed in order.
func ExampleController_Subscribe() {
	c := holdfast.New(holdfast.Options{})
	events := c.Subscribe(100)
	if err := c.Apply(context.Background(), holdfast.Spec{
		Instances: []vrrp.Instance{{Interface: "eth0", VRID: 50, Addrs: vrrp.MustAddresses("192.0.2.10/24")}},
	}); err != nil {
		log.Fatal(err)
	}
	e, err := events.Next(context.Background())
	fmt.Println(e.Seq, e.Kind, e.Reason, err)
	// Output: 1 apply 1 instance changed <nil>
}

// All servers may be well while customers, who come by the virtual address, are cut off. A tracker without effects tells it.
func ExampleTracker() {
	virtual := netip.MustParseAddrPort("192.0.2.10:80")
	front := holdfast.Tracker{Name: "web at its own address", Probe: check.Probe{
		Checker: check.HTTP{Target: check.Target{Addr: virtual}, URLs: []check.URL{{Path: "/health"}}},
		Policy:  check.Policy{DelayLoop: 2 * time.Second, Timeout: time.Second, Retry: 2},
	}}
	spec := holdfast.Spec{Trackers: []holdfast.Tracker{front}}
	fmt.Println(spec.Validate())
	// Output: <nil>
}
