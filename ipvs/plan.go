package ipvs

import (
	"cmp"
	"net/netip"
	"slices"
)

// Action is what an [Op] does.
type Action uint8

// The actions.
const (
	AddService Action = iota + 1
	EditService
	DeleteService
	AddDestination
	EditDestination
	DeleteDestination
)

// String names the action.
func (a Action) String() string {
	names := [...]string{"", "add service", "edit service", "delete service", "add destination", "edit destination", "delete destination"}
	if int(a) >= len(names) || a == 0 {
		return "unknown action"
	}
	return names[a]
}

// Op is one operation on a [Table].
type Op struct {
	Action Action
	// Service is what the operation is on. Its Destinations are not looked at, and only its ServiceKey is unless the action
	// adds or edits it.
	Service Service
	// Destination is for the actions on destinations. Only its Addr matters to delete it.
	Destination Destination
}

// Plan is a list of operations in the order in which they are to be done.
type Plan []Op

// Diff tells what to do to get from one list of services to another. It is sorted by service and then by destination,
// addresses before marks, and does nothing that need not be done: each entry is touched at most once, and Diff(x, x) is
// empty. Lists with a service twice count its last.
//
// Traffic never meets a service that is emptier than it need be: within a service destinations are added first, then those
// edited that gain weight, then the others, then those that get weight 0, and others are removed after that; services are
// removed last.
func Diff(have, want []Service) Plan {
	changes := pair(sortServices(have), sortServices(want))
	size := 0
	for _, c := range changes {
		if c.have == nil {
			size += 1 + len(c.want.Destinations)
		}
	}
	plan := make(Plan, 0, size)
	for _, c := range changes {
		if c.want != nil {
			plan = AppendDiff(plan, c.have, c.want)
		}
	}
	for _, c := range changes {
		if c.want == nil {
			plan = AppendDiff(plan, c.have, nil)
		}
	}
	if len(plan) == 0 {
		return nil
	}
	return plan
}

// AppendDiff appends to a plan what [Diff] does for one service: nil is a service that is not there. Both have the same
// ServiceKey. It allocates nothing when nothing differs.
func AppendDiff(p Plan, have, want *Service) Plan {
	switch {
	case want == nil && have == nil:
		return p
	case want == nil:
		return append(p, Op{Action: DeleteService, Service: have.entry()})
	case have == nil:
		p = append(p, Op{Action: AddService, Service: want.entry()})
		have = &Service{}
	case !have.sameEntry(want):
		p = append(p, Op{Action: EditService, Service: want.entry()})
	}
	if slices.Equal(have.Destinations, want.Destinations) {
		return p
	}
	var room [few]step
	steps := diffDestinations(room[:0], have.Destinations, want.Destinations)
	slices.SortFunc(steps, step.compare)
	for _, s := range steps {
		p = append(p, Op{Action: s.rank.action(), Service: want.entry(), Destination: *s.destination})
	}
	return p
}

// few is how many destinations are compared each with each; above, a map is worth its making.
const few = 16

// rank is the order of steps within a service.
type rank uint8

const (
	rankAdd rank = iota
	rankGain
	rankEdit
	rankDrain
	rankDelete
)

func (r rank) action() Action {
	switch r {
	case rankAdd:
		return AddDestination
	case rankDelete:
		return DeleteDestination
	}
	return EditDestination
}

// step is what to do to one destination.
type step struct {
	rank        rank
	destination *Destination
}

func (s step) compare(o step) int {
	if c := cmp.Compare(s.rank, o.rank); c != 0 {
		return c
	}
	return s.destination.Addr.Compare(o.destination.Addr)
}

func diffDestinations(steps []step, have, want []Destination) []step {
	old, wanted := indexOf(have), indexOf(want)
	for i := range want {
		d := &want[i]
		switch j := old.find(d.Addr); {
		case j < 0:
			steps = append(steps, step{rankAdd, d})
		case have[j] != *d:
			steps = append(steps, step{rankOf(have[j].Weight, d.Weight), d})
		}
	}
	for j := range have {
		if wanted.find(have[j].Addr) < 0 {
			steps = append(steps, step{rankDelete, &have[j]})
		}
	}
	return steps
}

func rankOf(before, after int) rank {
	switch {
	case after > before:
		return rankGain
	case after == 0 && before > 0:
		return rankDrain
	}
	return rankEdit
}

// index finds destinations by their address.
type index struct {
	list   []Destination
	byAddr map[netip.AddrPort]int // nil when there are few
}

func indexOf(list []Destination) index {
	ix := index{list: list}
	if len(list) > few {
		ix.byAddr = make(map[netip.AddrPort]int, len(list))
		for i := range list {
			ix.byAddr[list[i].Addr] = i
		}
	}
	return ix
}

// find returns -1 for an address that is not there.
func (ix *index) find(addr netip.AddrPort) int {
	if ix.byAddr == nil {
		return find(ix.list, addr)
	}
	if i, ok := ix.byAddr[addr]; ok {
		return i
	}
	return -1
}

func find(list []Destination, addr netip.AddrPort) int {
	for i := range list {
		if list[i].Addr == addr {
			return i
		}
	}
	return -1
}

// change is a service before and after; nil is a service that is not there.
type change struct{ have, want *Service }

// pair merges two sorted lists.
func pair(have, want []*Service) []change {
	changes := make([]change, 0, max(len(have), len(want)))
	for len(have) > 0 || len(want) > 0 {
		var c change
		order := first(have, want)
		if order <= 0 {
			c.have, have = have[0], have[1:]
		}
		if order >= 0 {
			c.want, want = want[0], want[1:]
		}
		changes = append(changes, c)
	}
	return changes
}

// first tells whose first service comes first; 0 is both.
func first(have, want []*Service) int {
	switch {
	case len(have) == 0:
		return 1
	case len(want) == 0:
		return -1
	}
	return have[0].compare(&want[0].ServiceKey)
}

// sortServices leaves the last of those with one key.
func sortServices(services []Service) []*Service {
	sorted := make([]*Service, len(services))
	for i := range services {
		sorted[i] = &services[i]
	}
	byKey := func(a, b *Service) int { return a.compare(&b.ServiceKey) }
	if !slices.IsSortedFunc(sorted, byKey) {
		slices.SortStableFunc(sorted, byKey)
	}
	last := sorted[:0]
	for i, s := range sorted {
		if i+1 == len(sorted) || byKey(s, sorted[i+1]) != 0 {
			last = append(last, s)
		}
	}
	return last
}
