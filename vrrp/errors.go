package vrrp

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// What can be wrong with a received advert, one error per counter of [Stats]: those of RFC 6527, of RFC 2787 for
// authentication, and of keepalived for auth_hmac.
var (
	ErrLength         = errors.New("vrrp: packet length does not fit its contents")
	ErrVersion        = errors.New("vrrp: version")
	ErrType           = errors.New("vrrp: type is not ADVERTISEMENT")
	ErrTTL            = errors.New("vrrp: TTL")
	ErrChecksum       = errors.New("vrrp: checksum")
	ErrVRID           = errors.New("vrrp: VRID")
	ErrInterval       = errors.New("vrrp: advertisement interval")
	ErrAddressList    = errors.New("vrrp: address list")
	ErrAddressFamily  = errors.New("vrrp: address family")
	ErrPeer           = errors.New("vrrp: sender is not a peer")
	ErrAuthType       = errors.New("vrrp: authentication type")
	ErrAuthMismatch   = errors.New("vrrp: authentication type is not the configured one")
	ErrAuthFailure    = errors.New("vrrp: authentication failed")
	ErrHMACMissing    = errors.New("vrrp: auth_hmac: advert is not signed")
	ErrHMACMalformed  = errors.New("vrrp: auth_hmac: trailer is malformed")
	ErrHMACStale      = errors.New("vrrp: auth_hmac: outside the time window")
	ErrHMACUnknownKey = errors.New("vrrp: auth_hmac: unknown key")
	ErrHMACInvalid    = errors.New("vrrp: auth_hmac: signature is wrong")
	ErrHMACReplay     = errors.New("vrrp: auth_hmac: replayed")
)

// packetError is why a packet is refused. Floods of bad packets are a reason to write the text only when it is read.
type packetError struct {
	kind   error
	format string // of got and want, as far as they are not nil
	got    any
	want   any
}

func (e *packetError) Error() string {
	args := []any{e.got, e.want}
	return e.kind.Error() + " " + fmt.Sprintf(e.format, args[:strings.Count(e.format, "%")]...)
}

// Unwrap gives the kind, and for a packet that ends too early io.ErrUnexpectedEOF too.
func (e *packetError) Unwrap() []error {
	if e.kind == ErrLength {
		return []error{e.kind, io.ErrUnexpectedEOF}
	}
	return []error{e.kind}
}
