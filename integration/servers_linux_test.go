package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/internal/lab"
	"golang.org/x/net/dns/dnsmessage"
)

// These tests hold the checkers to real servers, on the loopback of the lab's namespace.

// serve runs a server until the end of the test, from when it takes connections at ready, or what ready is nil for, says.
func serve(t *testing.T, ready string, name string, args ...string) {
	t.Helper()
	lab.Need(t, name)
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	within(t, 20*time.Second, name+" serves", func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", name, err, out.String())
		default:
		}
		network, addr, _ := strings.Cut(ready, " ")
		if network == "udp" {
			return bound(t, addr)
		}
		c, err := net.Dial(network, addr)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

// bound says whether somebody has a UDP port.
func bound(t *testing.T, addr string) bool {
	c, err := net.ListenPacket("udp", addr)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.EADDRINUSE)
}

func at(addr string) check.Target { return check.Target{Addr: netip.MustParseAddrPort(addr)} }

// judge runs checks by name; each must succeed, or fail with the words that stand after its name.
func judge(t *testing.T, checks map[string]check.Checker) {
	t.Helper()
	for name, c := range checks {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := c.Check(ctx)
		cancel()
		if _, want, fails := strings.Cut(name, ": "); fails != (err != nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

const nginxConf = `daemon off;
user root;
worker_processes 1;
pid DIR/nginx.pid;
error_log DIR/error.log;
events {}
http {
    access_log off;
    client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fcgi; uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
    server {
        listen 127.0.0.1:8080;
        listen [::1]:8080;
        root DIR/www;
        location /host { return 200 "$http_host $server_protocol $http_user_agent $http_x_probe $request_method"; }
        location /down { return 503; }
        location /json { return 200 '{"db": {"state": "up", "nodes": [1, 2.50]}}'; }
        location /moved { return 302 /page.html; }
        location /away { return 301 https://$host/; }
        location /app { proxy_pass http://127.0.0.1:1; }
    }
    server {
        listen 127.0.0.1:8443 ssl http2;
        ssl_certificate DIR/www.example.org.pem;
        ssl_certificate_key DIR/www.example.org.key;
        ssl_client_certificate DIR/ca.pem;
        ssl_verify_client optional;
        location /name { return 200 "sni=$ssl_server_name host=$host protocol=$server_protocol"; }
        location /client { if ($ssl_client_verify != SUCCESS) { return 403; } return 200 welcome; }
        location / { root DIR/www; }
    }
}
`

// nginx serves pages of which it returns the directory's authority.
func nginx(t *testing.T) (dir string, a *lab.Authority) {
	t.Helper()
	dir = t.TempDir()
	a = lab.NewAuthority(t, dir)
	a.Issue(10*24*time.Hour, "www.example.org", "127.0.0.1")
	if err := os.MkdirAll(filepath.Join(dir, "www"), 0o755); err != nil {
		t.Fatal(err)
	}
	replace(t, filepath.Join(dir, "www", "page.html"), strings.Repeat("line of the page\n", 1000)+"the end\n")
	conf := filepath.Join(dir, "nginx.conf")
	replace(t, conf, strings.ReplaceAll(nginxConf, "DIR", dir))
	serve(t, "tcp 127.0.0.1:8443", "nginx", "-e", filepath.Join(dir, "error.log"), "-c", conf)
	return dir, a
}

func regex(t *testing.T, pattern string, options ...string) *check.Regex {
	t.Helper()
	r, err := check.NewRegex(pattern, options...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCheckersAgainstNginx(t *testing.T) {
	lab.Need(t, "genhash")
	_, a := nginx(t)
	plain, six := at("127.0.0.1:8080"), at("[::1]:8080")
	genhash, err := exec.Command("genhash", "-s", "127.0.0.1", "-p", "8080", "-u", "/page.html").CombinedOutput()
	digest := strings.TrimSpace(string(genhash))
	if err != nil || len(digest) != 32 {
		t.Fatalf("genhash: %v\n%s", err, genhash)
	}
	get := func(to check.Target, p check.Protocol, u check.URL) check.Checker {
		return check.HTTP{Target: to, Protocol: p, URLs: []check.URL{u}}
	}
	checks := map[string]check.Checker{
		"TCP":                                  check.TCP{Target: plain},
		"TCP over IPv6":                        check.TCP{Target: six},
		"TCP before a dead application":        check.TCP{Target: plain}, // the outage this project starts from
		"HTTP there: status 502, want 200-299": get(plain, check.HTTP10, check.URL{Path: "/app"}),
		"another status: 503":                  get(plain, check.HTTP10, check.URL{Path: "/down"}),
		"a status that is expected":            get(plain, check.HTTP10, check.URL{Path: "/down", Status: []check.StatusRange{{Low: 500, High: 599}}}),
		"a redirect: status 302":               get(plain, check.HTTP10, check.URL{Path: "/moved"}),
		"a redirect that is followed":          get(plain, check.HTTP11Keep, check.URL{Path: "/moved", Redirects: 1, Text: "the end"}),
		"a redirect elsewhere: does not speak": get(plain, check.HTTP10, check.URL{Path: "/away", Redirects: 1}),
		"regex":                                get(plain, check.HTTP10, check.URL{Path: "/page.html", Regex: regex(t, `(page\n)+the END$`, "caseless")}),
		"regex: does not match":                get(plain, check.HTTP10, check.URL{Path: "/page.html", Regex: regex(t, `nginx`)}),
		"JSON":                                 get(plain, check.HTTP10, check.URL{Path: "/json", JSON: []check.JSONValue{{Pointer: "/db/state", Want: "up"}, {Pointer: "/db/nodes/1", Want: "2.50"}}}),
		"POST":                                 get(plain, check.HTTP11, check.URL{Path: "/host", Method: "POST", Body: "x", Text: "POST"}),
		"header":                               get(plain, check.HTTP10, check.URL{Path: "/host", Header: http.Header{"X-Probe": {"seven"}}, Text: "holdfast seven"}),
		"no such page: 404":                    get(plain, check.HTTP10, check.URL{Path: "/nothing"}),
		"TLS to a plain port: TLS":             check.HTTP{Target: plain, TLS: &check.TLS{SkipVerify: true}, URLs: []check.URL{{}}},
		"nobody there: connection refused":     get(at("127.0.0.1:8081"), check.HTTP10, check.URL{}),
	}
	for p, sent := range map[check.Protocol]string{check.HTTP10: "1.0", check.HTTP10Close: "1.0", check.HTTP11: "1.1", check.HTTP11Keep: "1.1"} {
		checks["digest with "+string(p)] = get(plain, p, check.URL{Path: "/page.html", Digest: digest})
		checks["host with "+string(p)] = get(plain, p, check.URL{Path: "/host", VirtualHost: "www.example.org", Text: "www.example.org HTTP/" + sent})
		checks["address as host with "+string(p)] = get(six, p, check.URL{Path: "/host", Text: "[::1]:8080 HTTP/" + sent})
	}
	judge(t, checks)

	secure := at("127.0.0.1:8443")
	_, cert, key := a.Issue(time.Hour, "client")
	mine := keyPair(t, cert, key)
	ssl := func(tls check.TLS, u check.URL) check.Checker {
		return check.HTTP{Target: secure, Protocol: check.HTTP10, TLS: &tls, URLs: []check.URL{u}}
	}
	judge(t, map[string]check.Checker{
		"not verified":                         ssl(check.TLS{SkipVerify: true}, check.URL{Path: "/page.html", Digest: digest}),
		"verified by address":                  ssl(check.TLS{Roots: a.Pool()}, check.URL{Path: "/page.html"}),
		"verified by name":                     ssl(check.TLS{Roots: a.Pool()}, check.URL{Path: "/name", VirtualHost: "www.example.org", Text: "sni=www.example.org host=www.example.org"}),
		"no name is sent":                      ssl(check.TLS{NoSNI: true, SkipVerify: true}, check.URL{Path: "/name", VirtualHost: "www.example.org", Text: "sni= host=www.example.org"}),
		"another name: not other.example.org":  ssl(check.TLS{Roots: a.Pool()}, check.URL{VirtualHost: "other.example.org"}),
		"unknown authority: unknown authority": ssl(check.TLS{}, check.URL{Path: "/page.html"}),
		"valid for nine days":                  ssl(check.TLS{SkipVerify: true, MinValidity: 9 * 24 * time.Hour}, check.URL{Path: "/page.html"}),
		"not for a month: want 720h0m0s":       ssl(check.TLS{Roots: a.Pool(), MinValidity: 30 * 24 * time.Hour}, check.URL{Path: "/page.html"}),
		"client certificate":                   ssl(check.TLS{SkipVerify: true, Certificate: mine}, check.URL{Path: "/client", Text: "welcome"}),
		"without one: 403":                     ssl(check.TLS{SkipVerify: true}, check.URL{Path: "/client"}),
		"in due form":                          ssl(check.TLS{SkipVerify: true, CloseNotify: true}, check.URL{Path: "/page.html"}),
		"HTTP/2": check.HTTP{Target: secure, Protocol: check.HTTP2, TLS: &check.TLS{Roots: a.Pool()}, URLs: []check.URL{
			{Path: "/name", VirtualHost: "www.example.org", Text: "sni=www.example.org host=www.example.org protocol=HTTP/2.0"}, {Path: "/page.html", Digest: digest}}},
	})
}

const (
	postfixMain = `compatibility_level = 3.6
queue_directory = DIR/queue
data_directory = DIR/data
mail_owner = postfix
inet_interfaces = 127.0.0.1
myhostname = mail.example.org
alias_maps =
local_recipient_maps =
smtpd_tls_cert_file = DIR/127.0.0.1.pem
smtpd_tls_key_file = DIR/127.0.0.1.key
smtpd_tls_security_level = may
smtpd_helo_required = yes
smtpd_delay_reject = no
smtpd_helo_restrictions = reject_invalid_helo_hostname
`
	postfixServices = `127.0.0.1:2525 inet n - n - - smtpd
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
rewrite unix - - n - - trivial-rewrite
`
)

// postfix runs a mail server whose certificate is by the directory's authority, with more lines in its main.cf and master.cf.
func postfix(t *testing.T, main, services string) (dir string, a *lab.Authority) {
	t.Helper()
	lab.Need(t, "postfix")
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	a = lab.NewAuthority(t, dir)
	a.Issue(time.Hour, "127.0.0.1")
	replace(t, filepath.Join(dir, "main.cf"), strings.ReplaceAll(postfixMain+main, "DIR", dir))
	replace(t, filepath.Join(dir, "master.cf"), postfixServices+services)
	uid, _ := strconv.Atoi(owner.Uid)
	for _, err := range []error{
		os.Chmod(filepath.Dir(dir), 0o755), os.Mkdir(filepath.Join(dir, "queue"), 0o755), os.Mkdir(filepath.Join(dir, "data"), 0o755),
		os.Chown(filepath.Join(dir, "data"), uid, 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("postfix", "-c", dir, "check").CombinedOutput(); err != nil { // it makes the queue
		t.Fatalf("%v\n%s", err, out)
	}
	serve(t, "tcp 127.0.0.1:2525", "/usr/lib/postfix/sbin/master", "-d", "-c", dir)
	return dir, a
}

func TestCheckersAgainstPostfix(t *testing.T) {
	_, a := postfix(t, "", "")
	to := at("127.0.0.1:2525")
	judge(t, map[string]check.Checker{
		"HELO":                               check.SMTP{Target: to, Helo: "lb1.example.org"},
		"HELO by default":                    check.SMTP{Target: to},
		"a name that is none: HELO b@d: 501": check.SMTP{Target: to, Helo: "b@d"},
		"STARTTLS":                           check.SMTP{Target: to, StartTLS: &check.TLS{Roots: a.Pool()}},
		"STARTTLS not verified":              check.SMTP{Target: to, StartTLS: &check.TLS{SkipVerify: true}},
		"STARTTLS: unknown authority":        check.SMTP{Target: to, StartTLS: &check.TLS{}},
		"TCP":                                check.TCP{Target: to},
	})
}

const unboundConf = `server:
    interface: 127.0.0.1@5353
    interface: ::1@5353
    username: ""
    chroot: ""
    pidfile: ""
    directory: "."
    do-daemonize: no
    use-syslog: no
    num-threads: 1
    module-config: "iterator"
    local-zone: "." refuse
    local-zone: "example.org." static
    local-data: "example.org. SOA ns.example.org. admin.example.org. 1 2 3 4 5"
    local-data: "example.org. NS ns.example.org."
    local-data: "example.org. MX 10 mail.example.org."
    local-data: "www.example.org. 30 A 192.0.2.1"
    local-data: "www.example.org. 20 AAAA 2001:db8::1"
    local-data: "me.example.org. 10 A 127.0.0.1"
    local-data: 'www.example.org. TXT "well"'
    local-data: "a.example.org. CNAME www.example.org."
remote-control:
    control-enable: no
`

// aLongAnswer is a name with more of them than fit into a datagram.
func aLongAnswer() string {
	text := "server:\n"
	for i := range 100 {
		text += fmt.Sprintf("    local-data: \"many.example.org. 60 A 192.0.2.%d\"\n", i)
	}
	return text
}

func TestCheckersAgainstUnbound(t *testing.T) {
	serve(t, "udp 127.0.0.1:5353", "unbound", "-d", "-p", "-c", write(t, "unbound.conf", unboundConf+aLongAnswer()))
	four, six := at("127.0.0.1:5353"), at("[::1]:5353")
	checks := map[string]check.Checker{
		"IPv6":                         check.DNS{Target: six, Name: "www.example.org", Type: dnsmessage.TypeA},
		"no such name: RCodeNameError": check.DNS{Target: four, Name: "nothing.example.org", Type: dnsmessage.TypeA},
		"the root, which is refused: RCodeRefused for .": check.DNS{Target: four},
		"nobody there: refused":                          check.DNS{Target: at("127.0.0.1:5354")},
		"as UDP_CHECK":                                   check.UDP{Target: four, Payload: []byte("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x06\x00\x01"), Reply: &check.Reply{Data: []byte("\x12\x34\x80\x00"), Mask: []byte("\xff\xff\x80\x0f"), Min: 40}},
	}
	for name, of := range map[string]dnsmessage.Type{"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "RRSIG": 46, "DNSKEY": 48} {
		checks["type "+name] = check.DNS{Target: four, Name: "example.org.", Type: of}
	}
	me := func(name string, port uint16, r *check.Resolver) *check.Named {
		return &check.Named{Name: name, Resolver: r, New: func(addr netip.Addr) check.Checker {
			return check.DNS{Target: check.Target{Addr: netip.AddrPortFrom(addr, port)}, Name: "example.org"}
		}}
	}
	ours := &check.Resolver{Servers: []netip.AddrPort{four.Addr}, Network: "ip4"}
	checks["by name"] = me("me.example.org", 5353, ours)
	checks["by name, of both families"] = me("me.example.org", 5353, &check.Resolver{Servers: []netip.AddrPort{six.Addr}})
	checks["a name that leads elsewhere: me.example.org is 127.0.0.1: DNS 127.0.0.1:5354"] = me("me.example.org", 5354, ours)
	checks["a name that is not there: lookup nothing.example.org: no such host"] = me("nothing.example.org", 5353, ours)
	checks["no server of names: lookup example.org: name server 127.0.0.1:5354: connection refused"] = me("example.org", 5353, &check.Resolver{Servers: []netip.AddrPort{at("127.0.0.1:5354").Addr}})
	judge(t, checks)
	lookUp(t, &check.Resolver{Servers: []netip.AddrPort{four.Addr}}, "www.example.org", "[192.0.2.1 2001:db8::1]", 20*time.Second)
	lookUp(t, &check.Resolver{Servers: []netip.AddrPort{six.Addr}, Network: "ip4"}, "WWW.example.org.", "[192.0.2.1]", 30*time.Second)
	var many []string
	for i := range 100 {
		many = append(many, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String())
	}
	lookUp(t, &check.Resolver{Servers: []netip.AddrPort{four.Addr}}, "many.example.org", fmt.Sprint(many), time.Minute)
}

// lookUp wants addresses, and as much of the answer's time to live as a second may have left of it.
func lookUp(t *testing.T, r *check.Resolver, name, want string, ttl time.Duration) {
	t.Helper()
	a, err := r.Lookup(t.Context(), name)
	if left := time.Until(a.Until); err != nil || fmt.Sprint(a.Addrs) != want || left > ttl || left < ttl-5*time.Second {
		t.Errorf("%s: %+v for %v, %v, want %s for %v", name, a, left, err, want, ttl)
	}
}

func TestCheckersAgainstSocat(t *testing.T) {
	serve(t, "udp 127.0.0.1:7007", "socat", "UDP4-RECVFROM:7007,bind=127.0.0.1,fork", "EXEC:cat")
	echo := at("127.0.0.1:7007")
	judge(t, map[string]check.Checker{
		"any answer":                     check.UDP{Target: echo, Reply: &check.Reply{}},
		"an answer that fits":            check.UDP{Target: echo, Payload: []byte("hello"), Reply: &check.Reply{Data: []byte("hello"), Min: 5, Max: 5}},
		"without require_reply":          check.UDP{Target: echo},
		"nobody there: port unreachable": check.UDP{Target: at("127.0.0.1:7008")},
	})
}

// TestPingWithAndWithoutPrivilege: the socket that needs none comes first, the raw one is what is left.
func TestPingWithAndWithoutPrivilege(t *testing.T) {
	lab.Need(t, "ip")
	lab.New(t) // only there are the namespaces ours
	for _, groups := range []string{"1 0", "0 2147483647"} {
		replace(t, "/proc/sys/net/ipv4/ping_group_range", groups)
		judge(t, map[string]check.Checker{
			"IPv4": check.Ping{Addr: netip.MustParseAddr("127.0.0.1")},
			"IPv6": check.Ping{Addr: netip.MustParseAddr("::1")},
			"from": check.Ping{Addr: netip.MustParseAddr("127.0.0.1"), Source: netip.MustParseAddr("127.0.0.5"), Interface: "lo"},
			"from an address that is not ours: the check could not run: from 192.0.2.1": check.Ping{Addr: netip.MustParseAddr("127.0.0.1"), Source: netip.MustParseAddr("192.0.2.1")},
			"nowhere: network is unreachable":                                           check.Ping{Addr: netip.MustParseAddr("192.0.2.1")},
		})
		errs := make(chan error, 200)
		for i := range 200 {
			addr := netip.AddrFrom4([4]byte{127, 0, 0, byte(i%7 + 1)})
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				errs <- check.Ping{Addr: addr}.Check(ctx)
			}()
		}
		for range 200 {
			if err := <-errs; err != nil {
				t.Errorf("ping_group_range %s: %v", groups, err)
			}
		}
	}
}

// TestChecksGoTheirOwnWay: bindto, bind_if and fwmark decide by what a check goes.
func TestChecksGoTheirOwnWay(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	n := lab.New(t)
	a, b := n.Host("a", "10.9.0.1/24", "10.9.0.3/24", "fe80::a/64"), n.Host("b", "10.9.0.2/24", "fe80::b/64")
	from := make(chan string, 1)
	l := b.Listen("10.9.0.2:80")
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			from <- c.RemoteAddr().(*net.TCPAddr).IP.String()
			c.Close()
		}
	}()
	a.MustRun("ip", "rule", "add", "fwmark", "7", "unreachable")
	run := func(c check.Checker) (err error) {
		_ = a.Do(func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			err = c.Check(ctx)
			return nil
		})
		return err
	}
	to := at("10.9.0.2:80")
	for _, c := range []struct {
		change func(to *check.Target)
		from   string
		want   string
		notRun bool
	}{
		{func(*check.Target) {}, "10.9.0.1", "", false},
		{func(to *check.Target) { to.Source = netip.MustParseAddrPort("10.9.0.3:0") }, "10.9.0.3", "", false},
		{func(to *check.Target) { to.Interface = "eth0" }, "10.9.0.1", "", false},
		{func(to *check.Target) { to.Mark = 6 }, "10.9.0.1", "", false},
		{func(to *check.Target) { to.Mark = 7 }, "", "network is unreachable", false},
		{func(to *check.Target) { to.Interface = "eth7" }, "", "interface eth7: no such device", true},
		{func(to *check.Target) { to.Source = netip.MustParseAddrPort("10.9.0.9:0") }, "", "from 10.9.0.9:0: cannot assign requested address", true},
	} {
		to := to
		c.change(&to)
		err := run(check.TCP{Target: to})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || errors.Is(err, check.ErrInconclusive) != c.notRun {
			t.Errorf("%+v: %v, want %q", to, err, c.want)
		}
		if err == nil {
			if got := <-from; got != c.from {
				t.Errorf("%+v: from %s, want %s", to, got, c.from)
			}
		}
		ping := check.Ping{Addr: to.Addr.Addr(), Source: to.Source.Addr(), Interface: to.Interface, Mark: to.Mark}
		if err := run(ping); (err == nil) != (c.want == "") || errors.Is(err, check.ErrInconclusive) != c.notRun {
			t.Errorf("%+v: %v, want %q", ping, err, c.want)
		}
		udp := check.UDP{Target: to} // nobody is at the port: what comes back tells that the packet went there
		if err := run(udp); err == nil || c.want == "" && !strings.Contains(err.Error(), "port unreachable") || errors.Is(err, check.ErrInconclusive) != c.notRun {
			t.Errorf("%+v: %v, want %q", udp, err, c.want)
		}
	}
	within(t, 3*time.Second, "the link-local address answers", func() bool {
		return run(check.Ping{Addr: netip.MustParseAddr("fe80::b%eth0")}) == nil
	})
	b.Cut()
	if err := run(check.TCP{Target: to}); err == nil || !strings.Contains(err.Error(), "timed out") && !strings.Contains(err.Error(), "no route to host") {
		t.Errorf("a server that is cut off: %v", err)
	}
}

func keyPair(t *testing.T, cert, key string) *tls.Certificate {
	t.Helper()
	p, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return &p
}
