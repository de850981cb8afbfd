package vrrp_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/netip"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
)

// A virtual IP and nothing else.
func Example() {
	ctx := context.Background() // in a program: signal.NotifyContext
	router := vrrp.NewRouter(vrrp.Options{Logger: slog.Default()})
	err := router.Set([]vrrp.Instance{{
		Interface: "eth0", VRID: 50, Priority: 100, Addrs: vrrp.MustAddresses("192.0.2.10/24"),
	}})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(router.Run(ctx)) // until ctx ends; then priority 0 is sent and the address removed
}

// A Machine is driven by telling it what happened; it answers with what to do.
func ExampleMachine() {
	m, err := vrrp.NewMachine(vrrp.Instance{
		Name: "web", Interface: "eth0", VRID: 51, Priority: 150,
		Addrs: vrrp.MustAddresses("192.0.2.10/24"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m.Step(now, vrrp.Startup{Source: netip.MustParseAddr("192.0.2.1")})
	due, _ := m.Deadline()
	fmt.Println("no advert for", due.Sub(now))
	for _, action := range m.Step(due, vrrp.Timeout{}) {
		fmt.Printf("%T\n", action)
	}
	// Output:
	// no advert for 3.4140625s
	// vrrp.SendAdvert
	// vrrp.AddAddrs
	// vrrp.AnnounceAddrs
	// vrrp.Transition
}

// What a sniffer makes of a packet: parsing takes what is well-formed, Validate is for those who act on it.
func ExampleAdvertisement() {
	src, message := netip.MustParseAddr("198.51.100.10"), []byte("\x31\x33\xc8\x01\x00\x64\x39\x35\xc0\x00\x02\x64")
	var a vrrp.Advertisement
	if err := a.ParsePacket(message, src, vrrp.GroupIPv4); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(a.VRID, a.Priority, a.Interval, a.Addrs, a.Checksum)
	fmt.Println(a.Validate(&vrrp.Instance{VRID: 7, Addrs: vrrp.MustAddresses("192.0.2.100")}, src, vrrp.GroupIPv4, 255))
	// Output:
	// 51 200 1s [192.0.2.100] pseudo-header
	// vrrp: VRID 51, this instance has 7
}

// Members of a sync group are driven through it: when one cannot take part, none does.
func ExampleGroup() {
	var group vrrp.Group
	for i, name := range []string{"inside", "outside"} {
		m, err := vrrp.NewMachine(vrrp.Instance{Name: name, Interface: "eth" + fmt.Sprint(i), VRID: 51, Sync: "pair", Addrs: vrrp.MustAddresses("192.0.2.10")})
		if err != nil {
			fmt.Println(err)
			return
		}
		group = append(group, m)
	}
	do := func(_ *vrrp.Machine, a vrrp.Action) {
		if t, ok := a.(vrrp.Transition); ok {
			fmt.Println(t)
		}
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, m := range group {
		group.Step(now, m, vrrp.Startup{Source: netip.MustParseAddr("192.0.2.1")}, do)
	}
	group.Step(now, group[1], vrrp.FaultBegin{Reason: "eth1 is down"}, do)
	// Output:
	// inside: INIT -> BACKUP: started
	// outside: INIT -> BACKUP: started
	// outside: BACKUP -> FAULT: eth1 is down
	// inside: BACKUP -> FAULT: sync group pair: outside is FAULT
}
