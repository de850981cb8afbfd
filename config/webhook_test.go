package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestMailSecurity: the port goes with the security, and a password never goes to a server that is not verified.
func TestMailSecurity(t *testing.T) {
	const user = "\nsmtp_user u\nsmtp_password_file /run/p"
	for text, want := range map[string]string{
		"smtp_server a":                                    " 25",
		"smtp_server a 465":                                " 465",
		"smtp_server a\nsmtp_security tls":                 "tls 465",
		"smtp_server a\nsmtp_security starttls":            "starttls 587",
		"smtp_server a 25\nsmtp_security starttls":         "starttls 25",
		"smtp_server a\nsmtp_security none":                "none 25",
		"smtp_server a" + user:                             "starttls 587",
		"smtp_server a 465" + user:                         "tls 465",
		"smtp_server a 25\nsmtp_tls_ca /x":                 "starttls 25",
		"smtp_server a\nsmtp_security none" + user:         "in clear text",
		"smtp_server a\nsmtp_user u":                       "go together",
		"smtp_server a\nsmtp_password_file /run/p":         "go together",
		"smtp_server a\nsmtp_security maybe":               "maybe",
		"smtp_server a\nsmtp_security":                     "no value",
		"smtp_server a\nsmtp_security tls\nsmtp_tls_ca /x": "tls 465",
	} {
		cfg, diags := Read("k.conf", []byte("global_defs {\n"+text+"\n}\n"))
		got := fmt.Sprintf("%s %d", cfg.Global.Mail.Security, cfg.Global.Mail.Port)
		if err := diags.Err(); err != nil {
			if got = err.Error(); strings.Contains(got, want) {
				continue
			}
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestWebhooks(t *testing.T) {
	cfg, diags := Read("k.conf", []byte("webhook a {\n url https://a.example.org/x\n events server:DOWN reload\n events instance\n timeout 2.5\n}\nwebhook b {\n url_file hook\n header_file /run/h\n tls_ca /run/ca\n}\n"))
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	a, b := cfg.Webhooks[0], cfg.Webhooks[1]
	got := fmt.Sprintf("%s %s %v %v", a.Name, a.URL, a.Events, a.Timeout)
	if want := "a https://a.example.org/x [{server DOWN} {reload } {instance }] 2.5s"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if b.URLFile != "hook" || b.HeaderFile != "/run/h" || b.CA != "/run/ca" {
		t.Errorf("files %q %q %q", b.URLFile, b.HeaderFile, b.CA)
	}
	for text, want := range map[string]string{
		"webhook a { }": "needs one address",
		"webhook a {\nurl http://x\nurl_file y\n}":                   "needs one address",
		"webhook a {\nurl ftp://x\n}":                                "http:// or https://",
		"webhook a {\nurl http://\n}":                                "http:// or https://",
		"webhook a {\nurl https://u:p@x/\n}":                         "password in its url",
		"webhook a {\nurl http://x\nevents serve\n}":                 "serve",
		"webhook a {\nurl http://x\n}\nwebhook a {\nurl http://y\n}": "another webhook",
		"webhook { }": "webhook",
	} {
		_, diags := Read("k.conf", []byte(text+"\n"))
		if err := diags.Err(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
