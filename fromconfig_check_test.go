package holdfast_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/lab"
)

// checkers are those of a real server with the given statements.
func checkers(t *testing.T, statements string) (list []check.Checker) {
	t.Helper()
	src := "virtual_server 192.0.2.1 80 {\nprotocol TCP\nlb_algo rr\nlb_kind NAT\nvirtualhost www.example.org\nreal_server 192.0.2.2 80 {\n" + statements + "\n}\n}\n"
	cfg, diags := config.Read("k.conf", []byte(src))
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	spec, err := holdfast.FromConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range spec.Services[0].Servers[0].Checks {
		list = append(list, p.Checker)
	}
	return list
}

// TestFromConfigCarriesEveryOptionOfAChecker compares what is made with what is printed of it.
func TestFromConfigCarriesEveryOptionOfAChecker(t *testing.T) {
	a := lab.NewAuthority(t, t.TempDir())
	_, cert, key := a.Issue(time.Hour, "client")
	target := "Target:{Addr:192.0.2.2:80 Source:invalid AddrPort Interface: Mark:0}"
	for _, c := range []struct{ statements, want string }{
		{"TCP_CHECK { connect_ip 192.0.2.3\nconnect_port 81\nbindto 192.0.2.9\nbind_port 4000\nbind_if eth1\nfwmark 7\n}",
			"check.TCP {Target:{Addr:192.0.2.3:81 Source:192.0.2.9:4000 Interface:eth1 Mark:7}}"},
		{"TCP_CHECK { connect_ip fe80::3\nbind_if eth1\n}", "check.TCP {Target:{Addr:[fe80::3%eth1]:80 Source:invalid AddrPort Interface:eth1 Mark:0}}"},
		{"PING_CHECK { bindto 192.0.2.9\nbind_if eth1\nfwmark 7\n}", "check.Ping {Addr:192.0.2.2 Source:192.0.2.9 Interface:eth1 Mark:7}"},
		{"SMTP_CHECK { }", "check.SMTP {" + target + " Helo:smtpchecker.keepalived.org StartTLS:<nil>}"},
		{"SMTP_CHECK { helo_name lb1\n}", "check.SMTP {" + target + " Helo:lb1 StartTLS:<nil>}"},
		{"DNS_CHECK { type mx\nname example.org\n}", "check.DNS {" + target + " Name:example.org Type:TypeMX}"},
		{"UDP_CHECK { payload 00ff\nrequire_reply 1x\nmin_reply_length 2\n}", "check.UDP {" + target + " Payload:[0 255] Reply:&{Data:[16] Mask:[240] Min:2 Max:255}}"},
		{"UDP_CHECK { require_reply\nmax_reply_length 9\n}", "check.UDP {" + target + " Payload:[] Reply:&{Data:[] Mask:[] Min:0 Max:9}}"},
		{"GRPC_CHECK { service db\n}", "proto.GRPC {" + target + " TLS:<nil> Service:db Authority:www.example.org}"},
		{"WEBSOCKET_CHECK { path /ws\nvirtualhost a.example.org\n}", "proto.WebSocket {" + target + " TLS:<nil> Path:/ws VirtualHost:a.example.org Origin: Subprotocol:}"},
		{"REDIS_CHECK { user u\npassword p\nrole master\n}", "proto.Redis {" + target + " TLS:<nil> User:u Password:p Role:master}"},
		{"MYSQL_CHECK { user u\n}", "proto.MySQL {" + target + " User:u}"},
		{"PGSQL_CHECK { user u\ndatabase d\nrole standby\n}", "proto.PostgreSQL {" + target + " TLS:<nil> User:u Database:d Role:standby}"},
		{"AGENT_CHECK { connect_port 80\nsend web1\n}", "proto.Agent {" + target + " Send:web1\n}"},
		{"HTTP_GET { http_protocol 1.0c\nvirtualhost a.example.org\nfast_recovery\nurl { path /a\nstatus_code 200 300-302\ndigest 0123456789abcdef0123456789abcdef\n}\nurl { path /b\nvirtualhost b.example.org\n} }",
			"check.HTTP {" + target + " TLS:<nil> Protocol:1.0C URLs:[" +
				"{Path:/a VirtualHost:a.example.org Method: Header:map[User-Agent:[KeepAliveClient]] Body: Redirects:0 Status:[200 300-302] Digest:0123456789abcdef0123456789abcdef Text: Regex:<nil> JSON:[] Within:0s} " +
				"{Path:/b VirtualHost:b.example.org Method: Header:map[User-Agent:[KeepAliveClient]] Body: Redirects:0 Status:[] Digest: Text: Regex:<nil> JSON:[] Within:0s}]}"},
		{"HTTP_GET { http_protocol 2\nurl { path /\nmethod POST\nheader X-One \"a b\"\nheader user-agent me\nbody \"{}\"\nredirects 2\ntext well\njson /state up\nwithin 0.5\nregex \"\\\\bok$\"\nregex_options caseless\nregex_min_offset 3\nregex_max_offset 0009\nregex_no_match\n} }",
			"check.HTTP {" + target + " TLS:<nil> Protocol:2 URLs:[" +
				`{Path:/ VirtualHost:www.example.org Method:POST Header:map[User-Agent:[me] X-One:[a b]] Body:{} Redirects:2 Status:[] Digest: Text:well Regex:"\\bok$" caseless from 3 to 9 JSON:[{Pointer:/state Want:up}] Within:500ms}]}`},
	} {
		got := checkers(t, c.statements)[0]
		if text := fmt.Sprintf("%T %s", got, derefReply(got)); text != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.statements, text, c.want)
		}
	}
	for _, c := range []struct {
		statements string
		want       check.TLS
	}{
		{"", check.TLS{NoSNI: true, SkipVerify: true}},
		{"enable_sni", check.TLS{SkipVerify: true}},
		{"sni_name a.example.org\ntls_compliant", check.TLS{SkipVerify: true, ServerName: "a.example.org", CloseNotify: true}},
		{"tls_verify\ntls_min_days 2", check.TLS{MinValidity: 48 * time.Hour}},
	} {
		h := checkers(t, "SSL_GET {\n"+c.statements+"\nurl { path /\n} }")[0].(check.HTTP)
		if !reflect.DeepEqual(*h.TLS, c.want) {
			t.Errorf("%s: %+v, want %+v", c.statements, *h.TLS, c.want)
		}
	}
	one := "SSL_GET {\ntls_verify\ntls_ca " + a.File + "\ntls_certificate " + cert + "\ntls_key " + key + "\nurl { path /\nregex x\n} }"
	first, second := checkers(t, one), checkers(t, one)
	if h := first[0].(check.HTTP); h.TLS.Certificate == nil || !h.TLS.Roots.Equal(a.Pool()) || h.URLs[0].Regex.MaxOffset != math.MaxInt {
		t.Errorf("%+v", h)
	}
	if !reflect.DeepEqual(first, second) {
		t.Error("the same statement twice gives two different checkers")
	}
}

func derefReply(c check.Checker) string {
	text := fmt.Sprintf("%+v", c)
	if u, ok := c.(check.UDP); ok && u.Reply != nil {
		text = strings.Replace(text, fmt.Sprintf("Reply:%p", u.Reply), fmt.Sprintf("Reply:%+v", u.Reply), 1)
	}
	return text
}

// TestFromConfigReadsHostBlocks: each is a check more, with what stands around it.
func TestFromConfigReadsHostBlocks(t *testing.T) {
	list := checkers(t, "SMTP_CHECK { helo_name lb1\nconnect_port 26\nhost { connect_ip 192.0.2.7\n}\nhost { connect_port 27\n} }")
	var got []string
	for _, c := range list {
		s := c.(check.SMTP)
		got = append(got, s.Helo+" "+s.Addr.String())
	}
	if strings.Join(got, ", ") != "lb1 192.0.2.2:26, lb1 192.0.2.7:26, lb1 192.0.2.2:27" {
		t.Error(got)
	}
}

func TestFromConfigSaysWhichFileCannotBeUsed(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for statement, want := range map[string]string{
		"tls_ca /no/such.pem": "k.conf:4:1: tls_ca: open /no/such.pem: no such file", "tls_ca " + empty: "there is no certificate in it",
		"tls_certificate " + empty + "\ntls_key " + empty: "client certificate: tls: failed to find any PEM data",
	} {
		cfg, diags := config.Read("k.conf", []byte("virtual_server 192.0.2.1 80 {\nprotocol TCP\nreal_server 192.0.2.2 80 {\nSSL_GET {\ntls_verify\n"+statement+"\nurl { path /\n} } } }"))
		if err := diags.Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := holdfast.FromConfig(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", statement, err, want)
		}
	}
}
