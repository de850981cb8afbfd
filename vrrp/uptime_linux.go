package vrrp

import (
	"time"

	"golang.org/x/sys/unix"
)

// uptime is how long ago the host booted.
func uptime() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0
	}
	return time.Duration(now.Nano())
}
