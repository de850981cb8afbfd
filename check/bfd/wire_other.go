//go:build !linux

package bfd

import (
	"errors"
	"fmt"
	"syscall"
)

func bindTo(iface string) func(network, address string, c syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error {
		if iface == "" {
			return nil
		}
		return fmt.Errorf("bfd: interface %s: %w", iface, errors.ErrUnsupported)
	}
}

func portTaken(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
