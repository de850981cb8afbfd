package bfd

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindTo keeps a socket to one interface.
func bindTo(iface string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) (err error) {
		if iface == "" {
			return nil
		}
		control := c.Control(func(fd uintptr) { err = unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, iface) })
		return errors.Join(control, err)
	}
}

func portTaken(err error) bool { return errors.Is(err, unix.EADDRINUSE) }
