package vrrp

import "fmt"

// track looks at the interfaces that an instance depends on: they move its priority, or take it out.
func (r *Router) track(x *runner) {
	x.weight = 0
	for _, t := range x.in.Track {
		link, err := r.net.Link(t.Interface)
		up := err == nil && link.Up
		switch well := up != t.Reverse; {
		case t.Weight == 0 && !well && x.fault == "":
			x.fault = fmt.Sprintf("tracked interface %s is %s", t.Interface, upDown(up))
		case t.Weight > 0 && well, t.Weight < 0 && !well:
			x.weight += t.Weight
		}
	}
}

func upDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}
