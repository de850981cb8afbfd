// Package intern makes values that are dear to make, and hard to compare, once for each text that they are made from.
package intern

import (
	"runtime"
	"sync"
	"weak"
)

// Table remembers values for as long as somebody has them. The zero value is usable, from any goroutine.
type Table[V any] struct {
	mu sync.Mutex // guards m
	m  map[string]weak.Pointer[V]
}

// Get gives the value of a key: the one that is there, or a new one. What fails is not remembered.
func (t *Table[V]) Get(key string, make func() (*V, error)) (*V, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if v := t.m[key].Value(); v != nil {
		return v, nil
	}
	v, err := make()
	if err != nil {
		return nil, err
	}
	if t.m == nil {
		t.m = map[string]weak.Pointer[V]{}
	}
	t.m[key] = weak.Make(v)
	runtime.AddCleanup(v, t.forget, key)
	return v, nil
}

// forget drops a key, unless it has got another value meanwhile.
func (t *Table[V]) forget(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m[key].Value() == nil {
		delete(t.m, key)
	}
}
