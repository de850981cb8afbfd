package config

import (
	"cmp"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/internal/pcre"
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

// checkKinds are all checkers: keepalived's, then those that only Holdfast has.
var checkKinds = []string{
	"TCP_CHECK", "HTTP_GET", "SSL_GET", "MISC_CHECK", "SMTP_CHECK", "DNS_CHECK", "UDP_CHECK", "PING_CHECK", "BFD_CHECK", "FILE_CHECK",
	"GRPC_CHECK", "WEBSOCKET_CHECK", "REDIS_CHECK", "MYSQL_CHECK", "PGSQL_CHECK", "AGENT_CHECK",
}

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
		"bind_port":   number(func(c *Check) *int { return &c.SourcePort }),
		"bind_if":     text(func(c *Check) *string { return &c.Interface }),
		"fwmark":      func(d *decoder, _ *Node, c *Check) { c.Mark = uint32(d.v.number) },
		"virtualhost": text(func(c *Check) *string { return &c.virtualhost }),
		"misc_path": func(d *decoder, n *Node, c *Check) {
			c.Command, c.Args = d.v.script, arguments(d.v.script)
			d.cfg.runs(n.Pos)
		},
		"user":             func(_ *decoder, n *Node, c *Check) { c.User, c.Group, c.Groups = userGroup(n) },
		"misc_dynamic":     func(_ *decoder, _ *Node, c *Check) { c.Dynamic = true },
		"log_all_failures": func(d *decoder, _ *Node, c *Check) { c.logFailures = new(d.v.flag) },
		"misc_timeout":     func(d *decoder, _ *Node, c *Check) { c.timed = time.Duration(d.v.number) * time.Second },
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
		"enable_sni":       flag(func(c *Check) *bool { return &c.SNI }),
		"sni_name":         func(d *decoder, _ *Node, c *Check) { c.ServerName, c.SNI = cmp.Or(d.v.text, c.ServerName), true },
		"http_protocol":    func(d *decoder, _ *Node, c *Check) { c.Protocol = strings.ToUpper(d.v.text) },
		"fast_recovery":    func(*decoder, *Node, *Check) {}, // each check asks every url: there is nothing to wait for
		"tls_compliant":    flag(func(c *Check) *bool { return &c.TLS.Compliant }),
		"tls_verify":       flag(func(c *Check) *bool { return &c.TLS.Verify }),
		"tls_ca":           text(func(c *Check) *string { return &c.TLS.CA }),
		"tls_min_days":     number(func(c *Check) *int { return &c.TLS.MinDays }),
		"tls_certificate":  text(func(c *Check) *string { return &c.TLS.Certificate }),
		"tls_key":          text(func(c *Check) *string { return &c.TLS.Key }),
		"starttls":         flag(func(c *Check) *bool { return &c.StartTLS }),
		"url": func(d *decoder, n *Node, c *Check) {
			u := &URL{Pos: n.Pos, end: n.End, regex: Regex{MaxOffset: -1}}
			decodeBlock(d, n.block(), n.Block, u, urlKeywords)
			d.finishURL(u)
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
	case "GRPC_CHECK", "WEBSOCKET_CHECK", "REDIS_CHECK", "MYSQL_CHECK", "PGSQL_CHECK", "AGENT_CHECK":
		for name, field := range protocolWords {
			table[name] = text(field)
		}
		table["tls"] = flag(func(c *Check) *bool { return &c.Secure })
	case "SMTP_CHECK":
		table["host"] = func(_ *decoder, n *Node, c *Check) { c.hosts = append(c.hosts, n) }
	case "PING_CHECK":
		delete(table, "connect_port") // there are no ports
		delete(table, "bind_port")
	case "FILE_CHECK":
		table["track_file"] = checkTracks("file")
		table["weight"] = func(d *decoder, n *Node, c *Check) {
			c.Weight, c.Reverse, c.hasWeight = d.trackWeight(n.Values(), 1<<31-1)
		}
	case "BFD_CHECK":
		table["name"] = checkTracks("bfd")
	}
	return table
}

// protocolWords are those of the checkers that only Holdfast has.
var protocolWords = map[string]func(*Check) *string{
	"service":  func(c *Check) *string { return &c.Service },
	"path":     func(c *Check) *string { return &c.Path },
	"user":     func(c *Check) *string { return &c.User },
	"password": func(c *Check) *string { return &c.Password },
	"database": func(c *Check) *string { return &c.Database },
	"role":     func(c *Check) *string { return &c.Role },
	"send":     func(c *Check) *string { return &c.Send },
}

var urlKeywords = map[string]setter[URL]{
	"path":             text(func(u *URL) *string { return &u.Path }),
	"virtualhost":      text(func(u *URL) *string { return &u.VirtualHost }),
	"status_code":      func(d *decoder, n *Node, u *URL) { u.Status = append(u.Status, d.statusCodes(n)...) },
	"digest":           func(d *decoder, n *Node, u *URL) { checkDigest(d, n); u.Digest, u.Matches = n.Words[1].Text, true },
	"regex":            decodeRegex,
	"regex_no_match":   func(_ *decoder, _ *Node, u *URL) { u.regex.NoMatch = true },
	"regex_min_offset": number(func(u *URL) *int { return &u.regex.MinOffset }),
	"regex_max_offset": number(func(u *URL) *int { return &u.regex.MaxOffset }),
	"regex_options":    decodeRegexOptions,
	"regex_stack":      func(d *decoder, n *Node, _ *URL) { checkRegexStack(d, n) },
	"tls_compliant":    flag(func(u *URL) *bool { return &u.compliant }),
	"method":           text(func(u *URL) *string { return &u.Method }),
	"header":           func(d *decoder, n *Node, u *URL) { u.Header = d.pair(n, u.Header) },
	"body":             text(func(u *URL) *string { return &u.Body }),
	"redirects":        number(func(u *URL) *int { return &u.Redirects }),
	"text":             func(d *decoder, _ *Node, u *URL) { u.Text, u.Matches = d.v.text, true },
	"json":             func(d *decoder, n *Node, u *URL) { u.JSON, u.Matches = d.pair(n, u.JSON), true },
	"within":           timer(func(u *URL) *time.Duration { return &u.Within }),
}

// pair reads two words and adds them to a list.
func (d *decoder) pair(n *Node, list [][2]string) [][2]string {
	words := n.Values()
	if len(words) != 2 {
		d.errorf(n.Pos, "bad-value", "quote a value that has blanks", "%s takes two words, and has %d", d.keyword, len(words))
		return list
	}
	return append(list, [2]string{words[0].Text, words[1].Text})
}

// decodeRegex reads a pattern. Its backslashes are taken by the configuration's own escapes, so that what is meant for the
// pattern is written twice.
func decodeRegex(d *decoder, n *Node, u *URL) {
	if len(d.v.script) != 1 {
		d.errorf(n.Pos, "bad-value", "quote it", "regex takes one word, and has %d", len(d.v.script))
		return
	}
	if escape := lostEscape.FindString(d.v.script[0]); escape != "" {
		d.warnf(n.Words[1].Pos, "lost-backslash", "write \\"+escape[len(escape)-2:], "regex: the backslash of %s is read as an escape of the configuration, and the pattern does not see it", escape[len(escape)-2:])
	}
	u.regex.Pattern, u.regex.pos, u.Matches = unescape(d.v.script[0]), n.Words[1].Pos, true
	u.Regex = &u.regex
}

// lostEscape is one backslash, not two, before what a pattern would want it for.
var lostEscape = regexp.MustCompile(`(?:^|[^\\])(?:\\\\)*\\[dDwWsSBAzZhRQ.*+?()|^$[\]{}]`)

func decodeRegexOptions(d *decoder, n *Node, u *URL) {
	for _, w := range n.Values() {
		option, ok := d.oneOf(w, regexOptions)
		if !ok {
			continue
		}
		if !pcre.Supported(option) {
			d.notHeld(w.Pos, "regex_options: %s is not known here: the pattern would mean something else", option)
			continue
		}
		u.regex.Options = append(u.regex.Options, option)
	}
}

// finishURL looks at a regex as a whole.
func (d *decoder) finishURL(u *URL) {
	r := &u.regex
	switch {
	case u.Regex == nil && (r.NoMatch || len(r.Options) > 0 || r.MinOffset != 0 || r.MaxOffset >= 0):
		d.warnf(u.Pos, "regex-missing", "add regex PATTERN", "the url has options of a regex and no regex; they are ignored")
	case u.Regex == nil:
	case r.MaxOffset >= 0 && r.MinOffset > r.MaxOffset:
		d.errorf(r.pos, "bad-value", "", "regex_min_offset %d is above regex_max_offset %d: nothing could match", r.MinOffset, r.MaxOffset)
	default:
		if _, err := pcre.Compile(r.Pattern, r.Options...); err != nil {
			d.errorf(r.pos, "bad-regex", "", "regex %s: %v", quoted(r.Pattern), err)
		}
	}
}

func decodeCheck(d *decoder, n *Node, r *RealServer) {
	c := &Check{Pos: n.Pos, Kind: n.Keyword(), CheckOptions: optionsOf(n.Keyword())}
	if c.ip = r.Addr.Addr(); !c.plain() {
		c.end = n.End
	}
	decodeBlock(d, n.block(), n.Block, c, checkKeywords[c.Kind])
	r.Checks = append(append(r.Checks, c), d.hostChecks(c)...)
}

// hostChecks are one more check for each host block of a SMTP_CHECK, with what the check says around it.
func (d *decoder) hostChecks(c *Check) (more []*Check) {
	hosts := c.hosts
	c.hosts = nil // the memory of statements is used again
	for _, n := range hosts {
		d.warnf(n.Pos, "deprecated", "write one SMTP_CHECK for each", "host is deprecated: it is one more SMTP_CHECK with the options of both")
		one, options := *c, *c.CheckOptions
		one.CheckOptions = &options
		one.Pos, one.end = n.Pos, n.End
		decodeBlock(d, n.block(), n.Block, &one, checkKeywords[c.Kind])
		more = append(more, &one)
	}
	return more
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
