//go:build !linux

package sched

import (
	"errors"
	"fmt"
)

// Apply changes nothing here.
func Apply(o Options) error {
	if o.RealTime == 0 && o.Nice == nil && !o.LockMemory && len(o.CPUs) == 0 {
		return nil
	}
	return fmt.Errorf("scheduling of the process: %w", errors.ErrUnsupported)
}

// Ordinary calls f.
func Ordinary(f func() error) error { return f() }
