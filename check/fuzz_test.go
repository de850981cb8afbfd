package check

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

// canned is a connection on which all has been said.
type canned struct {
	net.Conn
	r io.Reader
}

func (c *canned) Read(b []byte) (int, error)  { return c.r.Read(b) }
func (c *canned) Write(b []byte) (int, error) { return len(b), nil }
func (c *canned) SetDeadline(time.Time) error { return nil }
func (c *canned) Close() error                { return nil }

// FuzzAnswers gives what a server might say to every parser: none panics, or runs on.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte("HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.0 302 Found\r\nLocation: /y?z\r\nContent-Length: 3\r\n\r\n{\"a\":[1]}"))
	f.Add([]byte("220-mail\r\n220 ready\r\n250 hello\r\n221 bye\r\n"))
	f.Add([]byte("\x45\x00\x00\x1c\x00\x00\x00\x00\x40\x01\x00\x00\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\x00\x00\x00\x12\x34\x00\x01token"))
	re, err := NewRegex(`(\w+)\s+\1`, "caseless")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		h := HTTP{Target: Target{Addr: netip.MustParseAddrPort("192.0.2.1:80")}, Protocol: HTTP11Keep}
		w := &wire1{http: &h, conn: &canned{r: bytes.NewReader(said)}, stop: func() bool { return true }}
		w.in = &reader{metered: metered{from: w.conn}}
		w.in.Reader = bufio.NewReader(&w.in.metered)
		u := &URL{Redirects: 3, Digest: "x", Regex: re, JSON: []JSONValue{{"/a/0", "1"}}}
		_, _ = h.follow(t.Context(), &refuses{w}, u, &request{method: "GET", path: "/", host: "a"})
		_ = u.judgeBody(said)
		talk := conversation{io.Discard, replies(&canned{r: bytes.NewReader(said)})}
		for talk.say("QUIT", 0) == nil {
			continue
		}
		for _, c := range []Ping{{Addr: netip.MustParseAddr("192.0.2.1")}, {Addr: netip.MustParseAddr("2001:db8::1")}} {
			_ = c.answers(said, []byte("token"))
		}
		_ = (&Reply{Data: []byte("ab"), Mask: []byte{0xf0}, Min: 1, Max: 9}).fits(said)
	})
}

// FuzzNumber: what C would read of a file as a number is the beginning of it, and nothing but too large.
func FuzzNumber(f *testing.F) {
	for _, text := range []string{"17", "-0x1F rest", "+077", "08", "0x", "0b1", "1_000", "--1", "99999999999", "0o7"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		digits := number(text)
		if !strings.HasPrefix(strings.TrimPrefix(text, "+"), digits) {
			t.Fatalf("%q of %q", digits, text)
		}
		if digits == "" {
			return
		}
		if n, err := strconv.ParseInt(digits, 0, 32); err != nil && !errors.Is(err, strconv.ErrRange) {
			t.Errorf("%q: %v", digits, err)
		} else if again := number(strconv.FormatInt(n, 10) + " x"); again != strconv.FormatInt(n, 10) {
			t.Errorf("%d is read as %q", n, again)
		}
	})
}

// refuses connects no more than once.
type refuses struct{ *wire1 }

func (r *refuses) roundTrip(ctx context.Context, ask *request) (*http.Response, error) {
	if r.conn == nil {
		return nil, io.EOF
	}
	return r.wire1.roundTrip(ctx, ask)
}
