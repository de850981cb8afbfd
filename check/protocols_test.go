package check_test

import (
	"bufio"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
	"golang.org/x/net/dns/dnsmessage"
)

// says runs a check that must fail with the given words, or succeed when there are none.
func says(t *testing.T, c check.Checker, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := c.Check(ctx)
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%+v: %v, want %q", c, err, want)
	}
}

func TestHTTPOverTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS.ServerName) }))
	defer s.Close()
	h := check.HTTP{Target: target(s.Listener.Addr()), TLS: &check.TLS{SkipVerify: true}, URLs: []check.URL{{Path: "/"}}}
	says(t, h, "")
	sum := md5.Sum([]byte("www.example.org"))
	h.URLs[0].Digest = strings.ToUpper(hex.EncodeToString(sum[:]))
	says(t, h, "digest d41d8cd98f00b204e9800998ecf8427e, want "+h.URLs[0].Digest) // that of nothing
	h.TLS = &check.TLS{SkipVerify: true, ServerName: "www.example.org"}
	says(t, h, "")
	h.TLS = &check.TLS{}
	says(t, h, "certificate")
	h.Target = refused(t)
	says(t, h, "connection refused")
}

// mailServer answers each line with the next of its replies.
func mailServer(t *testing.T, replies ...string) check.Target {
	return listen(t, func(c net.Conn) {
		lines := bufio.NewScanner(c)
		for _, r := range replies {
			fmt.Fprintf(c, "%s\r\n", r)
			if !lines.Scan() {
				return
			}
		}
		c.Close()
	})
}

func TestSMTP(t *testing.T) {
	checktest.TestChecker(t,
		func(t *testing.T) check.Checker {
			return check.SMTP{Target: mailServer(t, "220-hello\r\n220 there", "250 ok", "221 bye")}
		},
		func(t *testing.T) check.Checker { return check.SMTP{Target: mailServer(t, "554 no")} },
		func(t *testing.T) check.Checker { return check.SMTP{Target: listen(t, func(net.Conn) {})} })
	says(t, check.SMTP{Target: mailServer(t, "554 busy")}, "greeting: 554")
	says(t, check.SMTP{Target: mailServer(t, "220 a", "500 who"), Helo: "lb1"}, "HELO lb1: 500")
	says(t, check.SMTP{Target: mailServer(t, "220 a", "250 b")}, "QUIT: ")
	says(t, check.SMTP{Target: refused(t)}, "connection refused")
}

// packetServer answers datagrams, or is silent where answer gives nil.
func packetServer(t *testing.T, answer func(query []byte) []byte) check.Target {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := answer(buf[:n]); reply != nil {
				c.WriteTo(reply, from)
			}
		}
	}()
	return check.Target{Addr: c.LocalAddr().(*net.UDPAddr).AddrPort()}
}

func silentServer(t *testing.T) check.Target {
	return packetServer(t, func([]byte) []byte { return nil })
}

func deadPort(t *testing.T) check.Target {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return check.Target{Addr: c.LocalAddr().(*net.UDPAddr).AddrPort()}
}

func TestUDP(t *testing.T) {
	echo := packetServer(t, func(q []byte) []byte { return append([]byte{}, q...) })
	checktest.TestChecker(t,
		func(*testing.T) check.Checker { return check.UDP{Target: echo, Reply: &check.Reply{}} },
		func(t *testing.T) check.Checker { return check.UDP{Target: deadPort(t)} },
		func(t *testing.T) check.Checker { return check.UDP{Target: silentServer(t), Reply: &check.Reply{}} })
	hello := []byte("hello")
	says(t, check.UDP{Target: echo, Payload: hello, Reply: &check.Reply{Data: []byte("he")}}, "")
	says(t, check.UDP{Target: echo, Payload: hello, Reply: &check.Reply{Data: []byte("hexlo"), Mask: []byte{255, 255, 0, 255, 255}}}, "")
	says(t, check.UDP{Target: echo, Payload: hello, Reply: &check.Reply{Data: []byte("hexlo")}}, "differs at byte 2")
	says(t, check.UDP{Target: echo, Payload: hello, Reply: &check.Reply{Min: 6}}, "5 bytes")
	says(t, check.UDP{Target: echo, Payload: hello, Reply: &check.Reply{Max: 4}}, "5 bytes")
	says(t, check.UDP{Target: silentServer(t)}, "")
	says(t, check.UDP{Target: silentServer(t), Reply: &check.Reply{}}, "no answer")
	says(t, check.UDP{Target: deadPort(t)}, "port unreachable")
}

// nameServer answers with the given code, after a stray answer to somebody else.
func nameServer(t *testing.T, code dnsmessage.RCode) check.Target {
	return packetServer(t, func(q []byte) []byte {
		var m dnsmessage.Message
		if err := m.Unpack(q); err != nil || len(m.Questions) != 1 {
			t.Errorf("query: %v %v", m, err)
		}
		m.Response, m.RCode = true, code
		reply, _ := m.Pack()
		return reply
	})
}

func TestDNS(t *testing.T) {
	checktest.TestChecker(t,
		func(t *testing.T) check.Checker { return check.DNS{Target: nameServer(t, 0)} },
		func(t *testing.T) check.Checker {
			return check.DNS{Target: nameServer(t, dnsmessage.RCodeServerFailure)}
		},
		func(t *testing.T) check.Checker { return check.DNS{Target: silentServer(t)} })
	says(t, check.DNS{Target: nameServer(t, dnsmessage.RCodeNameError), Name: "www.example.org", Type: dnsmessage.TypeA}, "RCodeNameError for www.example.org")
	says(t, check.DNS{Target: packetServer(t, func(q []byte) []byte { return q })}, "no answer") // a question is no answer
	says(t, check.DNS{Target: silentServer(t)}, "no answer")
	says(t, check.DNS{Target: deadPort(t)}, "refused")
	says(t, check.DNS{Target: check.Target{Addr: netip.MustParseAddrPort("127.0.0.1:53")}, Name: strings.Repeat("a", 300)}, "a")
}

// TestPing asks the loopback, which always answers; not from an address that this host does not have.
func TestPing(t *testing.T) {
	says(t, check.Ping{Addr: netip.MustParseAddr("127.0.0.1")}, "")
	says(t, check.Ping{Addr: netip.MustParseAddr("127.0.0.1"), Source: netip.MustParseAddr("127.0.0.2")}, "")
	says(t, check.Ping{Addr: netip.MustParseAddr("::1")}, "")
	says(t, check.Ping{Addr: netip.MustParseAddr("127.0.0.1"), Source: netip.MustParseAddr("192.0.2.1")}, "ping 127.0.0.1: ")
}
