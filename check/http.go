package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// HTTP is well when every url of its list answers as it should (HTTP_GET, and with TLS SSL_GET). Each check asks all of them,
// one after the other.
type HTTP struct {
	Target
	// TLS makes it HTTPS. Nil means plain HTTP.
	TLS *TLS
	// Protocol to speak. Empty means HTTP11.
	Protocol Protocol
	// URLs to ask for. At least one.
	URLs []URL
}

// Protocol is a version of HTTP and what becomes of the connection, in keepalived's words (http_protocol) and two of our own.
type Protocol string

// The protocols. Each check makes connections of its own in any case: it must see whether the server takes them.
const (
	HTTP10      Protocol = "1.0"  // a connection for each url
	HTTP10Close Protocol = "1.0C" // with Connection: close
	HTTP11      Protocol = "1.1"  // with Connection: close
	HTTP11Keep  Protocol = "1.1K" // one connection for all urls, as long as the server keeps it
	HTTP2       Protocol = "2"    // one connection for all urls; without TLS with prior knowledge
)

// URL is one request and the answer to expect.
type URL struct {
	// Path with query, sent as it is. Empty means "/".
	Path string
	// VirtualHost is the Host header, and with TLS the name that is asked for. Empty means the target's address and port.
	VirtualHost string
	// Method of the request. Empty means GET.
	Method string
	// Header is sent in addition. The User-Agent is "holdfast" unless it has another.
	Header http.Header
	// Body of the request, with a Content-Length.
	Body string
	// Redirects is how many are followed, with their Host and path, to the target only: the check says how this server is,
	// not another. 0 makes a redirect an answer like any other.
	Redirects int

	// Status lists the status codes that are well. Empty means 200 to 299.
	Status []StatusRange
	// Digest is the MD5 of the body in hexadecimal, as keepalived's genhash prints it. Empty means any body.
	Digest string
	// Text must be in the body, as far as that is searched (1 MiB).
	Text string
	// Regex must match the body, as far as that is searched (1 MiB).
	Regex *Regex
	// JSON lists values that the body must have. It must then be JSON of at most 1 MiB.
	JSON []JSONValue
	// Within is the longest time that the whole answer may take. 0 leaves it to the check's timeout.
	Within time.Duration
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

// Key implements [Keyer].
func (c HTTP) Key() string {
	return fmt.Sprintf("%v %s %q %#v", c.Target, c.TLS.Key(), c.Protocol, c.URLs)
}

// Check implements [Checker].
func (c HTTP) Check(ctx context.Context) error {
	_, err := c.Report(ctx)
	return err
}

// Report implements [Reporter]: the detail is the status of the last url, and with TLS how long the certificate is valid.
func (c HTTP) Report(ctx context.Context) (Report, error) {
	if len(c.URLs) == 0 {
		return Report{}, errors.New("HTTP check without url")
	}
	var via wire = &wire1{http: &c}
	if c.Protocol == HTTP2 {
		via = &wire2{http: &c}
	}
	defer via.close()
	var last Report
	for i := range c.URLs {
		var err error
		if last.Detail, err = c.ask(ctx, via, &c.URLs[i]); err != nil {
			return last, err
		}
	}
	return last, nil
}

// wire carries requests.
type wire interface {
	// roundTrip sends a request and gives the answer, whose body is read, and closed, before the next one.
	roundTrip(ctx context.Context, r *request) (*http.Response, error)
	close()
}

// request is one that is sent: a url's, or one that it redirects to.
type request struct {
	method, path, host string
	header             http.Header
	body               string
}

// first is the request that a url begins with.
func (c HTTP) first(u *URL) *request {
	r := &request{method: u.Method, path: u.Path, host: u.VirtualHost, header: u.Header, body: u.Body}
	if r.method == "" {
		r.method = http.MethodGet
	}
	if r.path == "" {
		r.path = "/"
	}
	if r.host == "" {
		r.host = c.address()
	}
	return r
}

// failed says of an error what was asked for.
func (c HTTP) failed(r *request, err error) error {
	return fmt.Errorf("%s %s://%v%s: %w", r.method, c.scheme(), c.Addr, r.path, err)
}

func (c HTTP) ask(ctx context.Context, via wire, u *URL) (detail string, err error) {
	r := c.first(u)
	begin := time.Now()
	detail, err = c.follow(ctx, via, u, r)
	if took := time.Since(begin); err == nil && u.Within > 0 && took > u.Within {
		err = fmt.Errorf("answered after %v, want %v at most", took.Round(time.Microsecond), u.Within)
	}
	if err != nil {
		return detail, c.failed(r, err)
	}
	return detail, nil
}

// follow asks until an answer is no redirect any more, and judges that.
func (c HTTP) follow(ctx context.Context, via wire, u *URL, r *request) (detail string, err error) {
	for hops := 0; ; hops++ {
		if err := r.validate(); err != nil {
			return "", err
		}
		resp, err := via.roundTrip(ctx, r)
		if err != nil {
			return "", err
		}
		to := resp.Header.Get("Location")
		if hops == u.Redirects || to == "" || resp.StatusCode/100 != 3 {
			err := u.judge(ctx, resp)
			resp.Body.Close()
			return detailOf(resp), err
		}
		resp.Body.Close()
		if err := r.redirect(c.scheme(), resp.StatusCode, to); err != nil {
			return "", err
		}
	}
}

// detailOf is what is worth knowing of an answer.
func detailOf(resp *http.Response) string {
	if resp.TLS == nil || len(resp.TLS.PeerCertificates) == 0 {
		return resp.Status
	}
	days := int(time.Until(resp.TLS.PeerCertificates[0].NotAfter).Hours() / 24)
	return fmt.Sprintf("%s, certificate valid for %d days", resp.Status, days)
}

func (c HTTP) scheme() string {
	if c.TLS != nil {
		return "https"
	}
	return "http"
}

// address is the target as a Host header has it.
func (c HTTP) address() string {
	a := c.Addr.String()
	if zone := c.Addr.Addr().Zone(); zone != "" {
		a = strings.Replace(a, "%"+zone, "", 1)
	}
	return a
}

// ended says that time is up where that is why an error came.
func ended(ctx context.Context, err error) error {
	switch {
	case is[notRun](err) || errors.Is(err, errTimedOut):
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errTimedOut
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return cause(err)
}

// is says whether an error of a type is among those that err wraps.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
