package holdfast

import (
	"context"
	"maps"
	"slices"
)

// overrides are an operator's words over the Spec.
type overrides struct {
	servers   map[ServerKey]serverOverride
	instances map[string]instanceOverride
}

type serverOverride struct {
	weight *int
	out    bool
	drain  bool // weight 0 until it is out, beside weight, which comes back with the server
}

type instanceOverride struct {
	priority uint8
	out      bool
}

func (o overrides) clone() overrides {
	return overrides{maps.Clone(o.servers), maps.Clone(o.instances)}
}

// override changes what is said of a server, and applies it.
func (c *Controller) override(ctx context.Context, key ServerKey, what string, change func(*serverOverride)) error {
	return c.overrideAny(ctx, key.String(), what, func(next *overrides) error {
		i := c.wish.service(key.Service)
		if i < 0 {
			return noService(key.Service)
		}
		if c.wish.Services[i].server(key.Addr) < 0 {
			return noServer(key)
		}
		if next.servers == nil {
			next.servers = make(map[ServerKey]serverOverride)
		}
		o := next.servers[key]
		change(&o)
		next.servers[key] = o
		return nil
	})
}

func (c *Controller) overrideInstance(ctx context.Context, name, what string, change func(*instanceOverride)) error {
	return c.overrideAny(ctx, name, what, func(next *overrides) error {
		if c.wish.instance(name) < 0 {
			return noInstance(name)
		}
		if next.instances == nil {
			next.instances = make(map[string]instanceOverride)
		}
		o := next.instances[name]
		change(&o)
		next.instances[name] = o
		return nil
	})
}

// overrideAny applies the Spec again with other overrides. Those that make it invalid are not taken.
func (c *Controller) overrideAny(ctx context.Context, object, what string, change func(*overrides) error) error {
	c.applying.Lock()
	defer c.applying.Unlock()
	next := c.over.clone()
	if err := change(&next); err != nil {
		return err
	}
	spec := c.wish.with(next)
	if err := spec.Validate(); err != nil {
		return err
	}
	return c.apply(ctx, c.wish, next, EventOverride, object+" "+what)
}

// with is the Spec as the overrides want it. It shares with s what they do not touch.
func (s Spec) with(o overrides) Spec {
	if len(o.servers) > 0 {
		s.Services = slices.Clone(s.Services)
	}
	for key, said := range o.servers {
		i := s.service(key.Service)
		if i < 0 {
			continue
		}
		service := &s.Services[i]
		if j := service.server(key.Addr); j >= 0 {
			service.Servers = slices.Clone(service.Servers)
			service.Servers[j].Maintenance = service.Servers[j].Maintenance || said.out
			if said.weight != nil {
				service.Servers[j].Weight = *said.weight
				service.Servers[j].Drain = service.Servers[j].Drain || *said.weight == 0
			}
			if said.drain {
				service.Servers[j].Weight, service.Servers[j].Drain = 0, true
			}
		}
	}
	if len(o.instances) > 0 {
		s.Instances = slices.Clone(s.Instances)
	}
	for i := range s.Instances {
		if p := o.instances[s.Instances[i].String()].priority; p != 0 {
			s.Instances[i].Priority = p
		}
	}
	return s
}

// within drops the overrides of what the Spec no longer has.
func (o overrides) within(s *Spec) overrides {
	if len(o.servers) == 0 && len(o.instances) == 0 {
		return o
	}
	there := func(k ServerKey) bool {
		i := s.service(k.Service)
		return i >= 0 && s.Services[i].server(k.Addr) >= 0
	}
	o = o.clone()
	maps.DeleteFunc(o.servers, func(k ServerKey, said serverOverride) bool { return said == serverOverride{} || !there(k) })
	maps.DeleteFunc(o.instances, func(name string, said instanceOverride) bool {
		return s.instance(name) < 0 || said == instanceOverride{}
	})
	return o
}
