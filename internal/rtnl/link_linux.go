package rtnl

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// Of linux/if_link.h.
const (
	inet6AddrGenMode = 8 // IFLA_INET6_ADDR_GEN_MODE
	addrGenNone      = 1
	macvlanMode      = 1 // IFLA_MACVLAN_MODE
	// MacvlanPrivate keeps a macvlan from others on the same parent.
	MacvlanPrivate = 1

	ipvlanMode   = 1 // IFLA_IPVLAN_MODE
	ipvlanFlags  = 2 // IFLA_IPVLAN_FLAGS
	ipvlanModeL2 = 0
	// IPVLANPrivate keeps links of one parent from each other, IPVLANVEPA sends what is between them to the switch.
	IPVLANPrivate = 1
	IPVLANVEPA    = 2
)

// AddMacvlan is the request that makes a macvlan link, down.
func AddMacvlan(name string, parent int, mac net.HardwareAddr, mode uint32) Request {
	data := AppendUint32(nil, macvlanMode, mode)
	info := AppendNested(AppendString(nil, unix.IFLA_INFO_KIND, "macvlan"), unix.IFLA_INFO_DATA, data)
	b := AppendString(ifinfo(0, 0, 0), unix.IFLA_IFNAME, name)
	b = AppendUint32(b, unix.IFLA_LINK, uint32(parent))
	b = AppendAttr(b, unix.IFLA_ADDRESS, mac)
	return Request{Type: unix.RTM_NEWLINK, Flags: unix.NLM_F_CREATE | unix.NLM_F_EXCL, Data: AppendNested(b, unix.IFLA_LINKINFO, info)}
}

// AddIPVLAN is the request that makes an ipvlan link of mode L2, down.
func AddIPVLAN(name string, parent int, flags uint16) Request {
	b := AppendString(ifinfo(0, 0, 0), unix.IFLA_IFNAME, name)
	b = AppendUint32(b, unix.IFLA_LINK, uint32(parent))
	return Request{Type: unix.RTM_NEWLINK, Flags: unix.NLM_F_CREATE | unix.NLM_F_EXCL, Data: appendIPVLAN(b, flags)}
}

// SetIPVLAN is the request that changes the flags of an ipvlan link. They are those of all links of its parent.
func SetIPVLAN(index int, flags uint16) Request {
	return Request{Type: unix.RTM_NEWLINK, Data: appendIPVLAN(ifinfo(index, 0, 0), flags)}
}

func appendIPVLAN(b []byte, flags uint16) []byte {
	data := AppendAttr(nil, ipvlanMode, binary.NativeEndian.AppendUint16(nil, ipvlanModeL2))
	data = AppendAttr(data, ipvlanFlags, binary.NativeEndian.AppendUint16(nil, flags))
	return AppendNested(b, unix.IFLA_LINKINFO, AppendNested(AppendString(nil, unix.IFLA_INFO_KIND, "ipvlan"), unix.IFLA_INFO_DATA, data))
}

// NoLinkLocal is the request that keeps a link from making up IPv6 addresses.
func NoLinkLocal(index int) Request {
	inet6 := AppendNested(nil, unix.AF_INET6, AppendAttr(nil, inet6AddrGenMode, []byte{addrGenNone}))
	return Request{Type: unix.RTM_SETLINK, Data: AppendNested(ifinfo(index, 0, 0), unix.IFLA_AF_SPEC, inet6)}
}

// SetUp is the request that takes a link up.
func SetUp(index int) Request {
	return Request{Type: unix.RTM_NEWLINK, Data: ifinfo(index, unix.IFF_UP, unix.IFF_UP)}
}

// SetGroup is the request that puts a link into a group.
func SetGroup(index int, group uint32) Request {
	return Request{Type: unix.RTM_NEWLINK, Data: AppendUint32(ifinfo(index, 0, 0), unix.IFLA_GROUP, group)}
}

// SetMaster is the request that puts a link into a VRF, bridge or bond.
func SetMaster(index, master int) Request {
	return Request{Type: unix.RTM_NEWLINK, Data: AppendUint32(ifinfo(index, 0, 0), unix.IFLA_MASTER, uint32(master))}
}

// DeleteLink is the request that deletes a link.
func DeleteLink(index int) Request { return Request{Type: unix.RTM_DELLINK, Data: ifinfo(index, 0, 0)} }

func ifinfo(index int, flags, change uint32) []byte {
	b := binary.NativeEndian.AppendUint32(nil, 0) // family and type
	b = binary.NativeEndian.AppendUint32(b, uint32(index))
	b = binary.NativeEndian.AppendUint32(b, flags)
	return binary.NativeEndian.AppendUint32(b, change)
}
