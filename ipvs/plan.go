package ipvs

import (
	"net/netip"
	"slices"
	"strings"
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
	// Service is what the operation is on. Its Destinations are not looked at.
	Service Service
	// Destination is for the actions on destinations.
	Destination Destination
}

// String is the ipvsadm line that does the same.
func (o Op) String() string {
	key := o.Service.ServiceKey.arguments()
	switch o.Action {
	case AddService:
		return "-A " + o.Service.arguments()
	case EditService:
		return "-E " + o.Service.arguments()
	case DeleteService:
		return "-D " + key
	case AddDestination:
		return "-a " + key + " " + o.Destination.arguments()
	case EditDestination:
		return "-e " + key + " " + o.Destination.arguments()
	case DeleteDestination:
		return "-d " + key + " -r " + o.Destination.Addr.String()
	}
	return o.Action.String()
}

// Plan is a list of operations in the order in which they are to be done.
type Plan []Op

// String has one ipvsadm line per operation. A Plan from nothing reads like the output of ipvsadm -Sn.
func (p Plan) String() string {
	var b strings.Builder
	for _, op := range p {
		b.WriteString(op.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Diff tells what to do to get from one list of services to another. It is sorted, and does nothing that need not be done:
// Diff(x, x) is empty. Traffic never meets a service that is emptier than it need be: within a service destinations are
// added and edited before others are removed, and services are removed last. Lists with a service twice count its last.
func Diff(have, want []Service) Plan {
	old, wanted := byKey(have), byKey(want)
	var plan Plan
	for _, key := range sortedKeys(wanted) {
		w := wanted[key]
		h, exists := old[key]
		switch {
		case !exists:
			plan = append(plan, Op{Action: AddService, Service: w.entry()})
		case !h.sameEntry(w):
			plan = append(plan, Op{Action: EditService, Service: w.entry()})
		}
		plan = append(plan, diffDestinations(h, w)...)
	}
	for _, key := range sortedKeys(old) {
		if _, kept := wanted[key]; !kept {
			plan = append(plan, Op{Action: DeleteService, Service: old[key].entry()})
		}
	}
	return plan
}

// entry is the service without its destinations.
func (s *Service) entry() Service {
	e := *s
	e.Destinations = nil
	return e
}

func diffDestinations(have, want *Service) (plan Plan) {
	old := make(map[netip.AddrPort]Destination)
	if have != nil {
		for _, d := range have.Destinations {
			old[d.Addr] = d
		}
	}
	var raises, edits, deletes Plan
	for _, d := range sortedDestinations(want.Destinations) {
		h, exists := old[d.Addr]
		delete(old, d.Addr)
		switch {
		case !exists:
			plan = append(plan, Op{Action: AddDestination, Service: want.entry(), Destination: d})
		case h.Weight < d.Weight:
			raises = append(raises, Op{Action: EditDestination, Service: want.entry(), Destination: d})
		case h != d:
			edits = append(edits, Op{Action: EditDestination, Service: want.entry(), Destination: d})
		}
	}
	if have != nil {
		for _, d := range sortedDestinations(have.Destinations) {
			if _, gone := old[d.Addr]; gone {
				deletes = append(deletes, Op{Action: DeleteDestination, Service: want.entry(), Destination: d})
			}
		}
	}
	return slices.Concat(plan, raises, edits, deletes)
}

func byKey(services []Service) map[ServiceKey]*Service {
	m := make(map[ServiceKey]*Service, len(services))
	for i := range services {
		m[services[i].ServiceKey] = &services[i]
	}
	return m
}

func sortedKeys(m map[ServiceKey]*Service) []ServiceKey {
	keys := make([]ServiceKey, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, ServiceKey.compare)
	return keys
}

func sortedDestinations(ds []Destination) []Destination {
	sorted := slices.Clone(ds)
	slices.SortFunc(sorted, func(a, b Destination) int { return a.Addr.Compare(b.Addr) })
	return sorted
}
