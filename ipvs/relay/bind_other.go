//go:build !linux

package relay

import "syscall"

// bindAnywhere cannot be had here: see [service.retry].
func bindAnywhere(string, string, syscall.RawConn) error { return nil }
