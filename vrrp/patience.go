package vrrp

import "time"

// patience is for how long a socket that brings many packets is left alone, so that a look at it finds several: on an idle host it
// is waking up that costs. Nothing is late for that. A timer that makes an instance MASTER reads what is there first, an advert
// counts from when it arrived, and no advert can start a timer that runs out before the next look.
type patience struct {
	pause time.Duration // between two looks. 0 is to listen, and be told of each packet
	next  time.Time     // look, zero while listening
	since time.Time     // when counting began
	count int           // of packets
	finds int           // looks that found some
}

const (
	longestPause  = 50 * time.Millisecond
	shortestPause = time.Millisecond // lateness that does no harm
	judged        = 100 * time.Millisecond
	worthwhile    = 4  // packets at a look, else it is better to listen
	enough        = 64 // of them, or two of each instance, else there will be no room in the socket
)

// setPatience sets the time of the next look. more says that this one did not see everything.
func (p *port) setPatience(now time.Time, more bool) {
	c := &p.patience
	if span := now.Sub(c.since); span >= judged {
		pause := pauseFor(p.bearable(), span, c.count, max(enough, 2*len(p.runners)))
		if pause > 0 && c.finds < c.least(int(span/pause)) {
			pause = 0 // they come together
		}
		c.pause, c.since, c.count, c.finds = pause, now, 0, 0
	}
	switch {
	case c.pause == 0:
		c.next = time.Time{}
	case more:
		c.next = now
	default:
		c.next = now.Add(c.pause)
	}
}

// least is how many looks must find something that so many are worth it. To be told is found out to be better slowly.
func (c *patience) least(looks int) int {
	if c.pause > 0 {
		return looks / 2
	}
	return looks
}

// pauseFor is the pause between looks when so many packets came within a time.
func pauseFor(most, span time.Duration, count, enough int) time.Duration {
	if expected := count * int(most) / int(span); expected < worthwhile {
		return 0
	}
	return max(min(most, span*time.Duration(enough)/time.Duration(count)), shortestPause)
}

// bearable is the longest pause after which nobody is late: an advert of priority 0 sets the timer of a BACKUP to the skew time,
// and a MASTER that has a superior should know soon.
func (p *port) bearable() time.Duration {
	most := longestPause
	for _, x := range p.runners {
		switch x.machine.State() {
		case Backup:
			most = min(most, x.machine.skew()*3/4)
		case Master:
			most = min(most, x.in.interval()/4)
		}
	}
	return max(most, shortestPause)
}
