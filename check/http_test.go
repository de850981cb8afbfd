package check_test

import (
	"bufio"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/check"
)

// recorder answers every request with the same bytes and keeps the requests as they came.
func recorder(t *testing.T, answer string) (check.Target, <-chan string) {
	t.Helper()
	requests := make(chan string, 16)
	return listen(t, func(c net.Conn) {
		defer c.Close()
		var request strings.Builder
		in := bufio.NewReader(io.TeeReader(c, &request))
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
		}
		requests <- request.String()
		io.WriteString(c, answer)
	}), requests
}

// page is an answer of a plain server.
func page(body string) string { return "HTTP/1.0 200 OK\r\n\r\n" + body }

func get(to check.Target, u check.URL) check.HTTP {
	return check.HTTP{Target: to, Protocol: check.HTTP10, URLs: []check.URL{u}}
}

func TestHTTPSendsWhatKeepalivedSends(t *testing.T) {
	agent := http.Header{"User-Agent": {"KeepAliveClient"}}
	for _, c := range []struct {
		protocol check.Protocol
		url      check.URL
		want     string
	}{
		{check.HTTP10, check.URL{Path: "/a?b", Header: agent}, "GET /a?b HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: ADDR\r\n\r\n"},
		{check.HTTP10Close, check.URL{Path: "/", Header: agent, VirtualHost: "www"}, "GET / HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\nHost: www\r\n\r\n"},
		{check.HTTP11, check.URL{Header: agent}, "GET / HTTP/1.1\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\nHost: ADDR\r\n\r\n"},
		{"", check.URL{}, "GET / HTTP/1.1\r\nUser-Agent: holdfast\r\nConnection: close\r\nHost: ADDR\r\n\r\n"},
		{check.HTTP11Keep, check.URL{Method: "HEAD"}, "HEAD / HTTP/1.1\r\nUser-Agent: holdfast\r\nHost: ADDR\r\n\r\n"},
		{check.HTTP11, check.URL{Method: "POST", Body: "{}", Header: http.Header{"X-Probe": {"1"}}},
			"POST / HTTP/1.1\r\nUser-Agent: holdfast\r\nConnection: close\r\nHost: ADDR\r\nX-Probe: 1\r\nContent-Length: 2\r\n\r\n"},
	} {
		to, requests := recorder(t, page(""))
		says(t, check.HTTP{Target: to, Protocol: c.protocol, URLs: []check.URL{c.url}}, "")
		if got, want := strings.TrimSuffix(<-requests, "{}"), strings.Replace(c.want, "ADDR", to.Addr.String(), 1); got != want {
			t.Errorf("%s: sent\n%q\nwant\n%q", c.protocol, got, want)
		}
	}
}

func TestHTTPHostOfAnIPv6TargetIsInBrackets(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	host := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			host <- r.Host
		}
		io.WriteString(c, page(""))
	}()
	says(t, get(target(l.Addr()), check.URL{}), "")
	if got := <-host; got != l.Addr().String() {
		t.Errorf("Host %q, want %v", got, l.Addr())
	}
}

func TestHTTPRefusesToSendAnotherRequestThanItIsGiven(t *testing.T) {
	for _, u := range []check.URL{{Path: "/a b"}, {Path: "/\r\nX: y"}, {VirtualHost: "a\nb"}, {Method: "GET /x"}, {Header: http.Header{"X": {"a\r\nb: c"}}}, {Header: http.Header{"X y": {"a"}}}} {
		to, requests := recorder(t, page(""))
		if err := get(to, u).Check(t.Context()); err == nil || len(requests) > 0 {
			t.Errorf("%+v: %v, %d requests", u, err, len(requests))
		}
	}
}

// TestHTTPReadsAnswers: what counts as an answer, and what it is judged by, in that order.
func TestHTTPReadsAnswers(t *testing.T) {
	sum := func(body string) string { s := md5.Sum([]byte(body)); return hex.EncodeToString(s[:]) }
	regex := func(pattern string, change func(r *check.Regex)) *check.Regex {
		r, err := check.NewRegex(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(r)
		}
		return r
	}
	not := func(r *check.Regex) { r.NoMatch = true }
	span := func(low, high int) func(r *check.Regex) {
		return func(r *check.Regex) { r.MinOffset, r.MaxOffset = low, high }
	}
	is := func(codes ...int) (list []check.StatusRange) {
		for _, c := range codes {
			list = append(list, check.StatusRange{Low: c, High: c})
		}
		return list
	}
	for name, c := range map[string]struct {
		answer string
		url    check.URL
		want   string
	}{
		"status 200 to 299 by default":          {"HTTP/1.0 299 x\r\n\r\n", check.URL{}, ""},
		"300 is not among them":                 {"HTTP/1.0 300 x\r\n\r\n", check.URL{}, "status 300, want 200-299"},
		"one of a list":                         {"HTTP/1.0 404 x\r\n\r\n", check.URL{Status: is(200, 404)}, ""},
		"none of a list":                        {"HTTP/1.0 200 x\r\n\r\n", check.URL{Status: is(201, 404)}, "status 200, want 201 or 404"},
		"a redirect is not followed":            {"HTTP/1.0 302 x\r\nLocation: /y\r\n\r\n", check.URL{Status: is(302)}, ""},
		"the version does not matter":           {"HTTP/2.7 200 OK\r\n\r\n", check.URL{}, ""},
		"a status of four digits":               {"HTTP/1.0 2000 OK\r\n\r\n", check.URL{}, "malformed"},
		"a status line without reason":          {"HTTP/1.0 200\r\n\r\n", check.URL{}, ""},
		"lines that end in LF":                  {"HTTP/1.0 200 OK\n\n", check.URL{}, ""},
		"nothing before the close":              {"", check.URL{}, "closed without a whole header"},
		"half a header before the close":        {"HTTP/1.0 200 OK\r\nX: y\r\n", check.URL{}, "closed without a whole header"},
		"a header of 5000 bytes":                {"HTTP/1.0 200 OK\r\nX: " + strings.Repeat("x", 5000) + "\r\n\r\n", check.URL{}, ""},
		"a header of 65 KiB":                    {"HTTP/1.0 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("x", 1020)+"\r\n", 65) + "\r\n", check.URL{}, "longer than 65536"},
		"204 without a body":                    {"HTTP/1.0 204 No Content\r\n\r\n", check.URL{}, ""},
		"an announcement before the answer":     {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", check.URL{}, ""},
		"digest":                                {page("hello"), check.URL{Digest: sum("hello")}, ""},
		"digest in capitals":                    {page("hello"), check.URL{Digest: strings.ToUpper(sum("hello"))}, ""},
		"another digest":                        {page("hullo"), check.URL{Digest: sum("hello")}, "digest " + sum("hullo") + ", want " + sum("hello")},
		"digest as far as Content-Length":       {"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello world", check.URL{Digest: sum("hello")}, ""},
		"digest of nothing":                     {page(""), check.URL{Digest: sum("")}, ""},
		"digest of 2 MiB":                       {page(strings.Repeat("x", 2<<20)), check.URL{Digest: sum(strings.Repeat("x", 2<<20))}, ""},
		"digest and regex of 2 MiB":             {page(strings.Repeat("x", 2<<20)), check.URL{Digest: sum(strings.Repeat("x", 2<<20)), Regex: regex("^x", nil)}, ""},
		"digest of chunks is that of the page":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", check.URL{Digest: sum("hello")}, ""},
		"the status comes before the digest":    {"HTTP/1.0 500 x\r\n\r\nhello", check.URL{Digest: sum("hullo")}, "status 500"},
		"the digest comes before the regex":     {page("hello"), check.URL{Digest: sum("hullo"), Regex: regex("x", nil)}, "digest"},
		"both must hold":                        {page("hello"), check.URL{Digest: sum("hello"), Regex: regex("x", nil)}, `regex "x" does not match, which begins "hello"`},
		"regex":                                 {page("say hello"), check.URL{Regex: regex("he(l+)o", nil)}, ""},
		"regex looks into the body only":        {"HTTP/1.0 200 OK\r\nX: secret\r\n\r\nbody", check.URL{Regex: regex("secret|200", nil)}, "does not match"},
		"regex across what is read at once":     {page(strings.Repeat("x", 8190) + "hello"), check.URL{Regex: regex("hello", nil)}, ""},
		"regex over nothing":                    {page(""), check.URL{Regex: regex(".*", nil)}, "which is empty"},
		"regex_no_match over nothing":           {page(""), check.URL{Regex: regex(".*", not)}, ""},
		"regex_no_match":                        {page("hello"), check.URL{Regex: regex("hullo", not)}, ""},
		"regex_no_match that matches":           {page("hello"), check.URL{Regex: regex("l+", not)}, "matches at byte 2, and must not"},
		"regex_min_offset":                      {page("ab ab"), check.URL{Regex: regex("ab", span(1, math.MaxInt))}, ""},
		"regex_min_offset beyond the match":     {page("ab"), check.URL{Regex: regex("ab", span(1, math.MaxInt))}, "does not match"},
		"regex_max_offset at the match":         {page("xxab"), check.URL{Regex: regex("ab", span(0, 2))}, ""},
		"regex_max_offset before the match":     {page("xxxab"), check.URL{Regex: regex("ab", span(0, 2))}, "matches at byte 3 only"},
		"regex that backtracks without end":     {page(strings.Repeat("a", 4000) + "b"), check.URL{Regex: regex("(a+)+$x", nil)}, "took longer"},
		"text":                                  {page("all is well"), check.URL{Text: "is well"}, ""},
		"text that is not there":                {page("all is lost"), check.URL{Text: "is well"}, `"is well" is not in the body, which begins "all is lost"`},
		"JSON":                                  {page(`{"db":[{"state":"up","lag":1.50,"ok":true,"a/b~":null}]}`), check.URL{JSON: []check.JSONValue{{"/db/0/state", "up"}, {"/db/0/lag", "1.50"}, {"/db/0/ok", "true"}, {"/db/0/a~1b~0", "null"}}}, ""},
		"JSON as a whole":                       {page(`"up"`), check.URL{JSON: []check.JSONValue{{"", "up"}}}, ""},
		"JSON with another value":               {page(`{"state":"down"}`), check.URL{JSON: []check.JSONValue{{"/state", "up"}}}, `JSON has down at "/state", want up`},
		"JSON without the value":                {page(`{"state":[1]}`), check.URL{JSON: []check.JSONValue{{"/state/1", "up"}}}, "JSON has no /state/1"},
		"no JSON":                               {page(`<html>`), check.URL{JSON: []check.JSONValue{{"/state", "up"}}}, `no JSON: invalid character '<' looking for beginning of value, which begins "<html>"`},
		"a body shorter than its length":        {"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nhello", check.URL{}, "status 200, then the body broke off: unexpected EOF"},
		"a chunk that is none":                  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", check.URL{}, "broke off"},
		"a gzip bomb stays what it is on wire":  {"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b" + strings.Repeat("\x00", 2000), check.URL{Regex: regex(`^\x1f\x8b`, nil)}, ""},
		"an answer slower than within":          {page(""), check.URL{Within: time.Nanosecond}, "want 1ns at most"},
		"an answer quicker than within":         {page(""), check.URL{Within: time.Minute}, ""},
		"redirects are followed as far as told": {"HTTP/1.0 302 x\r\nLocation: /again\r\n\r\n", check.URL{Redirects: 3}, "GET http://ADDR/again: status 302"},
		"a redirect to another protocol":        {"HTTP/1.0 301 x\r\nLocation: https://x/\r\n\r\n", check.URL{Redirects: 3}, `status 301 redirects to "https://x/", which this check does not speak`},
	} {
		to, _ := recorder(t, c.answer)
		ctx := t.Context()
		err := get(to, c.url).Check(ctx)
		want := strings.ReplaceAll(c.want, "ADDR", to.Addr.String())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

func TestNewRegexSaysWhatIsWrong(t *testing.T) {
	if _, err := check.NewRegex("("); err == nil || !strings.Contains(err.Error(), `regex "(": missing closing )`) {
		t.Error(err)
	}
	if _, err := check.NewRegex("x", "ucp"); err == nil {
		t.Error("an option that is not known was taken")
	}
	r, _ := check.NewRegex("x", "caseless", "dotall")
	r.MinOffset, r.MaxOffset = 2, 9
	if r.String() != `"x" caseless dotall from 2 to 9` {
		t.Error(r)
	}
}

// TestHTTPFollowsRedirectsOnTheServer: the path and the host change, the target does not.
func TestHTTPFollowsRedirectsOnTheServer(t *testing.T) {
	to := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.Host + r.URL.Path {
		case "POST www.example.org/a":
			http.Redirect(w, r, "http://other.example.org/b", http.StatusSeeOther)
		case "GET other.example.org/b":
			http.Redirect(w, r, "c?d", http.StatusTemporaryRedirect)
		case "GET other.example.org/c":
			fmt.Fprint(w, "here")
		default:
			w.WriteHeader(http.StatusTeapot)
		}
	})
	u := check.URL{Path: "/a", VirtualHost: "www.example.org", Method: "POST", Body: "x", Redirects: 2, Text: "here"}
	says(t, get(to, u), "")
	u.Redirects = 1
	says(t, get(to, u), "/b: status 307")
}

// TestHTTPKeepsItsConnection: all urls of a check, but not two checks.
func TestHTTPKeepsItsConnection(t *testing.T) {
	for protocol, want := range map[check.Protocol]int{check.HTTP11Keep: 2, check.HTTP11: 6, check.HTTP10: 6, check.HTTP2: 2} {
		connections := 0
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }))
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections++
			}
		}
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetHTTP1(true)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
		c := check.HTTP{Target: target(s.Listener.Addr()), Protocol: protocol, URLs: []check.URL{{Text: "hello"}, {Path: "/b"}, {Path: "/c"}}}
		for range 2 {
			says(t, c, "")
		}
		s.Close()
		if connections != want {
			t.Errorf("%s: %d connections, want %d", protocol, connections, want)
		}
	}
}

func TestHTTP2OverTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto, " ", r.Host) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	c := check.HTTP{Target: target(s.Listener.Addr()), Protocol: check.HTTP2, TLS: &check.TLS{SkipVerify: true},
		URLs: []check.URL{{Text: "HTTP/2.0 www.example.org", VirtualHost: "www.example.org"}}}
	says(t, c, "")
	old := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	defer old.Close()
	c.Target = target(old.Listener.Addr())
	says(t, c, "GET https://127.0.0.1:")
}

// TestCouldNotRun: what is this side's fault is told apart from what is the server's, and says nothing of it where it may pass.
func TestCouldNotRun(t *testing.T) {
	well := listen(t, func(c net.Conn) { c.Close() })
	for name, c := range map[string]struct {
		change func(*check.Target)
		passes bool
	}{
		"not our address":   {func(to *check.Target) { to.Source = netip.MustParseAddrPort("192.0.2.1:0") }, true},
		"no such interface": {func(to *check.Target) { to.Interface = "nosuch0" }, true},
		"another family":    {func(to *check.Target) { to.Source = netip.MustParseAddrPort("[::1]:0") }, false},
		"no zone":           {func(to *check.Target) { to.Addr = netip.MustParseAddrPort("[fe80::1%nosuch0]:80") }, false},
	} {
		to := well
		c.change(&to)
		passes := c.passes
		for _, c := range []check.Checker{check.TCP{Target: to}, get(to, check.URL{}), check.SMTP{Target: to}, check.DNS{Target: to}, check.UDP{Target: to, Reply: &check.Reply{}}} {
			if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "the check could not run: ") || errors.Is(err, check.ErrInconclusive) != passes {
				t.Errorf("%s, %T: %v", name, c, err)
			}
		}
	}
	if err := (check.TCP{Target: refused(t)}).Check(t.Context()); err == nil || errors.Is(err, check.ErrInconclusive) {
		t.Errorf("refused: %v", err)
	}
}

func TestTCPSendsNothing(t *testing.T) {
	heard := make(chan []byte, 1)
	to := listen(t, func(c net.Conn) { b, _ := io.ReadAll(c); heard <- b })
	says(t, check.TCP{Target: to}, "")
	if b := <-heard; len(b) > 0 {
		t.Errorf("%q was sent", b)
	}
}

// TestTargetConnectsFrom: bindto and bind_port.
func TestTargetConnectsFrom(t *testing.T) {
	from := make(chan string, 1)
	to := listen(t, func(c net.Conn) { from <- c.RemoteAddr().String(); c.Close() })
	free := refused(t).Addr.Port()
	to.Source = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), free)
	says(t, check.TCP{Target: to}, "")
	if got := <-from; got != to.Source.String() {
		t.Errorf("from %s, want %v", got, to.Source)
	}
}

// TestKeysTellQuestionsApart: checks that ask the same share one; all others do not.
func TestKeysTellQuestionsApart(t *testing.T) {
	regex := func(change func(r *check.Regex)) *check.Regex {
		r, _ := check.NewRegex("x")
		if change != nil {
			change(r)
		}
		return r
	}
	one, two := netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddrPort("192.0.2.2:80")
	all := func() []check.Keyer {
		return []check.Keyer{
			check.HTTP{Target: check.Target{Addr: one}},
			check.HTTP{Target: check.Target{Addr: two}},
			check.HTTP{Target: check.Target{Addr: one, Mark: 1}},
			check.HTTP{Target: check.Target{Addr: one}, TLS: &check.TLS{}},
			check.HTTP{Target: check.Target{Addr: one}, TLS: &check.TLS{SkipVerify: true}},
			check.HTTP{Target: check.Target{Addr: one}, Protocol: check.HTTP10},
			check.HTTP{Target: check.Target{Addr: one}, URLs: []check.URL{{Path: "/a"}, {}}},
			check.HTTP{Target: check.Target{Addr: one}, URLs: []check.URL{{Path: "/a"}}},
			check.HTTP{Target: check.Target{Addr: one}, URLs: []check.URL{{Path: "/a", Header: http.Header{"A": {"b"}, "C": {"d"}}}}},
			check.HTTP{Target: check.Target{Addr: one}, URLs: []check.URL{{Regex: regex(nil)}}},
			check.HTTP{Target: check.Target{Addr: one}, URLs: []check.URL{{Regex: regex(func(r *check.Regex) { r.NoMatch = true })}}},
			check.HTTP{Target: check.Target{Addr: one}, URLs: []check.URL{{Regex: regex(func(r *check.Regex) { r.MinOffset = 1 })}}},
			check.UDP{Target: check.Target{Addr: one}},
			check.UDP{Target: check.Target{Addr: one}, Reply: &check.Reply{}},
			check.UDP{Target: check.Target{Addr: one}, Reply: &check.Reply{Data: []byte{1}}},
			check.SMTP{Target: check.Target{Addr: one}},
			check.SMTP{Target: check.Target{Addr: one}, StartTLS: &check.TLS{}},
		}
	}
	keys := map[string]int{}
	for i, c := range all() {
		key := fmt.Sprintf("%T %s", c, c.Key())
		if before, taken := keys[key]; taken {
			t.Errorf("%d and %d have one key: %s", before, i, key)
		}
		keys[key] = i
	}
	for i, c := range all() {
		if before, same := keys[fmt.Sprintf("%T %s", c, c.Key())]; !same || before != i {
			t.Errorf("%d made again has another key: %s", i, c.Key())
		}
	}
}

func TestHTTPReportsWhatItSaw(t *testing.T) {
	report := func(c check.HTTP) string {
		r, err := c.Report(t.Context())
		if err != nil {
			t.Error(err)
		}
		return r.Detail
	}
	to, _ := recorder(t, "HTTP/1.0 204 Nothing\r\n\r\n")
	if got := report(get(to, check.URL{})); got != "204 Nothing" {
		t.Error(got)
	}
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	for _, p := range []check.Protocol{check.HTTP10, check.HTTP11Keep} {
		c := check.HTTP{Target: target(s.Listener.Addr()), Protocol: p, TLS: &check.TLS{SkipVerify: true}, URLs: []check.URL{{}}}
		if got := report(c); !strings.HasPrefix(got, "200 OK, certificate valid for ") {
			t.Error(got)
		}
	}
}
