//go:build !linux

package vrrp

import "time"

// uptime is unknown: the host counts as just booted.
func uptime() time.Duration { return 0 }
