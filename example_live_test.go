package holdfast_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// A load balancer that is changed while it runs, here on a table in memory.
func ExampleController_SetWeight() {
	table := &ipvstest.Fake{}
	c := holdfast.New(holdfast.Options{Table: table})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	<-c.Ready()

	web := holdfast.Service{Service: ipvs.Service{
		ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.10:80")}, Scheduler: "rr",
	}}
	for _, addr := range []string{"192.0.2.11:80", "192.0.2.12:80"} {
		d := ipvs.Destination{Addr: netip.MustParseAddrPort(addr), Forward: ipvs.Direct, Weight: 1}
		web.Servers = append(web.Servers, holdfast.Server{RealServer: ipvs.RealServer{Destination: d}})
	}
	if err := c.SetService(ctx, web); err != nil {
		log.Fatal(err)
	}
	second := holdfast.ServerKey{Service: web.String(), Addr: web.Servers[1].Addr}
	if err := c.SetWeight(ctx, second, 3); err != nil {
		log.Fatal(err)
	}
	fmt.Println(table.Dump())
	if err := c.Drain(ctx, second); err != nil { // it has no connections
		log.Fatal(err)
	}
	fmt.Println("---")
	fmt.Println(table.Dump())
	cancel()
	fmt.Println("---", <-ended)
	// Output:
	// -A -t 192.0.2.10:80 -s rr
	// -a -t 192.0.2.10:80 -r 192.0.2.11:80 -g -w 1
	// -a -t 192.0.2.10:80 -r 192.0.2.12:80 -g -w 3
	// ---
	// -A -t 192.0.2.10:80 -s rr
	// -a -t 192.0.2.10:80 -r 192.0.2.11:80 -g -w 1
	// --- <nil>
}

// An agent that holds an address by health of its own, here on a LAN in memory.
func ExampleController_SetTracking() {
	c := holdfast.New(holdfast.Options{Network: vrrptest.NewLAN().Host("10.0.0.1")})
	events := c.Subscribe(100)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	owner := vrrp.Instance{Name: "vip", Interface: vrrptest.Interface, VRID: 50, Priority: 255, Addrs: vrrp.MustAddresses("10.0.0.100")}
	if err := c.Apply(ctx, holdfast.Spec{Instances: []vrrp.Instance{owner}}); err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	for {
		e, err := events.Next(context.Background())
		if err != nil {
			break // the last event has been read
		}
		if e.Kind != holdfast.EventInstance {
			continue
		}
		fmt.Println(e.Object, e.From, "->", e.To)
		switch e.To {
		case "MASTER":
			c.SetTracking("vip", vrrp.Tracking{Fault: true, Reason: "the database is read-only"})
		case "FAULT":
			cancel()
		}
	}
	fmt.Println(<-ended)
	// Output:
	// vip INIT -> MASTER
	// vip MASTER -> FAULT
	// vip FAULT -> INIT
	// <nil>
}
