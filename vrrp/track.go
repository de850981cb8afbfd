package vrrp

import "fmt"

// track looks at the interfaces that an instance depends on: they move its priority, or take it out.
func (r *Router) track(x *runner) {
	x.weight = 0
	for _, t := range x.in.Track {
		up := r.link(t.Interface).up()
		weight, fault := Contribution(t.Weight, t.Reverse, up)
		x.weight += weight
		if fault && x.fault == "" {
			x.fault = fmt.Sprintf("tracked interface %s is %s", t.Interface, upDown(up))
		}
	}
}

// Contribution is what something that is tracked does to an instance: it adds to the priority, or takes it to FAULT. A weight
// above 0 is added while it is up, one below 0 while it is down, and reverse changes the sign of what is added. Weight 0 is
// FAULT while it is down; with reverse, while it is up.
func Contribution(weight int, reverse, up bool) (priority int, fault bool) {
	if weight == 0 {
		return 0, up == reverse
	}
	if weight > 0 == up {
		priority = weight
	}
	if reverse {
		priority = -priority
	}
	return priority, false
}

func upDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}
