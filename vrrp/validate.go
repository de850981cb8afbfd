package vrrp

import (
	"crypto/subtle"
	"fmt"
)

// Validate says whether an instance may act on a received advert, whose IP header had the given TTL. The tests and their
// order are those of RFC 9568, Section 7.1 with its errata, and for version 2 those of RFC 3768, Section 7.1. The error
// is one of this package's Err values, wrapped with what was seen and what was expected.
func (a *Advertisement) Validate(in *Instance, ttl uint8) error {
	switch {
	case ttl != 255 && !in.unicast():
		return fmt.Errorf("%w: %d: the packet came through a router or is forged", ErrTTL, ttl)
	case a.Version != in.version():
		return fmt.Errorf("%w %d, this instance speaks %d", ErrVersion, a.Version, in.version())
	case a.Checksum == ChecksumBad:
		return ErrChecksum
	case a.VRID != in.VRID:
		return fmt.Errorf("%w %d, this instance has %d", ErrVRID, a.VRID, in.VRID)
	case len(a.Addrs) == 0:
		return ErrAddressCount
	case a.Version == 2:
		return a.validate2(in)
	case a.Interval == 0:
		return fmt.Errorf("%w 0", ErrInterval)
	}
	return nil
}

// validate2 has the tests of version 2 alone: authentication as configured, and the very same interval.
func (a *Advertisement) validate2(in *Instance) error {
	want := in.authData()
	switch {
	case a.AuthType > AuthAH:
		return fmt.Errorf("%w %d", ErrAuthType, a.AuthType)
	case a.AuthType != in.AuthType:
		return fmt.Errorf("%w: %v, want %v", ErrAuthMismatch, a.AuthType, in.AuthType)
	case a.AuthType == AuthPass && subtle.ConstantTimeCompare(a.AuthData[:], want[:]) != 1:
		return fmt.Errorf("%w: wrong password", ErrAuthFailure)
	case a.Interval != in.interval():
		return fmt.Errorf("%w %v, this instance has %v (version 2 needs them equal)", ErrInterval, a.Interval, in.interval())
	}
	return nil
}
