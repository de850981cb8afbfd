package holdfast

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"time"

	"github.com/holdfast-lb/holdfast/check"
)

// lookInterval is the time between looks at which addresses this host has, for services that are checked only while it has theirs.
const lookInterval = time.Second

// suspends says whether the checks of a service rest, which is for one that wishes so while this host has none of its addresses.
// A service by mark has no address, and is never suspended.
func (s *Service) suspends(present map[netip.Addr]bool) bool {
	if !s.HASuspend {
		return false
	}
	rests := false
	for _, key := range s.keys() {
		if addr := key.Addr.Addr(); present[addr] {
			return false
		} else if addr.IsValid() {
			rests = true
		}
	}
	return rests
}

// present are the addresses of this host: those on the interfaces of instances, and with the host's own network all others.
func (c *Controller) present(spec *Spec) map[netip.Addr]bool {
	have := make(map[netip.Addr]bool)
	network := c.options.Network
	for i := range spec.Instances {
		if network == nil {
			break
		}
		if link, err := network.Link(spec.Instances[i].Interface); err == nil {
			for _, p := range link.Addrs {
				have[p.Addr()] = true
			}
		}
	}
	if network != nil {
		return have
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		c.log.Warn("addresses of this host", "error", err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				have[addr.Unmap()] = true
			}
		}
	}
	return have
}

// watchAddresses lets checks rest and wakes them as addresses come and go.
func (c *Controller) watchAddresses(ctx context.Context) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.lookAtAddresses()
		}
	}
}

func (c *Controller) lookAtAddresses() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.state.suspending {
		return
	}
	now := c.present(&c.spec)
	if maps.Equal(now, c.state.present) {
		return
	}
	c.state.present = now
	var probes []check.Probe
	for i := range c.spec.Services {
		service := &c.spec.Services[i]
		rests := service.suspends(now)
		if !service.HASuspend || rests == c.state.services[i].rests {
			continue
		}
		c.state.services[i].rests = rests
		c.log.Info("checks", "service", service.String(), "suspended", rests)
		for j, server := range c.state.services[i].servers {
			for p := range service.Servers[j].probes(server.name) {
				p.Suspended = p.Suspended || rests
				probes = append(probes, p)
			}
		}
	}
	if _, err := c.monitor.Update(c.bound(probes)); err != nil {
		c.log.Error("checks", "error", err)
	}
}
