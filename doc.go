// Package holdfast composes VRRP, IPVS and health checks into one small Controller that a host program wires up itself:
// keepalived as Go packages.
//
// # Usage
//
// A [Spec] is everything that should be held: VRRP instances and services with their real servers and checks. It is a
// value. Write it in Go, or make it from a keepalived.conf:
//
//	cfg, diags, err := config.LoadFile("/etc/keepalived/keepalived.conf")
//	spec, err := holdfast.FromConfig(cfg)
//
// A [Controller] puts a Spec into force and keeps it there:
//
//	c := holdfast.New(holdfast.Options{Table: table, Logger: slog.Default()})
//	err = c.Apply(ctx, spec)
//	err = c.Run(ctx) // until ctx ends; then priority 0 is sent, addresses and own table entries are removed
//
// [Controller.Apply] may be called again at any time, before Run and during it. It changes just what differs: an
// instance, a check or a table entry that is the same in both Specs is not touched. [Diff] and [Controller.Plan] tell
// beforehand what would change. [Controller.Status] is a snapshot; [Controller.Subscribe] gives every event in order.
//
// Single things are changed by verbs such as [Controller.SetServer] and [Controller.Drain]. Programs, FIFOs, mail and webhooks
// are told of what happens as [Spec.Notify] says. With an [Options.StateFile] a Controller goes on where another left, so that a
// restart is seen by nobody: see [Controller.Handover].
//
// Each part is usable alone: see the packages vrrp, ipvs, check and config. They know nothing of each other; this package
// is the only one that knows all four.
//
// # Concurrency
//
// All methods of a Controller may be called from any goroutine. Events are delivered through per-subscriber buffers, so a
// slow subscriber loses events of its own (counted in [Event.Missed]) and delays nobody.
//
// # Errors
//
// A Spec is validated as a whole before anything is touched: an invalid one leaves everything as it was. What the kernel
// or the network refuses later is retried, reported as an [EventError], and visible in [Status].
//
// # Privileges
//
// VRRP instances need CAP_NET_RAW and CAP_NET_ADMIN, services need CAP_NET_ADMIN and a kernel with ip_vs. Checks need
// nothing but for ping, marks and scripts of other users: see package check. docs/security.md has it all.
package holdfast
