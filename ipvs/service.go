package ipvs

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Protocol of a service, by its IP protocol number.
type Protocol uint8

// The protocols that IPVS balances.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String returns the protocol's name.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	}
	return fmt.Sprintf("Protocol(%d)", uint8(p))
}

// ServiceKey is what identifies a service: protocol, address and port, or a firewall mark. It is comparable.
type ServiceKey struct {
	// Protocol and Addr of a service by address. Port 0 is every port; it needs Persistence.
	Protocol Protocol
	Addr     netip.AddrPort
	// FWMark, when not 0, makes the service one of packets with that mark; Protocol and Addr are zero then.
	FWMark uint32
	// IPv6 says which family a service by mark is for. It is false for a service by address.
	IPv6 bool
}

// String names the service as ipvsadm does: "TCP 192.0.2.10:80" or "FWM 5".
func (k ServiceKey) String() string {
	if k.FWMark == 0 {
		return fmt.Sprintf("%v %v", k.Protocol, k.Addr)
	}
	if k.IPv6 {
		return fmt.Sprintf("FWM %d IPv6", k.FWMark)
	}
	return fmt.Sprintf("FWM %d", k.FWMark)
}

// is6 is the family of the service.
func (k ServiceKey) is6() bool { return k.IPv6 || k.Addr.Addr().Is6() }

func (k ServiceKey) compare(o ServiceKey) int {
	return cmp.Or(cmp.Compare(k.FWMark, o.FWMark), cmp.Compare(k.Protocol, o.Protocol), k.Addr.Compare(o.Addr), boolCompare(k.IPv6, o.IPv6))
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Flags of a service (include/uapi/linux/ip_vs.h). The meaning of the scheduler's depends on the scheduler.
type Flags uint32

// The flags that a caller may set.
const (
	// OnePacket schedules every UDP datagram anew.
	OnePacket Flags = 0x4
	// Sched1, Sched2 and Sched3 are the scheduler's own: sh-fallback and mh-fallback, sh-port and mh-port, none.
	Sched1 Flags = 0x8
	Sched2 Flags = 0x10
	Sched3 Flags = 0x20

	flagPersistent Flags = 0x1
	settable             = OnePacket | Sched1 | Sched2 | Sched3
)

// Service is the wish for one entry of the table.
type Service struct {
	ServiceKey
	// Scheduler by its name: rr, wrr, lc, wlc, sh, mh, ... Empty means wlc.
	Scheduler string
	// Flags of the service. 0 means none.
	Flags Flags
	// Persistence sends a client to the same destination for so long after its last connection. Whole seconds; 0 means
	// not at all.
	Persistence time.Duration
	// Granularity is the length of the client's prefix that persistence looks at. 0 means all of the address.
	Granularity int
	// Destinations in any order. Their addresses are unique.
	Destinations []Destination
}

func (s *Service) scheduler() string {
	if s.Scheduler == "" {
		return "wlc"
	}
	return s.Scheduler
}

func (s *Service) granularity() int {
	full := 32
	if s.is6() {
		full = 128
	}
	if s.Granularity == 0 || s.Persistence == 0 {
		return full
	}
	return s.Granularity
}

// sameEntry compares what the kernel keeps in the service itself.
func (s *Service) sameEntry(o *Service) bool {
	return s.scheduler() == o.scheduler() && s.Flags&settable == o.Flags&settable &&
		s.Persistence == o.Persistence && s.granularity() == o.granularity()
}

func (s Service) clone() Service {
	s.Destinations = slices.Clone(s.Destinations)
	return s
}

// Forward is how packets reach a destination.
type Forward uint8

// The forwarding methods, by their numbers in the kernel.
const (
	Masq   Forward = 0 // network address translation (NAT)
	Local  Forward = 1 // the destination is this host; the kernel's own finding
	Tunnel Forward = 2 // IP in IP (TUN)
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

// option is ipvsadm's.
func (f Forward) option() string {
	switch f {
	case Masq:
		return "-m"
	case Tunnel:
		return "-i"
	}
	return "-g"
}

// Destination is one server behind a service.
type Destination struct {
	// Addr is the server's address and port. It identifies the destination within the service. For Direct and Tunnel the
	// port is the service's.
	Addr netip.AddrPort
	// Forward is the forwarding method; the zero value is Masq.
	Forward Forward
	// Weight, 0 to 65535. 0 gives the server no new connections and keeps those that it has.
	Weight int
	// UpperThreshold stops new connections at so many, until there are fewer than LowerThreshold. 0 means no limit.
	UpperThreshold, LowerThreshold uint32
}

// Stats are counters of a service or a destination since it was made or zeroed.
type Stats struct {
	Connections uint64 `json:"connections"`
	PacketsIn   uint64 `json:"packetsIn"`
	PacketsOut  uint64 `json:"packetsOut"`
	BytesIn     uint64 `json:"bytesIn"`
	BytesOut    uint64 `json:"bytesOut"`
}

// Add adds the counters of another.
func (s *Stats) Add(o Stats) {
	s.Connections += o.Connections
	s.PacketsIn += o.PacketsIn
	s.PacketsOut += o.PacketsOut
	s.BytesIn += o.BytesIn
	s.BytesOut += o.BytesOut
}

// ServiceStatus is what a [Table] tells of one service. Its Service.Destinations are those of Destinations.
type ServiceStatus struct {
	Service
	Stats        Stats
	Destinations []DestinationStatus
}

// DestinationStatus is what a [Table] tells of one destination.
type DestinationStatus struct {
	Destination
	// ActiveConnections are established, InactiveConnections in any other state.
	ActiveConnections, InactiveConnections int
	Stats                                  Stats
}

// Validate reports the first thing that no kernel would take.
func (s *Service) Validate() error {
	if err := s.validateKey(); err != nil {
		return fmt.Errorf("ipvs: service %v: %w", s.ServiceKey, err)
	}
	if s.Persistence < 0 || s.Persistence%time.Second != 0 {
		return fmt.Errorf("ipvs: service %v: persistence %v: whole seconds are needed", s.ServiceKey, s.Persistence)
	}
	seen := make(map[netip.AddrPort]bool, len(s.Destinations))
	for _, d := range s.Destinations {
		if err := d.validate(s); err != nil {
			return fmt.Errorf("ipvs: service %v: destination %v: %w", s.ServiceKey, d.Addr, err)
		}
		if seen[d.Addr] {
			return fmt.Errorf("ipvs: service %v: destination %v is there twice", s.ServiceKey, d.Addr)
		}
		seen[d.Addr] = true
	}
	return nil
}

func (s *Service) validateKey() error {
	switch {
	case s.FWMark != 0 && (s.Addr.IsValid() || s.Protocol != 0):
		return fmt.Errorf("a firewall mark together with an address or a protocol")
	case s.FWMark != 0:
		return nil
	case s.Protocol != TCP && s.Protocol != UDP && s.Protocol != SCTP:
		return fmt.Errorf("%v: TCP, UDP and SCTP exist", s.Protocol)
	case !s.Addr.Addr().IsValid() || s.Addr.Addr().Is4In6():
		return fmt.Errorf("no address")
	case s.Addr.Port() == 0 && s.Persistence == 0:
		return fmt.Errorf("port 0 (every port) needs persistence")
	}
	return nil
}

// maxWeight is what moby/ipvs reads back whole; the kernel itself takes 31 bits.
const maxWeight = 1<<16 - 1

func (d *Destination) validate(s *Service) error {
	switch {
	case !d.Addr.Addr().IsValid():
		return fmt.Errorf("no address")
	case d.Addr.Addr().Is6() != s.is6() && d.Forward != Tunnel:
		return fmt.Errorf("its family is not the service's: only %v can do that", Tunnel)
	case d.Weight < 0 || d.Weight > maxWeight:
		return fmt.Errorf("weight %d: must be 0 to %d", d.Weight, maxWeight)
	case d.Forward != Masq && d.Forward != Direct && d.Forward != Tunnel:
		return fmt.Errorf("%v cannot be asked for: NAT, DR and TUN can", d.Forward)
	case d.Forward != Masq && d.Addr.Port() != s.Addr.Port():
		return fmt.Errorf("%v cannot change the port %d of the service", d.Forward, s.Addr.Port())
	case d.LowerThreshold > d.UpperThreshold:
		return fmt.Errorf("lower threshold %d above upper %d", d.LowerThreshold, d.UpperThreshold)
	}
	return nil
}

// arguments are ipvsadm's for the key.
func (k ServiceKey) arguments() string {
	switch {
	case k.FWMark != 0 && k.IPv6:
		return fmt.Sprintf("-f %d -6", k.FWMark)
	case k.FWMark != 0:
		return fmt.Sprintf("-f %d", k.FWMark)
	case k.Protocol == UDP:
		return "-u " + k.Addr.String()
	case k.Protocol == SCTP:
		return "--sctp-service " + k.Addr.String()
	}
	return "-t " + k.Addr.String()
}

// arguments are ipvsadm's for what the service itself has.
func (s *Service) arguments() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s -s %s", s.ServiceKey.arguments(), s.scheduler())
	if s.Persistence > 0 {
		fmt.Fprintf(&b, " -p %d", int(s.Persistence/time.Second))
		if g := s.granularity(); s.is6() && g != 128 {
			fmt.Fprintf(&b, " -M %d", g)
		} else if !s.is6() && g != 32 {
			fmt.Fprintf(&b, " -M %v", net.IP(net.CIDRMask(g, 32)))
		}
	}
	if s.Flags&OnePacket != 0 {
		b.WriteString(" -o")
	}
	b.WriteString(s.schedulerFlags())
	return b.String()
}

// schedulerFlags are ipvsadm's names; two schedulers have names of their own.
func (s *Service) schedulerFlags() string {
	names := []string{"flag-1", "flag-2", "flag-3"}
	if name := s.scheduler(); name == "sh" || name == "mh" {
		names[0], names[1] = name+"-fallback", name+"-port"
	}
	var set []string
	for i, flag := range []Flags{Sched1, Sched2, Sched3} {
		if s.Flags&flag != 0 {
			set = append(set, names[i])
		}
	}
	if set == nil {
		return ""
	}
	return " -b " + strings.Join(set, ",")
}

func (d *Destination) arguments() string {
	text := fmt.Sprintf("-r %v %s -w %d", d.Addr, d.Forward.option(), d.Weight)
	if d.UpperThreshold != 0 || d.LowerThreshold != 0 {
		text += fmt.Sprintf(" -x %d -y %d", d.UpperThreshold, d.LowerThreshold)
	}
	return text
}
