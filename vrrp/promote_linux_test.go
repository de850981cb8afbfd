package vrrp_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// TestNetPromote: when the first address of a network goes with the instance, the others of that network stay only if they are
// promoted; the kernel's parameter is as before at the end, whichever of two instances leaves last.
func TestNetPromote(t *testing.T) {
	lab.Need(t, "ip")
	for name, promote := range map[string]bool{"promoted": true, "not promoted": false} {
		t.Run(name, func(t *testing.T) {
			h := lab.New(t).Host("a", "10.0.0.1/24")
			h.Sysctl("net.ipv4.conf.eth0.promote_secondaries", "0")
			h.Sysctl("net.ipv4.conf.all.promote_secondaries", "0")
			in := instance(200)
			in.Interval, in.Promote, in.Addrs = 50*time.Millisecond, promote, vrrp.MustAddresses("10.9.0.1/24")
			other := in
			other.Name, other.VRID = "other", 52
			other.Addrs, other.Promote = vrrp.MustAddresses("10.9.9.1/24"), promote
			r, stop := runInHost(t, h, in)
			eventually(t, 5*time.Second, "the address is held", func() bool { return h.Has(netip.MustParseAddr("10.9.0.1")) })
			h.MustRun("ip", "addr", "add", "10.9.0.2/24", "dev", "eth0") // the operator's, secondary
			if err := r.Set([]vrrp.Instance{in, other}); err != nil {
				t.Fatal(err)
			}
			eventually(t, 5*time.Second, "both are held", func() bool { return h.Has(netip.MustParseAddr("10.9.9.1")) })
			if got := promotes(t, h); (got == "1") != promote {
				t.Errorf("promote_secondaries is %s", got)
			}
			if err := r.Set([]vrrp.Instance{other}); err != nil {
				t.Fatal(err)
			}
			eventually(t, 5*time.Second, "the first address is gone", func() bool { return !h.Has(netip.MustParseAddr("10.9.0.1")) })
			if got := h.Has(netip.MustParseAddr("10.9.0.2")); got != promote {
				t.Errorf("the secondary address is there: %v, want %v", got, promote)
			}
			if got := promotes(t, h); (got == "1") != promote {
				t.Errorf("promote_secondaries is %s while the other instance needs it", got)
			}
			stop()
			if got := promotes(t, h); got != "0" {
				t.Errorf("promote_secondaries is %s at the end, and was 0", got)
			}
		})
	}
}

func promotes(t *testing.T, h *lab.Host) (value string) {
	t.Helper()
	err := h.Do(func() error {
		text, err := os.ReadFile("/proc/sys/net/ipv4/conf/eth0/promote_secondaries")
		value = strings.TrimSpace(string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}
