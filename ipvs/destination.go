package ipvs

import (
	"fmt"
	"net/netip"
)

// Forward is how packets reach a destination.
type Forward uint8

// The forwarding methods, by their numbers in the kernel.
const (
	Masq   Forward = 0 // network address translation (NAT)
	Local  Forward = 1 // the destination is this host; the kernel's own finding
	Tunnel Forward = 2 // encapsulated (TUN), see [TunnelOptions]
	Direct Forward = 3 // direct routing (DR)
	Bypass Forward = 4 // the kernel's own
)

// String returns keepalived's word for the method.
func (f Forward) String() string {
	switch f {
	case Masq:
		return "NAT"
	case Local:
		return "LOCAL"
	case Tunnel:
		return "TUN"
	case Direct:
		return "DR"
	case Bypass:
		return "BYPASS"
	}
	return fmt.Sprintf("Forward(%d)", uint8(f))
}

// TunnelType is the encapsulation of a destination with [Tunnel].
type TunnelType uint8

// The tunnel types, by their numbers in the kernel.
const (
	IPIP TunnelType = 0 // IP in IP
	GUE  TunnelType = 1 // generic UDP encapsulation; since Linux 5.2
	GRE  TunnelType = 2 // generic routing encapsulation; since Linux 5.3
)

// String returns the type's name as ipvsadm and keepalived write it.
func (t TunnelType) String() string {
	switch t {
	case IPIP:
		return "ipip"
	case GUE:
		return "gue"
	case GRE:
		return "gre"
	}
	return fmt.Sprintf("TunnelType(%d)", uint8(t))
}

// TunnelChecksum says what of an encapsulated packet has a checksum; since Linux 5.3.
type TunnelChecksum uint8

// The checksums, by their numbers in the kernel.
const (
	NoChecksum     TunnelChecksum = 0
	Checksum       TunnelChecksum = 1 // of the outer header
	RemoteChecksum TunnelChecksum = 2 // the inner one is left to the receiver; GUE only
)

// String returns the checksum's name as ipvsadm and keepalived write it.
func (c TunnelChecksum) String() string {
	switch c {
	case NoChecksum:
		return "nocsum"
	case Checksum:
		return "csum"
	case RemoteChecksum:
		return "remcsum"
	}
	return fmt.Sprintf("TunnelChecksum(%d)", uint8(c))
}

// TunnelOptions of a destination with [Tunnel]. The zero value is IP in IP.
type TunnelOptions struct {
	Type TunnelType
	// Port of GUE, which needs one. 0 for the others.
	Port uint16
	// Checksum of GUE and GRE. NoChecksum for IP in IP.
	Checksum TunnelChecksum
}

// Destination is one server behind a service. It is comparable.
type Destination struct {
	// Addr is the server's address and port. It identifies the destination within the service. For Direct and Tunnel the
	// port is the service's. With Tunnel the family may be another than the service's.
	Addr netip.AddrPort
	// Forward is the forwarding method; the zero value is Masq.
	Forward Forward
	// Tunnel is for the method of that name, and zero for others.
	Tunnel TunnelOptions
	// Weight, 0 to 2^31-1. 0 gives the server no new connections and keeps those that it has.
	Weight int
	// UpperThreshold stops new connections at so many, until there are fewer than LowerThreshold. 0 means no limit; a
	// LowerThreshold of 0 means three quarters of the upper one.
	UpperThreshold, LowerThreshold uint32
}

// DestinationStatus is what a [Table] tells of one destination.
type DestinationStatus struct {
	Destination
	// ActiveConnections are established, InactiveConnections in any other state.
	ActiveConnections, InactiveConnections int
	// PersistentConnections are clients that persistence binds to the destination.
	PersistentConnections int
	Stats                 Stats
}

// Stats are counters of a service or a destination since it was made or zeroed, and rates per second over the last seconds.
// The kernel brings both up to date every two seconds. One before Linux 4.1 counts connections and packets, and estimates
// rates, in 32 bits.
type Stats struct {
	Connections uint64 `json:"connections"`
	PacketsIn   uint64 `json:"packetsIn"`
	PacketsOut  uint64 `json:"packetsOut"`
	BytesIn     uint64 `json:"bytesIn"`
	BytesOut    uint64 `json:"bytesOut"`

	ConnectionRate uint64 `json:"connectionRate"`
	PacketRateIn   uint64 `json:"packetRateIn"`
	PacketRateOut  uint64 `json:"packetRateOut"`
	ByteRateIn     uint64 `json:"byteRateIn"`
	ByteRateOut    uint64 `json:"byteRateOut"`
}

// Add adds the counters and rates of another.
func (s *Stats) Add(o Stats) {
	s.Connections += o.Connections
	s.PacketsIn += o.PacketsIn
	s.PacketsOut += o.PacketsOut
	s.BytesIn += o.BytesIn
	s.BytesOut += o.BytesOut
	s.ConnectionRate += o.ConnectionRate
	s.PacketRateIn += o.PacketRateIn
	s.PacketRateOut += o.PacketRateOut
	s.ByteRateIn += o.ByteRateIn
	s.ByteRateOut += o.ByteRateOut
}
