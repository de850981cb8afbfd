package integration

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// journal is what servers of a test have heard.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) has(text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(strings.Join(j.lines, "\n"), text)
}

// serveMail takes mail of those who log in, over TLS from the first byte.
func serveMail(l net.Listener, j *journal) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go takeMail(conn, j)
	}
}

func takeMail(conn net.Conn, j *journal) {
	defer conn.Close()
	in := bufio.NewScanner(conn)
	fmt.Fprint(conn, "220 here\r\n")
	for in.Scan() {
		verb, rest, _ := strings.Cut(in.Text(), " ")
		switch verb {
		case "EHLO":
			fmt.Fprint(conn, "250-here\r\n250 AUTH PLAIN\r\n")
		case "AUTH":
			login, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			j.add("login %q", login)
			fmt.Fprint(conn, "235 welcome\r\n")
		case "DATA":
			fmt.Fprint(conn, "354 go\r\n")
			for in.Scan() && in.Text() != "." {
				if subject, ok := strings.CutPrefix(in.Text(), "Subject: "); ok {
					j.add("mail %s", subject)
				}
			}
			fmt.Fprint(conn, "250 taken\r\n")
		case "QUIT":
			return
		default:
			fmt.Fprint(conn, "250 ok\r\n")
		}
	}
}

const withSecrets = `
global_defs {
    router_id lb1
    smtp_server 10.9.0.1 465
    smtp_user lb1
    smtp_password_file mail
    smtp_tls_ca DIR/ca.pem
    notification_email {
        ops@example.org
    }
}
webhook chat {
    url_file hook
    header_file DIR/headers
    tls_ca DIR/ca.pem
    events instance:MASTER reload:OK reload:REFUSED
}
vrrp_instance web {
    interface eth0
    version 3
    advert_int 0.1
    virtual_router_id 51
    smtp_alert
    virtual_ipaddress {
        10.9.0.100/24
    }
}
`

// TestSecretsReachTheirServersOnly: passwords, headers and secret addresses come from files and credentials of the service manager,
// go to servers that are verified, are read again on a reload, and are shown to nobody else.
func TestSecretsReachTheirServersOnly(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	h, dir := lab.New(t).Host("lb", "10.9.0.1/24"), t.TempDir()
	authority := lab.NewAuthority(t, dir)
	cert, _, _ := authority.Issue(time.Hour, "10.9.0.1")
	secure := &tls.Config{Certificates: []tls.Certificate{cert}}
	var heard journal
	mail, hook := tls.NewListener(h.Listen("10.9.0.1:465"), secure), tls.NewListener(h.Listen("10.9.0.1:443"), secure)
	defer mail.Close()
	defer hook.Close()
	go serveMail(mail, &heard)
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e struct{ Kind, Object, To, Host string }
		err := json.NewDecoder(r.Body).Decode(&e)
		heard.add("post %s %s %s %s %s %s %v", r.URL.Path, r.Header.Get("Authorization"), e.Host, e.Kind, e.Object, e.To, err)
	})}
	go server.Serve(hook)
	secret := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secret("mail", "pass-s3cret\n")
	secret("hook", "https://10.9.0.1/s3cret-path\n")
	secret("headers", "Authorization: Bearer s3cret-one\nX-Team: lb\n")
	file, socket := write(t, "lb.conf", strings.ReplaceAll(withSecrets, "DIR", dir)), filepath.Join(dir, "control.sock")
	p := h.Start(t.Context(), "env", "CREDENTIALS_DIRECTORY="+dir, lab.Bin("director"), "run", "-f", file, "--ipvs", "none", "--control", socket)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("heard %q; it printed:\n%s", heard.lines, p.Output())
		}
	})
	says(t, p, "msg=ready")
	hears := func(text string) {
		t.Helper()
		within(t, 20*time.Second, text, func() bool { return heard.has(text) })
	}
	hears(`login "\x00lb1\x00pass-s3cret"`)
	hears("mail [lb1] VRRP instance web is MASTER")
	hears("post /s3cret-path Bearer s3cret-one lb1 instance web MASTER <nil>")

	secret("headers", "Authorization: Bearer s3cret-two\n")
	reload(t, p, "msg=reloaded")
	hears("post /s3cret-path Bearer s3cret-two lb1 reload " + file + " OK <nil>")
	reload(t, p, `changes="nothing changed"`) // what is read anew is the same
	for problem, spoil := range map[string]func() error{
		"is open to everybody": func() error { return os.Chmod(filepath.Join(dir, "headers"), 0o644) },
		"no lines of the form": func() error {
			return os.WriteFile(filepath.Join(dir, "headers"), []byte("s3cret without a name"), 0o600)
		},
		"headers: no such file": func() error { return os.Remove(filepath.Join(dir, "headers")) },
	} {
		secret("headers", "Authorization: Bearer s3cret-three\n")
		if err := os.Chmod(filepath.Join(dir, "headers"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		reload(t, p, problem)
	}
	hears("post /s3cret-path Bearer s3cret-two lb1 reload " + file + " REFUSED <nil>")
	server.Close()
	secret("headers", "Authorization: Bearer s3cret-four\n")
	reload(t, p, "msg=reloaded")
	for _, command := range []string{"status", "events"} {
		if out := h.MustRun(lab.Bin("director"), command, "--control", socket); strings.Contains(out, "s3cret") || out == "" {
			t.Errorf("director %s:\n%s", command, out)
		}
	}
	if status := p.Stop(); status != 0 { // the post that is left is lost now
		t.Errorf("status %d", status)
	}
	if !strings.Contains(p.Output(), `receiver="webhook chat"`) || strings.Contains(p.Output(), "s3cret") {
		t.Errorf("it printed:\n%s", p.Output())
	}
}
