//go:build !linux

package filewatch

import (
	"errors"
	"fmt"
)

type hub struct{}

func (hub) add(*Watch) error { return fmt.Errorf("%w: %w", errRemote, errors.ErrUnsupported) }

func (hub) remove(*Watch) {}
