// Package bfd finds out within milliseconds whether a path to a neighbour works: Bidirectional Forwarding Detection
// (RFC 5880) in asynchronous mode, over one hop (RFC 5881) or several (RFC 5883), as FRR's bfdd, routers and keepalived
// speak it.
//
// # Usage
//
// Describe the sessions and let a Speaker keep them:
//
//	s := bfd.NewSpeaker(bfd.Options{OnTransition: func(t bfd.Transition) { log.Println(t) }})
//	err := s.Set([]bfd.Session{{
//		Name: "gateway", Local: netip.MustParseAddr("192.0.2.1"), Peer: netip.MustParseAddr("192.0.2.254"),
//		MinTx: 50 * time.Millisecond, MinRx: 50 * time.Millisecond, Multiplier: 3,
//	}})
//	err = s.Run(ctx) // until ctx ends; peers are then told that the sessions are administratively down
//
// Set may be called again at any time: a session that stays keeps its state, and changed timers are negotiated by a Poll
// Sequence. Those who have a loop of their own use the parts: [Packet] reads and writes packets, [Machine] is one session as a
// pure function of time and events.
//
// # What counts as a failure
//
// [Status.Alive] is keepalived's view: a path is alive from the first Up on, until it goes down for any reason but that the
// peer was taken down by its operator (AdminDown): maintenance is no failure.
//
// # Concurrency
//
// A Speaker's methods may be called from any goroutine. A Machine and a Packet belong to one goroutine at a time.
//
// # Errors
//
// A received packet that RFC 5880, Section 6.8.6 discards is one sentinel error, and one counter of [Stats], per reason.
// [Session.Validate] reports everything that is wrong with a session at once.
//
// # Privileges
//
// None: ports 3784 and 4784 are not privileged. Another BFD daemon on the same host must not have them.
//
// # Limitations
//
// No Echo and no Demand mode of our own; a peer's Demand is honoured.
package bfd
