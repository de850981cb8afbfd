package check

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// control sets the options that net.Dialer does not know.
func (t Target) control(c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = t.setOptions(int(fd)) })
	if err != nil {
		return err
	}
	return failed
}

func (t Target) setOptions(fd int) error {
	if t.Interface != "" {
		if err := unix.BindToDevice(fd, t.Interface); err != nil {
			return optionError{"interface " + t.Interface, err}
		}
	}
	if t.Mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(t.Mark)); err != nil {
			return optionError{"mark", err}
		}
	}
	return nil
}
