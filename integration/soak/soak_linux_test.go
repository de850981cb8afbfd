package soak

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

func TestMain(m *testing.M) { lab.Main(m, "github.com/holdfast-lb/holdfast/examples/director") }

// usual is how long it plays, and by which seed; HOLDFAST_SOAK and HOLDFAST_SEED say otherwise. make soak plays for half an hour, by
// another seed each time.
const (
	usual     = 30 * time.Second
	usualSeed = 3
)

func settings(t *testing.T) (while time.Duration, seed uint64) {
	while, seed = usual, usualSeed
	if text := os.Getenv("HOLDFAST_SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("HOLDFAST_SOAK: %v", err)
		}
		while = d
	}
	if text := os.Getenv("HOLDFAST_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("HOLDFAST_SEED: %v", err)
		}
		seed = n
	}
	return while, seed
}

// TestKernelSoak plays faults. After each of them everything must be as it should within the time that is promised, and
// the client must have seen errors only then; at the end nothing must have leaked and no event been lost.
func TestKernelSoak(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ip", "ipvsadm", "nft")
	while, seed := settings(t)
	t.Logf("HOLDFAST_SEED=%d", seed)
	w := newWorld(t, rand.New(rand.NewPCG(seed, 0)))
	w.settled("at the start", 60*time.Second)
	w.baseline()
	end := time.Now().Add(while)
	for time.Now().Before(end) {
		for _, i := range w.rand.Perm(len(faults)) { // each once before any twice
			if time.Now().Before(end) {
				w.play(faults[i])
			}
		}
	}
	w.judge()
}
