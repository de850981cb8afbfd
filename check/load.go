package check

import (
	"cmp"
	"errors"
	"log/slog"
	"syscall"
	"time"
)

// Stats counts what a [Monitor] does. The counters never go down.
type Stats struct {
	// Probes is how many there are, Distinct how many different checks they come to.
	Probes, Distinct int
	// Running is how many checks run now, Waiting how many are due and wait for one to end, Stuck how many ignore that their
	// time is over.
	Running, Waiting, Stuck int
	// Limit is how many may run at once now. It shrinks while the process is out of descriptors.
	Limit int
	// Checks counts results, Failures those against a server, Inconclusive those that say nothing of it.
	Checks, Failures, Inconclusive uint64
	// Late counts checks that started more than 100 ms after they were due, MostLate is the longest of these times.
	Late     uint64
	MostLate time.Duration
}

// Stats is a snapshot.
func (m *Monitor) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Probes, s.Distinct, s.Running, s.Waiting, s.Limit = len(m.sharers), len(m.tasks), m.busy, len(m.waiting), m.slots
	return s
}

// load is how much the process can take.
type load struct {
	limit    int // of checks at once
	slots    int // the limit of now
	busy     int
	credit   int // good results since slots grew
	stats    Stats
	lastLate time.Time
}

const (
	defaultLimit = 4096
	fewestSlots  = 8
	// isLate counts as late, isVeryLate is worth a word, which is not said again before quiet has passed without.
	isLate     = 100 * time.Millisecond
	isVeryLate = time.Second
	quiet      = time.Minute
)

// newLoad bounds checks by the descriptors that there are: a script takes two.
func newLoad(limit int) load {
	limit = cmp.Or(limit, defaultLimit)
	if n := descriptors(); n > 0 {
		limit = min(limit, max(n/2, fewestSlots))
	}
	return load{limit: limit, slots: limit}
}

// lateBy takes note of a start that comes so much after it was due.
func (l *load) lateBy(log *slog.Logger, late time.Duration, now time.Time, waiting int) time.Duration {
	if late <= isLate {
		return late
	}
	l.stats.Late++
	l.stats.MostLate = max(l.stats.MostLate, late)
	if late > isVeryLate {
		if now.Sub(l.lastLate) > quiet {
			log.Warn("checks are late: more are due than may run at once, intervals stretch", "late", late, "running", l.busy, "limit", l.slots, "waiting", waiting)
		}
		l.lastLate = now
	}
	return late
}

// inconclusive says whether a result says nothing of the server. Without descriptors fewer checks run at once, until that
// goes well for a while.
func (l *load) inconclusive(err error) bool {
	exhausted := errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
	switch {
	case exhausted:
		l.slots = max(min(l.slots, l.busy)*3/4, fewestSlots)
		l.credit = 0
	case l.slots < l.limit:
		if l.credit++; l.credit >= l.slots {
			l.slots, l.credit = l.slots+1, 0
		}
	}
	if exhausted || errors.Is(err, ErrInconclusive) {
		l.stats.Inconclusive++
		return true
	}
	return false
}
