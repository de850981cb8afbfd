//go:build !linux

package lab

import (
	"errors"
	"fmt"
	"runtime"
)

// Enter says that this system has no network namespaces.
func Enter() error {
	return fmt.Errorf("the lab needs Linux, this is %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
