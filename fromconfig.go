package holdfast

import (
	"errors"
	"fmt"

	"github.com/holdfast-lb/holdfast/config"
)

// FromConfig makes a Spec from a keepalived.conf. The error says, statement by statement, what it asks for that cannot be held
// and without which the rest would be something else ([config.Config.NotHeld]). Other statements without effect are left
// out.
func FromConfig(c *config.Config) (Spec, error) {
	var spec Spec
	var errs []error
	for _, d := range c.NotHeld {
		errs = append(errs, fmt.Errorf("%v: %s", d.Pos, d.Message))
	}
	if err := errors.Join(errs...); err != nil {
		return spec, err
	}
	groups := make(map[string]*config.SyncGroup)
	for _, g := range c.SyncGroups {
		for _, member := range g.Members {
			groups[member.Text] = g
		}
	}
	for _, v := range c.Instances {
		in := instanceOf(v)
		if g := groups[v.Name]; g != nil {
			joinGroup(&in, g)
		}
		spec.Instances = append(spec.Instances, in)
	}
	for _, v := range c.VirtualServers {
		spec.Services = append(spec.Services, serviceOf(v, &c.Global))
	}
	for _, s := range c.Scripts {
		if t := trackerOf(s, c, groups); len(t.Effects) > 0 {
			spec.Trackers = append(spec.Trackers, t)
		}
	}
	if err := spec.Validate(); err != nil {
		return Spec{}, fmt.Errorf("holdfast: %s: %w", c.Name, err)
	}
	return spec, nil
}
