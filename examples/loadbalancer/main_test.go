package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// web is a server that says its name, and whose application can be gone while it still listens.
func web(t *testing.T, name string) (addr string, sick *atomic.Bool) {
	sick = new(atomic.Bool)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if sick.Load() {
			http.Error(w, "the application is gone", http.StatusBadGateway)
			return
		}
		fmt.Fprint(w, name)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), sick
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// ask makes a new connection for each request, as new clients do.
func ask(addr string) string {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + addr + "/")
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return strings.TrimSpace(string(body))
}

func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !met(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("not within 20 s: " + what)
		}
	}
}

// TestSickServerIsLeftOut: both servers get clients; the one whose application is gone gets none, and comes back.
func TestSickServerIsLeftOut(t *testing.T) {
	one, sick := web(t, "one")
	two, _ := web(t, "two")
	listen, status := freePort(t), freePort(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- run(ctx, listen, "/", status, "", false, []string{one, two}) }()
	both := func() bool {
		seen := map[string]bool{}
		for range 8 {
			seen[ask(listen)] = true
		}
		return seen["one"] && seen["two"] && len(seen) == 2
	}
	eventually(t, "both servers answer", both)
	sick.Store(true)
	eventually(t, "only the other one answers", func() bool {
		for range 8 {
			if ask(listen) != "two" {
				return false
			}
		}
		return true
	})
	eventually(t, "the status says so", func() bool { return strings.Contains(ask(status), "502") })
	sick.Store(false)
	eventually(t, "both servers answer again", both)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if answer := ask(listen); !strings.Contains(answer, "refused") {
		t.Errorf("after the end: %s", answer)
	}
}

func TestBadAddresses(t *testing.T) {
	for _, c := range [][]string{{"nowhere", "127.0.0.1:1"}, {"127.0.0.1:1", "nowhere"}, {"127.0.0.1:1", "a.example.org:http"}} {
		if err := run(t.Context(), c[0], "/", "", "", false, c[1:]); err == nil {
			t.Errorf("%v is accepted", c)
		}
	}
}

// names is a name server that knows one name, whose address a test changes.
func names(t *testing.T, addr *atomic.Value) (at string) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil {
				continue
			}
			m.Response = true
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: &dnsmessage.AResource{A: addr.Load().(netip.Addr).As4()}}}
			}
			b, _ := m.Pack()
			_, _ = c.WriteTo(b, from)
		}
	}()
	return c.LocalAddr().String()
}

// TestServerByName: the name leads elsewhere, and so do the clients.
func TestServerByName(t *testing.T) {
	one, _ := web(t, "one")
	_, port, _ := net.SplitHostPort(one)
	other, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	two := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "two") })}
	go two.Serve(other)
	t.Cleanup(func() { two.Close() })
	var addr atomic.Value
	addr.Store(netip.MustParseAddr("127.0.0.1"))
	listen, dns := freePort(t), names(t, &addr)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- run(ctx, listen, "/", "", dns, false, []string{"app.internal:" + port}) }()
	eventually(t, "the server of the name answers", func() bool { return ask(listen) == "one" })
	addr.Store(netip.MustParseAddr("127.0.0.2"))
	eventually(t, "the one at its new address answers", func() bool { return ask(listen) == "two" })
	for range 4 {
		if got := ask(listen); got != "two" {
			t.Errorf("then %s answers", got)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
