package holdfast

import (
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/config"
)

// Translator makes Specs from keepalived.conf. The zero value is usable.
type Translator struct {
	// Checkers make the checkers of the kinds that they are listed under (HTTP_GET, TCP_CHECK, ...), instead of those of package
	// check.
	Checkers map[string]CheckerFactory
	// Memory makes a file that is read with a [config.Cache] cheap to translate again. Nil means that all of it is translated each
	// time. With Checkers it is not used.
	Memory *Memory
}

// Memory has a [Translator] make anew only what has changed since the Spec before: a virtual server that is the very same as in the
// Config before becomes the same Service, its Servers in the same memory; a Spec must not be changed then. Virtual servers are
// always made anew when they use a group, or when files of certificates or users of this host matter to their checks. The
// zero value is empty. It is for one Translator at a time.
type Memory struct {
	servers  []*config.VirtualServer
	services []Service
}

// service is what was made of a virtual server when it was at this place before, or nil.
func (m *Memory) service(place int, v *config.VirtualServer) *Service {
	if m == nil || place >= len(m.servers) || m.servers[place] != v || !lasting(v) {
		return nil
	}
	return &m.services[place]
}

// lasting says that a virtual server means the same whatever else there is.
func lasting(v *config.VirtualServer) bool {
	for _, r := range v.RealServers {
		for _, c := range r.Checks {
			if c.Kind == "MISC_CHECK" || speaksTLS(c) {
				return false
			}
		}
	}
	return v.Group == ""
}

// CheckerFactory makes the checker that a statement of a real_server asks for. All that the statement says and inherits is in
// c; errors should begin with c.Pos.
type CheckerFactory func(c *config.Check, g *config.Global) (check.Checker, error)

// FromConfig is [Translator.Spec] of the zero Translator.
func FromConfig(c *config.Config) (Spec, error) { return Translator{}.Spec(c) }

// Spec makes a Spec from a keepalived.conf. The error says, statement by statement, what it asks for that cannot be held and
// without which the rest would be something else ([config.Config.NotHeld]). Other statements without effect are left out.
func (t Translator) Spec(c *config.Config) (Spec, error) {
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
		in, err := instanceOf(v, &c.Global)
		if err != nil {
			return Spec{}, err
		}
		if g := groups[v.Name]; g != nil {
			joinGroup(&in, g)
		}
		in.Track = append(in.Track, staticTracks(c, v.Name)...)
		spec.Instances = append(spec.Instances, in)
	}
	spec.Host, spec.Tuning = hostOf(c), tuningOf(c)
	spec.Services = make([]Service, len(c.VirtualServers))
	if len(t.Checkers) > 0 {
		t.Memory = nil
	}
	for i, v := range c.VirtualServers {
		if s := t.Memory.service(i, v); s != nil {
			spec.Services[i] = *s
			continue
		}
		var err error
		if spec.Services[i], err = serviceOf(v, c); err != nil {
			return Spec{}, fmt.Errorf("holdfast: %w", err)
		}
	}
	g := &c.Global
	spec.Notify = notifyOf(c, spec.Services)
	var err error
	if spec.Notify.Webhooks, err = webhooksOf(c); err != nil {
		return Spec{}, fmt.Errorf("holdfast: %w", err)
	}
	if err := secureMail(spec.Notify.Mail, &g.Mail); err != nil {
		return Spec{}, fmt.Errorf("holdfast: %w", err)
	}
	spec.Startup, spec.Shutdown = onceOf(&g.Startup, g.StartupTimeout, g), onceOf(&g.Shutdown, g.ShutdownTimeout, g)
	if err := errors.Join(credentials(c), t.replaceCheckers(&spec, c)); err != nil {
		return Spec{}, err
	}
	for _, t := range trackersOf(c, groups) {
		if len(t.Effects) > 0 {
			spec.Trackers = append(spec.Trackers, t)
		}
	}
	for _, b := range c.BFD {
		spec.Sessions = append(spec.Sessions, sessionOf(b))
		if t := sessionTracker(b, c, groups); b.ForVRRP && len(t.Effects) > 0 {
			spec.Trackers = append(spec.Trackers, t)
		}
	}
	if err := spec.Validate(); err != nil {
		return Spec{}, fmt.Errorf("holdfast: %s: %w", c.Name, err)
	}
	if t.Memory != nil {
		t.Memory.servers, t.Memory.services = c.VirtualServers, spec.Services
	}
	return spec, nil
}

// replaceCheckers has the factories make what they are for.
func (t Translator) replaceCheckers(spec *Spec, c *config.Config) error {
	if len(t.Checkers) == 0 {
		return nil
	}
	var errs []error
	for i, v := range c.VirtualServers {
		for j, r := range v.RealServers {
			for k, one := range r.Checks {
				if factory := t.Checkers[one.Kind]; factory != nil {
					checker, err := factory(one, &c.Global)
					errs = append(errs, err)
					spec.Services[i].Servers[j].Checks[k].Checker = checker
				}
			}
		}
	}
	return errors.Join(errs...)
}

// onceOf is a program that runs once, nil for none.
func onceOf(c *config.Command, timeout time.Duration, g *config.Global) *Program {
	if len(c.Args) == 0 {
		return nil
	}
	p := programOf(c, g)
	p.Timeout = timeout
	return p
}
