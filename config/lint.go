package config

import (
	"net/netip"
	"slices"
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
func Lint(c *Config) Diagnostics { return lint(c, nil) }

func lint(c *Config, kept []*served) Diagnostics {
	l := &linter{cfg: c, vips: make(map[netip.Addr]bool), diags: make(Diagnostics, 0, max(len(c.VirtualServers), saidIn(kept, phaseLint)))}
	for _, v := range c.Instances {
		for _, a := range v.held() {
			l.vips[a.Prefix.Addr()] = true
		}
	}
	for i := range lintRules {
		if r := &lintRules[i]; r.whole != nil {
			l.rule = r
			r.whole(l)
		}
	}
	for _, v := range c.Instances {
		each(l, func(r *Rule) bool { return r.instance != nil }, func(r *Rule) { r.instance(l, v) })
	}
	eachServer(c, kept, phaseLint, &l.diags, l.virtualServer)
	return l.diags.sorted()
}

type linter struct {
	cfg   *Config
	rule  *Rule
	vips  map[netip.Addr]bool // the addresses that some instance holds
	diags Diagnostics
}

func each(l *linter, has func(*Rule) bool, apply func(*Rule)) {
	for i := range lintRules {
		if l.rule = &lintRules[i]; has(l.rule) {
			apply(l.rule)
		}
	}
}

func (l *linter) virtualServer(v *VirtualServer) {
	each(l, func(r *Rule) bool { return r.service != nil }, func(r *Rule) { r.service(l, v) })
	told := make(map[string]bool, 1) // kinds of check that have been looked at: one of a kind speaks for all
	for _, s := range v.RealServers {
		each(l, func(r *Rule) bool { return r.server != nil }, func(r *Rule) { r.server(l, v, s) })
		for _, c := range s.Checks {
			if c.first = !told[c.Kind]; c.first || len(c.Command) > 1 {
				each(l, func(r *Rule) bool { return r.check != nil }, func(r *Rule) { r.check(l, v, s, c) })
			}
			told[c.Kind] = true
		}
	}
}

// say reports at a place, unless its line says to be silent.
func (l *linter) say(pos Pos, format string, args ...any) { l.sayFix(pos, l.rule.Fix, format, args...) }

// sayFix is say where the case has a fix of its own.
func (l *linter) sayFix(pos Pos, fix, format string, args ...any) {
	if !l.cfg.ignores(pos, l.rule.Code) {
		l.diags.add(pos, l.rule.Severity, l.rule.Code, fix, format, args...)
	}
}

// detection is the longest time until a dead server is out.
func (c *Check) detection() time.Duration {
	return c.DelayLoop + c.ConnectTimeout + time.Duration(c.Retry)*(c.DelayBeforeRetry+c.ConnectTimeout)
}

func (c *Check) http() bool { return c.Kind == "HTTP_GET" || c.Kind == "SSL_GET" }

// held are all addresses of an instance.
func (v *VRRPInstance) held() []VirtualAddress { return slices.Concat(v.Addresses, v.Excluded) }

// httpPorts are those where HTTP is spoken, or a proxy in front of it.
var httpPorts = map[uint16]bool{80: true, 81: true, 443: true, 591: true, 3000: true, 5000: true, 8000: true, 8008: true, 8080: true, 8081: true, 8088: true, 8443: true, 8888: true, 9000: true}

// tlsPorts are those of them where TLS is spoken.
var tlsPorts = map[uint16]bool{443: true, 8443: true}

// protocolChecks are the checks that see more than a TCP_CHECK, by the port where their protocol is spoken.
var protocolChecks = map[uint16]string{
	25: "SMTP_CHECK", 587: "SMTP_CHECK", 3306: "MYSQL_CHECK", 5432: "PGSQL_CHECK", 6379: "REDIS_CHECK", 50051: "GRPC_CHECK",
}

// overTCPOnly are further checks of what is not spoken over UDP.
var overTCPOnly = map[string]bool{"GRPC_CHECK": true, "WEBSOCKET_CHECK": true, "REDIS_CHECK": true, "MYSQL_CHECK": true, "PGSQL_CHECK": true}

// seen says whether any check looks behind the port.
func (r *RealServer) seen() bool {
	for _, c := range r.Checks {
		switch c.Kind {
		case "TCP_CHECK", "PING_CHECK", "BFD_CHECK":
		default:
			return true
		}
	}
	return false
}

// masterDown is how long the others wait for a master that is silent.
func (v *VRRPInstance) masterDown() time.Duration {
	skew := time.Duration(256-v.Priority) * time.Second / 256
	if v.Version == 3 {
		skew = time.Duration(256-v.Priority) * v.AdvertInt / 256
	}
	return 3*v.AdvertInt + skew
}
