//go:build !linux

package vrrp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
)

type hostNetwork struct{}

func newHostNetwork() Network { return hostNetwork{} }

func unsupported() error {
	return fmt.Errorf("vrrp: no sockets on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func (hostNetwork) Link(string) (Link, error)             { return Link{}, unsupported() }
func (hostNetwork) Watch(context.Context, func()) error   { return unsupported() }
func (hostNetwork) Open(string, netip.Addr) (Conn, error) { return nil, unsupported() }
func (hostNetwork) AddAddr(string, netip.Prefix) error    { return unsupported() }
func (hostNetwork) RemoveAddr(string, netip.Prefix) error { return unsupported() }
func (hostNetwork) Announce(string, netip.Addr) error     { return unsupported() }
