package due

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

type job struct {
	Slot
	name int
}

// TestOrder plays random changes against a list that is sorted each time.
func TestOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	start := time.Unix(0, 0)
	var queue Queue[*job]
	jobs := make([]*job, 50)
	for i := range jobs {
		jobs[i] = &job{name: i}
	}
	var want []*job
	for range 10_000 {
		x := jobs[random.IntN(len(jobs))]
		want = slices.DeleteFunc(want, func(y *job) bool { return y == x })
		if random.IntN(3) == 0 {
			queue.Remove(x)
		} else {
			queue.Put(x, start.Add(time.Duration(random.IntN(1000))*time.Second))
			want = append(want, x)
		}
		if x.Queued() != slices.Contains(want, x) {
			t.Fatalf("job %d says that it is queued: %v", x.name, x.Queued())
		}
		first, ok := queue.First()
		if ok != (len(want) > 0) {
			t.Fatalf("First says %v with %d jobs", ok, len(want))
		}
		if ok && !first.Due().Equal(slices.MinFunc(want, sooner).Due()) {
			t.Fatalf("first is due at %v, want %v", first.Due(), slices.MinFunc(want, sooner).Due())
		}
	}
	now := start.Add(500 * time.Second)
	last := start
	for x, ok := queue.Next(now); ok; x, ok = queue.Next(now) {
		if x.Due().Before(last) || x.Due().After(now) || x.Queued() {
			t.Fatalf("job %d, due at %v, came after one of %v", x.name, x.Due(), last)
		}
		last = x.Due()
		want = slices.DeleteFunc(want, func(y *job) bool { return y == x })
	}
	if first, ok := queue.First(); ok && !first.Due().After(now) || len(want) != len(queue.items) {
		t.Fatalf("%d jobs are left, want %d", len(queue.items), len(want))
	}
}

func sooner(x, y *job) int { return cmp.Compare(x.due.Unix(), y.due.Unix()) }

func TestNoAllocation(t *testing.T) {
	var queue Queue[*job]
	a, b := &job{}, &job{}
	now := time.Unix(0, 0)
	queue.Put(a, now)
	queue.Put(b, now)
	n := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Second)
		queue.Put(a, now)
		queue.Remove(b)
		queue.Put(b, now)
		queue.Next(now)
		queue.Put(a, now)
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}
