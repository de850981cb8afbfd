//go:build !linux

package check

import (
	"errors"
	"syscall"
)

func (t Target) control(syscall.RawConn) error {
	return optionError{"interface or mark", errors.ErrUnsupported}
}
