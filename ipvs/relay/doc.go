// Package relay balances in user space what the kernel's table balances in the kernel, for laptops and containers whose kernel
// has no ip_vs.
//
// A [Relay] is an [ipvs.Table]: hand it to a Reconciler in place of the kernel's. It accepts TCP connections and UDP datagrams at
// the services' addresses and passes them on to the destinations that the services' schedulers choose.
//
// # What is the same
//
// Schedulers rr, wrr, lc, wlc, sed, nq, sh, mh, dh, fo and ovf with their flags, persistence by client address with its
// granularity, one-packet scheduling, thresholds, weight 0, counters, and the kinds of errors.
//
// # What is different
//
//   - The destination sees this host's address in place of the client's, and answers come back through this host, whatever
//     the forwarding method says.
//   - A destination that is deleted loses its connections at once, so that its clients come back and get another one. Weight 0
//     lets them finish; clients that persistence binds to it go elsewhere from then on, and hashes leave it out.
//   - A connection to a destination that cannot be reached is reset; the client may try again. The relay tries no other: that
//     is what health checks are for.
//   - Marks, SCTP, services of every port (0), persistence engines and the schedulers lblc, lblcr and twos are refused with an
//     error that wraps errors.ErrUnsupported or ipvs.ErrSchedulerNotFound.
//   - Packets are not counted for TCP, and rates are 0. Bytes of a connection count as they pass, those of a fast one by the
//     mebibyte.
//
// # Cost
//
// An idle TCP connection costs two sockets and two goroutines, and no buffer. What flows without pause is moved by the
// kernel (splice) without passing through this process. A slow receiver slows its sender: nothing is queued in between.
//
// # Addresses
//
// A service may listen at an address that the host does not have yet, as a VRRP BACKUP does. Where the system cannot do that,
// it listens once the address is there.
package relay
