package rtnl

import (
	"encoding/binary"
	"math"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Address is an address of an interface with what goes with it.
type Address struct {
	// Index is the interface's.
	Index     int
	Prefix    netip.Prefix
	Peer      netip.Prefix // not valid: none
	Broadcast netip.Addr   // not valid: none
	Label     string
	Scope     uint8
	Flags     uint32 // IFA_F_
	// Deprecated makes the preferred lifetime Preferred seconds, 0 included; without, it is for ever.
	Deprecated bool
	Preferred  uint32
}

// Add is the request that adds the address. One that is there is EEXIST.
func (a *Address) Add() Request {
	b := a.common()
	if a.Broadcast.IsValid() {
		b = AppendAttr(b, unix.IFA_BROADCAST, a.Broadcast.AsSlice())
	}
	b = AppendUint32(b, unix.IFA_FLAGS, a.Flags)
	if a.Deprecated {
		info := binary.NativeEndian.AppendUint32(nil, a.Preferred)
		info = binary.NativeEndian.AppendUint32(info, math.MaxUint32)
		b = AppendAttr(b, unix.IFA_CACHEINFO, append(info, make([]byte, 8)...))
	}
	b = AppendAttr(b, ifaProto, []byte{Protocol})
	return Request{Type: unix.RTM_NEWADDR, Flags: unix.NLM_F_CREATE | unix.NLM_F_EXCL, Data: b}
}

// ifaProto is IFA_PROTO, which kernels before 5.18 do not know and ignore.
const ifaProto = 11

// Remove is the request that removes it. One that is not there is EADDRNOTAVAIL.
func (a *Address) Remove() Request { return Request{Type: unix.RTM_DELADDR, Data: a.common()} }

func (a *Address) common() []byte {
	family, bits, far := uint8(unix.AF_INET), a.Prefix.Bits(), a.Prefix.Addr()
	if far.Is6() {
		family = unix.AF_INET6
	}
	if a.Peer.IsValid() {
		bits, far = a.Peer.Bits(), a.Peer.Addr()
	}
	b := []byte{family, uint8(bits), uint8(a.Flags), a.Scope}
	b = binary.NativeEndian.AppendUint32(b, uint32(a.Index))
	b = AppendAttr(b, unix.IFA_LOCAL, a.Prefix.Addr().AsSlice())
	b = AppendAttr(b, unix.IFA_ADDRESS, far.AsSlice())
	if a.Label != "" {
		b = AppendString(b, unix.IFA_LABEL, a.Label)
	}
	return b
}
