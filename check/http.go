package check

import (
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// HTTP is well when every url of its list answers as it should (HTTP_GET, and with TLS SSL_GET). Each check asks all of them,
// one after the other, each over a connection of its own. Redirects are not followed: a redirect is an answer like any other.
type HTTP struct {
	Target
	// TLS makes it HTTPS. Nil means plain HTTP.
	TLS *TLS
	// URLs to ask for. At least one.
	URLs []URL
}

// TLS says how a check speaks TLS. The zero value verifies the server's certificate for the target's address.
type TLS struct {
	// ServerName to ask for (SNI) and to verify. Empty means none is sent, and the target's address is verified.
	ServerName string
	// SkipVerify takes any certificate, as keepalived does.
	SkipVerify bool
}

// URL is one request and the answer to expect.
type URL struct {
	// Path with query. Empty means "/".
	Path string
	// VirtualHost is the Host header. Empty means the target's address and port.
	VirtualHost string
	// Status lists the status codes that are well. Empty means 200 to 299.
	Status []StatusRange
	// Digest is the MD5 of the body in hexadecimal, as keepalived's genhash prints it. Empty means any body.
	Digest string
}

// StatusRange is a range of HTTP status codes, both ends included.
type StatusRange struct {
	Low, High int
}

// String is "200" or "200-299".
func (r StatusRange) String() string {
	if r.Low == r.High {
		return fmt.Sprint(r.Low)
	}
	return fmt.Sprintf("%d-%d", r.Low, r.High)
}

// Bounds that no honest server meets. A hostile one cannot make a check take more memory; time is bounded by the context.
const (
	maxHeader = 64 << 10
	maxBody   = 1 << 20
)

// Check implements [Checker].
func (c HTTP) Check(ctx context.Context) error {
	if len(c.URLs) == 0 {
		return errors.New("HTTP check without url")
	}
	for _, u := range c.URLs {
		if err := c.get(ctx, u); err != nil {
			return err
		}
	}
	return nil
}

func (c HTTP) get(ctx context.Context, u URL) error {
	path := u.Path
	if path == "" {
		path = "/"
	}
	address := c.scheme() + "://" + c.Addr.String() + path
	where := "GET " + address
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	req.Host = u.VirtualHost
	req.Header.Set("User-Agent", "holdfast")
	resp, err := c.transport().RoundTrip(req)
	if err != nil {
		return fmt.Errorf("%s: %w", where, cause(err))
	}
	defer resp.Body.Close()
	digest, err := u.readBody(resp.Body)
	if err != nil {
		return fmt.Errorf("%s: status %d, then the body broke off: %w", where, resp.StatusCode, cause(err))
	}
	if !u.accepts(resp.StatusCode) {
		return fmt.Errorf("%s: status %d, want %s", where, resp.StatusCode, u.wanted())
	}
	if !strings.EqualFold(digest, u.Digest) {
		return fmt.Errorf("%s: digest %s, want %s", where, digest, u.Digest)
	}
	return nil
}

// readBody reads a body to its end and gives its digest, which is empty when none is wanted.
func (u URL) readBody(body io.Reader) (digest string, err error) {
	body = io.LimitReader(body, maxBody)
	if u.Digest == "" {
		_, err = io.Copy(io.Discard, body)
		return "", err
	}
	sum := md5.New()
	_, err = io.Copy(sum, body)
	return hex.EncodeToString(sum.Sum(nil)), err
}

func (c HTTP) scheme() string {
	if c.TLS != nil {
		return "https"
	}
	return "http"
}

// tlsConfig names the server also when nothing is sent: Go verifies by it.
func (c HTTP) tlsConfig() *tls.Config {
	if c.TLS == nil {
		return nil
	}
	name := c.TLS.ServerName
	if name == "" {
		name = c.Addr.Addr().String() // an address is never sent
	}
	return &tls.Config{ServerName: name, InsecureSkipVerify: c.TLS.SkipVerify}
}

// transport is made for one request: a check must see whether the server takes connections.
func (c HTTP) transport() *http.Transport {
	return &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
		TLSClientConfig:        c.tlsConfig(),
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
}

func (u URL) accepts(status int) bool {
	for _, r := range u.status() {
		if r.Low <= status && status <= r.High {
			return true
		}
	}
	return false
}

func (u URL) status() []StatusRange {
	if len(u.Status) == 0 {
		return []StatusRange{{200, 299}}
	}
	return u.Status
}

func (u URL) wanted() string {
	var parts []string
	for _, r := range u.status() {
		parts = append(parts, r.String())
	}
	return strings.Join(parts, " or ")
}
