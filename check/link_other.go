//go:build !linux

package check

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

func (l Link) look() error {
	return fmt.Errorf("interface %s on %s: %w", l.Name, runtime.GOOS, errors.ErrUnsupported)
}

func (l Link) watch(context.Context, func(Report, error)) error { return l.look() }
