package relay

import (
	"cmp"
	"encoding/binary"
	"net/netip"

	"github.com/holdfast-lb/holdfast/ipvs"
)

// schedulers are those that there are.
var schedulers = []string{"rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "mh", "dh", "fo", "ovf"}

// scheduler chooses a destination for a new connection among those with weight that are not overloaded; nil is none.
type scheduler interface {
	pick(list []*destination, client netip.AddrPort) *destination
	// changed tells of a change of destinations or weights.
	changed(list []*destination)
}

// newScheduler makes the scheduler that a service names, without destinations.
func newScheduler(s *ipvs.Service) scheduler {
	fallback, port := s.Flags&ipvs.Sched1 != 0, s.Flags&ipvs.Sched2 != 0
	switch s.Scheduler {
	case "rr":
		return &roundRobin{}
	case "wrr":
		return weightedRoundRobin{}
	case "lc":
		return least(func(a, b *destination) int { return cmp.Compare(a.active, b.active) })
	case "sed":
		return least(expectedDelay)
	case "nq":
		return neverQueue{}
	case "sh":
		return &hashed{fill: fillSource, port: port, fallback: fallback}
	case "mh":
		return &hashed{fill: fillMaglev, port: port, fallback: fallback}
	case "dh":
		return &hashed{fill: fillSource, fixed: s.Addr.Addr()}
	case "fo":
		return least(func(a, b *destination) int { return cmp.Compare(b.Weight, a.Weight) })
	case "ovf":
		return overflow{}
	}
	return least(func(a, b *destination) int { return cmp.Compare(a.active*b.Weight, b.active*a.Weight) })
}

// roundRobin takes one after the other.
type roundRobin struct{ next int }

func (*roundRobin) changed([]*destination) {}

func (r *roundRobin) pick(list []*destination, _ netip.AddrPort) *destination {
	for i := range list {
		at := (r.next + i) % len(list)
		if list[at].usable() {
			r.next = at + 1
			return list[at]
		}
	}
	return nil
}

// weightedRoundRobin takes each as often as its weight says, and as evenly as can be.
type weightedRoundRobin struct{}

func (weightedRoundRobin) changed(list []*destination) {
	for _, d := range list {
		d.current = 0
	}
}

func (weightedRoundRobin) pick(list []*destination, _ netip.AddrPort) (best *destination) {
	total := 0
	for _, d := range list {
		if !d.usable() {
			continue
		}
		d.current += d.Weight
		total += d.Weight
		if best == nil || d.current > best.current {
			best = d
		}
	}
	if best != nil {
		best.current -= total
	}
	return best
}

// least takes the first of those that compare lowest.
type least func(a, b *destination) int

func (least) changed([]*destination) {}

func (less least) pick(list []*destination, _ netip.AddrPort) (best *destination) {
	for _, d := range list {
		if d.usable() && (best == nil || less(d, best) < 0) {
			best = d
		}
	}
	return best
}

// expectedDelay counts the connection that is about to come.
func expectedDelay(a, b *destination) int {
	return cmp.Compare((a.active+1)*b.Weight, (b.active+1)*a.Weight)
}

// neverQueue takes one that is idle, if any is, and else the shortest expected delay.
type neverQueue struct{}

func (neverQueue) changed([]*destination) {}

func (neverQueue) pick(list []*destination, client netip.AddrPort) *destination {
	for _, d := range list {
		if d.usable() && d.active == 0 {
			return d
		}
	}
	return least(expectedDelay).pick(list, client)
}

// overflow fills the greatest weight up to as many connections, then the next one.
type overflow struct{}

func (overflow) changed([]*destination) {}

func (overflow) pick(list []*destination, _ netip.AddrPort) (best *destination) {
	for _, d := range list {
		if d.usable() && d.active < d.Weight && (best == nil || d.Weight > best.Weight) {
			best = d
		}
	}
	return best
}

// hashed sends a client always to the same destination.
type hashed struct {
	fill     func([]*destination) []*destination
	fixed    netip.Addr // hashed in place of the client's, when valid
	port     bool       // the client's port counts
	fallback bool       // when the destination is overloaded there is another one
	table    []*destination
}

func (h *hashed) changed(list []*destination) {
	var serving []*destination
	for _, d := range list {
		if d.Weight > 0 {
			serving = append(serving, d)
		}
	}
	if h.table = nil; len(serving) > 0 {
		h.table = h.fill(serving)
	}
}

// pick builds the table when the scheduler has come to a service with destinations.
func (h *hashed) pick(list []*destination, client netip.AddrPort) *destination {
	if h.table == nil {
		h.changed(list)
	}
	if len(h.table) == 0 {
		return nil
	}
	addr, port := client.Addr(), uint16(0)
	if h.fixed.IsValid() {
		addr = h.fixed
	}
	if h.port {
		port = client.Port()
	}
	sum := hashOf(addr, port, 0)
	tries := 1
	if h.fallback {
		tries = len(h.table)
	}
	for i := range tries {
		if d := h.table[(sum+uint64(i))%uint64(len(h.table))]; d.usable() {
			return d
		}
	}
	return nil
}

// buckets of the table of sh and dh, as in the kernel.
const buckets = 256

// fillSource gives each destination as many buckets in a row as its weight says, round and round.
func fillSource(list []*destination) []*destination {
	table := make([]*destination, 0, buckets)
	unit := divisor(list)
	for {
		for _, d := range list {
			for range min(d.Weight/unit, buckets) {
				if len(table) == buckets {
					return table
				}
				table = append(table, d)
			}
		}
	}
}

// maglevSize is the prime number of slots of mh, as in the kernel.
const maglevSize = 4093

// fillMaglev fills a table so that few clients move when a destination comes or goes ("Maglev: A Fast and Reliable Software
// Network Load Balancer", Section 3.4), each destination taking as many turns as its weight says.
func fillMaglev(list []*destination) []*destination {
	table := make([]*destination, maglevSize)
	unit, most := divisor(list), 0
	next, skip := make([]uint64, len(list)), make([]uint64, len(list))
	for i, d := range list {
		next[i] = hashOf(d.Addr.Addr(), d.Addr.Port(), 1) % maglevSize
		skip[i] = hashOf(d.Addr.Addr(), d.Addr.Port(), 2)%(maglevSize-1) + 1
		most = max(most, d.Weight/unit)
	}
	scale := max(1, most/64) // weights far apart take turns in proportion, one at least
	for filled := 0; ; {
		for i, d := range list {
			for range max(1, d.Weight/unit/scale) {
				for table[next[i]] != nil {
					next[i] = (next[i] + skip[i]) % maglevSize
				}
				table[next[i]] = d
				if filled++; filled == maglevSize {
					return table
				}
			}
		}
	}
}

// divisor is the greatest common one of all weights.
func divisor(list []*destination) int {
	unit := 0
	for _, d := range list {
		for a := d.Weight; a != 0; {
			unit, a = a, unit%a
		}
	}
	return unit
}

// hashOf is the same on every machine and in every run: FNV-1a with its bits stirred.
func hashOf(addr netip.Addr, port uint16, seed uint64) uint64 {
	sum := uint64(14695981039346656037) ^ seed
	b := addr.As16()
	for _, octet := range binary.BigEndian.AppendUint16(b[:], port) {
		sum = (sum ^ uint64(octet)) * 1099511628211
	}
	sum ^= sum >> 33
	sum *= 0xff51afd7ed558ccd
	return sum ^ sum>>33
}
