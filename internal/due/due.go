// Package due orders things by the time at which they are due.
package due

import "time"

// Slot is the place of a thing in a [Queue]: embed one. The zero value is in none.
type Slot struct {
	due   time.Time
	place int // in the queue, counted from 1
}

// Due is when the thing is due, or was when it was last in a queue.
func (s *Slot) Due() time.Time { return s.due }

// Queued says whether the thing is in a queue.
func (s *Slot) Queued() bool { return s.place > 0 }

func (s *Slot) slot() *Slot { return s }

// Item is a pointer to a struct that embeds a [Slot].
type Item interface{ slot() *Slot }

// Queue is a heap of things by the time at which they are due. The zero value is empty. A thing is in one queue at a time.
type Queue[T Item] struct{ items []T }

// First is the thing that is due first; ok is false when there is none.
func (q *Queue[T]) First() (first T, ok bool) {
	if len(q.items) == 0 {
		return first, false
	}
	return q.items[0], true
}

// Next takes out the first thing if it is due by now.
func (q *Queue[T]) Next(now time.Time) (next T, ok bool) {
	next, ok = q.First()
	if !ok || next.slot().due.After(now) {
		return next, false
	}
	q.Remove(next)
	return next, true
}

// Put makes a thing due at a time, whether it was in the queue or not.
func (q *Queue[T]) Put(x T, due time.Time) {
	s := x.slot()
	s.due = due
	if !s.Queued() {
		q.items = append(q.items, x)
		q.set(len(q.items)-1, x)
	}
	q.fix(s.place - 1)
}

// Remove takes a thing out, if it is there.
func (q *Queue[T]) Remove(x T) {
	s := x.slot()
	if !s.Queued() {
		return
	}
	i, last := s.place-1, len(q.items)-1
	s.place = 0
	moved := q.items[last]
	clear(q.items[last:])
	q.items = q.items[:last]
	if i < last {
		q.set(i, moved)
		q.fix(i)
	}
}

func (q *Queue[T]) set(i int, x T) { q.items[i], x.slot().place = x, i+1 }

func (q *Queue[T]) before(i, j int) bool { return q.items[i].slot().due.Before(q.items[j].slot().due) }

func (q *Queue[T]) swap(i, j int) {
	x, y := q.items[i], q.items[j]
	q.set(i, y)
	q.set(j, x)
}

// fix moves the thing at i to where it belongs.
func (q *Queue[T]) fix(i int) {
	for i > 0 && q.before(i, (i-1)/2) {
		q.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	for {
		child := 2*i + 1
		if child+1 < len(q.items) && q.before(child+1, child) {
			child++
		}
		if child >= len(q.items) || !q.before(child, i) {
			return
		}
		q.swap(i, child)
		i = child
	}
}
