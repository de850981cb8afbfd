//go:build !linux

package ipvs

func openKernel(ClientOptions) (kernelTable, error) { return nil, noIPVS(nil) }

func ensureModule() error { return noIPVS(nil) }
