package vrrp

import (
	"net/netip"
	"time"
)

// Instances of version 2 with AH send protocol 51, those without 112: to each other they would be silence, and both MASTER. So that
// this is told, the port of a version 2 instance over IPv4 has a twin, which hears the other protocol for it: a port like any
// other, with other instances of its own or none.

// twin is the socket on which the adverts of routers come that have AH when the instance has none, or the reverse.
func (in *Instance) twin(own Socket) (Socket, bool) {
	other := own
	if other.Protocol = protocolAH; own.Protocol == protocolAH {
		other.Protocol = Protocol
	}
	return other, in.version() == 2 && !in.is6()
}

// overhear makes an instance a guest of its port's twin, if it needs one.
func (r *Router) overhear(x *runner) {
	x.twin = nil
	if key, ok := x.in.twin(x.port.key); ok {
		x.twin = r.portOf(key)
		x.twin.guests = append(x.twin.guests, x)
		r.stale(x.twin)
	}
}

// abandon forgets ports that nobody is on any more, once what was said there has left.
func (r *Router) abandon(ports ...*port) {
	for _, p := range ports {
		if p != nil && len(p.runners)+len(p.guests) == 0 && r.ports[p.key] == p {
			delete(r.ports, p.key)
			r.after(nil, p.close)
		}
	}
}

// openTwin opens the twin. Without it the protocol goes on.
func (r *Router) openTwin(now time.Time, x *runner) {
	if x.twin == nil {
		return
	}
	if err := r.open(x.twin); err != nil {
		r.log.Debug("adverts of the other protocol are not heard", "instance", x.in.String(), "protocol", x.twin.key.Protocol, "error", err)
		r.lookAgain(now, x)
	}
}

// table finds whose a packet is.
type table struct {
	owner [256]*runner // by VRID; of several unicast ones, the first
	peers map[peerKey]*runner
}

func (t *table) index(runners []*runner) {
	clear(t.owner[:])
	clear(t.peers)
	for _, x := range runners {
		if t.owner[x.in.VRID] == nil {
			t.owner[x.in.VRID] = x
		}
		for _, peer := range x.in.Peers {
			if t.peers == nil {
				t.peers = make(map[peerKey]*runner)
			}
			t.peers[peerKey{peer.Addr, x.in.VRID}] = x
		}
	}
}

func (t *table) find(src netip.Addr, vrid uint8) *runner {
	if x := t.peers[peerKey{src, vrid}]; x != nil {
		return x
	}
	return t.owner[vrid]
}
