//go:build !linux

package ipvs

import "fmt"

func openKernel(ClientOptions) (kernelTable, error) {
	return nil, fmt.Errorf("ipvs: open: %w", noIPVS(nil))
}

func ensureModule() error { return fmt.Errorf("ipvs: load the module: %w", noIPVS(nil)) }
