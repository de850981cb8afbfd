package holdfast

import (
	"slices"
	"sync/atomic"
	"time"
)

// bounds of every [Histogram].
var bounds = [...]time.Duration{
	10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute,
}

// Histogram counts durations since the Controller was made.
type Histogram struct {
	// Bounds are the longest durations of all buckets but the last, which takes what is longer; nanoseconds as JSON.
	Bounds []time.Duration `json:"bounds"`
	// Counts has one number for each bucket, not cumulated.
	Counts []uint64 `json:"counts"`
	// Sum is that of all durations; nanoseconds as JSON.
	Sum time.Duration `json:"sum"`
}

// Count is how many durations there were.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// meter makes a Histogram. Observing takes no lock and allocates nothing: the loop of the protocol does it.
type meter struct {
	counts [len(bounds) + 1]atomic.Uint64
	sum    atomic.Int64
}

func (m *meter) observe(d time.Duration) {
	i, _ := slices.BinarySearch(bounds[:], d)
	m.counts[i].Add(1)
	m.sum.Add(int64(d))
}

func (m *meter) snapshot() Histogram {
	h := Histogram{Bounds: slices.Clone(bounds[:]), Counts: make([]uint64, len(m.counts)), Sum: time.Duration(m.sum.Load())}
	for i := range m.counts {
		h.Counts[i] = m.counts[i].Load()
	}
	return h
}
