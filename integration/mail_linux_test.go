package integration

import (
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

const (
	deliveringMain = `smtpd_tls_received_header = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_authenticated_header = yes
smtpd_tls_auth_only = yes
smtpd_recipient_restrictions = permit_sasl_authenticated, reject_unauth_destination
cyrus_sasl_config_path = DIR/sasl
mydestination =
mynetworks =
virtual_mailbox_domains = example.org
virtual_mailbox_base = DIR/mail
virtual_mailbox_maps = static:ops/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
`
	deliveringServices = `127.0.0.1:2587 inet n - n - - smtpd -o smtpd_tls_security_level=encrypt -o smtpd_delay_reject=yes -o smtpd_client_restrictions=permit_sasl_authenticated,reject
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
virtual unix - n n - - virtual
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
`
	alerting = `global_defs {
 router_id lb-Zürich
 script_user root
 smtp_server 127.0.0.1 2525
 smtp_helo_name lb1.example.org
 smtp_alert
 notification_email {
  ops@example.org
  noc@example.org
 }
 notification_email_from lb1@example.org
}
virtual_server 127.0.0.1 20000 {
 lb_algo rr
 lb_kind NAT
 protocol TCP
 delay_loop 0.3
 warmup 0
 real_server 127.0.0.1 1 {
  MISC_CHECK {
   misc_path "DIR/sick"
   misc_timeout 10
   retry 0
  }
 }
}
`
)

// mailServer is a Postfix that puts all mail of example.org into one Maildir, and has a submission service for
// alert@example.org.
func mailServer(t *testing.T) (box string, a *lab.Authority) {
	t.Helper()
	lab.Need(t, "saslpasswd2")
	dir, a := postfix(t, deliveringMain, deliveringServices)
	for _, name := range []string{"sasl", "mail"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	users := filepath.Join(dir, "users")
	replace(t, filepath.Join(dir, "sasl", "smtpd.conf"), "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: "+users+"\nmech_list: PLAIN LOGIN\n")
	add := exec.Command("saslpasswd2", "-p", "-c", "-f", users, "-u", "example.org", "alert")
	add.Stdin = strings.NewReader("secret")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("saslpasswd2: %v\n%s", err, out)
	}
	if err := os.Chmod(users, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(dir, "mail"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "mail", "ops", "new"), a
}

// delivered waits for the mail whose subject has this, and reads it: the header, and the body as text.
func delivered(t *testing.T, box, subject string) (raw string, header mail.Header, body string) {
	t.Helper()
	find := func() bool {
		files, _ := filepath.Glob(filepath.Join(box, "*"))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, err := mail.ReadMessage(strings.NewReader(string(text)))
			if err != nil {
				t.Fatalf("%v:\n%s", err, text)
			}
			words, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			if err != nil || !strings.Contains(words, subject) {
				continue
			}
			if got := m.Header.Get("Content-Transfer-Encoding"); got != "quoted-printable" {
				t.Fatalf("encoding %q", got)
			}
			decoded, err := io.ReadAll(quotedprintable.NewReader(m.Body))
			if err != nil {
				t.Fatal(err)
			}
			raw, header, body = string(text), m.Header, string(decoded)
			os.Remove(file)
			return true
		}
		return false
	}
	within(t, 20*time.Second, "a mail with "+subject, find)
	return raw, header, body
}

// TestMailThroughPostfix: what a mailbox has of a server that falls ill and heals. The way there is encrypted where the mail
// server offers it; where it wants a user, it gets one.
func TestMailThroughPostfix(t *testing.T) {
	box, a := mailServer(t)
	dir := t.TempDir()
	replace(t, dir+"/sick", "#!/bin/sh\ntest ! -e "+dir+"/flag || { echo 'Grüße: der Dienst ist krank, "+strings.Repeat("sehr ", 400)+"'; exit 1; }\n")
	if err := os.Chmod(dir+"/sick", 0o755); err != nil {
		t.Fatal(err)
	}
	conf := strings.ReplaceAll(alerting, "DIR", dir)

	t.Run("director", func(t *testing.T) {
		socket := filepath.Join(t.TempDir(), "control.sock")
		serve(t, "unix "+socket, lab.Bin("director"), "run", "-f", write(t, "mail.conf", conf), "--ipvs", "none", "--control", socket)
		aMailStory(t, socket, dir, box)
	})

	t.Run("with a user", func(t *testing.T) {
		old, _ := filepath.Glob(box + "/*")
		for _, file := range old {
			os.Remove(file)
		}
		password := filepath.Join(dir, "password")
		if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		submitted := strings.Replace(conf, "smtp_server 127.0.0.1 2525", "smtp_server 127.0.0.1 2587\n smtp_security starttls\n smtp_tls_ca "+a.File+
			"\n smtp_user alert@example.org\n smtp_password_file "+password, 1)
		socket := filepath.Join(t.TempDir(), "control.sock")
		serve(t, "unix "+socket, lab.Bin("director"), "run", "-f", write(t, "mail.conf", submitted), "--ipvs", "none", "--control", socket)
		within(t, 10*time.Second, "it is well", func() bool { return statusHere(t, socket).Services[0].Servers[0].Checks[0].Checks > 0 })
		replace(t, dir+"/flag", "")
		raw, header, _ := delivered(t, box, "is DOWN")
		if received := header.Get("Received"); !strings.Contains(received, "with ESMTPSA id") || !strings.Contains(received, "Authenticated sender: alert@example.org") {
			t.Errorf("%s", raw)
		}
	})
}

// aMailStory has the server fall ill and heal, and reads the mail about it.
func aMailStory(t *testing.T, socket, dir, box string) {
	up := func() bool { return statusHere(t, socket).Services[0].Servers[0].Up }
	within(t, 10*time.Second, "it is well", func() bool {
		s := statusHere(t, socket).Services[0].Servers[0]
		return s.Up && s.Checks[0].Checks > 0
	})
	replace(t, dir+"/flag", "")
	within(t, 10*time.Second, "it is ill", func() bool { return !up() })
	raw, header, body := delivered(t, box, "[lb-Zürich] server 127.0.0.1:1 of TCP 127.0.0.1:20000 is DOWN")
	t.Logf("%s", raw)
	for line := range strings.Lines(raw) {
		if len(strings.TrimRight(line, "\r\n")) > 78 && line[0] != '\t' { // the mail server's own
			t.Errorf("a line of %d characters: %s", len(line), line)
		}
	}
	for name, want := range map[string]string{
		"From": "<lb1@example.org>", "To": "<ops@example.org>, <noc@example.org>", "Auto-Submitted": "auto-generated", "MIME-Version": "1.0",
		"Content-Type": "text/plain; charset=UTF-8", "Received": "with ESMTPS id", "Message-ID": "@",
	} {
		if !strings.Contains(header.Get(name), want) {
			t.Errorf("%s: %q, want %q", name, header.Get(name), want)
		}
	}
	if date, err := header.Date(); err != nil || time.Since(date) > time.Minute || time.Since(date) < -time.Second {
		t.Errorf("Date: %s, %v", header.Get("Date"), err)
	}
	for _, want := range []string{
		"server 127.0.0.1:1 of TCP 127.0.0.1:20000 on lb-Zürich is DOWN, and was UP.", "Why:    ", "exit status 1", "Grüße: der Dienst ist krank", "When:   " + time.Now().Format("Mon 2006-01-02"), "Seen:   after ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
	if err := os.Remove(dir + "/flag"); err != nil {
		t.Fatal(err)
	}
	_, _, body = delivered(t, box, "server 127.0.0.1:1 of TCP 127.0.0.1:20000 is UP")
	if !strings.Contains(body, "is UP, and was DOWN.") {
		t.Errorf("%s", body)
	}
}
