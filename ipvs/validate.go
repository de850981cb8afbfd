package ipvs

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
)

const (
	maxWeight = math.MaxInt32
	// maxName is IP_VS_SCHEDNAME_MAXLEN and IP_VS_PENAME_MAXLEN without the terminating 0.
	maxName = 15
	// maxPersistence is ipvsadm's and keepalived's; the kernel counts ticks in 32 bits.
	maxPersistence = 31 * 24 * time.Hour
)

// Validate reports the first thing that is wrong with the service by itself, whatever the table.
func (s *Service) Validate() error {
	err := s.validateKey()
	if err == nil {
		err = s.validateEntry()
	}
	if err != nil {
		return fmt.Errorf("ipvs: service %v: %w", s.ServiceKey, err)
	}
	if i := s.duplicate(); i >= 0 {
		return fmt.Errorf("ipvs: service %v: destination %v is there twice", s.ServiceKey, s.Destinations[i].Addr)
	}
	for i := range s.Destinations {
		if err := s.Destinations[i].validate(s); err != nil {
			return fmt.Errorf("ipvs: service %v: destination %v: %w", s.ServiceKey, s.Destinations[i].Addr, err)
		}
	}
	return nil
}

// Validate reports what is wrong with the operation by itself, as an [*Error]. Every table refuses such an operation. What is
// to be deleted, and the service of a destination, need only be named.
func (o *Op) Validate() error {
	if err := o.check(); err != nil {
		return &Error{Op: o.named(), Err: err}
	}
	return nil
}

// named is the operation as errors keep it.
func (o *Op) named() Op {
	return Op{Action: o.Action, Service: o.Service.entry(), Destination: o.Destination}
}

func (o *Op) check() error {
	s, d := &o.Service, &o.Destination
	switch o.Action {
	case AddService, EditService:
		if err := s.validateKey(); err != nil {
			return err
		}
		return s.validateEntry()
	case AddDestination, EditDestination:
		if err := s.validateName(); err != nil {
			return err
		}
		return d.validate(s)
	case DeleteDestination:
		if !validAddr(d.Addr.Addr()) {
			return errAddr(d.Addr.Addr())
		}
		return s.validateName()
	case DeleteService:
		return s.validateName()
	}
	return fmt.Errorf("action %d: there is none such", o.Action)
}

// duplicate is the index of a destination whose address is that of one before it, or -1.
func (s *Service) duplicate() int {
	if len(s.Destinations) <= few {
		for i := range s.Destinations {
			if find(s.Destinations[:i], s.Destinations[i].Addr) >= 0 {
				return i
			}
		}
		return -1
	}
	seen := make(map[netip.AddrPort]bool, len(s.Destinations))
	for i := range s.Destinations {
		if seen[s.Destinations[i].Addr] {
			return i
		}
		seen[s.Destinations[i].Addr] = true
	}
	return -1
}

func (s *Service) validateKey() error {
	if err := s.validateName(); err != nil {
		return err
	}
	if s.FWMark == 0 && s.Addr.Port() == 0 && s.Persistence == 0 {
		return errors.New("port 0 (every port) needs persistence")
	}
	return nil
}

// validateName is for what only the key has.
func (k *ServiceKey) validateName() error {
	switch {
	case k.FWMark != 0 && (k.Addr.IsValid() || k.Protocol != 0):
		return errors.New("a firewall mark together with an address or a protocol")
	case k.FWMark != 0:
		return nil
	case k.IPv6:
		return errors.New("IPv6 is for firewall marks; an address tells its family")
	case k.Protocol != TCP && k.Protocol != UDP && k.Protocol != SCTP:
		return fmt.Errorf("%v: TCP, UDP and SCTP exist", k.Protocol)
	case !validAddr(k.Addr.Addr()):
		return errAddr(k.Addr.Addr())
	}
	return nil
}

func errAddr(a netip.Addr) error {
	return fmt.Errorf("no address, or one of a kind that IPVS does not know: %v", a)
}

// validAddr refuses what the kernel would take for something else: an IPv4 address in IPv6 clothes, and a zone.
func validAddr(a netip.Addr) bool { return a.IsValid() && !a.Is4In6() && a.Zone() == "" }

func (s *Service) validateEntry() error {
	full := 32
	if s.is6() {
		full = 128
	}
	switch {
	case !validName(s.Scheduler):
		return fmt.Errorf("scheduler %q: a name has at most %d letters", s.Scheduler, maxName)
	case !validName(s.Engine):
		return fmt.Errorf("persistence engine %q: a name has at most %d letters", s.Engine, maxName)
	case s.Engine != "" && s.Persistence == 0:
		return fmt.Errorf("persistence engine %s without persistence", s.Engine)
	case s.Flags&^settable != 0:
		return fmt.Errorf("flags %v cannot be set", s.Flags&^settable)
	case s.Flags&OnePacket != 0 && s.FWMark == 0 && s.Protocol != UDP:
		return fmt.Errorf("one-packet scheduling is for UDP, not %v", s.Protocol)
	case s.Persistence < 0 || s.Persistence > maxPersistence || s.Persistence%time.Second != 0:
		return fmt.Errorf("persistence %v: whole seconds are needed, at most 31 days", s.Persistence)
	case s.Granularity < 0 || s.Granularity > full:
		return fmt.Errorf("granularity %d: must be a prefix length up to %d", s.Granularity, full)
	}
	return nil
}

func validName(name string) bool {
	return len(name) <= maxName && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (d *Destination) validate(s *Service) error {
	switch {
	case !validAddr(d.Addr.Addr()):
		return errAddr(d.Addr.Addr())
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
	return d.validateTunnel()
}

func (d *Destination) validateTunnel() error {
	switch t := d.Tunnel; {
	case d.Forward != Tunnel && t != TunnelOptions{}:
		return fmt.Errorf("tunnel options with %v: only %v has them", d.Forward, Tunnel)
	case t.Type > GRE || t.Checksum > RemoteChecksum:
		return fmt.Errorf("tunnel %v %v: ipip, gue and gre exist, with nocsum, csum or remcsum", t.Type, t.Checksum)
	case (t.Type == GUE) != (t.Port != 0):
		return fmt.Errorf("tunnel %v with port %d: %v needs a port, others have none", t.Type, t.Port, GUE)
	case t.Type == IPIP && t.Checksum != NoChecksum, t.Type == GRE && t.Checksum == RemoteChecksum:
		return fmt.Errorf("tunnel %v has no %v", t.Type, t.Checksum)
	}
	return nil
}
