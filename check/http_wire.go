package check

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// maxHeader is what no honest server's header reaches.
const maxHeader = 64 << 10

// userAgent is who we say we are.
const userAgent = "holdfast"

// validate refuses what would make another request of it.
func (r *request) validate() error {
	for _, part := range []string{r.method, r.path, r.host} {
		if strings.ContainsFunc(part, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
			return fmt.Errorf("%q has a blank or a control character", part)
		}
	}
	for name, values := range r.header {
		for _, v := range values {
			if strings.ContainsAny(name, "\r\n: ") || strings.ContainsAny(v, "\r\n") {
				return fmt.Errorf("header %q: %q has a line break, or the name a blank or colon", name, v)
			}
		}
	}
	return nil
}

// redirect goes where an answer points, as far as that is on this server.
func (r *request) redirect(scheme string, status int, location string) error {
	base, err := url.Parse(scheme + "://" + r.host + r.path)
	if err != nil {
		return fmt.Errorf("redirect from there: %w", err)
	}
	to, err := base.Parse(location)
	if err != nil {
		return fmt.Errorf("status %d, Location: %w", status, err)
	}
	if to.Scheme != scheme {
		return fmt.Errorf("status %d redirects to %q, which this check does not speak", status, location)
	}
	r.host, r.path = to.Host, to.RequestURI()
	if status == http.StatusSeeOther || r.method == http.MethodPost && status < http.StatusTemporaryRedirect {
		r.method, r.body = http.MethodGet, ""
	}
	return nil
}

// append writes the request as it goes over the wire, in the order in which keepalived does.
func (r *request) append(b []byte, p Protocol) []byte {
	version := "1.1"
	if p == HTTP10 || p == HTTP10Close {
		version = "1.0"
	}
	agent := userAgent
	if v := r.header["User-Agent"]; len(v) > 0 {
		agent = v[0]
	}
	b = fmt.Appendf(b, "%s %s HTTP/%s\r\nUser-Agent: %s\r\n", r.method, r.path, version, agent)
	if p != HTTP10 && p != HTTP11Keep {
		b = append(b, "Connection: close\r\n"...)
	}
	b = fmt.Appendf(b, "Host: %s\r\n", r.host)
	for name, values := range r.header {
		for _, v := range values {
			if name != "User-Agent" && name != "Host" {
				b = fmt.Appendf(b, "%s: %s\r\n", name, v)
			}
		}
	}
	if r.body != "" {
		b = fmt.Appendf(b, "Content-Length: %d\r\n", len(r.body))
	}
	b = append(b, "\r\n"...)
	return append(b, r.body...)
}

// wire1 speaks HTTP/1. http.Transport would do it with two goroutines and many times the work.
type wire1 struct {
	http *HTTP
	conn net.Conn
	in   *reader
	name string // of TLS
	stop func() bool
}

var readers = sync.Pool{New: func() any {
	r := &reader{}
	r.Reader = bufio.NewReader(&r.metered)
	return r
}}

// reader reads answers. What it takes before a header has ended is bounded.
type reader struct {
	*bufio.Reader
	metered
}

type metered struct {
	from net.Conn
	left int
}

var errLongHeader = fmt.Errorf("the header is longer than %d bytes", maxHeader)

func (m *metered) Read(b []byte) (int, error) {
	if m.left <= 0 {
		return 0, errLongHeader
	}
	n, err := m.from.Read(b[:min(len(b), m.left)])
	m.left -= n
	return n, err
}

func (w *wire1) roundTrip(ctx context.Context, r *request) (*http.Response, error) {
	if w.conn != nil && w.http.TLS != nil && w.http.TLS.name(r.host) != w.name {
		w.close()
	}
	if w.conn == nil {
		if err := w.connect(ctx, r.host); err != nil {
			return nil, err
		}
	}
	if _, err := w.conn.Write(r.append(nil, w.http.Protocol)); err != nil {
		return nil, fmt.Errorf("sending: %w", ended(ctx, err))
	}
	resp, err := w.answer(r)
	if err != nil {
		return nil, ended(ctx, err)
	}
	w.in.left = math.MaxInt
	if secure, ok := w.conn.(*tls.Conn); ok {
		state := secure.ConnectionState()
		resp.TLS = &state
	}
	resp.Body = &wireBody{resp.Body, w, resp.Close || w.http.Protocol != HTTP11Keep}
	return resp, nil
}

// wireBody is the body of an answer. The last one takes the connection with it, and so does one that is too long to be read
// over.
type wireBody struct {
	io.ReadCloser
	wire *wire1
	last bool
}

func (b *wireBody) Close() error {
	if !b.last {
		_, err := io.CopyN(io.Discard, b.ReadCloser, maxBody)
		b.last = !errors.Is(err, io.EOF)
	}
	if b.last {
		b.wire.close()
	}
	return nil
}

func (w *wire1) connect(ctx context.Context, host string) error {
	conn, err := w.http.dial(ctx)
	if err != nil {
		return err
	}
	if t := w.http.TLS; t != nil {
		secure, err := handshake(ctx, conn, t.Config(w.http.Target, host))
		if err != nil {
			conn.Close()
			return err
		}
		conn, w.name = secure, t.name(host)
	}
	w.conn, w.stop = conn, until(ctx, conn)
	w.in = readers.Get().(*reader)
	w.in.from = conn
	w.in.Reset(&w.in.metered)
	return nil
}

var errNoHeader = errors.New("closed without a whole header")

// answer reads a header, and reads over the ones that only announce another.
func (w *wire1) answer(r *request) (*http.Response, error) {
	w.in.left = maxHeader
	for {
		resp, err := http.ReadResponse(w.in.Reader, &http.Request{Method: r.method})
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, errNoHeader
		case err != nil:
			return nil, err
		case resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols:
			return resp, nil
		}
	}
}

func (w *wire1) close() {
	if w.conn == nil {
		return
	}
	w.stop()
	if w.http.TLS != nil {
		w.http.TLS.close(w.conn)
	} else {
		w.conn.Close()
	}
	w.in.from = nil
	readers.Put(w.in)
	w.conn, w.in = nil, nil
}

// wire2 speaks HTTP/2.
type wire2 struct {
	http      *HTTP
	transport *http.Transport
}

func (w *wire2) roundTrip(ctx context.Context, r *request) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, w.http.scheme()+"://"+w.http.address()+r.path, strings.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Host, req.Header = r.host, r.header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", userAgent)
	}
	if w.transport == nil {
		w.transport = w.http.transport2(r.host)
	}
	resp, err := w.transport.RoundTrip(req)
	if err != nil {
		return nil, ended(ctx, err)
	}
	return resp, nil
}

func (w *wire2) close() {
	if w.transport != nil {
		w.transport.CloseIdleConnections()
	}
}

func (c *HTTP) transport2(host string) *http.Transport {
	t := &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		Protocols:              new(http.Protocols),
	}
	if c.TLS == nil {
		t.Protocols.SetUnencryptedHTTP2(true)
		return t
	}
	t.Protocols.SetHTTP2(true)
	t.TLSClientConfig = c.TLS.Config(c.Target, host)
	return t
}

// statusLine is for messages.
func statusLine(r *http.Response) string { return "status " + strconv.Itoa(r.StatusCode) }
