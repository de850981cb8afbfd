package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"os"
	"path/filepath"
	"time"

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
	fmt.Print(table.Dump())
	if err := c.Drain(ctx, second); err != nil { // it has no connections
		log.Fatal(err)
	}
	fmt.Println("---")
	fmt.Print(table.Dump())
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
			if err := c.SetTracking("vip", vrrp.Tracking{Fault: true, Reason: "the database is read-only"}); err != nil {
				log.Fatal(err)
			}
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

// One server comes, goes and is mended, with everything else left alone.
func ExampleController_SetServer() {
	table := &ipvstest.Fake{}
	c := holdfast.New(holdfast.Options{Table: table})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go c.Run(ctx)
	<-c.Ready()

	web := holdfast.Service{Name: "web", Service: ipvs.Service{
		ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.10:80")}, Scheduler: "rr",
	}}
	server := func(addr string, weight int) holdfast.Server {
		return holdfast.Server{RealServer: ipvs.RealServer{Destination: ipvs.Destination{Addr: netip.MustParseAddrPort(addr), Weight: weight}}}
	}
	first := holdfast.ServerKey{Service: "web", Addr: netip.MustParseAddrPort("192.0.2.11:80")}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"two servers", func() error {
			return errors.Join(c.SetService(ctx, web), c.SetServer(ctx, "web", server("192.0.2.11:80", 1)), c.SetServer(ctx, "web", server("192.0.2.12:80", 1)))
		}},
		{"the second is stronger", func() error { return c.SetServer(ctx, "web", server("192.0.2.12:80", 5)) }},
		{"the first is mended", func() error { return c.SetServerMaintenance(ctx, first, true) }},
		{"and not needed any more", func() error { return c.RemoveServer(ctx, first) }},
		{"nothing is left", func() error { return c.RemoveService(ctx, "web") }},
	} {
		err := step.do()
		fmt.Printf("# %s: %v\n%s", step.what, err, table.Dump())
	}
	// Output:
	// # two servers: <nil>
	// -A -t 192.0.2.10:80 -s rr
	// -a -t 192.0.2.10:80 -r 192.0.2.11:80 -m -w 1
	// -a -t 192.0.2.10:80 -r 192.0.2.12:80 -m -w 1
	// # the second is stronger: <nil>
	// -A -t 192.0.2.10:80 -s rr
	// -a -t 192.0.2.10:80 -r 192.0.2.11:80 -m -w 1
	// -a -t 192.0.2.10:80 -r 192.0.2.12:80 -m -w 5
	// # the first is mended: <nil>
	// -A -t 192.0.2.10:80 -s rr
	// -a -t 192.0.2.10:80 -r 192.0.2.12:80 -m -w 5
	// # and not needed any more: <nil>
	// -A -t 192.0.2.10:80 -s rr
	// -a -t 192.0.2.10:80 -r 192.0.2.12:80 -m -w 5
	// # nothing is left: <nil>
}

// entered reads events until the instance has entered the state.
func entered(events *holdfast.Subscription, instance, state string) {
	for {
		e, err := events.Next(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		if e.Kind == holdfast.EventInstance && e.Object == instance && e.To == state {
			fmt.Println(instance, "is", state)
			return
		}
	}
}

// Two hosts on a LAN in memory. An operator moves an address by priority, by word, and takes it away.
func ExampleController_SetInstance() {
	lan := vrrptest.NewLAN()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	start := func(address string, priority uint8) (*holdfast.Controller, *holdfast.Subscription) {
		c := holdfast.New(holdfast.Options{Network: lan.Host(address)})
		events := c.Subscribe(1000)
		go c.Run(ctx)
		<-c.Ready()
		if err := c.SetInstance(ctx, vrrp.Instance{
			Name: "vip", Interface: vrrptest.Interface, VRID: 50, Priority: priority, Interval: 20 * time.Millisecond, Addrs: vrrp.MustAddresses("10.0.0.100"),
		}); err != nil {
			log.Fatal(err)
		}
		return c, events
	}
	a, ofA := start("10.0.0.1", 150)
	entered(ofA, "vip", "MASTER")
	b, ofB := start("10.0.0.2", 100)
	entered(ofB, "vip", "BACKUP")
	if err := b.SetPriority(ctx, "vip", 200); err != nil {
		log.Fatal(err)
	}
	entered(ofB, "vip", "MASTER")
	if err := b.Failover("vip"); err != nil { // stays BACKUP while a is there, whatever its priority
		log.Fatal(err)
	}
	entered(ofB, "vip", "BACKUP")
	if err := a.SetInstanceMaintenance(ctx, "vip", true); err != nil {
		log.Fatal(err)
	}
	entered(ofB, "vip", "MASTER")
	if err := b.RemoveInstance(ctx, "vip"); err != nil {
		log.Fatal(err)
	}
	entered(ofB, "vip", "INIT")
	fmt.Println(lan.Holders("10.0.0.100"))
	// Output:
	// vip is MASTER
	// vip is BACKUP
	// vip is MASTER
	// vip is BACKUP
	// vip is MASTER
	// vip is INIT
	// []
}

// A process goes and the next one takes its place, here both in one program: nobody on the LAN sees anything.
func ExampleController_Handover() {
	dir, err := os.MkdirTemp("", "holdfast-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	lan := vrrptest.NewLAN()
	options := holdfast.Options{Network: lan.Host("10.0.0.1"), StateFile: filepath.Join(dir, "state"), Takeover: 10 * time.Second}
	spec := holdfast.Spec{Instances: []vrrp.Instance{{
		Name: "vip", Interface: vrrptest.Interface, VRID: 50, Interval: 20 * time.Millisecond, Addrs: vrrp.MustAddresses("10.0.0.100"),
	}}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	start := func() (*holdfast.Controller, *holdfast.Subscription) {
		c := holdfast.New(options)
		events := c.Subscribe(100)
		if err := c.Apply(ctx, spec); err != nil {
			log.Fatal(err)
		}
		go func() { ended <- c.Run(ctx) }()
		return c, events
	}
	old, events := start()
	entered(events, "vip", "MASTER")

	_, events = start() // waits for the old one's state file
	old.Handover()
	fmt.Println("the old one has left:", <-ended, lan.Holders("10.0.0.100"))
	entered(events, "vip", "MASTER") // at once: it listens to nobody first
	cancel()
	fmt.Println("the end:", <-ended, lan.Holders("10.0.0.100"))
	// Output:
	// vip is MASTER
	// the old one has left: <nil> [10.0.0.1]
	// vip is MASTER
	// the end: <nil> []
}

// What only the host program knows stands among all other events, in its place.
func ExampleController_Publish() {
	c := holdfast.New(holdfast.Options{})
	events := c.Subscribe(100)
	reload := holdfast.Event{Kind: holdfast.EventReload, Object: "/etc/shop.conf", To: "BEGUN"}
	if err := c.Publish(reload); err != nil {
		log.Fatal(err)
	}
	if err := c.Apply(context.Background(), holdfast.Spec{}); err != nil {
		log.Fatal(err)
	}
	reload.To, reload.Took = "OK", 3*time.Millisecond
	if err := c.Publish(reload); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		e, err := events.Next(context.Background())
		fmt.Println(e.Seq, e.Kind, e.Object, e.To, e.Took, err)
	}
	fmt.Println(c.Publish(holdfast.Event{Kind: holdfast.EventInstance, Object: "vip", To: "MASTER"}))
	// Output:
	// 1 reload /etc/shop.conf BEGUN 0s <nil>
	// 2 apply spec  0s <nil>
	// 3 reload /etc/shop.conf OK 3ms <nil>
	// holdfast: publish: events of kind "instance" are the Controller's to tell
}
