package ipvs

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
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
	switch {
	case k.FWMark == 0:
		return k.Protocol.String() + " " + k.Addr.String()
	case k.IPv6:
		return "FWM " + strconv.FormatUint(uint64(k.FWMark), 10) + " IPv6"
	}
	return "FWM " + strconv.FormatUint(uint64(k.FWMark), 10)
}

// is6 is the family of the service.
func (k *ServiceKey) is6() bool { return k.IPv6 || k.Addr.Addr().Is6() }

// compare orders services by address before those by mark.
func (k *ServiceKey) compare(o *ServiceKey) int {
	if c := cmp.Compare(k.FWMark, o.FWMark); c != 0 {
		return c
	}
	if c := cmp.Compare(k.Protocol, o.Protocol); c != 0 {
		return c
	}
	if c := k.Addr.Compare(o.Addr); c != 0 || k.IPv6 == o.IPv6 {
		return c
	}
	if k.IPv6 {
		return 1
	}
	return -1
}

// Flags of a service (include/uapi/linux/ip_vs.h). What a scheduler's own mean depends on the scheduler.
type Flags uint32

// The flags that a caller may set.
const (
	// OnePacket schedules every UDP datagram anew (ops).
	OnePacket Flags = 0x4
	// Sched1, Sched2 and Sched3 are the scheduler's own (flag-1, flag-2, flag-3).
	Sched1 Flags = 0x8
	Sched2 Flags = 0x10
	Sched3 Flags = 0x20

	// SHFallback and MHFallback go to another destination when the one that the hash gives has weight 0 or is overloaded.
	SHFallback = Sched1
	MHFallback = Sched1
	// SHPort and MHPort take the client's port into the hash.
	SHPort = Sched2
	MHPort = Sched2

	flagPersistent Flags = 0x1
	settable             = OnePacket | Sched1 | Sched2 | Sched3
)

// flagNames are ipvsadm's and keepalived's words, the general ones first.
var flagNames = []struct {
	name string
	flag Flags
}{
	{"ops", OnePacket}, {"flag-1", Sched1}, {"flag-2", Sched2}, {"flag-3", Sched3},
	{"sh-fallback", SHFallback}, {"sh-port", SHPort}, {"mh-fallback", MHFallback}, {"mh-port", MHPort},
}

// ParseFlags reads flags by their names, parted by commas: ops, flag-1, flag-2, flag-3, sh-fallback, sh-port, mh-fallback,
// mh-port. An empty text is no flag.
func ParseFlags(names string) (Flags, error) {
	var flags Flags
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(flagNames, func(f struct {
			name string
			flag Flags
		}) bool {
			return f.name == name
		})
		switch {
		case i >= 0:
			flags |= flagNames[i].flag
		case names != "":
			return 0, fmt.Errorf("ipvs: no flag %q: ops, flag-1 to flag-3, sh-fallback, sh-port, mh-fallback and mh-port exist", name)
		}
	}
	return flags, nil
}

// String has the general names of the flags, as ParseFlags reads them.
func (f Flags) String() string {
	var set []string
	for _, known := range flagNames[:4] {
		if f&known.flag != 0 {
			set = append(set, known.name)
		}
	}
	if rest := f &^ settable; rest != 0 {
		set = append(set, fmt.Sprintf("%#x", uint32(rest)))
	}
	return strings.Join(set, ",")
}

// Service is the wish for one entry of the table.
type Service struct {
	ServiceKey
	// Scheduler by its name: rr, wrr, lc, wlc, lblc, lblcr, dh, sh, mh, sed, nq, fo, ovf, twos, or that of a module of your
	// own. Empty means wlc.
	Scheduler string
	// Flags of the service. 0 means none.
	Flags Flags
	// Persistence sends a client to the same destination for so long after its last connection. Whole seconds, at most 31
	// days; 0 means not at all.
	Persistence time.Duration
	// Granularity is the length of the client's prefix that persistence looks at. 0 means all of the address; a table tells of
	// -1 for a mask that is no prefix.
	Granularity int
	// Engine is the persistence engine, which looks into the packets instead of at the client's address: the kernel has
	// "sip", for UDP. It needs Persistence. Empty means none.
	Engine string
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
		s.Persistence == o.Persistence && s.granularity() == o.granularity() && s.Engine == o.Engine
}

// is says that a status shows the service as it is, its destinations in the same order.
func (s *Service) is(o *ServiceStatus) bool {
	same := func(a Destination, b DestinationStatus) bool { return a == b.Destination }
	return s.ServiceKey == o.ServiceKey && s.sameEntry(&o.Service) && slices.EqualFunc(s.Destinations, o.Destinations, same)
}

// entry is the service without its destinations.
func (s *Service) entry() Service {
	e := *s
	e.Destinations = nil
	return e
}

func (s Service) clone() Service {
	s.Destinations = slices.Clone(s.Destinations)
	return s
}

// ServiceStatus is what a [Table] tells of one service. Service.Destinations is nil: see Destinations and
// [ServiceStatus.Wish].
type ServiceStatus struct {
	Service
	Stats        Stats
	Destinations []DestinationStatus
}

// Wish is the Service that one would wish for to get this.
func (s *ServiceStatus) Wish() Service {
	w := s.Service
	w.Destinations = make([]Destination, len(s.Destinations))
	for i := range s.Destinations {
		w.Destinations[i] = s.Destinations[i].Destination
	}
	return w
}
