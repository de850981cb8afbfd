// Package sched gives the process a place before others on the processor, and keeps its memory there. Children that
// [Ordinary] starts have no such place.
package sched

// Options of a process. The zero value changes nothing.
type Options struct {
	// RealTime is a priority of SCHED_RR, 1 to 99. 0 means ordinary scheduling.
	RealTime int
	// Nice is the nice value, -20 to 19. Nil leaves it.
	Nice *int
	// LockMemory keeps pages from being swapped out.
	LockMemory bool
	// CPUs are the processors to run on. None means all.
	CPUs []int
}
