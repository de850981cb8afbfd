//go:build !linux

package main

import (
	"errors"
	"fmt"
)

func enterNamespace(name string) error {
	if name == "" {
		return nil
	}
	return fmt.Errorf("net_namespace: %w", errors.ErrUnsupported)
}
