package proto

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
	"github.com/holdfast-lb/holdfast/internal/lab"
)

// says runs a check that must fail with the given words, or succeed when there are none.
func says(t *testing.T, c check.Checker, want string) {
	t.Helper()
	patience := 10 * time.Second
	if strings.Contains(want, "timed out") {
		patience = 200 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.Check(ctx); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%+v: %v, want %q", c, err, want)
	}
}

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
			go func() { defer c.Close(); serve(c) }()
		}
	}()
	return check.Target{Addr: l.Addr().(*net.TCPAddr).AddrPort()}
}

// speaks says its parts one after the other, each after something was heard, but for the first when that is so.
func speaks(t *testing.T, first bool, parts ...string) check.Target {
	return listen(t, func(c net.Conn) {
		b := make([]byte, 4096)
		for i, part := range parts {
			if i > 0 || !first {
				if _, err := c.Read(b); err != nil {
					return
				}
			}
			io.WriteString(c, part)
		}
		if len(parts) == 0 || parts[len(parts)-1] != "" {
			return
		}
		io.Copy(io.Discard, c) // an empty last part: it stays silent
	})
}

func drip(c net.Conn) {
	for _, err := c.Write([]byte{'x'}); err == nil; _, err = c.Write([]byte{'x'}) {
		time.Sleep(10 * time.Millisecond) // a real server, in real time
	}
}

func flood(c net.Conn) {
	go io.Copy(io.Discard, c)
	for b := []byte(strings.Repeat("x", 4096)); ; {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// TestCheckersKeepTheirContract: all of them, and against servers that say nothing, too little and too much.
func TestCheckersKeepTheirContract(t *testing.T) {
	for name, c := range map[string]struct {
		of func(to check.Target) check.Checker
		up func(t *testing.T) check.Target
	}{
		"Redis":      {func(to check.Target) check.Checker { return Redis{Target: to} }, func(t *testing.T) check.Target { return speaks(t, false, "+PONG\r\n") }},
		"MySQL":      {func(to check.Target) check.Checker { return MySQL{Target: to} }, func(t *testing.T) check.Target { return speaks(t, true, packet(0, "\x0a8.0\x00")) }},
		"PostgreSQL": {func(to check.Target) check.Checker { return PostgreSQL{Target: to} }, func(t *testing.T) check.Target { return speaks(t, false, message('R', "\x00\x00\x00\x05salt")) }},
		"Agent":      {func(to check.Target) check.Checker { return Agent{Target: to} }, func(t *testing.T) check.Target { return speaks(t, true, "up\n") }},
		"GRPC":       {func(to check.Target) check.Checker { return GRPC{Target: to} }, func(t *testing.T) check.Target { return health(t, "0", []byte{0, 0, 0, 0, 2, 8, 1}) }},
		"WebSocket":  {func(to check.Target) check.Checker { return WebSocket{Target: to} }, func(t *testing.T) check.Target { return upgrades(t, "websocket", "") }},
	} {
		t.Run(name, func(t *testing.T) {
			checktest.TestChecker(t,
				func(t *testing.T) check.Checker { return c.of(c.up(t)) },
				func(t *testing.T) check.Checker { return c.of(speaks(t, true)) },
				func(t *testing.T) check.Checker { return c.of(speaks(t, true, "")) })
			for _, serve := range []func(net.Conn){drip, flood} {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				begin := time.Now()
				if err := c.of(listen(t, serve)).Check(ctx); err == nil || time.Since(begin) > 3*time.Second {
					t.Errorf("a server that drips or floods: %v after %v", err, time.Since(begin))
				}
				cancel()
			}
		})
	}
}

func TestRedis(t *testing.T) {
	role := func(kind string) string { return fmt.Sprintf("*3\r\n$%d\r\n%s\r\n:0\r\n*0\r\n", len(kind), kind) }
	for want, c := range map[string]Redis{
		"":                                     {Target: speaks(t, false, "+PONG\r\n")},
		"PING: \"LOADING Redis is loading\"":   {Target: speaks(t, false, "-LOADING Redis is loading\r\n")},
		"PING: \"NOAUTH Authentication\"":      {Target: speaks(t, false, "-NOAUTH Authentication\r\n")},
		"AUTH: \"WRONGPASS\"":                  {Target: speaks(t, false, "-WRONGPASS\r\n"), Password: "x"},
		"its role is \"slave\", want master":   {Target: speaks(t, false, "+PONG\r\n", role("slave")), Role: "master"},
		"ROLE: \"$x\" is no length":            {Target: speaks(t, false, "+PONG\r\n", "*3\r\n$x\r\n"), Role: "master"},
		"the answer claims 9999999 bytes":      {Target: speaks(t, false, "+PONG\r\n", "*3\r\n$9999999\r\n"), Role: "master"},
		"the answer claims -1 bytes":           {Target: speaks(t, false, "+PONG\r\n", "*3\r\n$-1\r\n"), Role: "master"},
		"before the answer was whole":          {Target: speaks(t, false, "+PO")},
		"the answer's line is longer than 512": {Target: speaks(t, false, strings.Repeat("x", 600))},
	} {
		says(t, c, want)
	}
	says(t, Redis{Target: speaks(t, false, "+OK\r\n", "+PONG\r\n", role("master")), User: "u", Password: "p", Role: "master"}, "")
	if got := string(command("AUTH", "u", "")); got != "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$0\r\n\r\n" {
		t.Errorf("%q", got)
	}
}

func packet(seq byte, body string) string {
	n := len(body)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), seq}) + body
}

func TestMySQL(t *testing.T) {
	greeting := packet(0, "\x0a10.11.6-MariaDB\x00rest")
	for _, c := range []struct {
		user, want string
		parts      []string
	}{
		{"", "", []string{greeting}},
		{"", `error 1040: "Too many connections"`, []string{packet(0, "\xff\x10\x04Too many connections")}},
		{"", `error 1129: "Host is blocked"`, []string{packet(0, "\xff\x69\x04#HY000Host is blocked")}},
		{"", "not version 10", []string{packet(0, "\x09old\x00")}},
		{"", "not version 10", []string{"HTTP/1.1 400 Bad Request\r\n\r\n" + strings.Repeat("x", 1<<17)}},
		{"", "no end of the server's version", []string{packet(0, "\x0a10")}},
		{"", "an empty packet", []string{packet(0, "")}},
		{"", "before the answer was whole", []string{greeting[:9]}},
		{"probe", "", []string{greeting, packet(2, "\x00\x00\x00\x02\x00")}},
		{"probe", "", []string{greeting, packet(2, "\xfemysql_native_password\x00salt"), packet(4, "\x00\x00\x00")}},
		{"probe", "", []string{greeting, packet(2, "\x01\x03") + packet(3, "\x00\x00\x00")}},
		{"probe", "it wants a password", []string{greeting, packet(2, "\x01\x04")}},
		{"probe", `error 1045: "Access denied"`, []string{greeting, packet(2, "\xff\x15\x04#28000Access denied")}},
		{"probe", "the login has no end", []string{greeting, packet(2, "\xfea\x00"), packet(4, "\xfea\x00"), packet(6, "\xfea\x00"), packet(8, "\xfea\x00")}},
	} {
		if strings.HasPrefix(c.parts[0], "HTTP") {
			c.want = "claims"
		}
		says(t, MySQL{Target: speaks(t, true, c.parts...), User: c.user}, c.want)
	}
}

func message(kind byte, body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))) + body
}

func TestPostgreSQL(t *testing.T) {
	failure := func(code, text string) string {
		return message('E', "SFATAL\x00C"+code+"\x00M"+text+"\x00\x00")
	}
	in := message('R', "\x00\x00\x00\x00") + message('S', "server_version\x0015\x00") + message('K', "12345678") + message('Z', "I")
	answer := func(value string) string {
		return message('T', "\x00\x01x") + message('D', "\x00\x01\x00\x00\x00\x01"+value) + message('C', "SELECT 1\x00") + message('Z', "I")
	}
	for _, c := range []struct {
		role, want string
		parts      []string
	}{
		{"", "", []string{in}},
		{"", "", []string{message('R', "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00")}},
		{"", "", []string{failure("28000", `role "holdfast" does not exist`)}},
		{"", "", []string{failure("3D000", "no such database")}},
		{"", `error 57P03: "the database system is starting up"`, []string{failure("57P03", "the database system is starting up")}},
		{"", "error 53300", []string{failure("53300", "too many clients")}},
		{"", "a message 'H'", []string{message('H', "hello")}},
		{"", "the answer claims", []string{"HTTP/1.1 400 Bad Request\r\n"}},
		{"", "the answer claims -5 bytes", []string{"R\xff\xff\xff\xff"}},
		{"primary", "", []string{in, answer("f")}},
		{"standby", "", []string{in, answer("t")}},
		{"primary", "its role is standby, want primary", []string{in, answer("t")}},
		{"primary", `gives "?"`, []string{in, answer("?")}},
		{"primary", "needs a password", []string{message('R', "\x00\x00\x00\x05salt")}},
		{"primary", "error 28000", []string{failure("28000", "no")}},
		{"primary", "error 42501", []string{in, failure("42501", "denied")}},
	} {
		says(t, PostgreSQL{Target: speaks(t, false, c.parts...), Role: c.role}, c.want)
	}
	a := lab.NewAuthority(t, t.TempDir())
	cert, _, _ := a.Issue(time.Hour, "127.0.0.1")
	secure := listen(t, func(c net.Conn) {
		io.ReadFull(c, make([]byte, 8))
		io.WriteString(c, "S")
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
		s.Read(make([]byte, 512))
		io.WriteString(s, in)
	})
	says(t, PostgreSQL{Target: secure, TLS: &check.TLS{Roots: a.Pool()}}, "")
	says(t, PostgreSQL{Target: secure, TLS: &check.TLS{}}, "TLS: ")
	says(t, PostgreSQL{Target: speaks(t, false, "N"), TLS: &check.TLS{}}, "it speaks no TLS")
	says(t, PostgreSQL{Target: speaks(t, false, "S"+in), TLS: &check.TLS{}}, "plain text")
}

func TestAgent(t *testing.T) {
	for _, c := range []struct {
		said   string
		weight check.Weight
		detail string
		want   string
	}{
		{"up\n", check.Weight{}, "up", ""},
		{"ready", check.Weight{}, "ready", ""},
		{"75%\r\n", check.Percent(75), "75%", ""},
		{"UP, 150% maxconn:30\n", check.Percent(150), "up 150% maxconn:30", ""},
		{"drain\n", check.Percent(0), "drain", ""},
		{"50% drain\n", check.Percent(0), "50% drain", ""},
		{"0%", check.Percent(0), "0%", ""},
		{"up 80%\n", check.Percent(80), "up 80%", ""},
		{"80% ready\n", check.Percent(80), "80% ready", ""},
		{"up\tready,10%  maxconn:5\n75%\n", check.Percent(10), "up ready 10% maxconn:5", ""}, // the first line
		{"up\r75%\n", check.Weight{}, "up", ""},
		{"down#disk\n", check.Weight{}, "down disk", "it says down disk"},
		{"up 80% down#no #1\n", check.Weight{}, "up 80% down no #1", "it says up 80% down no #1"},
		{"drain ready\n", check.Percent(0), "drain ready", ""},
		{"down # the queue is full\n", check.Weight{}, "down the queue is full", "it says down the queue is full"},
		{"maint\n", check.Weight{}, "maint", "it says maint"},
		{"ready stopped 10%\n", check.Weight{}, "ready stopped 10%", "it says ready stopped"},
		{"fail\n", check.Weight{}, "fail", "it says fail"},
		{"\n", check.Weight{}, "", "it says nothing"},
		{"# up\n", check.Weight{}, "", "it says nothing"},
		{"hello\n", check.Weight{}, "hello", `"hello", which is no word of an agent`},
		{"-5%\n", check.Weight{}, "-5%", "no percentage"},
		{"99999%\n", check.Weight{}, "99999%", "no percentage"},
	} {
		report, err := Agent{Target: speaks(t, true, c.said)}.Report(t.Context())
		if report.Weight != c.weight || report.Detail != c.detail || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %+v, %v", c.said, report, err)
		}
	}
	open := listen(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "up 80%\r")
		_, _ = c.Read(make([]byte, 1)) // and stays
	})
	says(t, Agent{Target: open}, "")
	heard := make(chan string, 1)
	to := listen(t, func(c net.Conn) {
		line, _ := bufio.NewReader(c).ReadString('\n')
		heard <- line
		io.WriteString(c, "up\n")
	})
	says(t, Agent{Target: to, Send: "web1\n"}, "")
	if got := <-heard; got != "web1\n" {
		t.Errorf("%q was sent", got)
	}
}

// health answers each call with a status and a body.
func health(t *testing.T, status string, body []byte) check.Target {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/grpc.health.v1.Health/Check" || r.Header.Get("Content-Type") != "application/grpc" || len(asked) < 5 {
			t.Errorf("%s %v %x", r.URL, r.Header, asked)
		}
		w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		w.Header().Set("Content-Type", "application/grpc")
		w.Write(body)
		if status != "" {
			w.Header().Set("Grpc-Status", status)
			w.Header().Set("Grpc-Message", "told")
		}
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return check.Target{Addr: s.Listener.Addr().(*net.TCPAddr).AddrPort()}
}

func TestGRPC(t *testing.T) {
	for _, c := range []struct {
		status string
		body   []byte
		want   string
	}{
		{"0", []byte{0, 0, 0, 0, 2, 8, 1}, ""},
		{"0", []byte{0, 0, 0, 0, 7, 0x12, 1, 'x', 8, 1, 0x18, 5}, ""}, // fields that are not known
		{"0", []byte{0, 0, 0, 0, 2, 8, 2}, "NOT_SERVING"},
		{"0", []byte{0, 0, 0, 0, 0}, "UNKNOWN"},
		{"0", []byte{0, 0, 0, 0, 2, 8, 9}, "serving status 9"},
		{"0", []byte{1, 0, 0, 0, 2, 8, 1}, "no whole message"},
		{"0", []byte{0, 0xff, 0, 0, 2, 8, 1}, "no whole message"},
		{"0", []byte{0, 0, 0, 0, 2, 8, 0x80}, "no health message"},
		{"0", []byte{0, 0, 0, 0, 2, 0x12, 0x7f}, "no health message"},
		{"5", nil, `service "db": it does not know the service`},
		{"12", nil, "it has no health service"},
		{"14", nil, `gRPC status 14: "told"`},
		{"", nil, "is it a gRPC server?"},
	} {
		says(t, GRPC{Target: health(t, c.status, c.body), Service: "db"}, c.want)
	}
	if got := string(healthRequest("db")); got != "\x00\x00\x00\x00\x04\x0a\x02db" {
		t.Errorf("%q", got)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	says(t, GRPC{Target: check.Target{Addr: plain.Listener.Addr().(*net.TCPAddr).AddrPort()}}, "gRPC 127.0.0.1:")
}

// upgrades answers as asked, or with the given words.
func upgrades(t *testing.T, protocol, key string) check.Target {
	return listen(t, func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		key := key
		if key == "" {
			key = accept(r.Header.Get("Sec-WebSocket-Key"))
		}
		fmt.Fprintf(c, "HTTP/1.1 101 Go\r\nUpgrade: %s\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
			protocol, key, r.Header.Get("Sec-WebSocket-Protocol"))
		io.Copy(io.Discard, c)
	})
}

func TestWebSocket(t *testing.T) {
	says(t, WebSocket{Target: upgrades(t, "WebSocket", ""), Subprotocol: "chat", Origin: "https://example.org", Path: "/ws?a"}, "")
	says(t, WebSocket{Target: upgrades(t, "h2c", "")}, `changes to "h2c"`)
	says(t, WebSocket{Target: upgrades(t, "websocket", "x")}, "not to our key")
	says(t, WebSocket{Target: speaks(t, false, "HTTP/1.1 200 OK\r\n\r\n")}, "status 200, want 101")
	says(t, WebSocket{Target: speaks(t, false, "hello\r\n")}, "malformed")
	says(t, WebSocket{Path: "/a b"}, "blank")
	if got := accept("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455, section 1.3
		t.Error(got)
	}
}

// FuzzAnswers gives what a server might say to every parser at once: none panics, runs on, or takes nonsense of a length.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte("+PONG\r\n*3\r\n$6\r\nmaster\r\n"))
	f.Add([]byte(packet(0, "\x0a8.0\x00") + packet(2, "\x00\x00\x00")))
	f.Add([]byte(message('R', "\x00\x00\x00\x00") + message('Z', "I") + message('D', "\x00\x01\x00\x00\x00\x01f") + message('Z', "I")))
	f.Add([]byte("up 75%\n"))
	f.Add([]byte{0, 0, 0, 0, 2, 8, 1})
	f.Fuzz(func(t *testing.T, said []byte) {
		over := func() *session { return newSession(&canned{r: strings.NewReader(string(said))}) }
		s := over()
		if s.redis("PING", "+PONG", "PING") == nil {
			_ = s.redisRole("master")
		}
		if _, greeting, err := over().mysqlPacket(); err == nil && len(greeting) == 0 {
			t.Error("an empty packet")
		}
		_ = over().mysqlLogin("u")
		_ = over().pgRole("primary")
		_, _ = agentReport(string(said))
		_, _ = servingStatus(said)
		if kind, body, err := over().pgMessage(); err == nil && kind == 'E' {
			_ = pgDecides(body)
		}
	})
}

// canned is a connection on which all has been said.
type canned struct {
	net.Conn
	r io.Reader
}

func (c *canned) Read(b []byte) (int, error)  { return c.r.Read(b) }
func (c *canned) Write(b []byte) (int, error) { return len(b), nil }

// TestKeysTellWhatIsAsked: settings that are made anew ask the same, so a reload does not begin such a check again.
func TestKeysTellWhatIsAsked(t *testing.T) {
	one := check.Target{Addr: netip.MustParseAddrPort("192.0.2.1:443")}
	two := one
	two.Mark = 1
	all := func() []check.Keyer {
		return []check.Keyer{
			GRPC{Target: one}, GRPC{Target: two}, GRPC{Target: one, TLS: &check.TLS{}}, GRPC{Target: one, TLS: &check.TLS{NoSNI: true}},
			GRPC{Target: one, Service: "s"}, GRPC{Target: one, Authority: "s"},
			WebSocket{Target: one}, WebSocket{Target: two}, WebSocket{Target: one, TLS: &check.TLS{}}, WebSocket{Target: one, Path: "x"},
			WebSocket{Target: one, VirtualHost: "x"}, WebSocket{Target: one, Origin: "x"}, WebSocket{Target: one, Subprotocol: "x"},
			Redis{Target: one}, Redis{Target: two}, Redis{Target: one, TLS: &check.TLS{}}, Redis{Target: one, User: "x"},
			Redis{Target: one, Password: "x"}, Redis{Target: one, Role: "x"},
			PostgreSQL{Target: one}, PostgreSQL{Target: two}, PostgreSQL{Target: one, TLS: &check.TLS{}},
			PostgreSQL{Target: one, User: "x"}, PostgreSQL{Target: one, Database: "x"}, PostgreSQL{Target: one, Role: "x"},
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
