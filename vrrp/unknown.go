package vrrp

import (
	"net/netip"
	"time"
)

// unknown remembers when VRIDs that no instance has were told of.
type unknown struct {
	on   bool
	told map[uint8]time.Time
}

// toldAgain is the time after which a VRID is told of again.
const toldAgain = time.Minute

// overhearUnknown opens the sockets to all VRIDs, or closes them.
func (r *Router) overhearUnknown(on bool) {
	for _, p := range r.ports {
		if p.unknown.on != on {
			p.unknown = unknown{on: on}
			r.stale(p)
		}
	}
}

// stranger tells of an advert that is for no instance here.
func (r *Router) stranger(now time.Time, p *port, from netip.Addr, message []byte) {
	u, vrid := &p.unknown, message[1]
	if last, known := u.told[vrid]; !u.on || known && now.Sub(last) < toldAgain {
		return
	}
	if u.told == nil {
		u.told = make(map[uint8]time.Time)
	}
	u.told[vrid] = now
	r.log.Info("advert for a VRID that no instance here has", "interface", p.key.Interface, "vrid", vrid, "from", from)
}
