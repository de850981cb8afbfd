// Package vrrp holds virtual addresses by the Virtual Router Redundancy Protocol: version 3 (RFC 9568) and version 2
// (RFC 3768, with RFC 2338's passwords), compatible with keepalived on the wire.
//
// # Usage
//
// Describe what to hold as a list of [Instance] values and let a [Router] hold it:
//
//	r := vrrp.NewRouter(vrrp.Options{OnTransition: func(t vrrp.Transition) { log.Println(t) }})
//	err := r.Set([]vrrp.Instance{{
//		Name: "web", Interface: "eth0", VRID: 51, Priority: 150,
//		Addrs: vrrp.MustAddresses("192.0.2.10/24"),
//	}})
//	err = r.Run(ctx) // until ctx ends, then leaves with priority 0
//
// Set may be called again while the Router runs; what did not change is not touched. [Router.SetTracking] lets health of
// your own move an instance's priority or put it into FAULT; so do interfaces in [Instance.Track]. Instances with the same
// [Instance.Sync] change state together. Adverts go by multicast, or to [Instance.Peers].
//
// Those who have a loop of their own use the parts: [Advertisement] reads and writes packets, [Authenticator] signs and
// verifies them, [Machine] is the state machine as a pure function of time and events, and [Group] those of a sync group.
// Package vrrptest has an in-memory LAN to test against.
//
// # Split brain
//
// Routers that do not agree, or do not hear each other, show it in their adverts. Every such [Conflict] is counted, and told to
// [Options.OnConflict] when it begins and once a minute while it lasts. The MASTER that stays in office after one announces its
// addresses again. So it does, every ten seconds at most, while a host that sends no adverts claims one of them by ARP or as a
// neighbour.
//
// # Words
//
// An instance is a virtual router of the RFCs on one interface. Its states are keepalived's: MASTER is what RFC 9568 calls
// Active. An instance whose priority is 255 is the owner of its addresses.
//
// # Concurrency
//
// A Router's methods may be called from any goroutine. A Machine and an Advertisement belong to one goroutine at a time.
//
// # Errors
//
// What is wrong with a received packet is one sentinel error per counter of the VRRP MIB (RFC 6527): [ErrTTL],
// [ErrChecksum] and so on; see [Stats]. [Instance.Validate] reports everything that is wrong with a configuration at once.
//
// # Privileges
//
// Run needs CAP_NET_RAW for its sockets and CAP_NET_ADMIN for addresses. Systems other than Linux give an error that wraps
// errors.ErrUnsupported; the codec and the Machine work everywhere.
//
// # Limitations
//
// Passwords and AH of version 2 guard against mistakes; use [HMAC] against people. A virtual MAC address needs a macvlan, so
// it cannot be had where a network allows one MAC address for each port; see [IPVLAN].
package vrrp
