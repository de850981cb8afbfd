//go:build !linux

package vrrp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
)

type hostNetwork struct{}

func newHostNetwork() Network { return hostNetwork{} }

func unsupported() error {
	return fmt.Errorf("vrrp: no sockets on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func (hostNetwork) Link(string) (Link, error)                 { return Link{}, unsupported() }
func (hostNetwork) Watch(context.Context, func(Change)) error { return unsupported() }
func (hostNetwork) Sockets() (Sockets, error)                 { return nil, unsupported() }
func (hostNetwork) Hold(string, Holdings) error               { return unsupported() }
func (hostNetwork) Release(string, Holdings) error            { return unsupported() }
func (hostNetwork) MakeLink(VirtualLink) error                { return unsupported() }
func (hostNetwork) RemoveLink(string) error                   { return unsupported() }
func (hostNetwork) Promote(string, bool) error                { return unsupported() }
func (hostNetwork) Carrier(string, string) (bool, error)      { return false, unsupported() }
func (hostNetwork) QuietIGMP(bool) error                      { return unsupported() }
func (hostNetwork) Refuse(Firewall, []netip.Addr, bool) error { return unsupported() }
func (hostNetwork) Announce(string, []netip.Addr) error       { return unsupported() }
func (hostNetwork) HearClaims(string, []netip.Addr, func(netip.Addr, [6]byte)) (io.Closer, error) {
	return nil, unsupported()
}
