package config

import (
	"net/netip"
	"slices"
	"time"
)

var policyKeywords = map[string]setter[policy]{
	"retry":              func(d *decoder, _ *Node, p *policy) { p.retry = new(int(d.v.number)) },
	"delay_loop":         func(d *decoder, _ *Node, p *policy) { p.delayLoop = new(d.v.time) },
	"delay_before_retry": func(d *decoder, _ *Node, p *policy) { p.delayBeforeRetry = new(d.v.time) },
	"connect_timeout":    func(d *decoder, _ *Node, p *policy) { p.timeout = new(d.v.time) },
	"warmup":             func(d *decoder, _ *Node, p *policy) { p.warmup = new(d.v.time) },
	"alpha":              func(d *decoder, _ *Node, p *policy) { p.alpha = new(d.v.flag) },
	"nb_get_retry":       func(d *decoder, _ *Node, p *policy) { p.retry = new(int(d.v.number)) },
}

// withPolicy adds those of the policy's keywords that the block knows.
func withPolicy[T any](table map[string]setter[T], policyOf func(*T) *policy, names ...string) map[string]setter[T] {
	for _, name := range names {
		set := policyKeywords[name]
		table[name] = func(d *decoder, n *Node, into *T) { set(d, n, policyOf(into)) }
	}
	return table
}

// checkKinds are all checkers; the first so many run here.
var checkKinds = []string{"TCP_CHECK", "HTTP_GET", "SSL_GET", "MISC_CHECK", "SMTP_CHECK", "DNS_CHECK", "UDP_CHECK", "PING_CHECK", "FILE_CHECK", "BFD_CHECK"}

const checksThatRun = 8

// checkTable has what the checkers have in common, and what some have.
func checkTable(kind string) map[string]setter[Check] {
	table := withPolicy(map[string]setter[Check]{
		"connect_ip":   addr(func(c *Check) *netip.Addr { return &c.ip }),
		"connect_port": number(func(c *Check) *int { return &c.port }),
		"bindto": func(d *decoder, n *Node, c *Check) {
			if d.v.addr.Is6() != c.ip.Is6() {
				d.errorf(n.Words[1].Pos, "family-clash", "", "bindto %v is not of the family of %v, where the check connects to", d.v.addr, c.ip)
				return
			}
			c.Source = d.v.addr
		},
		"virtualhost":  text(func(c *Check) *string { return &c.virtualhost }),
		"misc_path":    func(d *decoder, _ *Node, c *Check) { c.Command, c.Args = d.v.script, arguments(d.v.script) },
		"user":         func(_ *decoder, n *Node, c *Check) { c.User, c.Group = userGroup(n) },
		"misc_timeout": func(d *decoder, _ *Node, c *Check) { c.timed = time.Duration(d.v.number) * time.Second },
		"require_reply": func(_ *decoder, n *Node, c *Check) {
			c.Reply = true
			c.Pattern, c.Mask = octets(n.Values())
		},
		"payload":          func(_ *decoder, n *Node, c *Check) { c.Payload, _ = octets(n.Values()) },
		"min_reply_length": number(func(c *Check) *int { return &c.ReplyMin }),
		"max_reply_length": number(func(c *Check) *int { return &c.ReplyMax }),
		"helo_name":        text(func(c *Check) *string { return &c.Helo }),
		"type":             text(func(c *Check) *string { return &c.DNSType }),
		"name":             func(d *decoder, n *Node, c *Check) { checkDomain(d, n); c.DNSName = n.Words[1].Text },
		"enable_sni":       flag(func(c *Check) *bool { return &c.sni }),
		"sni_name":         text(func(c *Check) *string { return &c.ServerName }),
		"url": func(d *decoder, n *Node, c *Check) {
			u := &URL{Pos: n.Pos, end: n.End}
			decodeBlock(d, n.block(), n.Block, u, urlKeywords)
			c.URLs = append(c.URLs, u)
		},
	}, func(c *Check) *policy { return &c.policy }, "retry", "delay_loop", "delay_before_retry", "connect_timeout", "warmup", "alpha")
	switch kind {
	case "HTTP_GET":
		delete(table, "enable_sni") // they are for TLS
		delete(table, "sni_name")
		fallthrough
	case "SSL_GET":
		return withPolicy(table, func(c *Check) *policy { return &c.policy }, "nb_get_retry")
	case "FILE_CHECK":
		table["track_file"] = checkTracks("file")
	case "BFD_CHECK":
		table["name"] = checkTracks("bfd")
	}
	return table
}

var urlKeywords = map[string]setter[URL]{
	"path":        text(func(u *URL) *string { return &u.Path }),
	"virtualhost": text(func(u *URL) *string { return &u.VirtualHost }),
	"status_code": func(d *decoder, n *Node, u *URL) { u.Status = append(u.Status, d.statusCodes(n)...) },
	"digest":      func(d *decoder, n *Node, u *URL) { checkDigest(d, n); u.Digest, u.Matches = n.Words[1].Text, true },
	"regex":       func(_ *decoder, _ *Node, u *URL) { u.Matches = true },
}

func decodeCheck(d *decoder, n *Node, r *RealServer) {
	c := &Check{Pos: n.Pos, Kind: n.Keyword(), end: n.End}
	c.Runs = slices.Contains(checkKinds[:checksThatRun], c.Kind)
	c.ip = r.Addr.Addr()
	if c.Runs {
		decodeBlock(d, n.block(), n.Block, c, checkKeywords[c.Kind])
	} else { // it is only looked at
		before := d.cfg.Effective
		d.quiet++
		decodeBlock(d, n.block(), n.Block, c, checkKeywords[c.Kind])
		d.quiet--
		d.cfg.Accepted += d.cfg.Effective - before
		d.cfg.Effective = before
	}
	r.Checks = append(r.Checks, c)
}

// checkTracks reads the name of what a checker looks at, which stands above it.
func checkTracks(kind string) setter[Check] {
	return func(d *decoder, n *Node, c *Check) {
		if d.hasTracker(kind, d.v.text) {
			c.Tracks = d.v.text
			return
		}
		d.errorf(n.Words[1].Pos, "unknown-tracker", "define it, above what uses it", "%s: there is no %s %s to look at", c.Kind, kind, quoted(d.v.text))
	}
}
