package check_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
)

func target(addr net.Addr) check.Target { return check.Target{Addr: addr.(*net.TCPAddr).AddrPort()} }

// listen gives each connection to serve, on a goroutine of its own.
func listen(t *testing.T, serve func(c net.Conn)) check.Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go serve(c)
		}
	}()
	return target(l.Addr())
}

// refused is a port that nobody listens on.
func refused(t *testing.T) check.Target {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return target(l.Addr())
}

func TestTCP(t *testing.T) {
	checktest.TestChecker(t,
		func(t *testing.T) check.Checker { return check.TCP{Target: listen(t, func(c net.Conn) { c.Close() })} },
		func(t *testing.T) check.Checker { return check.TCP{Target: refused(t)} }, nil)
	err := check.TCP{Target: refused(t)}.Check(t.Context())
	if !strings.HasPrefix(err.Error(), "connect to 127.0.0.1:") || !strings.HasSuffix(err.Error(), ": connection refused") {
		t.Errorf("reason %q", err)
	}
	odd := listen(t, func(net.Conn) {})
	odd.Source = netip.MustParseAddrPort("192.0.2.1:0")
	if err := (check.TCP{Target: odd}).Check(t.Context()); err == nil {
		t.Error("an address that is not ours was bound")
	}
}

func server(t *testing.T, h http.HandlerFunc) check.Target {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return target(s.Listener.Addr())
}

func TestHTTP(t *testing.T) {
	answer := func(status int) func(t *testing.T) check.Checker {
		return func(t *testing.T) check.Checker {
			return check.HTTP{Target: server(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) }), URLs: []check.URL{{}}}
		}
	}
	checktest.TestChecker(t, answer(204), answer(502), func(t *testing.T) check.Checker {
		return check.HTTP{Target: listen(t, func(c net.Conn) { io.Copy(io.Discard, c) }), URLs: []check.URL{{}}}
	})
}

func TestHTTPAsksEveryURLAsConfigured(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	to := server(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, fmt.Sprint(r.Method, " ", r.Host, " ", r.RequestURI, " ", r.Close))
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusFound)
	})
	c := check.HTTP{Target: to, URLs: []check.URL{
		{Path: "/a?b=c", VirtualHost: "example.org", Status: []check.StatusRange{{Low: 200, High: 200}, {Low: 300, High: 303}}},
		{Path: "/d", Status: []check.StatusRange{{Low: 200, High: 200}}},
	}}
	err := c.Check(t.Context())
	if want := fmt.Sprintf("GET http://%v/d: status 302, want 200", to.Addr); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	mu.Lock()
	defer mu.Unlock()
	want := fmt.Sprintf("GET example.org /a?b=c true, GET %v /d true", to.Addr)
	if got := strings.Join(asked, ", "); got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

// TestHTTPAgainstHostileServers: bounded time and memory, right verdict, reason told.
func TestHTTPAgainstHostileServers(t *testing.T) {
	asked := func(serve func(c net.Conn)) func(c net.Conn) {
		return func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				serve(c)
			}
		}
	}
	forever := func(b string) func(c net.Conn) {
		return func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, b); err != nil {
					return
				}
			}
		}
	}
	drip := func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
		for {
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // a real server, in real time
		}
	}
	for name, c := range map[string]struct {
		serve func(c net.Conn)
		want  string
	}{
		"endless header": {forever("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1000)), "header"},
		"no HTTP at all": {forever("hello\r\n"), "malformed"},
		"closes at once": {func(c net.Conn) { c.Close() }, ""},
		"drips":          {drip, "timed out"},
		"body cut short": {func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"); c.Close() }, "broke off"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err := check.HTTP{Target: listen(t, asked(c.serve)), URLs: []check.URL{{}}}.Check(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "GET http://127.0.0.1:") {
			t.Errorf("%s: %v, want something of %q", name, err, c.want)
		}
	}
	endless := listen(t, asked(func(c net.Conn) {
		io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\n")
		forever(strings.Repeat("x", 4096))(c)
	}))
	if err := (check.HTTP{Target: endless, URLs: []check.URL{{}}}).Check(t.Context()); err != nil {
		t.Errorf("the status of an endless body: %v", err)
	}
	if err := (check.HTTP{Target: endless}).Check(t.Context()); err == nil {
		t.Error("no url, and all is well")
	}
}
