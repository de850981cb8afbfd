// Package ipvs keeps the kernel's load-balancing table (IPVS) the way you want it.
//
// # Usage
//
// Say what you want as a list of [Service] values and let a [Reconciler] hold it:
//
//	table, err := ipvs.Open(ipvs.ClientOptions{})
//	r := ipvs.NewReconciler(table, ipvs.ReconcilerOptions{})
//	err = r.Set(ctx, []ipvs.Service{{
//		ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.10:80")},
//		Scheduler:  "wlc",
//		Destinations: []ipvs.Destination{
//			{Addr: netip.MustParseAddrPort("10.0.0.1:80"), Forward: ipvs.Masq, Weight: 1},
//		},
//	}})
//	go r.Run(ctx) // sees drift and repairs it
//
// [Diff] is the pure heart of it: what must be done to get from one list to another, as a [Plan] that prints as ipvsadm
// lines. A [Pool] turns the health of real servers into the destinations to wish for.
//
// A [Table] is anything that holds such entries: the kernel's ([Client]), the one of package relay, which passes connections on
// in user space, or the fake of package ipvstest, which refuses what the kernel refuses. One suite runs on all three.
//
// # Ownership
//
// A Reconciler touches only services that it was once told to hold. Others' entries are never changed and never removed,
// unless [Reconciler.Flush] is asked for. A service that is in the table already when it is first wished for is adopted:
// edited in place, without a gap for its connections.
//
// The kernel does not know who made an entry. A Reconciler with a ledger writes down each service before it adds it, so
// that after a crash the next one with that ledger knows what is left in the table: what is still wished for stays as it
// is, the rest is removed. Without a ledger what a crash leaves and nobody wishes for again stays.
//
// # One change among many
//
// [Reconciler.Set] takes the whole wish, [Reconciler.Update] some services of it, at a cost that does not depend on the
// others. Neither waits for a look at the table that Run is having. [Reconciler.Drain] and [Reconciler.Maintain] say something
// about one destination that outlives both, until [Reconciler.Restore].
//
// # Errors
//
// Every operation that fails gives an [Error] that names it and its service and destination, and answers errors.Is for
// [ErrServiceNotFound] and the like, for fs.ErrNotExist or fs.ErrExist, and for the errno. One failed operation does
// not keep the rest of a plan from being tried.
//
// # The kernel
//
// A [Client] speaks generic netlink. Changes go in batches, with one acknowledgement for some hundred operations and an
// answer for each that failed, so that 50,000 entries take a fraction of a second. To read the table takes one request for
// the services and one for the destinations of each: the kernel has no other way. What the kernel is too old for is
// refused with an error that wraps errors.ErrUnsupported and names the version that has it; the kernel itself would leave
// it out in silence.
//
// Timeouts, and to flush the table, go through github.com/moby/ipvs, which says all of that. It runs modprobe once in a
// process's life, when it is used first; ip_vs is there by then, so that it does nothing. Everything else is a matter of
// attributes that it does not know, or of batches.
//
// # Privileges
//
// The kernel's table needs CAP_NET_ADMIN and a kernel with ip_vs; without, and on systems other than Linux, [Open] gives an
// error that wraps errors.ErrUnsupported. No module is loaded by surprise.
package ipvs
