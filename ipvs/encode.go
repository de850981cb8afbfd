package ipvs

import (
	"net"
	"time"
)

// command is IPVS_CMD_* of include/uapi/linux/ip_vs.h.
type command uint8

const (
	cmdNewService command = iota + 1
	cmdSetService
	cmdDelService
	cmdGetService
	cmdNewDest
	cmdSetDest
	cmdDelDest
	cmdGetDest
	cmdNewDaemon
	cmdDelDaemon
	cmdGetDaemon
	cmdSetConfig
	cmdGetConfig
	cmdSetInfo
	cmdGetInfo
	cmdZero
	cmdFlush
)

// IPVS_CMD_ATTR_*
const (
	attrService = iota + 1
	attrDest
	attrDaemon
	attrTimeoutTCP
	attrTimeoutTCPFin
	attrTimeoutUDP
)

// IPVS_SVC_ATTR_*
const (
	svcFamily = iota + 1
	svcProtocol
	svcAddr
	svcPort
	svcFWMark
	svcScheduler
	svcFlags
	svcTimeout
	svcNetmask
	svcStats
	svcEngine
	svcStats64
)

// IPVS_DEST_ATTR_*
const (
	destAddr = iota + 1
	destPort
	destForward
	destWeight
	destUpper
	destLower
	destActive
	destInactive
	destPersistent
	destStats
	destFamily
	destStats64
	destTunnelType
	destTunnelPort
	destTunnelFlags
)

// IPVS_DAEMON_ATTR_*
const (
	daemonState = iota + 1
	daemonInterface
	daemonID
	daemonMaxLen
	daemonGroup
	daemonGroup6
	daemonPort
	daemonTTL
)

// IPVS_STATS_ATTR_*
const (
	statConns = iota + 1
	statPacketsIn
	statPacketsOut
	statBytesIn
	statBytesOut
	statConnRate
	statPacketRateIn
	statPacketRateOut
	statByteRateIn
	statByteRateOut
)

// IPVS_INFO_ATTR_*
const (
	infoVersion = iota + 1
	infoTableSize
)

// The kernel's numbers for families of addresses, which are Linux's everywhere in this file.
const (
	familyIPv4 = 2
	familyIPv6 = 10
)

func (k *ServiceKey) family() uint16 {
	if k.is6() {
		return familyIPv6
	}
	return familyIPv4
}

// appendOp is the message of an operation.
func appendOp(b []byte, family, flags uint16, seq uint32, op *Op) ([]byte, error) {
	commands := [...]command{
		AddService: cmdNewService, EditService: cmdSetService, DeleteService: cmdDelService,
		AddDestination: cmdNewDest, EditDestination: cmdSetDest, DeleteDestination: cmdDelDest,
	}
	if err := op.check(); err != nil {
		return b, err
	}
	b, start := beginMessage(b, family, flags, seq, commands[op.Action])
	b = appendService(b, &op.Service, op.Action == AddService || op.Action == EditService)
	if op.Action >= AddDestination {
		b = appendDestination(b, &op.Destination, op.Action != DeleteDestination)
	}
	return endMessage(b, start), nil
}

func appendService(b []byte, s *Service, full bool) []byte {
	b, start := beginNest(b, attrService)
	b = append16(b, svcFamily, s.family())
	if s.FWMark != 0 {
		b = append32(b, svcFWMark, s.FWMark)
	} else {
		b = append16(b, svcProtocol, uint16(s.Protocol))
		b = appendAttribute(b, svcAddr, s.Addr.Addr().AsSlice())
		b = appendPort(b, svcPort, s.Addr.Port())
	}
	if full {
		b = appendEntry(b, s)
	}
	return endNest(b, start)
}

func appendEntry(b []byte, s *Service) []byte {
	b = appendString(b, svcScheduler, s.scheduler())
	if s.Engine != "" {
		b = appendString(b, svcEngine, s.Engine)
	}
	flags := s.Flags
	if s.Persistence > 0 {
		flags |= flagPersistent
	}
	var pair [8]byte // the flags, and a mask of those that are said
	native.PutUint32(pair[:], uint32(flags))
	native.PutUint32(pair[4:], 1<<32-1)
	b = appendAttribute(b, svcFlags, pair[:])
	b = append32(b, svcTimeout, uint32(s.Persistence/time.Second))
	return appendNetmask(b, s)
}

// appendNetmask writes a mask for IPv4 and a length for IPv6.
func appendNetmask(b []byte, s *Service) []byte {
	if s.is6() {
		return append32(b, svcNetmask, uint32(s.granularity()))
	}
	return appendAttribute(b, svcNetmask, net.CIDRMask(s.granularity(), 32))
}

func appendDestination(b []byte, d *Destination, full bool) []byte {
	b, start := beginNest(b, attrDest)
	b = appendAttribute(b, destAddr, d.Addr.Addr().AsSlice())
	b = appendPort(b, destPort, d.Addr.Port())
	family := uint16(familyIPv4)
	if d.Addr.Addr().Is6() {
		family = familyIPv6
	}
	b = append16(b, destFamily, family)
	if full {
		b = append32(b, destForward, uint32(d.Forward))
		b = append32(b, destWeight, uint32(d.Weight))
		b = append32(b, destUpper, d.UpperThreshold)
		b = append32(b, destLower, d.LowerThreshold)
		b = appendTunnel(b, d)
	}
	return endNest(b, start)
}

func appendTunnel(b []byte, d *Destination) []byte {
	if d.Forward != Tunnel || d.Tunnel == (TunnelOptions{}) {
		return b // what the kernel takes it for
	}
	b = append8(b, destTunnelType, uint8(d.Tunnel.Type))
	b = appendPort(b, destTunnelPort, d.Tunnel.Port)
	return append16(b, destTunnelFlags, uint16(d.Tunnel.Checksum))
}

// appendDaemon is the attribute of a sync daemon; all of it, or only what is needed to stop it.
func appendDaemon(b []byte, d *SyncDaemon, full bool) []byte {
	b, start := beginNest(b, attrDaemon)
	b = append32(b, daemonState, uint32(d.Role))
	if full {
		b = appendString(b, daemonInterface, d.Interface)
		b = append32(b, daemonID, uint32(d.ID))
		b = appendDaemonOptions(b, d)
	}
	return endNest(b, start)
}

func appendDaemonOptions(b []byte, d *SyncDaemon) []byte {
	if d.MaxLen != 0 {
		b = append16(b, daemonMaxLen, uint16(d.MaxLen))
	}
	switch {
	case d.Group.Is4():
		b = appendAttribute(b, daemonGroup, d.Group.AsSlice())
	case d.Group.Is6():
		b = appendAttribute(b, daemonGroup6, d.Group.AsSlice())
	}
	if d.Port != 0 {
		b = append16(b, daemonPort, d.Port)
	}
	if d.TTL != 0 {
		b = append8(b, daemonTTL, d.TTL)
	}
	return b
}

// appendRequest is a message without operation: to read, to zero, to stop. A nil part is left out.
func appendRequest(b []byte, family, flags uint16, seq uint32, cmd command, key *ServiceKey) []byte {
	b, start := beginMessage(b, family, flags, seq, cmd)
	if key != nil {
		b = appendService(b, &Service{ServiceKey: *key}, false)
	}
	return endMessage(b, start)
}
