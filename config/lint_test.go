package config_test

import (
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
)

// inst is an instance without fault, with more lines in it; serv a service, srv one with the given checker, url one with an
// HTTP_GET.
func inst(lines string) string {
	return "vrrp_instance A {\n interface eth0\n virtual_router_id 5\n priority 50\n virtual_ipaddress {\n 10.0.0.1\n }\n " + lines + "\n}\n"
}

const wellChecked = "HTTP_GET {\n delay_loop 6\n connect_timeout 3\n warmup 1\n url {\n path /\n virtualhost a.example.org\n status_code 200\n }\n }"

func serv(lines, server string) string {
	return "virtual_server 10.0.0.1 80 {\n protocol TCP\n lb_algo wlc\n lb_kind DR\n delay_loop 6\n warmup 1\n connect_timeout 3\n retry 1\n" + lines +
		"\n real_server 10.0.0.2 80 {\n " + server + "\n }\n real_server 10.0.0.3 80 {\n" + wellChecked + "\n }\n}\n"
}

func url(lines string) string { return serv("", "HTTP_GET {\n url {\n"+lines+"\n }\n }") }

// twice writes the same service with other words in its place.
func edit(text, old, new string) string { return strings.ReplaceAll(text, old, new) }

var ruleCases = []struct{ code, bad, good string }{
	{"tcp-check-http", serv("", "TCP_CHECK {\n }"), edit(edit(serv("", "TCP_CHECK {\n connect_port 5432\n }"), ".1 80", ".1 5432"), " 80 {", " 5432 {")},
	{"tcp-check-http", serv("", "TCP_CHECK {\n }\n PING_CHECK {\n }"), serv("", "TCP_CHECK {\n }\n WEBSOCKET_CHECK {\n }")},
	{"tcp-check-protocol", serv("", "TCP_CHECK {\n connect_port 5432\n }"), serv("", "TCP_CHECK {\n connect_port 5432\n }\n PGSQL_CHECK {\n connect_port 5432\n }")},
	{"ping-only", serv("", "PING_CHECK {\n }"), serv("", "PING_CHECK {\n }\n TCP_CHECK {\n }")},
	{"no-check", serv("", ""), serv("", wellChecked)},
	{"slow-detection", serv("", "HTTP_GET {\n delay_loop 60\n url {\n path /\n }\n }"), serv("", wellChecked)},
	{"late-first-check", serv("", "HTTP_GET {\n warmup 60\n url {\n path /\n }\n }"), serv("", "HTTP_GET {\n warmup 60\n alpha\n url {\n path /\n }\n }")},
	{"loop-below-timeout", serv("", "HTTP_GET {\n delay_loop 2\n url {\n path /\n }\n }"), serv("", wellChecked)},
	{"no-retry", serv("", "HTTP_GET {\n retry 0\n url {\n path /\n }\n }"), serv("", wellChecked)},
	{"any-status", url("path /"), url("path /\n regex ok")},
	{"url-without-host", url("path /"), url("path /\n virtualhost a")},
	{"many-urls", url("path /a\n }\n url {\n path /b"), url("path /a")},
	{"tls-not-verified", serv("", "SSL_GET {\n url {\n path /\n }\n }"), serv("", wellChecked)},
	{"tls-not-verified", serv("", "SSL_GET {\n tls_verify no\n url {\n path /\n }\n }"), serv("", "SSL_GET {\n tls_verify\n url {\n path /\n }\n }")},
	{"udp-silence", serv("", "UDP_CHECK {\n }"), serv("", "UDP_CHECK {\n require_reply 00\n }")},
	{"tcp-check-udp", edit(serv("", wellChecked), "protocol TCP", "protocol UDP"), serv("", wellChecked)},
	{"tcp-check-udp", edit(serv("", "REDIS_CHECK {\n }"), "protocol TCP", "protocol UDP"), serv("", "REDIS_CHECK {\n }")},
	{"check-elsewhere", serv("", "HTTP_GET {\n connect_port 81\n url {\n path /\n }\n }"), serv("", "HTTP_GET {\n connect_port 80\n url {\n path /\n }\n }")},
	{"misc-without-timeout", serv("", "MISC_CHECK {\n misc_path /bin/true\n }"), serv("", "MISC_CHECK {\n misc_path /bin/true\n misc_timeout 3\n }")},
	{"script-two-words", serv("", "MISC_CHECK {\n misc_path /bin/true a\n }"), serv("", "MISC_CHECK {\n misc_path \"/bin/true a\"\n }")},
	{"other-port", edit(serv("", wellChecked), "10.0.0.2 80", "10.0.0.2 8080"), edit(edit(serv("", wellChecked), "10.0.0.2 80", "10.0.0.2 8080"), "DR", "NAT")},
	{"nat-return-path", edit(serv("", wellChecked), "DR", "NAT"), serv("", wellChecked)},
	{"persistence-hides", serv("persistence_timeout 3600", wellChecked), serv("persistence_timeout 60", wellChecked)},
	{"sorry-without-inhibit", serv("sorry_server 10.0.0.9 80", wellChecked), serv("sorry_server 10.0.0.9 80\n sorry_server_inhibit", wellChecked)},
	{"weights-unused", edit(serv("", "weight 3\n"+wellChecked), "wlc", "rr"), serv("", "weight 3\n"+wellChecked)},
	{"weight-zero", serv("", "weight 0\n"+wellChecked), serv("", wellChecked)},
	{"single-server", "virtual_server 10.0.0.1 80 {\n real_server 10.0.0.2 80 {\n }\n}\n", serv("", wellChecked)},
	{"no-server", "virtual_server 10.0.0.1 80 {\n}\n", serv("", wellChecked)},
	{"server-is-vip", edit(serv("", wellChecked), "10.0.0.2", "10.0.0.1"), serv("", wellChecked)},
	{"vip-not-held", inst("") + edit(serv("", wellChecked), "10.0.0.1 ", "10.0.0.7 "), inst("") + serv("", wellChecked)},
	{"owner-by-accident", edit(inst("state MASTER"), "priority 50", ""), inst("state MASTER")},
	{"priority-255", inst("priority 255"), inst("priority 254")},
	{"default-priority", edit(inst(""), "priority 50", ""), inst("")},
	{"pass-in-clear", inst("authentication {\n auth_type PASS\n auth_pass a\n }"), inst("")},
	{"slow-failover", inst("advert_int 5"), inst("advert_int 1")},
	{"unicast-without-source", inst("unicast_peer {\n 10.0.0.8\n }"), inst("unicast_src_ip 10.0.0.7\n unicast_peer {\n 10.0.0.8\n }")},
	{"loopback", edit(inst(""), "eth0", "lo"), edit(inst("unicast_peer {\n 10.0.0.8\n }"), "eth0", "lo")},
	{"ipv6-link-local", edit(inst(""), "10.0.0.1", "2001:db8::1"), edit(inst(""), "10.0.0.1", "fe80::1\n 2001:db8::1")},
	{"address-twice", inst("") + edit(edit(inst(""), " A ", " B "), "_id 5", "_id 6"), inst("") + edit(edit(edit(inst(""), " A ", " B "), "_id 5", "_id 6"), "10.0.0.1", "10.0.0.2")},
	{"late-globals", inst("") + "global_defs {\n}\n", "global_defs {\n}\n" + inst("")},
	{"alert-without-server", inst("smtp_alert"), "global_defs {\n smtp_server 10.0.0.9\n notification_email {\n a@example.org\n }\n}\n" + inst("smtp_alert")},
	{"script-security", "vrrp_script S {\n script /bin/true\n}\n", "global_defs {\n enable_script_security\n}\nvrrp_script S {\n script /bin/true\n}\n"},
	{"script-no-patience", "vrrp_script S {\n script /bin/true\n}\n", "vrrp_script S {\n script /bin/true\n fall 2\n rise 2\n}\n"},
	{"weight-clamped", "vrrp_script S {\n script /bin/true\n weight -60\n}\n" + inst("track_script {\n S\n }"), "vrrp_script S {\n script /bin/true\n weight -40\n}\n" + inst("track_script {\n S\n }")},
	{"links-apart", inst("") + edit(edit(inst(""), " A ", " B "), "eth0", "eth1"), inst("") + edit(edit(edit(inst(""), " A ", " B "), "eth0", "eth1"), "virtual_router_id 5", "virtual_router_id 6") + "vrrp_sync_group G {\n group {\n A\n B\n }\n}\n"},
}

// TestRules: each rule speaks of a configuration that has the trap, and is silent about one that has not.
func TestRules(t *testing.T) {
	tested := make(map[string]bool)
	for _, c := range ruleCases {
		tested[c.code] = true
		if _, diags := read(c.bad); !has(diags, c.code) {
			t.Errorf("%s is silent about\n%s%v", c.code, c.bad, diags)
		}
		if _, diags := read(c.good); has(diags, c.code) {
			t.Errorf("%s is not silent about\n%s%v", c.code, c.good, diags)
		}
	}
	for _, r := range config.Rules() {
		if !tested[r.Code] {
			t.Errorf("%s has no test", r.Code)
		}
		if r.Why == "" || r.Fix == "" {
			t.Errorf("%s does not say why, or what to do", r.Code)
		}
	}
	if len(config.Rules()) < 30 {
		t.Errorf("%d rules", len(config.Rules()))
	}
}

func TestRulesCanBeSilenced(t *testing.T) {
	loud := serv("", "TCP_CHECK {\n }")
	silent := edit(loud, "TCP_CHECK {", "TCP_CHECK { # lint:ignore tcp-check-http, other")
	if _, diags := read(silent); has(diags, "tcp-check-http") {
		t.Error(diags)
	}
	if _, diags := read(edit(silent, "tcp-check-http", "no-check")); !has(diags, "tcp-check-http") {
		t.Error("another rule's comment silences it")
	}
}

func TestDetectionIsPrintedAsArithmetic(t *testing.T) {
	_, diags := read(serv("", "HTTP_GET {\n delay_loop 6\n connect_timeout 3\n retry 5\n delay_before_retry 3\n url {\n path /\n }\n }"))
	for _, d := range diags {
		if d.Code == "slow-detection" {
			if !strings.HasPrefix(d.Message, "6s loop + 3s timeout + 5 x (3s + 3s) = 39s until") {
				t.Error(d.Message)
			}
			return
		}
	}
	t.Error("no remark")
}
