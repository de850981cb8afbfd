package holdfast

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/config"
	"golang.org/x/net/dns/dnsmessage"
)

func probeOf(c *config.Check, g *config.Global) check.Probe {
	id := fmt.Sprintf("%s %v", c.Kind, c.Addr)
	if c.Kind == "MISC_CHECK" {
		id = c.Kind + " " + strings.Join(c.Args, " ")
	}
	return check.Probe{
		ID:      id,
		Checker: checkerOf(c, g),
		Policy: check.Policy{
			DelayLoop: c.DelayLoop, Retry: c.Retry, DelayBeforeRetry: orNone(c.DelayBeforeRetry), Timeout: c.ConnectTimeout, Warmup: orNone(c.Warmup),
		},
		Alpha: c.Alpha,
	}
}

// orNone translates none: 0 means the default to a Policy.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

func checkerOf(c *config.Check, g *config.Global) check.Checker {
	if c.Kind == "MISC_CHECK" {
		return check.Command{Args: c.Args, User: c.User, Group: c.Group, Secure: g.ScriptSecurity}
	}
	target := check.Target{Addr: c.Addr, Source: c.Source}
	switch c.Kind {
	case "TCP_CHECK":
		return check.TCP{Target: target}
	case "SMTP_CHECK":
		return check.SMTP{Target: target, Helo: c.Helo}
	case "DNS_CHECK":
		return check.DNS{Target: target, Name: c.DNSName, Type: dnsTypes[c.DNSType]}
	case "UDP_CHECK":
		return udpOf(c, target)
	case "PING_CHECK":
		return check.Ping{Addr: c.Addr.Addr(), Source: c.Source}
	}
	return httpOf(c, target)
}

var dnsTypes = map[string]dnsmessage.Type{
	"A": dnsmessage.TypeA, "NS": dnsmessage.TypeNS, "CNAME": dnsmessage.TypeCNAME, "SOA": dnsmessage.TypeSOA, "MX": dnsmessage.TypeMX,
	"TXT": dnsmessage.TypeTXT, "AAAA": dnsmessage.TypeAAAA, "RRSIG": 46, "DNSKEY": 48,
}

func udpOf(c *config.Check, target check.Target) check.Checker {
	u := check.UDP{Target: target, Payload: c.Payload}
	if c.Reply {
		u.Reply = &check.Reply{Data: c.Pattern, Mask: c.Mask, Min: c.ReplyMin, Max: c.ReplyMax}
	}
	return u
}

func httpOf(c *config.Check, target check.Target) check.Checker {
	h := check.HTTP{Target: target}
	if c.Kind == "SSL_GET" {
		h.TLS = &check.TLS{ServerName: c.ServerName, SkipVerify: true}
	}
	for _, u := range c.URLs {
		url := check.URL{Path: u.Path, VirtualHost: u.VirtualHost, Digest: u.Digest}
		for _, r := range u.Status {
			url.Status = append(url.Status, check.StatusRange{Low: r.Low, High: r.High})
		}
		h.URLs = append(h.URLs, url)
	}
	return h
}
