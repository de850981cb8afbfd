package holdfast

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// The verbs change one thing of what is held, with the rules and errors of [Controller.Apply]. What there is not is an error
// that is fs.ErrNotExist. There are two kinds:
//
// Set and Remove edit the Spec. The next Apply replaces it as a whole, and with it what they did.
//
// Overrides (weight, priority, maintenance) are an operator's word over the Spec. They survive Apply, end with what they are
// about, are told by an [EventOverride], and stand in [Status].

// ServerKey identifies a real server: the name of its service, such as "TCP 192.0.2.10:80", and its own address.
type ServerKey struct {
	Service string
	Addr    netip.AddrPort
}

// String names the server as events do: "TCP 192.0.2.10:80 192.0.2.11:80".
func (k ServerKey) String() string { return k.Service + " " + k.Addr.String() }

// SetService adds a service with its servers, or puts it in the place of the one of its name.
func (c *Controller) SetService(ctx context.Context, s Service) error {
	return c.edit(ctx, &s, func(spec *Spec) error {
		s = s.clone()
		if i := spec.service(s.String()); i >= 0 {
			spec.Services[i] = s
		} else {
			spec.Services = append(spec.Services, s)
		}
		return nil
	})
}

// RemoveService removes a service with its servers. Connections end as the kernel ends them: [Controller.Drain] first.
func (c *Controller) RemoveService(ctx context.Context, name string) error {
	return c.edit(ctx, name, func(spec *Spec) error {
		i := spec.service(name)
		if i < 0 {
			return noService(name)
		}
		spec.Services = slices.Delete(spec.Services, i, i+1)
		return nil
	})
}

// SetServer adds a real server to a service, or puts it in the place of the one with its address.
func (c *Controller) SetServer(ctx context.Context, service string, s Server) error {
	return c.editService(ctx, service, func(of *Service) error {
		s.Checks = slices.Clone(s.Checks)
		if i := of.server(s.Addr); i >= 0 {
			of.Servers[i] = s
		} else {
			of.Servers = append(of.Servers, s)
		}
		return nil
	})
}

// RemoveServer removes a real server from its service.
func (c *Controller) RemoveServer(ctx context.Context, key ServerKey) error {
	return c.editService(ctx, key.Service, func(of *Service) error {
		i := of.server(key.Addr)
		if i < 0 {
			return noServer(key)
		}
		of.Servers = slices.Delete(of.Servers, i, i+1)
		return nil
	})
}

// SetInstance adds a VRRP instance, or changes the one of its name; see [vrrp.Router.Set].
func (c *Controller) SetInstance(ctx context.Context, in vrrp.Instance) error {
	return c.edit(ctx, &in, func(spec *Spec) error {
		in = in.Clone()
		if i := spec.instance(in.String()); i >= 0 {
			spec.Instances[i] = in
		} else {
			spec.Instances = append(spec.Instances, in)
		}
		return nil
	})
}

// RemoveInstance removes a VRRP instance: a MASTER leaves with priority 0. Trackers no longer move it.
func (c *Controller) RemoveInstance(ctx context.Context, name string) error {
	return c.edit(ctx, name, func(spec *Spec) error {
		i := spec.instance(name)
		if i < 0 {
			return noInstance(name)
		}
		spec.Instances = slices.Delete(spec.Instances, i, i+1)
		for j := range spec.Trackers {
			t := &spec.Trackers[j]
			t.Effects = slices.DeleteFunc(slices.Clone(t.Effects), func(e Effect) bool { return e.Instance == name })
		}
		return nil
	})
}

// SetWeight overrides the weight of a real server. A negative one gives the Spec's back. With 0 the server finishes the connections
// that it has, also when its weight is missed for the quorum and the sorry server takes over.
func (c *Controller) SetWeight(ctx context.Context, key ServerKey, weight int) error {
	return c.override(ctx, key, "weight "+orReset(weight, -1), func(o *serverOverride) {
		o.weight, o.drain = nil, false
		if weight >= 0 {
			o.weight = &weight
		}
	})
}

// SetServerMaintenance takes a real server out of the table at once, whatever its checks say, or lets it back in. It does not count
// for the quorum meanwhile. Its weight is as before when it comes back. [Controller.Drain] is the gentle way.
func (c *Controller) SetServerMaintenance(ctx context.Context, key ServerKey, on bool) error {
	return c.override(ctx, key, "maintenance "+onOff(on), func(o *serverOverride) { o.out, o.drain = on, false })
}

// drainInterval is the time between looks at the connections of a draining server.
const drainInterval = time.Second

// Drain takes a real server out without cutting anyone off: it gets weight 0, and once its last connection has ended it is in
// maintenance. Drain returns then; if ctx ends before, the weight stays 0. SetServerMaintenance with false lets it back in, with
// the weight that it had.
func (c *Controller) Drain(ctx context.Context, key ServerKey) error {
	if err := c.StartDrain(ctx, key); err != nil {
		return err
	}
	ticker := time.NewTicker(drainInterval)
	defer ticker.Stop()
	for {
		left, err := c.connections(ctx, key)
		if err != nil {
			return err
		}
		if left == 0 {
			return c.SetServerMaintenance(ctx, key, true)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("holdfast: drain %v: %d connections are left: %w", key, left, ctx.Err())
		case <-ticker.C:
		}
	}
}

// StartDrain is how Drain begins, for who wants to know at once whether it can: the server gets weight 0.
func (c *Controller) StartDrain(ctx context.Context, key ServerKey) error {
	return c.override(ctx, key, "drain", func(o *serverOverride) { o.drain = true })
}

// connections counts those of a real server, of any state, in all entries of its service. One that is not in the table has none.
func (c *Controller) connections(ctx context.Context, key ServerKey) (count int, err error) {
	if c.kernel == nil {
		return 0, nil
	}
	for _, at := range c.destinations(key) {
		s, err := c.kernel.Service(ctx, at.service)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		for _, d := range s.Destinations {
			if d.Addr == at.addr {
				count += d.ActiveConnections + d.InactiveConnections
			}
		}
	}
	return count, nil
}

// place is where a real server stands in the table.
type place struct {
	service ipvs.ServiceKey
	addr    netip.AddrPort
}

// destinations are the places of a real server in the table.
func (c *Controller) destinations(key ServerKey) (list []place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.spec.service(key.Service)
	if i < 0 {
		return nil
	}
	service := &c.spec.Services[i]
	if j := service.server(key.Addr); j >= 0 {
		for _, entry := range service.keys() {
			list = append(list, place{entry, service.Servers[j].Behind(entry).Addr})
		}
	}
	return list
}

// SetPriority overrides the configured priority of an instance, 1 to 254. 0 gives the Spec's back. Trackers still count.
func (c *Controller) SetPriority(ctx context.Context, instance string, priority uint8) error {
	return c.overrideInstance(ctx, instance, "priority "+orReset(int(priority), 0), func(o *instanceOverride) { o.priority = priority })
}

// SetInstanceMaintenance takes an instance out of the election: a MASTER hands over at once. Off lets it take part again.
func (c *Controller) SetInstanceMaintenance(ctx context.Context, instance string, on bool) error {
	return c.overrideInstance(ctx, instance, "maintenance "+onOff(on), func(o *instanceOverride) { o.out = on })
}

// Failover makes a MASTER hand over to a peer, and keeps it BACKUP for as long as that peer is there; see [vrrp.Router.Failover]. It
// is asked for when Failover returns, and an event tells when it is done.
func (c *Controller) Failover(instance string) error {
	if err := c.router.Failover(instance); err != nil {
		return err
	}
	c.log.Info("override", "object", instance, "what", "failover")
	c.publish(EventOverride, instance+" failover", "", "", "by an operator")
	return nil
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func noService(name string) error {
	return missing("holdfast: there is no service " + name)
}
func noServer(key ServerKey) error { return missing("holdfast: there is no server " + key.String()) }
func noInstance(name string) error {
	return missing("holdfast: there is no instance " + name)
}

// service is the place of the service of that name, -1 if there is none.
func (s *Spec) service(name string) int {
	if key, ok := keyOf(name); ok {
		return slices.IndexFunc(s.Services, func(x Service) bool { return x.Name == name || x.Name == "" && x.ServiceKey == key })
	}
	return slices.IndexFunc(s.Services, func(x Service) bool { return x.String() == name })
}

// keyOf takes the text of a key by address apart.
func keyOf(name string) (ipvs.ServiceKey, bool) {
	text, rest, _ := strings.Cut(name, " ")
	protocol, known := protocols[text]
	addr, err := netip.ParseAddrPort(rest)
	return ipvs.ServiceKey{Protocol: protocol, Addr: addr}, known && err == nil
}

func (s *Spec) instance(name string) int {
	return slices.IndexFunc(s.Instances, func(x vrrp.Instance) bool { return x.String() == name })
}

func (s *Service) server(addr netip.AddrPort) int {
	return slices.IndexFunc(s.Servers, func(x Server) bool { return x.Addr == addr })
}

// edit applies a changed copy of the Spec in force. The copy shares what change does not replace.
func (c *Controller) edit(ctx context.Context, object any, change func(*Spec) error) error {
	c.applying.Lock()
	defer c.applying.Unlock()
	next := c.wish
	next.Instances, next.Services, next.Trackers = slices.Clone(next.Instances), slices.Clone(next.Services), slices.Clone(next.Trackers)
	if err := change(&next); err != nil {
		return err
	}
	if err := next.Validate(); err != nil {
		return err
	}
	return c.apply(ctx, next, c.over, EventApply, fmt.Sprint(object))
}

func (c *Controller) editService(ctx context.Context, name string, change func(*Service) error) error {
	return c.edit(ctx, name, func(spec *Spec) error {
		i := spec.service(name)
		if i < 0 {
			return noService(name)
		}
		spec.Services[i].Servers = slices.Clone(spec.Services[i].Servers)
		return change(&spec.Services[i])
	})
}

// missing is an error about what is not there: fs.ErrNotExist, in other words than those of files.
type missing string

// Error implements error.
func (m missing) Error() string { return string(m) }

// Is makes it fs.ErrNotExist.
func (m missing) Is(target error) bool { return target == fs.ErrNotExist }

// orReset is a number, or the word for the one that gives the Spec's back.
func orReset(n, reset int) string {
	if n <= reset {
		return "reset"
	}
	return strconv.Itoa(n)
}
