package integration

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "8") // these tests wait for the protocol, not for a processor
	lab.Main(m, "github.com/holdfast-lb/holdfast/examples/director", "github.com/holdfast-lb/holdfast/examples/haagent")
}

// write makes a file for a program of the test.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// timed runs a program in a host to its end and tells how long that took, and the most memory that it had, in KB.
func timed(h *lab.Host, name string, args ...string) (took time.Duration, peak int64) {
	start := time.Now()
	p := h.Start(context.Background(), name, args...)
	<-p.Done()
	return time.Since(start), p.PeakMemory()
}

// startDirector runs a configuration and waits until it is in force.
func startDirector(t *testing.T, h *lab.Host, file string, flags ...string) *lab.Process {
	t.Helper()
	p := h.Start(t.Context(), lab.Bin("director"), append([]string{"run", "-f", file}, flags...)...)
	says(t, p, "msg=ready")
	return p
}

func says(t testing.TB, p *lab.Process, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.WaitFor(ctx, text); err != nil {
		t.Fatal(err)
	}
}

// within polls a condition and returns how long it took to be met.
func within(t testing.TB, limit time.Duration, what string, met func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !met() {
		if time.Since(start) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		<-ticker.C
	}
	return time.Since(start)
}
