package holdfast

import (
	"reflect"
	"slices"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/ipvs"
)

// delta is what differs between the services of two Specs. What is the same costs a comparison and no more.
type delta struct {
	// before is, for each service of the new Spec, its place in the old one, -1 for one that is new.
	before []int
	// same says for each whether it is unchanged.
	same []bool
	// changed are the places in the new Spec of what is new or differs.
	changed []int
	// gone are the places of those in the old Spec that the new one does not have.
	gone []int
}

// serviceID tells services apart as their names do, at less cost.
type serviceID struct {
	name string
	key  ipvs.ServiceKey
}

func (s *Service) id() serviceID {
	if s.Name != "" {
		return serviceID{name: s.Name}
	}
	return serviceID{key: s.ServiceKey}
}

// deltaOf pairs by place as far as that goes from either end, and what is between by name.
func deltaOf(have, want []Service) *delta {
	d := &delta{before: make([]int, len(want)), same: make([]bool, len(want))}
	first, ends := 0, 0
	for first < min(len(have), len(want)) && have[first].id() == want[first].id() {
		d.before[first] = first
		first++
	}
	for ends < min(len(have), len(want))-first && have[len(have)-1-ends].id() == want[len(want)-1-ends].id() {
		d.before[len(want)-1-ends] = len(have) - 1 - ends
		ends++
	}
	middle := make(map[serviceID]int)
	for i := first; i < len(have)-ends; i++ {
		middle[have[i].id()] = i
	}
	for i := first; i < len(want)-ends; i++ {
		d.before[i] = -1
		if j, ok := middle[want[i].id()]; ok {
			d.before[i] = j
			delete(middle, want[i].id())
		}
	}
	for i := first; i < len(have)-ends; i++ {
		if j, ok := middle[have[i].id()]; ok && i == j {
			d.gone = append(d.gone, i)
		}
	}
	if len(have) == 0 {
		d.changed = make([]int, 0, len(want))
	}
	for i, j := range d.before {
		if d.same[i] = j >= 0 && have[j].equal(&want[i]); !d.same[i] {
			d.changed = append(d.changed, i)
		}
	}
	return d
}

// equal compares by value. Checks that are functions are never equal: nobody can tell.
func (s *Service) equal(o *Service) bool {
	return s.Name == o.Name && s.ServiceKey == o.ServiceKey && s.Scheduler == o.Scheduler && s.Flags == o.Flags && s.Persistence == o.Persistence &&
		s.Granularity == o.Granularity && s.Engine == o.Engine && s.Quorum == o.Quorum && s.Hysteresis == o.Hysteresis && s.Omega == o.Omega && s.HASuspend == o.HASuspend &&
		slices.Equal(s.Keys, o.Keys) && (s.Sorry == o.Sorry || s.Sorry != nil && o.Sorry != nil && *s.Sorry == *o.Sorry) &&
		(sameMemory(s.Servers, o.Servers) || slices.EqualFunc(s.Servers, o.Servers, sameServer))
}

func sameMemory[E any](a, b []E) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func sameServer(a, b Server) bool {
	return a.RealServer == b.RealServer && a.Maintenance == b.Maintenance && a.Drain == b.Drain &&
		(sameMemory(a.Checks, b.Checks) || slices.EqualFunc(a.Checks, b.Checks, sameProbe))
}

func sameProbe(a, b check.Probe) bool {
	x, y := a.Checker, b.Checker
	a.Checker, b.Checker = nil, nil
	return a == b && sameChecker(x, y)
}

func (t *Tracker) equal(o *Tracker) bool {
	return t.Name == o.Name && sameProbe(t.Probe, o.Probe) && slices.Equal(t.Effects, o.Effects)
}

// sameChecker compares values. A pointer has a state of its own, which is nobody else's to look at.
func sameChecker(a, b check.Checker) bool {
	kind := reflect.TypeOf(a)
	if kind != reflect.TypeOf(b) {
		return false
	}
	if kind != nil && kind.Kind() == reflect.Pointer {
		return a == b
	}
	return reflect.DeepEqual(a, b)
}

// adopting makes a wish of our own: what differs from the one before is copied, what does not is that one's.
func adopting(have *Spec, spec *Spec) (wish Spec, d *delta) {
	d = deltaOf(have.Services, spec.Services)
	services := make([]Service, len(spec.Services))
	for i := range services {
		if d.same[i] {
			services[i] = have.Services[d.before[i]]
		} else {
			services[i] = spec.Services[i].clone()
		}
	}
	rest := *spec
	rest.Services = nil
	wish = rest.clone()
	wish.Services = services
	return wish, d
}
