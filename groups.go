package holdfast

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-lb/holdfast/vrrp"
)

// groups are the states of sync groups, which follow from those of their members. It is pure.
type groups struct {
	of     map[string]string            // the group of an instance
	states map[string]map[string]string // of the members of a group, by name; empty before the first
	told   map[string]string            // the state of a group that was told last
}

// newGroups keeps what is known of members that stay.
func newGroups(instances []vrrp.Instance, old groups) groups {
	g := groups{of: make(map[string]string), states: make(map[string]map[string]string), told: make(map[string]string)}
	for i := range instances {
		in := &instances[i]
		if in.Sync == "" {
			continue
		}
		if g.states[in.Sync] == nil {
			g.states[in.Sync] = make(map[string]string)
		}
		g.of[in.String()] = in.Sync
		g.states[in.Sync][in.String()] = old.states[in.Sync][in.String()]
		if told, ok := old.told[in.Sync]; ok {
			g.told[in.Sync] = told
		}
	}
	return g
}

// inherit takes instances for MASTER from the start.
func (g *groups) inherit(masters []string) {
	for _, in := range masters {
		name, ok := g.of[in]
		if !ok {
			continue
		}
		g.states[name][in] = "MASTER"
		if all := slices.Collect(maps.Values(g.states[name])); !slices.ContainsFunc(all, func(s string) bool { return s != "MASTER" }) {
			g.told[name] = "MASTER"
		}
	}
}

// started is the event of a group whose first member has started: as keepalived, the group is said to be in that state before
// any member is.
func (g *groups) started(e Event) (Event, bool) {
	name, ok := g.of[e.Object]
	if _, told := g.told[name]; !ok || told || e.From != "INIT" {
		return Event{}, false
	}
	g.told[name] = e.To
	return groupEvent(e, name, "", fmt.Sprintf("it starts with %s", e.Object)), true
}

// changed takes the change of an instance. When it brings its whole group into one state, that is an event.
func (g *groups) changed(e Event) (Event, bool) {
	name, ok := g.of[e.Object]
	if !ok {
		return Event{}, false
	}
	g.states[name][e.Object] = e.To
	for _, state := range g.states[name] {
		if state != e.To {
			return Event{}, false
		}
	}
	from := g.told[name]
	if from == e.To {
		return Event{}, false
	}
	g.told[name] = e.To
	return groupEvent(e, name, from, fmt.Sprintf("all of its members are %s, the last of them %s: %s", e.To, e.Object, e.Reason)), true
}

func groupEvent(e Event, name, from, reason string) Event {
	return Event{Time: e.Time, Kind: EventGroup, Object: name, From: from, To: e.To, Took: e.Took, Reason: reason}
}
