package vrrp

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"
)

type (
	// Claimed says that somebody else told the link that one of the instance's addresses is at another MAC address: see
	// [ConflictClaim].
	Claimed struct {
		Addr netip.Addr
		MAC  [6]byte
	}
	// DefendAddr announces one of the addresses again, once: another host claims it.
	DefendAddr struct{ Addr netip.Addr }
)

func (Claimed) event()     {}
func (DefendAddr) action() {}

// claim is what was heard of an address, or the defence of it.
type claim struct {
	addr netip.Addr
	mac  [6]byte
	// at is when it counts, if the instance is MASTER still; once it is settled, until when the address is not defended again.
	at      time.Time
	settled bool
}

const (
	// defendInterval is the least time between two defences of an address: DEFEND_INTERVAL of RFC 5227, Section 2.4.
	defendInterval = 10 * time.Second
	// mostClaims bounds how many addresses of an instance are contested at a time.
	mostClaims = 64
)

// claimed remembers a claim until an advert of whoever makes it would have been heard: another router of ours, that takes over or
// yields, announces the addresses too. What the former MASTER says in the first interval is not news either.
func (m *Machine) claimed(now time.Time, c Claimed) {
	if m.state != Master || now.Sub(m.since) < m.in.interval() {
		return
	}
	free := len(m.claims)
	for i := range m.claims {
		old := &m.claims[i]
		over := old.settled && !now.Before(old.at)
		if old.addr == c.Addr && !over {
			return
		}
		if over {
			free = i
		}
		if old.addr == c.Addr {
			break
		}
	}
	if free == mostClaims {
		return
	}
	if free == len(m.claims) {
		m.claims = append(m.claims, claim{})
	}
	m.claims[free] = claim{addr: c.Addr, mac: c.MAC, at: now.Add(m.in.interval() * 3 / 2)}
	m.nextClaim()
}

// settleClaims tells of the claims that have lasted, and defends the addresses (RFC 5227, Section 2.4, (c)). A router that sends
// adverts is told of as another MASTER, and answered as one.
func (m *Machine) settleClaims(now time.Time) {
	for i := range m.claims {
		c := &m.claims[i]
		if c.settled || now.Before(c.at) {
			continue
		}
		c.settled, c.at = true, now.Add(defendInterval)
		if now.Before(m.rivalUntil) || !m.in.holds(c.addr) {
			c.at = now // the next one counts
			continue
		}
		m.conflict(now, ConflictClaim, c.addr, fmt.Sprintf("the host of MAC address %v says that it has this address", net.HardwareAddr(c.mac[:])))
		m.do(DefendAddr{c.addr})
	}
	m.nextClaim()
}

// nextClaim finds the time when a claim is to be settled.
func (m *Machine) nextClaim() {
	m.claimAt = time.Time{}
	for _, c := range m.claims {
		if !c.settled && (m.claimAt.IsZero() || c.at.Before(m.claimAt)) {
			m.claimAt = c.at
		}
	}
}

// dropClaims is for the beginning of a mastership.
func (m *Machine) dropClaims() {
	m.claims, m.claimAt, m.rivalUntil = m.claims[:0], time.Time{}, time.Time{}
}

// rival remembers that another MASTER sends adverts, for as long as it would count as one.
func (m *Machine) rival(now time.Time, a *Advertisement) {
	m.rivalUntil = now.Add(time.Duration(m.in.downAdverts()+1) * max(a.Interval, m.in.interval()))
}

// holds says whether an address is one of the instance's, advertised or not.
func (in *Instance) holds(addr netip.Addr) bool {
	for _, list := range [...][]Address{in.Addrs, in.Excluded} {
		for i := range list {
			if list[i].Addr() == addr {
				return true
			}
		}
	}
	return false
}

const (
	etherLen  = 14
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
	ipv6Len   = 40
	icmpv6    = 58
)

// parseClaim reads an Ethernet frame: who says of which address that it is at which MAC address. ARP says so by the sender of any
// packet but a probe, neighbour discovery by an advertisement. ok is false for all else, and for what a host would not believe
// (RFC 5227, Section 1.1; RFC 4861, Section 7.1.2).
func parseClaim(frame []byte) (addr netip.Addr, mac [6]byte, ok bool) {
	if len(frame) < etherLen {
		return addr, mac, false
	}
	body := frame[etherLen:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherARP:
		addr, mac, ok = parseARP(body)
	case etherIPv6:
		mac = [6]byte(frame[6:12])
		addr, ok = parseNA(body, &mac)
	}
	return addr, mac, ok && mac[0]&1 == 0 && mac != [6]byte{}
}

// parseARP is RFC 826: hardware Ethernet, protocol IPv4, their lengths, request or reply; then sender and target.
func parseARP(b []byte) (addr netip.Addr, mac [6]byte, ok bool) {
	if len(b) < 28 || [6]byte(b[:6]) != [6]byte{0, 1, 8, 0, 6, 4} {
		return addr, mac, false
	}
	operation := binary.BigEndian.Uint16(b[6:])
	addr, mac = netip.AddrFrom4([4]byte(b[14:18])), [6]byte(b[8:14])
	return addr, mac, (operation == 1 || operation == 2) && !addr.IsUnspecified()
}

// parseNA is RFC 4861, Section 4.4: a Neighbour Advertisement in an IPv6 packet without extension headers. mac changes to what an
// option says.
func parseNA(b []byte, mac *[6]byte) (addr netip.Addr, ok bool) {
	const minimum, neighborAdvertisement, hopLimit, solicited = 24, 136, 255, 0x40
	if len(b) < ipv6Len+minimum || b[0]>>4 != 6 || b[6] != icmpv6 || b[7] != hopLimit {
		return addr, false
	}
	src, dst := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length < minimum || length > len(b)-ipv6Len {
		return addr, false
	}
	m := b[ipv6Len:][:length]
	addr = netip.AddrFrom16([16]byte(m[8:24]))
	if m[0] != neighborAdvertisement || m[1] != 0 || addr.IsMulticast() || dst.IsMulticast() && m[4]&solicited != 0 ||
		fold(sumBytes(sumAddr(src)+sumAddr(dst)+uint32(length)+icmpv6, m)) != 0xffff {
		return addr, false
	}
	return addr, targetMAC(m[minimum:], mac)
}

// targetMAC reads options: type, length in units of 8 bytes, value. One that is cut off or has no length spoils the message.
func targetMAC(options []byte, mac *[6]byte) (ok bool) {
	const targetLinkLayerAddress = 2
	for len(options) > 0 {
		if len(options) < 8 || options[1] == 0 || int(options[1])*8 > len(options) {
			return false
		}
		if options[0] == targetLinkLayerAddress && options[1] == 1 {
			*mac = [6]byte(options[2:8])
		}
		options = options[int(options[1])*8:]
	}
	return true
}
