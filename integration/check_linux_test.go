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
