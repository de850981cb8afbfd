package vrrp

import (
	"context"
	"net/netip"
)

// Network is what a [Router] needs of its host. [HostNetwork] is the real one; package vrrptest has one in memory. All
// methods may be called from several goroutines at once; an interface is named by its name, since it may come and go.
type Network interface {
	// Link tells the present state of an interface. A missing one is an error that is fs.ErrNotExist.
	Link(name string) (Link, error)
	// Watch calls changed whenever links or addresses may have changed, until ctx ends; it may call too often, never too
	// seldom.
	Watch(ctx context.Context, changed func()) error
	// Open opens a socket for adverts on an interface that is up. It hears what is sent to the multicast group, and to the
	// host itself, of the group's family.
	Open(name string, group netip.Addr) (Conn, error)
	// AddAddr puts an address on the interface. One that is there already is no error.
	AddAddr(name string, addr netip.Prefix) error
	// RemoveAddr takes an address off the interface. One that is not there is no error.
	RemoveAddr(name string, addr netip.Prefix) error
	// Announce tells the link once that addr is here: gratuitous ARP, or an unsolicited neighbour advertisement.
	Announce(name string, addr netip.Addr) error
}

// Link is the state of an interface.
type Link struct {
	// Index changes when an interface is deleted and made again.
	Index int
	// Up says whether it is up and has carrier.
	Up bool
	// Addrs are its addresses that can be used, virtual ones included, in the kernel's order.
	Addrs []netip.Prefix
}

// Conn sends and receives adverts on one interface.
type Conn interface {
	// Wait blocks until a packet may be there for Recv. After Close it returns an error.
	Wait() error
	// Recv reads one packet into buf without blocking. ok is false when there is none.
	Recv(buf []byte) (p Packet, ok bool, err error)
	// Send sends one VRRP message from src to the group or to a peer.
	Send(message []byte, src, dst netip.Addr) error
	// Close ends Wait.
	Close() error
}

// Packet is one received VRRP message with what its IP header said.
type Packet struct {
	Message  []byte // within the buffer given to Recv
	Src, Dst netip.Addr
	TTL      uint8
}

// HostNetwork is the network of this host, in the network namespace of the calling process.
func HostNetwork() Network { return newHostNetwork() }
