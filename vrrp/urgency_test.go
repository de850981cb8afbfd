package vrrp

import (
	"testing"
	"time"
)

// TestUrgency: one step for each stall, from what the process has, and no further than it may.
func TestUrgency(t *testing.T) {
	start := time.Now()
	second := func(n float64) time.Time { return start.Add(time.Duration(n * float64(time.Second))) }
	u, p := urgency{}, &Process{AutoRealTime: 3}
	for i, c := range []struct {
		at      float64
		late    time.Duration
		want    int
		changed bool
	}{
		{10, 999 * time.Millisecond, 0, false},
		{10, time.Second, 1, true},
		{10, 2 * time.Second, 1, false}, // of the same stall
		{10.5, time.Second, 1, false},   // it began before
		{12, time.Second, 2, true},
		{20, 5 * time.Second, 3, true},
		{30, 5 * time.Second, 3, false},
	} {
		if got, changed := u.raise(second(c.at), c.late, p); got != c.want || changed != c.changed {
			t.Errorf("%d: %d, %v, want %d, %v", i, got, changed, c.want, c.changed)
		}
	}
	u, p = urgency{}, &Process{AutoRealTime: 50, AutoDelay: 10 * time.Millisecond, RealTime: 20}
	if got, changed := u.raise(start, 10*time.Millisecond, p); got != 21 || !changed {
		t.Errorf("above what it has: %d, %v", got, changed)
	}
	u, p = urgency{}, &Process{AutoRealTime: 10, RealTime: 20}
	if got, changed := u.raise(start, time.Minute, p); got != 20 || changed {
		t.Errorf("it has more already: %d, %v", got, changed)
	}
}
