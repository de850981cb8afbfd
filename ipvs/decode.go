package ipvs

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// decodeService reads an answer with a service.
func decodeService(a *answer) (s ServiceStatus, err error) {
	r, err := a.find(attrService)
	if err != nil {
		return ServiceStatus{}, err
	}
	var raw rawService
	for r.next() {
		raw.take(&r)
	}
	if r.err == nil {
		s, r.err = raw.status()
	}
	if r.err != nil {
		return ServiceStatus{}, fmt.Errorf("service in the kernel's answer: %w", r.err)
	}
	return s, nil
}

// find enters the attribute that an answer is about.
func (a *answer) find(typ uint16) (reader, error) {
	r := a.attributes()
	for r.next() {
		if r.typ == typ {
			return r.nested(), nil
		}
	}
	if r.err == nil {
		r.err = fmt.Errorf("no attribute %d in the kernel's answer: %w", typ, io.ErrUnexpectedEOF)
	}
	return r, r.err
}

// rawService is what cannot be understood before all attributes are read.
type rawService struct {
	s              ServiceStatus
	family         uint16
	addr, netmask  []byte
	port           uint16
	timeout        uint32
	stats, stats64 []byte
	flags          Flags
}

func (w *rawService) take(r *reader) {
	switch r.typ {
	case svcFamily:
		w.family = r.u16()
	case svcProtocol:
		w.s.Protocol = Protocol(r.u16())
	case svcAddr:
		w.addr = r.value
	case svcPort:
		w.port = r.port()
	case svcFWMark:
		w.s.FWMark = r.u32()
	case svcScheduler:
		w.s.Scheduler = known(r.value)
	case svcEngine:
		w.s.Engine = known(r.value)
	case svcFlags:
		w.flags = Flags(r.u32())
	case svcTimeout:
		w.timeout = r.u32()
	case svcNetmask:
		if r.has(4) {
			w.netmask = r.value
		}
	case svcStats:
		w.stats = r.value
	case svcStats64:
		w.stats64 = r.value
	}
}

// known saves the making of strings that most services have.
func known(value []byte) string {
	r := reader{value: value}
	for _, name := range [...]string{"rr", "wrr", "lc", "wlc", "sh", "mh"} {
		if len(value) == len(name)+1 && string(value[:len(name)]) == name {
			return name
		}
	}
	return r.text()
}

func (w *rawService) status() (ServiceStatus, error) {
	s := &w.s
	s.Flags = w.flags & settable
	if s.FWMark == 0 {
		addr, err := decodeAddr(w.addr, w.family)
		if err != nil {
			return ServiceStatus{}, err
		}
		s.Addr = netip.AddrPortFrom(addr, w.port)
	} else {
		s.Protocol, s.IPv6 = 0, w.family == familyIPv6
	}
	if w.flags&flagPersistent != 0 {
		s.Persistence = time.Duration(w.timeout) * time.Second
		s.Granularity = decodeNetmask(w.netmask, w.family)
	}
	var err error
	s.Stats, err = decodeStats(w.stats, w.stats64)
	return *s, err
}

// decodeAddr reads an address of a family; the kernel gives 16 bytes for either.
func decodeAddr(b []byte, family uint16) (netip.Addr, error) {
	switch {
	case family == familyIPv4 && len(b) >= 4:
		return netip.AddrFrom4([4]byte(b)), nil
	case family == familyIPv6 && len(b) >= 16:
		return netip.AddrFrom16([16]byte(b)), nil
	}
	return netip.Addr{}, fmt.Errorf("address of %d bytes and family %d", len(b), family)
}

// decodeNetmask gives 0 for all of the address, as callers write it, and -1 for a mask that is no prefix of it.
func decodeNetmask(b []byte, family uint16) int {
	if len(b) < 4 {
		return 0
	}
	bits, full := int(native.Uint32(b)), 128
	if family == familyIPv4 {
		bits, full = net.IPMask(b[:4]).Size()
	}
	switch bits {
	case full:
		return 0
	case 0:
		return -1
	}
	return bits
}

// decodeStats takes the wide counters where there are any.
func decodeStats(narrow, wide []byte) (s Stats, err error) {
	r := reader{b: wide}
	if wide == nil {
		r.b = narrow
	}
	for r.next() {
		if p := s.counter(r.typ); p != nil {
			*p = r.u32or64()
		}
	}
	return s, r.err
}

func (s *Stats) counter(typ uint16) *uint64 {
	switch typ {
	case statConns:
		return &s.Connections
	case statPacketsIn:
		return &s.PacketsIn
	case statPacketsOut:
		return &s.PacketsOut
	case statBytesIn:
		return &s.BytesIn
	case statBytesOut:
		return &s.BytesOut
	case statConnRate:
		return &s.ConnectionRate
	case statPacketRateIn:
		return &s.PacketRateIn
	case statPacketRateOut:
		return &s.PacketRateOut
	case statByteRateIn:
		return &s.ByteRateIn
	case statByteRateOut:
		return &s.ByteRateOut
	}
	return nil
}

// decodeDestination reads an answer with a destination of a service of that family.
func decodeDestination(a *answer, family uint16) (d DestinationStatus, err error) {
	r, err := a.find(attrDest)
	if err != nil {
		return DestinationStatus{}, err
	}
	raw := rawDestination{family: family} // before Linux 3.18 the kernel does not say
	for r.next() {
		raw.take(&r)
	}
	if r.err == nil {
		d, r.err = raw.status()
	}
	if r.err != nil {
		return DestinationStatus{}, fmt.Errorf("destination in the kernel's answer: %w", r.err)
	}
	return d, nil
}

type rawDestination struct {
	d              DestinationStatus
	family         uint16
	addr           []byte
	port           uint16
	stats, stats64 []byte
}

func (w *rawDestination) take(r *reader) {
	switch d := &w.d; r.typ {
	case destAddr:
		w.addr = r.value
	case destPort:
		w.port = r.port()
	case destFamily:
		w.family = r.u16()
	case destForward:
		d.Forward = Forward(r.u32() & 7)
	case destWeight:
		d.Weight = int(int32(r.u32()))
	case destUpper:
		d.UpperThreshold = r.u32()
	case destLower:
		d.LowerThreshold = r.u32()
	case destActive:
		d.ActiveConnections = int(r.u32())
	case destInactive:
		d.InactiveConnections = int(r.u32())
	case destPersistent:
		d.PersistentConnections = int(r.u32())
	case destTunnelType:
		d.Tunnel.Type = TunnelType(r.u8())
	case destTunnelPort:
		d.Tunnel.Port = r.port()
	case destTunnelFlags:
		d.Tunnel.Checksum = TunnelChecksum(r.u16())
	case destStats:
		w.stats = r.value
	case destStats64:
		w.stats64 = r.value
	}
}

func (w *rawDestination) status() (DestinationStatus, error) {
	addr, err := decodeAddr(w.addr, w.family)
	if err != nil {
		return DestinationStatus{}, err
	}
	w.d.Addr = netip.AddrPortFrom(addr, w.port)
	if w.d.Forward != Tunnel {
		w.d.Tunnel = TunnelOptions{}
	}
	w.d.Stats, err = decodeStats(w.stats, w.stats64)
	return w.d, err
}

func decodeDaemon(a *answer) (d SyncDaemon, err error) {
	r, err := a.find(attrDaemon)
	for err == nil && r.next() {
		switch r.typ {
		case daemonState:
			d.Role = SyncRole(r.u32())
		case daemonInterface:
			d.Interface = r.text()
		case daemonID:
			d.ID = int(r.u32())
		case daemonMaxLen:
			d.MaxLen = int(r.u16())
		case daemonGroup:
			d.Group, err = decodeAddr(r.value, familyIPv4)
		case daemonGroup6:
			d.Group, err = decodeAddr(r.value, familyIPv6)
		case daemonPort:
			d.Port = r.u16()
		case daemonTTL:
			d.TTL = r.u8()
		}
	}
	if err == nil {
		err = r.err
	}
	if err != nil {
		return SyncDaemon{}, fmt.Errorf("sync daemon in the kernel's answer: %w", err)
	}
	return d, nil
}

// decodeInfo reads the version as the kernel packs it: three bytes.
func decodeInfo(a *answer) (Info, error) {
	var info Info
	r := a.attributes()
	for r.next() {
		switch r.typ {
		case infoVersion:
			v := r.u32()
			info.Version = fmt.Sprintf("%d.%d.%d", v>>16&0xff, v>>8&0xff, v&0xff)
		case infoTableSize:
			info.TableSize = int(r.u32())
		}
	}
	return info, r.err
}

// decodeFamily reads the answer of generic netlink's own family to a question for another's number.
func decodeFamily(a *answer) (family uint16, err error) {
	r := a.attributes()
	for r.next() {
		if r.typ == ctrlFamilyID {
			family = r.u16()
		}
	}
	if r.err == nil && family < msgFirst {
		r.err = fmt.Errorf("generic netlink gives no number for family %s", familyName)
	}
	return family, r.err
}

// Generic netlink's own family (include/uapi/linux/genetlink.h).
const (
	ctrlFamily     = 16
	ctrlGetFamily  = command(3)
	ctrlFamilyID   = 1
	ctrlFamilyName = 2
	familyName     = "IPVS"
)

func appendFamilyRequest(b []byte, seq uint32) []byte {
	b, start := beginMessage(b, ctrlFamily, flagRequest|flagAck, seq, ctrlGetFamily)
	b = appendString(b, ctrlFamilyName, familyName)
	return endMessage(b, start)
}
