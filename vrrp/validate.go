package vrrp

import (
	"crypto/subtle"
	"net/netip"
	"slices"
)

// Validate says whether an instance may act on an advert that came from src to dst with the given TTL. The tests and their
// order are those of RFC 9568, Section 7.1 with its errata, and for version 2 those of RFC 3768, Section 7.1. The error
// is one of this package's Err values, with what was seen and what was expected. A nil error says nothing about signatures:
// those are for [Authenticator.Verify]; and nothing about what does not matter for the election: see [Advertisement.Compare].
func (a *Advertisement) Validate(in *Instance, src, dst netip.Addr, ttl uint8) error {
	if err := in.validateOrigin(src, dst, ttl); err != nil {
		return err
	}
	switch {
	case a.Version != in.version():
		return &packetError{ErrVersion, "%d, this instance speaks %d", a.Version, in.version()}
	case a.Checksum == ChecksumBad:
		return &packetError{ErrChecksum, "is wrong in every form", nil, nil}
	case in.Strict && a.Checksum != in.checksumSent(dst):
		return &packetError{ErrChecksum, "is of the form %v, strict mode takes %v only", a.Checksum, in.checksumSent(dst)}
	case a.VRID != in.VRID:
		return &packetError{ErrVRID, "%d, this instance has %d", a.VRID, in.VRID}
	case len(a.Addrs) == 0 && len(in.Addrs) > 0:
		return &packetError{ErrAddressList, "is empty", nil, nil}
	case in.Strict && in.is6() && len(a.Addrs) > 0 && !a.Addrs[0].IsLinkLocalUnicast():
		return &packetError{ErrAddressList, "begins with %v: strict mode wants a link-local address first", a.Addrs[0], nil}
	case in.Strict && len(a.Trailer) > 0 && !in.HMAC.enabled():
		return &packetError{ErrLength, "%d bytes follow the message", len(a.Trailer), nil}
	case a.Version == 2:
		return a.validate2(in)
	case a.Interval == 0:
		return &packetError{ErrInterval, "0", nil, nil}
	}
	return nil
}

// validateOrigin has the tests of the IP header.
func (in *Instance) validateOrigin(src, dst netip.Addr, ttl uint8) error {
	switch {
	case dst.IsMulticast() == in.unicast():
		return &packetError{ErrAddressFamily, "destination %v is not of this instance's kind, unicast %v", dst, in.unicast()}
	case !in.unicast() && ttl != 255:
		return &packetError{ErrTTL, "%d, want 255: the packet came through a router or is forged", ttl, nil}
	case !in.unicast() || !in.checksSource():
		return nil
	}
	i := slices.IndexFunc(in.Peers, func(p Peer) bool { return p.Addr == src })
	if i < 0 {
		return &packetError{ErrPeer, "%v", src, nil}
	}
	if p := in.Peers[i]; ttl < p.MinTTL || ttl > p.maxTTL() {
		return &packetError{ErrTTL, "%d of peer %v is not in its range", ttl, src}
	}
	return nil
}

// validate2 has the tests of version 2 alone: authentication as configured, and the very same interval.
func (a *Advertisement) validate2(in *Instance) error {
	want := in.authData()
	switch {
	case a.AuthType > AuthAH:
		return &packetError{ErrAuthType, "%d", uint8(a.AuthType), nil}
	case a.AuthType != in.AuthType:
		return &packetError{ErrAuthMismatch, "%v, want %v", a.AuthType, in.AuthType}
	case a.AuthType == AuthPass && subtle.ConstantTimeCompare(a.AuthData[:], want[:]) != 1:
		return &packetError{ErrAuthFailure, "by password", nil, nil}
	case a.Interval != in.interval():
		return &packetError{ErrInterval, "%v, this instance has %v: version 2 needs them equal", a.Interval, in.interval()}
	}
	return nil
}

// Compare tells what a valid advert says otherwise than this instance would: it is nil, or of the kinds ErrAddressList (of
// which a difference in order is none) and ErrInterval. Neither is a reason to refuse the advert (RFC 9568, Section 7.1).
func (a *Advertisement) Compare(in *Instance) error {
	switch {
	case len(a.Addrs) != len(in.Addrs):
		return &packetError{ErrAddressList, "has %d addresses, this instance %d", len(a.Addrs), len(in.Addrs)}
	case !in.sameAddrs(a.Addrs):
		return &packetError{ErrAddressList, "%v differs from this instance's", slices.Clone(a.Addrs), nil}
	case a.Interval != in.interval():
		return &packetError{ErrInterval, "%v, this instance has %v", a.Interval, in.interval()}
	}
	return nil
}

// sameAddrs says whether each of the addresses is one of ours. Lists in the same order, as they should be, are cheap.
func (in *Instance) sameAddrs(addrs []netip.Addr) bool {
	for i, addr := range addrs {
		same := func(p Address) bool { return p.Addr() == addr }
		if !same(in.Addrs[i]) && !slices.ContainsFunc(in.Addrs, same) {
			return false
		}
	}
	return true
}

// checksumSent is the form that this instance sends to dst.
func (in *Instance) checksumSent(dst netip.Addr) Checksum {
	switch {
	case dst.Is6():
		return ChecksumPseudo
	case in.version() == 2:
		return ChecksumMessage
	case in.Checksum == ChecksumDefault, in.Checksum == ChecksumGroup && dst.IsMulticast():
		return ChecksumPseudo
	}
	return in.Checksum
}
