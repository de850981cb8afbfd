package check

import "container/heap"

// schedule is a heap of tasks by the time at which they are due.
type schedule []*task

// put puts a task at its place, whether it was there or not.
func (s *schedule) put(t *task) {
	if t.index >= 0 {
		heap.Fix(s, t.index)
		return
	}
	heap.Push(s, t)
}

func (s *schedule) remove(t *task) {
	if t.index >= 0 {
		heap.Remove(s, t.index)
	}
}

// The methods of [heap.Interface].

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].due.Before(s[j].due) }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

func (s *schedule) Push(x any) {
	t := x.(*task)
	t.index = len(*s)
	*s = append(*s, t)
}

func (s *schedule) Pop() any {
	old := *s
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	t.index = -1
	return t
}
