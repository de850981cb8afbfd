package integration

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/internal/lab"
)

// TestPingAcrossTheLink: a host answers until it is cut off.
func TestPingAcrossTheLink(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	n := lab.New(t)
	a, b := n.Host("a", "10.9.0.1/24"), n.Host("b", "10.9.0.2/24")
	ping := func() error {
		return a.Do(func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return check.Ping{Addr: netip.MustParseAddr("10.9.0.2")}.Check(ctx)
		})
	}
	if err := ping(); err != nil {
		t.Error(err)
	}
	b.Cut()
	if err := ping(); err == nil || !strings.Contains(err.Error(), "ping 10.9.0.2: no answer") {
		t.Errorf("from a host that is cut off: %v", err)
	}
}

// TestLinkIsWatched: an interface that goes down and comes back is told at once, and nothing is left behind.
func TestLinkIsWatched(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	h := lab.New(t).Host("a", "10.9.0.1/24")
	told := make(chan error, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- h.Do(func() error {
			return check.Link{Name: "eth0"}.Watch(ctx, func(_ check.Report, err error) { told <- err })
		})
	}()
	want := func(down bool, text string) {
		t.Helper()
		for {
			select {
			case err := <-told:
				if (err != nil) == down && (err == nil || strings.Contains(err.Error(), text)) {
					return
				}
			case <-time.After(5 * time.Second):
				t.Fatalf("not told: down %v %s", down, text)
			}
		}
	}
	want(false, "")
	h.MustRun("ip", "link", "set", "eth0", "down")
	want(true, "interface eth0 is down")
	h.MustRun("ip", "link", "set", "eth0", "up")
	want(false, "")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	err := h.Do(func() error { return check.Link{Name: "eth9"}.Check(t.Context()) })
	if err == nil || err.Error() != "interface eth9 does not exist" {
		t.Error(err)
	}
}
