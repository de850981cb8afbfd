package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// systemd tells the service manager how things stand. Without one it does nothing.
type systemd struct{}

func (systemd) tell(lines ...string) {
	_, _ = daemon.SdNotify(false, strings.Join(lines, "\n"))
}

func (s systemd) ready(instances, services int) {
	s.tell(daemon.SdNotifyReady, fmt.Sprintf("MAINPID=%d", os.Getpid()), fmt.Sprintf("STATUS=%d instances, %d services", instances, services))
}

func (s systemd) reloading() {
	s.tell(daemon.SdNotifyReloading, daemon.SdNotifyMonotonicUsec(), "STATUS=reading the configuration")
}

// keepAlive answers the watchdog as long as look returns: a director that is stuck is restarted.
func (s systemd) keepAlive(ctx context.Context, look func()) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return
	}
	ticker := time.NewTicker(interval / 3)
	defer ticker.Stop()
	for {
		look()
		s.tell(daemon.SdNotifyWatchdog)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
