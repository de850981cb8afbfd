// Package serial does jobs one after the other, off the caller's goroutine.
package serial

import "sync"

// Queue does jobs in the order in which they were added, on a goroutine that lives only while there are any. It never
// blocks the one who adds. After Finish it takes no more.
type Queue struct {
	mu       sync.Mutex // guards the fields below
	jobs     []func()
	busy     bool
	finished bool
	done     chan struct{}
}

// NewQueue makes an empty queue.
func NewQueue() *Queue { return &Queue{done: make(chan struct{})} }

// Add appends a job.
func (q *Queue) Add(job func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.finished {
		return
	}
	q.jobs = append(q.jobs, job)
	if !q.busy {
		q.busy = true
		go q.run()
	}
}

func (q *Queue) run() {
	for job := q.next(); job != nil; job = q.next() {
		job()
	}
}

func (q *Queue) next() func() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) == 0 {
		q.busy = false
		if q.finished {
			close(q.done)
		}
		return nil
	}
	job := q.jobs[0]
	q.jobs = q.jobs[1:]
	return job
}

// Finish says that no job will follow.
func (q *Queue) Finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.finished {
		return
	}
	q.finished = true
	if !q.busy {
		close(q.done)
	}
}

// Done is closed when the queue is finished and its last job is done.
func (q *Queue) Done() <-chan struct{} { return q.done }
