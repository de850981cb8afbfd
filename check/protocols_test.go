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
	patience := 10 * time.Second
	for _, words := range []string{"timed out", "no answer", "differs at", "answer has"} { // that is known when the time is over
		if strings.Contains(want, words) {
			patience = 300 * time.Millisecond
		}
	}
	saysWithin(t, patience, c, want)
}

func saysWithin(t *testing.T, patience time.Duration, c check.Checker, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
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
	for name, c := range map[string]struct {
		replies []string
		want    string
	}{
		"another greeting":              {[]string{"554 busy"}, "greeting: 554 busy"},
		"a greeting without text":       {[]string{"220", "250", "221"}, ""},
		"a greeting that is none":       {[]string{"hello"}, `"hello" is no reply`},
		"another reply to HELO":         {[]string{"220 a", "500 who"}, "HELO lb1: 500 who"},
		"any reply to QUIT":             {[]string{"220 a", "250 b", "500 no"}, ""},
		"none to QUIT":                  {[]string{"220 a", "250 b"}, "QUIT: closed without a reply"},
		"hangs up before the greeting":  {nil, "greeting: closed without a reply"},
		"an endless greeting":           {[]string{strings.Repeat("220-more\r\n", 8000)}, "greeting: closed without a reply"},
		"a greeting without a line end": {[]string{strings.Repeat("2", 70000)}, "longer than 512"},
	} {
		t.Run(name, func(t *testing.T) { says(t, check.SMTP{Target: mailServer(t, c.replies...), Helo: "lb1"}, c.want) })
	}
	says(t, check.SMTP{Target: refused(t)}, "connection refused")
	says(t, check.SMTP{Target: listen(t, func(net.Conn) {})}, "greeting: timed out")
	says(t, check.SMTP{Target: listen(t, drip("220-"))}, "greeting: timed out")
}

// drip sends a byte every ten milliseconds.
func drip(opening string) func(c net.Conn) {
	return func(c net.Conn) {
		for _, err := fmt.Fprint(c, opening); err == nil; _, err = fmt.Fprint(c, "x") {
			time.Sleep(10 * time.Millisecond) // a real server, in real time
		}
	}
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
	reply := func(r check.Reply) check.UDP { return check.UDP{Target: echo, Payload: hello, Reply: &r} }
	says(t, reply(check.Reply{Data: []byte("he")}), "")
	says(t, reply(check.Reply{Data: []byte("hexlo"), Mask: []byte{255, 255, 0, 255, 255}}), "")
	says(t, reply(check.Reply{Data: []byte{0x6f}, Mask: []byte{0x0f}}), "differs at byte 0") // 0x68
	says(t, reply(check.Reply{Data: []byte{0xf8}, Mask: []byte{0x0f}}), "")
	says(t, reply(check.Reply{Data: []byte("hexlo")}), "differs at byte 2")
	says(t, reply(check.Reply{Data: []byte("hello you")}), "answer has 5 bytes, want 9 at least")
	says(t, reply(check.Reply{Min: 6}), "answer has 5 bytes, want 6 at least")
	says(t, reply(check.Reply{Max: 4}), "answer has 5 bytes, want 4 at most")
	says(t, reply(check.Reply{Min: 5, Max: 5}), "")
	saysWithin(t, 100*time.Millisecond, check.UDP{Target: silentServer(t)}, "")
	says(t, check.UDP{Target: silentServer(t), Reply: &check.Reply{}}, "no answer")
	says(t, check.UDP{Target: deadPort(t)}, "port unreachable")
	empty := packetServer(t, func([]byte) []byte { return []byte{} })
	says(t, check.UDP{Target: empty, Reply: &check.Reply{}}, "")
}

func TestUDPSendsItsPayload(t *testing.T) {
	heard := make(chan []byte, 1)
	to := packetServer(t, func(q []byte) []byte { heard <- append([]byte{}, q...); return q })
	for _, payload := range [][]byte{nil, {0, 255}} {
		says(t, check.UDP{Target: to, Payload: payload}, "")
		if got := <-heard; payload == nil && len(got) != 32 || payload != nil && string(got) != string(payload) {
			t.Errorf("%x was sent, want %x", got, payload)
		}
	}
}

// TestUDPWaitsForAFittingAnswer: one that does not fit may be another's.
func TestUDPWaitsForAFittingAnswer(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		_, from, err := c.ReadFrom(make([]byte, 100))
		for _, reply := range []string{"stray", "", "fits"} {
			if err == nil {
				_, err = c.WriteTo([]byte(reply), from)
			}
		}
	}()
	says(t, check.UDP{Target: check.Target{Addr: c.LocalAddr().(*net.UDPAddr).AddrPort()}, Reply: &check.Reply{Data: []byte("fits")}}, "")
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

// TestDNSTakesOnlyItsOwnAnswer: what is too short, of another query, or no answer at all, is read over.
func TestDNSTakesOnlyItsOwnAnswer(t *testing.T) {
	answer := func(change func(reply []byte) []byte) func(q []byte) []byte {
		return func(q []byte) []byte {
			r := append([]byte{}, q...)
			r[2] |= 0x80
			return change(r)
		}
	}
	for _, c := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"an answer without records":   {func(r []byte) []byte { return r }, ""},
		"no more than a header":       {func(r []byte) []byte { return r[:12] }, ""},
		"truncated":                   {func(r []byte) []byte { r[2] |= 2; return r }, ""},
		"with a tail that is garbage": {func(r []byte) []byte { return append(r, strings.Repeat("\xff", 5000)...) }, ""},
		"shorter than a header":       {func(r []byte) []byte { return r[:11] }, "no answer"},
		"of another query":            {func(r []byte) []byte { r[1]++; return r }, "no answer"},
		"a question":                  {func(r []byte) []byte { r[2] &^= 0x80; return r }, "no answer"},
		"empty":                       {func(r []byte) []byte { return []byte{} }, "no answer"},
		"refused":                     {func(r []byte) []byte { r[3] |= 5; return r }, "RCodeRefused for ."},
	} {
		says(t, check.DNS{Target: packetServer(t, answer(c.change))}, c.want)
	}
}

func TestDNSAsks(t *testing.T) {
	questions := make(chan dnsmessage.Message, 1)
	to := packetServer(t, func(q []byte) []byte {
		var m dnsmessage.Message
		if err := m.Unpack(q); err != nil {
			t.Error(err)
		}
		questions <- m
		q[2] |= 0x80
		return q
	})
	for _, c := range []struct{ name, want string }{{"", "."}, {".", "."}, {"a.b", "a.b."}, {"www.example.org.", "www.example.org."}} {
		says(t, check.DNS{Target: to, Name: c.name, Type: 48}, "")
		m := <-questions
		q := m.Questions[0]
		if q.Name.String() != c.want || q.Type != 48 || q.Class != dnsmessage.ClassINET || !m.RecursionDesired || len(m.Questions) != 1 || len(m.Additionals) != 0 {
			t.Errorf("%q: %v", c.name, m.GoString())
		}
	}
	says(t, check.DNS{Target: to}, "")
	if m := <-questions; m.Questions[0].Type != dnsmessage.TypeSOA {
		t.Errorf("by default: %v", m.GoString())
	}
}

// TestFloodsOfAnswersEnd: a server that sends wrong answers without end keeps no check longer than its time.
func TestFloodsOfAnswersEnd(t *testing.T) {
	flood := func() check.Target {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		go func() {
			_, from, err := c.ReadFrom(make([]byte, 1500))
			for err == nil {
				_, err = c.WriteTo(make([]byte, 1000), from)
			}
		}()
		return check.Target{Addr: c.LocalAddr().(*net.UDPAddr).AddrPort()}
	}
	begin := time.Now()
	says(t, check.DNS{Target: flood()}, "no answer")
	says(t, check.UDP{Target: flood(), Reply: &check.Reply{Data: []byte{1}}}, "differs at byte 0")
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("two checks of 300 ms took %v", took)
	}
}

// TestPing asks the loopback, which always answers; not from an address that this host does not have.
func TestPing(t *testing.T) {
	says(t, check.Ping{Addr: netip.MustParseAddr("127.0.0.1")}, "")
	says(t, check.Ping{Addr: netip.MustParseAddr("127.0.0.1"), Source: netip.MustParseAddr("127.0.0.2")}, "")
	says(t, check.Ping{Addr: netip.MustParseAddr("::1")}, "")
	says(t, check.Ping{Addr: netip.MustParseAddr("127.0.0.1"), Source: netip.MustParseAddr("192.0.2.1")}, "ping 127.0.0.1: ")
}

// TestPingsDoNotMix: many at once to one host, each with its own answer.
func TestPingsDoNotMix(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	errs := make(chan error, 500)
	for i := range 500 {
		addr := netip.AddrFrom4([4]byte{127, 0, 0, byte(1 + i%100)})
		go func() { errs <- check.Ping{Addr: addr}.Check(ctx) }()
	}
	for range 500 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
