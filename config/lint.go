package config

import (
	"fmt"
	"net/netip"
	"time"
)

// Rule is a trap that a configuration can hold although every statement in it is right.
type Rule struct {
	// Code names the rule in diagnostics, in docs/lint.md, and in a comment that silences it: "# lint:ignore CODE".
	Code     string
	Severity Severity
	// Why tells what goes wrong, Fix what to do about it.
	Why, Fix string

	instance func(*linter, *VRRPInstance)
	service  func(*linter, *VirtualServer)
	server   func(*linter, *VirtualServer, *RealServer)
	check    func(*linter, *VirtualServer, *RealServer, *Check)
	whole    func(*linter)
}

// Rules lists every rule that [Lint] applies.
func Rules() []Rule { return append([]Rule(nil), lintRules...) }

// Lint looks for what is allowed and yet brings services down. A rule is silent where the line it speaks of has the comment
// "# lint:ignore CODE".
func Lint(c *Config) Diagnostics {
	l := &linter{cfg: c}
	for i := range lintRules {
		l.apply(&lintRules[i])
	}
	return l.diags.sorted()
}

type linter struct {
	cfg   *Config
	rule  *Rule
	diags Diagnostics
}

func (l *linter) apply(r *Rule) {
	l.rule = r
	if r.whole != nil {
		r.whole(l)
	}
	for _, v := range l.cfg.Instances {
		if r.instance != nil {
			r.instance(l, v)
		}
	}
	for _, v := range l.cfg.VirtualServers {
		if r.service != nil {
			r.service(l, v)
		}
		for _, s := range v.RealServers {
			if r.server != nil {
				r.server(l, v, s)
			}
			for _, c := range s.Checks {
				if r.check != nil {
					r.check(l, v, s, c)
				}
			}
		}
	}
}

// say reports at a place, unless its line says to be silent.
func (l *linter) say(pos Pos, format string, args ...any) {
	if !l.cfg.ignores(pos, l.rule.Code) {
		l.diags.add(pos, l.rule.Severity, l.rule.Code, l.rule.Fix, format, args...)
	}
}

// detection is the longest time until a dead server is out, with its arithmetic.
func (c *Check) detection() (time.Duration, string) {
	total := c.DelayLoop + c.ConnectTimeout + time.Duration(c.Retry)*(c.DelayBeforeRetry+c.ConnectTimeout)
	return total, fmt.Sprintf("%v loop + %v timeout + %d x (%v + %v) = %v until a dead server is out",
		c.DelayLoop, c.ConnectTimeout, c.Retry, c.DelayBeforeRetry, c.ConnectTimeout, total)
}

func (c *Check) http() bool { return c.Kind == "HTTP_GET" || c.Kind == "SSL_GET" }

// firstOf says whether a check is the first of its kind in its service: a service is told once.
func firstOf(v *VirtualServer, c *Check) bool {
	for _, r := range v.RealServers {
		for _, other := range r.Checks {
			if other.Kind == c.Kind {
				return other == c
			}
		}
	}
	return false
}

func (l *linter) holder(a netip.Addr) *VRRPInstance {
	for _, v := range l.cfg.Instances {
		for _, held := range append(v.Addresses[:len(v.Addresses):len(v.Addresses)], v.Excluded...) {
			if held.Prefix.Addr() == a {
				return v
			}
		}
	}
	return nil
}

// httpPorts are those where HTTP is spoken, or a proxy in front of it.
var httpPorts = map[uint16]bool{80: true, 81: true, 443: true, 591: true, 3000: true, 5000: true, 8000: true, 8008: true, 8080: true, 8081: true, 8088: true, 8443: true, 8888: true, 9000: true}

// masterDown is how long the others wait for a master that is silent.
func (v *VRRPInstance) masterDown() time.Duration {
	skew := time.Duration(256-v.Priority) * time.Second / 256
	if v.Version == 3 {
		skew = time.Duration(256-v.Priority) * v.AdvertInt / 256
	}
	return 3*v.AdvertInt + skew
}
