//go:build !unix

package script

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
)

type identity struct{}

func lookUp(_, _ string, _ bool) (identity, error) {
	return identity{}, fmt.Errorf("no scripts on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func secure(string, identity) error { return errors.ErrUnsupported }

func isTextWithoutShebang(error) bool { return false }

func attributes(identity) *syscall.SysProcAttr { return nil }

func signalGroup(int, bool) {}

func (p *Process) await() error { return p.cmd.Wait() }
