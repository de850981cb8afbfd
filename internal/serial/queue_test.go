package serial

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueueKeepsOrderAndFinishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue()
		var got []int
		for i := range 5 {
			q.Add(func() { time.Sleep(time.Second); got = append(got, i) })
		}
		q.Finish()
		q.Finish()
		q.Add(func() { t.Error("a job after Finish was done") })
		<-q.Done()
		if !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
			t.Fatalf("done in order %v", got)
		}
	})
}

func TestQueueRestsAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, n := NewQueue(), 0
		for range 3 {
			q.Add(func() { n++ })
			synctest.Wait()
		}
		q.Finish()
		<-q.Done()
		if n != 3 {
			t.Fatalf("%d jobs done, want 3", n)
		}
	})
}
