package vrrp

import (
	"context"
	"io"
	"net/netip"
	"time"
)

// Network is what a [Router] needs of its host. [HostNetwork] is the real one; package vrrptest has one in memory. All
// methods may be called from several goroutines at once; an interface is named by its name, since it may come and go.
type Network interface {
	// Link tells the present state of an interface. A missing one is an error that is fs.ErrNotExist. While Watch runs it
	// must not take time.
	Link(name string) (Link, error)
	// Watch calls changed whenever links, or what is held, may have changed, until ctx ends; it may call too often, never too
	// seldom. The first call comes when Watch sees all that follows.
	Watch(ctx context.Context, changed func(Change)) error
	// Sockets makes a set of sockets, without any in it. Each Router has one.
	Sockets() (Sockets, error)
	// Hold puts on the host what is held by a MASTER on the named interface. What is there already is no error. It goes on
	// after errors and joins them.
	Hold(name string, h Holdings) error
	// Release undoes Hold. What is not there is no error.
	Release(name string, h Holdings) error
	// MakeLink makes a virtual link on top of another one, or takes over the one of that name that fits. It comes up by itself,
	// in the VRF of the one below.
	// What it has already is no error. RemoveLink removes one that MakeLink has made, with what was changed for it.
	MakeLink(v VirtualLink) error
	RemoveLink(name string) error
	// Promote says whether addresses of the interface survive the removal of the first one of their network. Each true is
	// undone by one false.
	Promote(name string, on bool) error
	// Carrier asks a link's driver whether it has carrier, by MII, ETHTOOL or IOCTL, or, when how is empty, by the first of them
	// that the driver knows. It may take time. It is an error that is errors.ErrUnsupported when the driver does not know how.
	Carrier(name, how string) (up bool, err error)
	// QuietIGMP says whether the host keeps to itself which groups of the link it is in. Each true is undone by one false.
	QuietIGMP(on bool) error
	// Refuse says whether the host refuses traffic for and from addresses that it has, of one with a zone on that interface only. Each true is undone by one false.
	Refuse(f Firewall, addrs []netip.Addr, on bool) error
	// Announce tells the link once that each of the addresses is here: gratuitous ARP, or an unsolicited neighbour
	// advertisement.
	Announce(name string, addrs []netip.Addr) error
	// HearClaims calls heard when somebody else on the link says that one of the addresses is at a MAC address, which is none of this
	// host's: by ARP, or by a neighbour advertisement. It returns at once, as heard does; the Closer ends it. Of what comes too fast
	// some may be left out. Where nothing can be heard the Closer may be nil.
	HearClaims(name string, addrs []netip.Addr, heard func(addr netip.Addr, mac [6]byte)) (io.Closer, error)
}

// Change tells what may have changed. The zero Change means anything.
type Change struct {
	// Interface is the name of a link that came, went, or changed its state or addresses.
	Interface string
	// Lost is an address that was taken off the interface, if that is what happened.
	Lost netip.Prefix
	// Routes says that a route or rule was removed. Interface is empty then.
	Routes bool
}

// Link is the state of an interface.
type Link struct {
	// Index changes when an interface is deleted and made again.
	Index int
	// Up says whether it is up and has carrier.
	Up bool
	// NoMulticast says that adverts cannot go to a group here.
	NoMulticast bool
	// MTU is the size of the largest IP packet. 0 means that it does not matter.
	MTU int
	// Addrs are its addresses that can be used, virtual ones included, in the kernel's order; those of a VRF are its links'.
	Addrs []netip.Prefix
	// Gathered says that Addrs are those of other links: when any link changes, this one may have changed.
	Gathered bool
}

// VirtualLink is a link with a virtual MAC address, or an ipvlan. It is compared with ==.
type VirtualLink struct {
	Name, Parent string
	// MAC is its address. The zero value says that it is an ipvlan.
	MAC [6]byte
	// IPVLAN is how an ipvlan is made, and which address it has.
	IPVLAN IPVLAN
	// IPv6 says that it is used with IPv6.
	IPv6 bool
	// Group is the group of interfaces that it is in. 0 means the default one.
	Group uint32
}

// Socket says what a [Conn] hears. Sockets are compared with ==: instances with the same one share a Conn.
type Socket struct {
	// Interface is the link. Empty means all of them, for unicast only.
	Interface string
	// Group is the multicast group that is heard. The zero Addr means unicast: what is sent to the host itself.
	Group netip.Addr
	// IPv6 is the family.
	IPv6 bool
	// Protocol is the IP protocol: [Protocol], or 51 for adverts inside of an Authentication Header.
	Protocol uint8
}

// Sockets opens sockets for adverts, and is what their Router sleeps in. Only Wake may be called while Wait runs on another
// goroutine, and the methods of its Conns.
type Sockets interface {
	// Open opens a socket. Its interface is there and up. From then on Wait calls ready, which returns at once, when there is
	// something to receive, and returns.
	Open(s Socket, ready func()) (Conn, error)
	// Wait returns once the time has come, which is at once for one that is past and never for the zero Time, or a socket has
	// something to receive, or Wake was called since the last Wait. It may return too early.
	Wait(until time.Time) error
	// Wake ends Wait, or the next one. Any goroutine may call it, also after Close.
	Wake()
	// Close comes after that of all Conns.
	Close() error
}

// Conn sends and receives adverts. Its methods are called by one goroutine at a time.
type Conn interface {
	// Recv reads up to len(packets) packets without blocking, each into its own Buf. n is 0 when there is none.
	Recv(packets []Packet) (n int, err error)
	// Listen says whether packets that wait for Recv end Wait. Those of a new Conn do.
	Listen(on bool) error
	// Send sends datagrams in order, without blocking, and sets the Err of each. One that cannot be sent keeps none of the
	// others back.
	Send(datagrams []Datagram)
	// Want says which VRIDs matter, and how many bytes of received packets should be kept until Recv (0: as many as the
	// system likes). Packets for other VRIDs may be dropped unseen. Nil means that all VRIDs matter.
	Want(vrids *[256]bool, buffer int) error
	Close() error
}

// Packet is one received packet: its payload, with what its IP header said.
type Packet struct {
	// Buf is memory for the packet, from the caller of Recv. The other fields are set by Recv.
	Buf []byte
	// Message is what follows the IP header.
	Message []byte
	// Header is the IP header as it came, with options (IPv4 only).
	Header   []byte
	Src, Dst netip.Addr
	// TTL is the hop limit for IPv6.
	TTL      uint8
	Protocol uint8
	// Age is how long the packet waited for Recv. 0 where that is not known: timers then run from Recv, not from arrival.
	Age time.Duration
}

// Datagram is one packet to be sent.
type Datagram struct {
	// Data is the whole packet, IP header first.
	Data []byte
	Dst  netip.Addr
	// Err is why it could not be sent.
	Err error
}

// HostNetwork is the network of this host, in the network namespace of the calling process.
func HostNetwork() Network { return newHostNetwork() }
