package check_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/check"
)

// BenchmarkIdleProbes is the memory of 10,000 probes that wait for their time.
func BenchmarkIdleProbes(b *testing.B) {
	for _, kind := range []string{"tcp", "http"} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				idle(b, kind)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func idle(b *testing.B, kind string) {
	before := resident(b)
	m := check.NewMonitor(check.Options{})
	var probes []check.Probe
	for i := range 10000 {
		target := check.Target{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(i / 250), byte(i%250 + 1)}), 9)}
		var c check.Checker = check.TCP{Target: target}
		if kind == "http" {
			c = check.HTTP{Target: target, URLs: []check.URL{{Path: "/", Status: []check.StatusRange{{Low: 200, High: 200}}}}}
		}
		probes = append(probes, check.Probe{ID: fmt.Sprint("TCP 192.0.2.1:80 10.0.0.1:80 TCP_CHECK ", i), Checker: c, Policy: check.Policy{DelayLoop: time.Hour}})
	}
	if err := m.Set(probes); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	<-m.Ready()
	probes = nil
	runtime.GC()
	debug.FreeOSMemory()
	b.ReportMetric(resident(b)-before, "MB")
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// resident is the memory of this process, in MB.
func resident(b *testing.B) float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip("no /proc")
	}
	var pages int
	fmt.Sscan(strings.Fields(string(text))[1], &pages)
	return float64(pages*os.Getpagesize()) / (1 << 20)
}
