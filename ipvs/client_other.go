//go:build !linux

package ipvs

func openKernel() (Table, error) { return nil, noIPVS(nil) }

func ensureModule() error { return noIPVS(nil) }
