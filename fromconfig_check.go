package holdfast

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/bfd"
	"github.com/holdfast-lb/holdfast/check/proto"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/intern"
	"golang.org/x/net/dns/dnsmessage"
)

func probeOf(c *config.Check, g *config.Global) check.Probe {
	id := c.Kind + " "
	switch c.Kind {
	case "BFD_CHECK", "FILE_CHECK":
		id += c.Tracks
	case "MISC_CHECK":
		id += strings.Join(c.Args, " ")
	default:
		id += c.Addr.String()
	}
	return check.Probe{
		ID:      id,
		Checker: checkerOf(c, g),
		Policy: check.Policy{
			DelayLoop: c.DelayLoop, Retry: c.Retry, DelayBeforeRetry: orNone(c.DelayBeforeRetry), Timeout: c.ConnectTimeout, Warmup: orNone(c.Warmup),
			FromStart: c.Kind == "MISC_CHECK",
		},
		Alpha:       c.Alpha && c.Kind != "FILE_CHECK", // what a file says is known at once
		LogFailures: c.LogFailures,
	}
}

// orNone translates none: 0 means the default to a Policy.
func orNone[N int | time.Duration](n N) N {
	if n == 0 {
		return -1
	}
	return n
}

func checkerOf(c *config.Check, g *config.Global) check.Checker {
	target := targetOf(c)
	switch c.Kind {
	case "MISC_CHECK":
		command := commandOf(c.Command, c.Args, c.User, c.Group, c.Groups, g)
		command.Dynamic = c.Dynamic
		return command
	case "FILE_CHECK":
		return check.File{Path: c.Path, Weight: c.Weight, Reverse: c.Reverse}
	case "BFD_CHECK":
		return bfd.Follow{Session: c.Tracks}
	case "TCP_CHECK":
		return check.TCP{Target: target}
	case "DNS_CHECK":
		return check.DNS{Target: target, Name: c.DNSName, Type: dnsTypes[c.DNSType]}
	case "UDP_CHECK":
		return udpOf(c, target)
	case "PING_CHECK":
		return check.Ping{Addr: target.Addr.Addr(), Source: c.Source, Interface: c.Interface, Mark: c.Mark}
	}
	t, err := tlsOf(c)
	if err != nil { // credentials has told it, unless a file changed meanwhile
		return failing(err)
	}
	switch c.Kind {
	case "SMTP_CHECK":
		return smtpOf(c, target, t)
	case "GRPC_CHECK":
		return proto.GRPC{Target: target, TLS: t, Service: c.Service, Authority: c.VirtualHost}
	case "WEBSOCKET_CHECK":
		return proto.WebSocket{Target: target, TLS: t, Path: c.Path, VirtualHost: c.VirtualHost}
	case "REDIS_CHECK":
		return proto.Redis{Target: target, TLS: t, User: c.User, Password: c.Password, Role: c.Role}
	case "MYSQL_CHECK":
		return proto.MySQL{Target: target, User: c.User}
	case "PGSQL_CHECK":
		return proto.PostgreSQL{Target: target, TLS: t, User: c.User, Database: c.Database, Role: c.Role}
	case "AGENT_CHECK":
		send := c.Send
		if send != "" {
			send += "\n"
		}
		return proto.Agent{Target: target, Send: send}
	}
	return httpOf(c, target, t)
}

// failing is in place of a checker that cannot be made.
func failing(err error) check.Checker {
	return check.CheckerFunc(func(context.Context) error { return err })
}

// targetOf gives a link-local address the zone that it needs.
func targetOf(c *config.Check) check.Target {
	t := check.Target{Addr: c.Addr, Interface: c.Interface, Mark: c.Mark}
	if a := c.Addr.Addr(); a.Is6() && a.IsLinkLocalUnicast() {
		t.Addr = netip.AddrPortFrom(a.WithZone(c.Interface), c.Addr.Port())
	}
	if c.Source.IsValid() {
		t.Source = netip.AddrPortFrom(c.Source, uint16(c.SourcePort))
	}
	return t
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

// keepalivedsName is what keepalived says to mail servers, which may have been told to expect it.
const keepalivedsName = "smtpchecker.keepalived.org"

func smtpOf(c *config.Check, target check.Target, t *check.TLS) check.Checker {
	return check.SMTP{Target: target, Helo: cmp.Or(c.Helo, keepalivedsName), StartTLS: t}
}

// keepalivedsAgent is the User-Agent that logs and filters in front of servers know.
var keepalivedsAgent = http.Header{"User-Agent": {"KeepAliveClient"}}

func httpOf(c *config.Check, target check.Target, t *check.TLS) check.Checker {
	h := check.HTTP{Target: target, TLS: t, Protocol: check.Protocol(c.Protocol)}
	for _, u := range c.URLs {
		url := urlOf(u)
		if u.Regex != nil {
			re, err := regexOf(u.Regex)
			if err != nil { // config has compiled it before
				return failing(err)
			}
			url.Regex = re
		}
		h.URLs = append(h.URLs, url)
	}
	return h
}

func urlOf(u *config.URL) check.URL {
	url := check.URL{
		Path: u.Path, VirtualHost: u.VirtualHost, Digest: u.Digest, Method: u.Method, Body: u.Body, Redirects: u.Redirects,
		Header: keepalivedsAgent, Text: u.Text, Within: u.Within,
	}
	for _, r := range u.Status {
		url.Status = append(url.Status, check.StatusRange{Low: r.Low, High: r.High})
	}
	if len(u.Header) > 0 {
		url.Header = url.Header.Clone()
		for _, h := range u.Header {
			if http.CanonicalHeaderKey(h[0]) == "User-Agent" {
				url.Header.Del(h[0])
			}
			url.Header.Add(h[0], h[1])
		}
	}
	for _, j := range u.JSON {
		url.JSON = append(url.JSON, check.JSONValue{Pointer: j[0], Want: j[1]})
	}
	return url
}

func regexOf(r *config.Regex) (*check.Regex, error) {
	re, err := check.NewRegex(r.Pattern, r.Options...)
	if err != nil {
		return nil, err
	}
	re.NoMatch, re.MinOffset = r.NoMatch, r.MinOffset
	if r.MaxOffset >= 0 {
		re.MaxOffset = r.MaxOffset
	}
	return re, nil
}

func speaksTLS(c *config.Check) bool { return c.Kind == "SSL_GET" || c.StartTLS || c.Secure }

// tlsOf reads the files that a check names. It is nil for one without TLS.
func tlsOf(c *config.Check) (*check.TLS, error) {
	if !speaksTLS(c) {
		return nil, nil
	}
	t := &check.TLS{
		ServerName: c.ServerName, NoSNI: !c.SNI, SkipVerify: !c.TLS.Verify, CloseNotify: c.TLS.Compliant,
		MinValidity: time.Duration(c.TLS.MinDays) * 24 * time.Hour,
	}
	if c.TLS.Verify {
		t.NoSNI = false // the name that is verified is the one that is asked for
	}
	if c.Secure {
		t.NoSNI = false
	}
	if c.TLS.CA != "" {
		pem, err := os.ReadFile(c.TLS.CA)
		if err != nil {
			return nil, fmt.Errorf("%v: tls_ca: %w", c.Pos, err)
		}
		if t.Roots, err = authorities.Get(string(pem), func() (*x509.CertPool, error) { return poolOf(pem) }); err != nil {
			return nil, fmt.Errorf("%v: tls_ca: %s: %w", c.Pos, c.TLS.CA, err)
		}
	}
	if c.TLS.Certificate != "" {
		pair, err := clientOf(c.TLS)
		if err != nil {
			return nil, fmt.Errorf("%v: client certificate: %w", c.Pos, err)
		}
		t.Certificate = pair
	}
	return t, nil
}

// What was read from the same files is the same: a reload sees that nothing changed.
var (
	authorities intern.Table[x509.CertPool]
	clients     intern.Table[tls.Certificate]
)

func poolOf(pem []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("there is no certificate in it")
	}
	return pool, nil
}

func clientOf(t config.TLS) (*tls.Certificate, error) {
	cert, err := os.ReadFile(t.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(t.Key)
	if err != nil {
		return nil, err
	}
	return clients.Get(string(cert)+string(key), func() (*tls.Certificate, error) {
		pair, err := tls.X509KeyPair(cert, key)
		return &pair, err
	})
}

// credentials says which files of certificates and keys cannot be used.
func credentials(c *config.Config) error {
	var errs []error
	for _, v := range c.VirtualServers {
		for _, r := range v.RealServers {
			for _, one := range r.Checks {
				if _, err := tlsOf(one); err != nil {
					errs = append(errs, err)
				}
			}
		}
	}
	return errors.Join(errs...)
}
