//go:build !unix

package check

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
)

func isolate(_ *exec.Cmd, user, group string) error {
	if user+group != "" {
		return fmt.Errorf("no other user on %s: %w", runtime.GOOS, errors.ErrUnsupported)
	}
	return nil
}

func endGroup(*exec.Cmd) {}

func rootOnly(string) error {
	return fmt.Errorf("no script security on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
