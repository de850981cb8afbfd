package holdfast

import (
	"fmt"
	"time"
)

// since is what came to be because the Spec changed: what was up and is no longer wished for is down, and what is new has no
// past that an event could tell.
func since(moves []move, now time.Time) (events []Event) {
	const changed = "the configuration changed"
	for _, m := range moves {
		was, is := m.was, m.is
		events = append(events, m.failing(now)...)
		if was == nil {
			continue
		}
		events = append(events, was.serversUntil(is, now)...)
		switch {
		case is == nil && was.quorum:
			events = append(events, transition(EventService, was.name, true, now, "it is no longer configured"))
		case is != nil && is.quorum != was.quorum:
			events = append(events, transition(EventService, was.name, was.quorum, now, fmt.Sprintf("%s; live weight %d", changed, is.liveWeight())))
		}
	}
	return events
}

// failing are the servers that are new, and down although nothing was asked for them yet: another's check has found them so.
func (m move) failing(now time.Time) (events []Event) {
	if m.is == nil {
		return nil
	}
	known := make(map[string]bool)
	if m.was != nil {
		for _, server := range m.was.servers {
			known[server.name] = true
		}
	}
	for _, server := range m.is.servers {
		if !known[server.name] && !server.up() && !server.out && !server.alpha() {
			events = append(events, transition(EventServer, server.name, true, now, "a check that it shares has found it so"))
		}
	}
	return events
}

// serversUntil compares the servers of a service with those that it has next.
func (s *serviceState) serversUntil(next *serviceState, now time.Time) (events []Event) {
	servers := make(map[string]*serverState)
	if next != nil {
		for _, server := range next.servers {
			servers[server.name] = server
		}
	}
	for _, was := range s.servers {
		is := servers[was.name]
		switch {
		case is == nil && was.up():
			events = append(events, transition(EventServer, was.name, true, now, "it is no longer configured"))
		case is != nil && is.up() != was.up():
			reason := "its checks changed"
			if is.out != was.out {
				reason = "maintenance " + onOff(is.out)
			}
			events = append(events, transition(EventServer, was.name, was.up(), now, reason))
		}
	}
	return events
}

// initial is what there is to tell, once, of services that are new: whether they have quorum, and with servers which servers are
// up.
func initial(moves []move, servers bool, now time.Time) []Event {
	events := make([]Event, 0, len(moves))
	for _, m := range moves {
		service := m.is
		if m.was != nil || service == nil {
			continue
		}
		for _, server := range service.servers {
			if servers && server.up() {
				events = append(events, transition(EventServer, server.name, false, now, "as it starts"))
			}
		}
		if service.quorum || service.pool.Sorry != nil {
			events = append(events, transition(EventService, service.name, !service.quorum, now, "as it starts"))
		}
	}
	return events
}

// transition is the event of what was up, or down, and is not any more.
func transition(kind EventKind, object string, was bool, now time.Time, reason string) Event {
	return Event{Time: now, Kind: kind, Object: object, From: upDown(was), To: upDown(!was), Reason: reason}
}
