package vrrp_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
)

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
