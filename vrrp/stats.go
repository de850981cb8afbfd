package vrrp

import "errors"

// Stats are counters of one instance since it was first set. Names are those of RFC 6527 and RFC 2787, and for what they do
// not have, keepalived's.
type Stats struct {
	BecomeMaster         uint64 `json:"becomeMaster"`
	AdvertsSent          uint64 `json:"advertsSent"`
	AdvertsReceived      uint64 `json:"advertsReceived"`
	PriorityZeroSent     uint64 `json:"priorityZeroSent"`
	PriorityZeroReceived uint64 `json:"priorityZeroReceived"`
	SendErrors           uint64 `json:"sendErrors"`
	ChecksumErrors       uint64 `json:"checksumErrors"`
	VersionErrors        uint64 `json:"versionErrors"`
	VRIDErrors           uint64 `json:"vridErrors"`
	IntervalErrors       uint64 `json:"intervalErrors"`
	TTLErrors            uint64 `json:"ttlErrors"`
	TypeErrors           uint64 `json:"typeErrors"`
	LengthErrors         uint64 `json:"lengthErrors"`
	// AddressListErrors and IntervalErrors also count adverts that were accepted with a difference.
	AddressListErrors uint64 `json:"addressListErrors"`
	PeerErrors        uint64 `json:"peerErrors"`
	AuthTypeErrors    uint64 `json:"authTypeErrors"`
	AuthMismatches    uint64 `json:"authMismatches"`
	AuthFailures      uint64 `json:"authFailures"`
	HMACMissing       uint64 `json:"hmacMissing"`
	HMACMalformed     uint64 `json:"hmacMalformed"`
	HMACStale         uint64 `json:"hmacStale"`
	HMACUnknownKey    uint64 `json:"hmacUnknownKey"`
	HMACInvalid       uint64 `json:"hmacInvalid"`
	HMACReplay        uint64 `json:"hmacReplay"`
}

// count raises the counter of a packet's error and returns the kind of the error.
func (s *Stats) count(err error) error {
	p, ok := errors.AsType[*packetError](err)
	if !ok {
		return nil
	}
	if c := s.counter(p.kind); c != nil {
		*c++
	}
	return p.kind
}

func (s *Stats) counter(kind error) *uint64 {
	switch kind {
	case ErrChecksum:
		return &s.ChecksumErrors
	case ErrVersion:
		return &s.VersionErrors
	case ErrVRID:
		return &s.VRIDErrors
	case ErrInterval:
		return &s.IntervalErrors
	case ErrTTL:
		return &s.TTLErrors
	case ErrType:
		return &s.TypeErrors
	case ErrLength:
		return &s.LengthErrors
	case ErrAddressList, ErrAddressFamily:
		return &s.AddressListErrors
	case ErrPeer:
		return &s.PeerErrors
	case ErrAuthType:
		return &s.AuthTypeErrors
	case ErrAuthMismatch:
		return &s.AuthMismatches
	case ErrAuthFailure:
		return &s.AuthFailures
	}
	return s.counterHMAC(kind)
}

func (s *Stats) counterHMAC(kind error) *uint64 {
	switch kind {
	case ErrHMACMissing:
		return &s.HMACMissing
	case ErrHMACMalformed:
		return &s.HMACMalformed
	case ErrHMACStale:
		return &s.HMACStale
	case ErrHMACUnknownKey:
		return &s.HMACUnknownKey
	case ErrHMACInvalid:
		return &s.HMACInvalid
	case ErrHMACReplay:
		return &s.HMACReplay
	}
	return nil
}
