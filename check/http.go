package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// HTTP is well when every url of its list answers as it should (HTTP_GET). Each check asks all of them, one after the other,
// each over a connection of its own. Redirects are not followed: a redirect is an answer like any other.
type HTTP struct {
	Target
	// URLs to ask for. At least one.
	URLs []URL
}

// URL is one request and the answer to expect.
type URL struct {
	// Path with query. Empty means "/".
	Path string
	// VirtualHost is the Host header. Empty means the target's address and port.
	VirtualHost string
	// Status lists the status codes that are well. Empty means 200 to 299.
	Status []StatusRange
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
	where := "GET http://" + c.Addr.String() + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Addr.String()+path, nil)
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
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody)); err != nil {
		return fmt.Errorf("%s: status %d, then the body broke off: %w", where, resp.StatusCode, cause(err))
	}
	if !u.accepts(resp.StatusCode) {
		return fmt.Errorf("%s: status %d, want %s", where, resp.StatusCode, u.wanted())
	}
	return nil
}

// transport is made for one request: a check must see whether the server takes connections.
func (c HTTP) transport() *http.Transport {
	return &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
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
