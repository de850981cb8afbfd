package vrrp

import "fmt"

// Remains is what a Router still knows, for a test of a Router that was told to forget everything.
func (r *Router) Remains() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	users := 0
	for _, l := range r.links {
		users += len(l.users)
	}
	return fmt.Sprintf("%d instances, %d names, %d machines, %d ports, %d holders, %d VMACs, %d ears, %d virtual addresses, %d timers, %d users of links, %d unheard",
		len(r.runners), len(r.names), len(r.machines), len(r.ports), len(r.holders), len(r.vmacs), len(r.ears), len(r.virtual), len(r.timers), users, len(r.unheard))
}
