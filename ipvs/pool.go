package ipvs

import "fmt"

// RealServer is a server of a [Pool]: a destination as it is when all is well.
type RealServer struct {
	Destination
	// Inhibit keeps a server that is down in the table with weight 0, so that its connections live on, instead of
	// removing it (inhibit_on_failure).
	Inhibit bool
}

// Pool is a service with its real servers and the rules from their health to the destinations to wish for.
type Pool struct {
	// Service is the entry itself; its Destinations are not looked at.
	Service Service
	Servers []RealServer
	// Sorry takes over when quorum is lost. Nil means none.
	Sorry *RealServer
	// Quorum is the weight of live servers that is enough. 0 means 1.
	Quorum int
	// Hysteresis is how far the live weight must be beyond the quorum, above to gain it and below to lose it. It is less
	// than Quorum.
	Hysteresis int
}

func (p *Pool) quorum() int { return max(p.Quorum, 1) }

// Validate reports what makes the pool impossible: everything that [Service.Validate] finds, and a hysteresis not below
// the quorum.
func (p *Pool) Validate() error {
	all := p.Service.entry()
	for _, s := range p.Servers {
		all.Destinations = append(all.Destinations, s.Destination)
	}
	if err := all.Validate(); err != nil {
		return err
	}
	if p.Hysteresis < 0 || p.Hysteresis >= p.quorum() {
		return fmt.Errorf("ipvs: service %v: hysteresis %d: must be below quorum %d", p.Service.ServiceKey, p.Hysteresis, p.quorum())
	}
	if p.Sorry != nil {
		if err := p.Sorry.validate(&p.Service); err != nil {
			return fmt.Errorf("ipvs: service %v: sorry server %v: %w", p.Service.ServiceKey, p.Sorry.Addr, err)
		}
	}
	return nil
}

// Want turns health into the service to wish for. up says for each of Servers whether it is well, had whether there was
// quorum until now; the second result says whether there is now. Without quorum the sorry server alone serves, if there
// is one; if there is none, whatever lives goes on serving.
func (p *Pool) Want(up []bool, had bool) (Service, bool) {
	has := p.hasQuorum(p.liveWeight(up), had)
	sorry := !has && p.Sorry != nil
	s := p.Service.entry()
	for i, server := range p.Servers {
		d := server.Destination
		if !up[i] || sorry {
			if !server.Inhibit {
				continue
			}
			d.Weight = 0
		}
		s.Destinations = append(s.Destinations, d)
	}
	if p.Sorry != nil {
		s.Destinations = p.withSorry(s.Destinations, sorry)
	}
	return s, has
}

// withSorry adds the sorry server, which may be one of the real servers too.
func (p *Pool) withSorry(ds []Destination, serving bool) []Destination {
	sorry := p.Sorry.Destination
	if !serving {
		if !p.Sorry.Inhibit {
			return ds
		}
		sorry.Weight = 0
	}
	for i := range ds {
		if ds[i].Addr == sorry.Addr {
			ds[i].Weight = max(ds[i].Weight, sorry.Weight)
			return ds
		}
	}
	return append(ds, sorry)
}

func (p *Pool) liveWeight(up []bool) (weight int) {
	for i, s := range p.Servers {
		if up[i] {
			weight += s.Weight
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
