package intern

import (
	"errors"
	"runtime"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	var table Table[[64]byte]
	made := 0
	get := func(key string) *[64]byte {
		v, err := table.Get(key, func() (*[64]byte, error) { made++; return new([64]byte), nil })
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	a, b := get("a"), get("b")
	if a == b || a != get("a") || made != 2 {
		t.Errorf("%p %p, %d made", a, b, made)
	}
	broken := errors.New("broken")
	if _, err := table.Get("c", func() (*[64]byte, error) { return nil, broken }); err != broken {
		t.Error(err)
	}
	runtime.KeepAlive(a)
	runtime.KeepAlive(b)
	for end := time.Now().Add(5 * time.Second); ; runtime.Gosched() { // the collector has a goroutine of its own for this
		runtime.GC()
		table.mu.Lock()
		left := len(table.m)
		table.mu.Unlock()
		if left == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d keys are remembered for nobody", left)
		}
	}
}
