package ipvs

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// RealServer is a server of a [Pool]: a destination as it is when all is well. Its port may be 0, which is the service's.
type RealServer struct {
	Destination
	// Inhibit keeps a server that is down in the table with weight 0, so that its connections live on, instead of
	// removing it (inhibit_on_failure).
	Inhibit bool
}

// Pool is a service with its real servers and the rules from their health to the destinations to wish for. It is a value
// without memory: whoever asks brings what was before.
type Pool struct {
	// Service is the entry itself; its Destinations are not looked at.
	Service Service
	// Keys, when there are any, are the entries of the pool in place of Service.ServiceKey: those of a
	// virtual_server_group, see [Range]. They share the servers, their health and the quorum.
	Keys []ServiceKey
	// Servers have unique addresses. Two that are one address behind a service, because Direct and Tunnel cannot change
	// the port, serve there as one, with the greater weight.
	Servers []RealServer
	// Sorry takes over when quorum is lost. Nil means none. It may be one of Servers.
	Sorry *RealServer
	// Quorum is the weight of live servers that is enough. 0 means 1.
	Quorum int
	// Hysteresis is how far the live weight must be beyond the quorum, above to gain it and below to lose it. It is less
	// than Quorum.
	Hysteresis int
}

// Health is what is known of one server of a [Pool]. The zero value is down.
type Health struct {
	// Up says that the server is well.
	Up bool
	// Offset is what the server's checks add to its weight (misc_dynamic, FILE_CHECK). The sum is held to what the kernel
	// takes: below 0 it is 0.
	Offset int
	// Drain gives a server that is up no new connections and lets it finish those that it has: it stays in the table with
	// weight 0. For the quorum it counts as down.
	Drain bool
}

func (p *Pool) keys() []ServiceKey {
	if len(p.Keys) == 0 {
		return []ServiceKey{p.Service.ServiceKey}
	}
	return p.Keys
}

func (p *Pool) quorum() int { return max(p.Quorum, 1) }

// Validate reports everything that makes the pool impossible: what [Service.Validate] finds in any of its entries, an entry
// or a server that is there twice, and a hysteresis not below the quorum.
func (p *Pool) Validate() error {
	var errs []error
	if p.Hysteresis < 0 || p.Hysteresis >= p.quorum() {
		errs = append(errs, fmt.Errorf("ipvs: service %v: hysteresis %d: must be below quorum %d", p.keys()[0], p.Hysteresis, p.quorum()))
	}
	if i := p.twice(); i >= 0 {
		errs = append(errs, fmt.Errorf("ipvs: service %v: server %v is there twice", p.keys()[0], p.Servers[i].Addr))
	}
	seen := make(map[ServiceKey]bool, len(p.Keys))
	room := make([]Destination, 0, len(p.Servers)+1)
	for _, key := range p.keys() {
		if seen[key] {
			errs = append(errs, fmt.Errorf("ipvs: service %v is there twice in one pool", key))
		}
		seen[key] = true
		all := p.everything(key, room)
		errs = append(errs, all.Validate())
	}
	return errors.Join(errs...)
}

// twice is the index of a server whose address is that of one before it, or -1.
func (p *Pool) twice() int {
	if len(p.Servers) <= few {
		for i := range p.Servers {
			for j := range i {
				if p.Servers[i].Addr == p.Servers[j].Addr {
					return i
				}
			}
		}
		return -1
	}
	seen := make(map[netip.AddrPort]bool, len(p.Servers))
	for i := range p.Servers {
		if seen[p.Servers[i].Addr] {
			return i
		}
		seen[p.Servers[i].Addr] = true
	}
	return -1
}

// everything is an entry with all that could ever be behind it, in room.
func (p *Pool) everything(key ServiceKey, room []Destination) Service {
	s := p.entry(key)
	s.Destinations = room
	for i := range p.Servers {
		s.Destinations = merge(s.Destinations, p.Servers[i].Destination.Behind(key))
	}
	if p.Sorry != nil {
		s.Destinations = merge(s.Destinations, p.Sorry.Destination.Behind(key))
	}
	return s
}

func (p *Pool) entry(key ServiceKey) Service {
	s := p.Service.entry()
	s.ServiceKey = key
	return s
}

// Want turns health into the services to wish for, one for each entry of the pool, in order. health is that of Servers, in
// their order; had says whether there was quorum until now, and the second result whether there is now. Without quorum the
// sorry server alone serves, if there is one; if there is none, whatever lives goes on serving. A new pool has its quorum to
// gain.
func (p *Pool) Want(health []Health, had bool) (services []Service, quorum bool) {
	quorum = p.hasQuorum(p.LiveWeight(health), had)
	serving := p.serving(health, !quorum && p.Sorry != nil)
	services = make([]Service, 0, max(len(p.Keys), 1))
	keys := p.keys()
	for i, key := range keys {
		s := p.entry(key)
		if i < len(keys)-1 {
			s.Destinations = make([]Destination, 0, len(serving))
		} else {
			s.Destinations = serving[:0] // the last one may have the list itself
		}
		for _, d := range serving {
			s.Destinations = merge(s.Destinations, d.Behind(key))
		}
		services = append(services, s)
	}
	return services, quorum
}

// serving are the destinations of the moment, with their ports as written.
func (p *Pool) serving(health []Health, sorry bool) []Destination {
	list := make([]Destination, 0, len(p.Servers)+1)
	for i, server := range p.Servers {
		d, h := server.Destination, health[i]
		d.Weight = p.weight(i, h)
		if sorry || !h.Up || h.Drain {
			if !server.Inhibit && !(h.Up && h.Drain) {
				continue
			}
			d.Weight = 0
		}
		list = append(list, d)
	}
	if p.Sorry == nil || !sorry && !p.Sorry.Inhibit {
		return list
	}
	d := p.Sorry.Destination
	if !sorry {
		d.Weight = 0
	}
	return append(list, d)
}

// merge adds a destination, or has the one of that address serve with the greater weight.
func merge(list []Destination, d Destination) []Destination {
	for i := range list {
		if list[i].Addr == d.Addr {
			list[i].Weight = max(list[i].Weight, d.Weight)
			return list
		}
	}
	return append(list, d)
}

// Behind is the destination with the port that it has behind a service: NAT keeps its own, or takes the service's for 0;
// Direct and Tunnel always have the service's, which is none for a mark.
func (d Destination) Behind(key ServiceKey) Destination {
	port := d.Addr.Port()
	switch {
	case key.FWMark != 0 && d.Forward != Masq:
		port = 0
	case key.FWMark == 0 && (port == 0 || d.Forward != Masq):
		port = key.Addr.Port()
	}
	d.Addr = netip.AddrPortFrom(d.Addr.Addr(), port)
	return d
}

// weight is what a server has by its configuration and its checks.
func (p *Pool) weight(i int, h Health) int {
	return min(max(p.Servers[i].Weight+h.Offset, 0), maxWeight)
}

// LiveWeight is the sum of the weights of all servers that are up and not drained, each with its offset. The sorry server
// does not count.
func (p *Pool) LiveWeight(health []Health) (weight int) {
	for i, h := range health {
		if h.Up && !h.Drain {
			weight += p.weight(i, h)
		}
	}
	return weight
}

func (p *Pool) hasQuorum(live int, had bool) bool {
	if had {
		return live > 0 && live >= p.quorum()-p.Hysteresis
	}
	return live >= p.quorum()+p.Hysteresis
}

// MergeServices makes one service of several with the same key, which is what pools wish for that share an entry: a firewall
// mark in a virtual_server_group that is used for two protocols. The entry is the first one's; a destination of several has
// the greatest weight.
func MergeServices(services ...Service) Service {
	s := services[0]
	s.Destinations = slices.Clone(s.Destinations)
	for _, other := range services[1:] {
		for _, d := range other.Destinations {
			s.Destinations = merge(s.Destinations, d)
		}
	}
	return s
}
