package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/check/bfd"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
	"github.com/holdfast-lb/holdfast/observe"
	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

const good = `vrrp_instance web {
    interface eth0
    virtual_router_id 51
    virtual_ipaddress { 192.0.2.10/24 }
}
virtual_server 192.0.2.10 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server 192.0.2.11 80 {
        TCP_CHECK { }
    }
}
`

func file(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "keepalived.conf")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func run(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = command(args, &out, &errs)
	return status, out.String(), errs.String()
}

func TestExitStatuses(t *testing.T) {
	sound, broken := file(t, good), file(t, "vrrp_instance web { interfase eth0 }\n")
	canonical := file(t, "vrrp_instance web {\n    interface eth0\n}\n")
	for _, c := range []struct {
		args   string
		status int
		says   string // on either output
	}{
		{"", 2, "usage"},
		{"help", 0, "usage"},
		{"frobnicate", 2, `unknown command "frobnicate"`},
		{"check " + sound, 0, "0 errors, 0 warnings, "},
		{"check --json " + sound, 0, `"severity": "note"`},
		{"check " + sound + " --json", 0, `"code": "tcp-check-http"`},
		{"check " + broken, 1, ":1:21: error: unknown keyword \"interfase\" in vrrp_instance; did you mean interface?"},
		{"check /nonexistent.conf", 2, "no such file"},
		{"check " + t.TempDir(), 2, "not a regular file"},
		{"check", 2, "director check: no file\n  director check [--json] [-v] [-i ID] FILE"},
		{"check -h", 0, "  director check [--json] [-v] [-i ID] FILE"},
		{"run --help", 0, "  director run -f FILE"},
		{"plan", 2, "no operands, wanted 1\n  director plan "},
		{"chekc", 2, "did you mean check?"},
		{"check " + sound + " " + broken, 1, "did you mean interface?"},
		{"check " + broken + " /nonexistent.conf " + sound, 2, "0 errors, 0 warnings"},
		{"fmt --check " + sound + " " + broken, 1, broken + " is not in canonical layout"},
		{"fmt -d " + canonical, 0, ""},
		{"fmt " + broken + " " + sound, 0, "TCP_CHECK {\n        }\n"},
		{"fmt -w --check " + sound, 2, "-w writes"},
		{"explain vrrp_scritp", 1, "did you mean vrrp_script?"},
		{"explain vrrp_instance/prioritty", 1, "did you mean vrrp_instance/priority?"},
		{"explain lint/tcp-check-htp", 1, "did you mean tcp-check-http?"},
		{"check --fast " + sound, 2, "-fast"},
		{"plan " + sound, 0, "-a -t 192.0.2.10:80 -r 192.0.2.11:80 -g -w 1\n"},
		{"plan " + sound, 0, "vrrp_instance web add: interface eth0, virtual_router_id 51"},
		{"plan " + broken, 1, "did you mean interface?"},
		{"plan /nonexistent.conf", 2, "no such file"},
		{"plan --status 127.0.0.1:1 " + sound, 1, "is a director running"},
		{"check -i lb2 " + file(t, "@lb1 frobnicate\n@lb2 global_defs { router_id a }\n"), 0, "0 errors"},
		{"check --config-id lb1 " + file(t, "@lb1 frobnicate\n"), 1, "frobnicate"},
		{"check -v " + sound, 0, "statements are effective"},
		{"fmt " + sound, 0, "        TCP_CHECK {\n        }\n"},
		{"fmt " + broken, 0, "    interfase eth0\n}\n"},
		{"fmt /nonexistent.conf", 2, "no such file"},
		{"fmt " + file(t, "a {"), 1, "never closed"},
		{"explain vrrp_instance/priority", 0, "vrrp_instance/priority N\n"},
		{"explain --json TCP_CHECK", 0, `"status": "effective"`},
		{"explain lint/tcp-check-http", 0, "stays in"},
		{"explain frobnicate", 1, "no keyword or block"},
		{"explain lint/frobnicate", 1, "no lint rule"},
		{"explain a b", 2, "one BLOCK/KEYWORD"},
		{"run", 2, "no file"},
		{"run -f " + broken, 1, "did you mean interface?"},
		{"run -f " + sound + " --ipvs magic", 2, "auto, kernel, relay and none exist"},
		{"run -f " + sound + " --log-format xml", 2, "text and json exist"},
		{"run -f /nonexistent.conf --ipvs none", 2, "no such file"},
		{"run -f " + sound + " --ipvs none --status 256.0.0.1:80", 1, "--status 256.0.0.1:80"},
	} {
		status, stdout, stderr := run(strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(strings.ReplaceAll(stdout+stderr, `\"`, `"`), c.says) {
			t.Errorf("director %s: status %d, want %d and %q; it said:\n%s%s", c.args, status, c.status, c.says, stdout, stderr)
		}
	}
}

// TestStandardInput: - and a pipe are read as files are.
func TestStandardInput(t *testing.T) {
	const broken = "vrrp_instance web { interfase eth0 }\n"
	for _, c := range []struct {
		args   string
		text   string
		status int
		says   string
	}{
		{"check -", broken, 1, "<stdin>:1:21: error: unknown keyword"},
		{"check -", broken, 1, "    vrrp_instance web { interfase eth0 }\n    "},
		{"check -", good, 0, "0 errors"},
		{"check -", "", 0, "0 errors"},
		{"fmt -", broken, 0, "    interfase eth0\n}\n"},
		{"fmt -d -", broken, 1, "<stdin> is not in canonical layout"},
		{"fmt -w -", broken, 2, "cannot be written to"},
	} {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(out, c.text)
		out.Close()
		stdin := os.Stdin
		os.Stdin = in
		status, stdout, stderr := run(strings.Fields(c.args)...)
		os.Stdin = stdin
		in.Close()
		if status != c.status || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("director %s: status %d, want %d and %q; it said:\n%s%s", c.args, status, c.status, c.says, stdout, stderr)
		}
	}
	in, out, _ := os.Pipe()
	defer in.Close()
	fmt.Fprint(out, broken)
	out.Close()
	name := fmt.Sprintf("/dev/fd/%d", in.Fd())
	if status, stdout, stderr := run("check", name); status != 1 || !strings.Contains(stdout, name+":1:21: error: unknown keyword") {
		t.Errorf("a pipe: status %d %s%s", status, stdout, stderr)
	}
}

// TestOneArray: the findings of several files are one JSON value.
func TestOneArray(t *testing.T) {
	a, b := file(t, "frob a\n"), file(t, "frob b\n")
	status, stdout, _ := run("check", "--json", a, b)
	var list []finding
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || status != 1 || len(list) != 2 || list[0].File != a || list[1].File != b {
		t.Errorf("status %d, %v: %s", status, err, stdout)
	}
}

func TestCheckPointsAtTheWord(t *testing.T) {
	_, stdout, _ := run("check", file(t, "vrrp_instance web {\n\tinterfase eth0\n}\n"))
	if !strings.Contains(stdout, "    \tinterfase eth0\n    \t^~~~~~~~~\n") {
		t.Error(stdout)
	}
}

// TestCheckSaysWhatWouldNotStart although no line of it is wrong.
func TestCheckSaysWhatWouldNotStart(t *testing.T) {
	name := file(t, "global_defs {\n smtp_server 192.0.2.25\n smtp_user a\n smtp_password_file /nonexistent\n notification_email {\n  a@example.org\n }\n}\n"+
		strings.Replace(good, "interface", "smtp_alert\n interface", 1))
	status, stdout, _ := run("check", name)
	if want := name + ": error: smtp_password_file: stat /nonexistent"; status != exitFailed || !strings.Contains(stdout, want) {
		t.Errorf("status %d, want %q in\n%s", status, want, stdout)
	}
}

func TestFmtWritesInPlace(t *testing.T) {
	name := file(t, "a{b}\n")
	if err := os.Chmod(name, 0o640); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := run("fmt", "-w", name); status != 0 {
		t.Fatal(stderr)
	}
	text, _ := os.ReadFile(name)
	info, _ := os.Stat(name)
	if string(text) != "a {\n    b\n}\n" || info.Mode().Perm() != 0o640 {
		t.Errorf("%q, mode %v", text, info.Mode())
	}
}

func TestCheckJSON(t *testing.T) {
	name := file(t, good)
	_, stdout, _ := run("check", "--json", name)
	var list []map[string]any
	if err := json.Unmarshal([]byte(stdout), &list); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	list = slices.DeleteFunc(list, func(d map[string]any) bool { return d["code"] != "tcp-check-http" })
	if len(list) != 1 {
		t.Fatalf("findings: %s", stdout)
	}
	d := list[0]
	if d["file"] != name || d["line"] != 11.0 || d["column"] != 9.0 || d["severity"] != "note" || d["message"] == "" || d["hint"] == "" {
		t.Errorf("finding: %v", d)
	}
	if _, stdout, _ := run("check", "--json", file(t, "")); strings.TrimSpace(stdout) != "[]" {
		t.Errorf("nothing to find: %s", stdout)
	}
}

// running is a director on a LAN and a table in memory.
func running(t *testing.T, text string) (*director, *httptest.Server) {
	d := &director{options: options{file: file(t, text)}, log: slog.New(slog.DiscardHandler), table: &ipvstest.Fake{}}
	d.controller = holdfast.New(holdfast.Options{Network: vrrptest.NewLAN().Host("192.0.2.1"), Table: d.table})
	d.observer = observe.New(d.controller, observe.Options{})
	if _, err := d.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- d.controller.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-d.controller.Ready()
	server := httptest.NewServer(d.statusHandler())
	t.Cleanup(server.Close)
	return d, server
}

// controlled serves the director's control socket until the test ends.
func controlled(t *testing.T, d *director) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "control.sock")
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	if err := d.serveControl(ctx, socket); err != nil {
		t.Fatal(err)
	}
	return socket
}

func TestPlanAgainstARunningDirector(t *testing.T) {
	_, server := running(t, good)
	addr := strings.TrimPrefix(server.URL, "http://")
	if status, stdout, stderr := run("plan", file(t, good), "--status", addr); status != 0 || stdout != "" {
		t.Errorf("the same file: status %d\n%s%s", status, stdout, stderr)
	}
	edited := strings.Replace(good, "TCP_CHECK", "weight 7\n TCP_CHECK", 1) + "virtual_server 192.0.2.10 443 { protocol TCP\n real_server 192.0.2.11 443 { } }\n"
	const want = "-e -t 192.0.2.10:80 -r 192.0.2.11:80 -g -w 7\n-A -t 192.0.2.10:443 -s wlc\n-a -t 192.0.2.10:443 -r 192.0.2.11:443 -m -w 1\n"
	if status, stdout, stderr := run("plan", "--status", addr, file(t, edited)); status != 0 || stdout != want {
		t.Errorf("an edited file: status %d\n%s%swant:\n%s", status, stdout, stderr, want)
	}
	answer, err := http.Post(server.URL+"/plan", "text/plain", strings.NewReader("vrrp_instance {"))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(body), "never closed") {
		t.Errorf("a broken file: %s %s", answer.Status, body)
	}
}

// TestRestrict: a part of a file is that part, and --beside nothing that anybody would notice.
func TestRestrict(t *testing.T) {
	all := holdfast.Spec{
		Instances: []vrrp.Instance{{}}, Trackers: []holdfast.Tracker{{}}, Services: []holdfast.Service{{}},
		Host: vrrp.Host{Pacing: []vrrp.Pacing{{}}}, Tuning: holdfast.Tuning{Flush: true}, Sessions: []bfd.Session{{}},
		Notify: holdfast.Notify{Host: "h"}, Startup: &holdfast.Program{}, Shutdown: &holdfast.Program{},
	}
	for p, want := range map[part]string{everything: "ITHSUBNP", vrrpOnly: "ITHBNP", checksOnly: "SUBNP", beside: "S"} {
		s, got := all, ""
		p.restrict(&s)
		for _, c := range []struct {
			letter string
			there  bool
		}{
			{"I", len(s.Instances) > 0}, {"T", len(s.Trackers) > 0}, {"H", len(s.Host.Pacing) > 0}, {"S", len(s.Services) > 0}, {"U", s.Tuning.Flush},
			{"B", len(s.Sessions) > 0}, {"N", s.Notify.Host != ""}, {"P", s.Startup != nil && s.Shutdown != nil},
		} {
			if c.there {
				got += c.letter
			}
		}
		if got != want {
			t.Errorf("part %d: %s is left, want %s", p, got, want)
		}
	}
}

// TestPlanForStrangers: who can reach the status learns nothing of the host's files and environment; who may open the socket
// may read them all the same.
func TestPlanForStrangers(t *testing.T) {
	d, server := running(t, good)
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("topsecret x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	instance := "vrrp_instance i { virtual_router_id 1\n interface eth0\n virtual_ipaddress { 192.0.2.10 }\n auth_hmac { key 1 file:%s\n active_key 1\n time_window 10\n } }\n"
	server443 := "virtual_server 192.0.2.10 443 { protocol TCP\n real_server 192.0.2.11 443 { SSL_GET { tls_verify\n tls_ca %s\n url { path / } } } }\n"
	t.Setenv("HOLDFAST_TEST", "topsecret")
	for _, text := range []string{
		"include " + secret, "include " + dir + "/*", "includer secret", "$A=${_ENV HOLDFAST_TEST}\n$A x",
		fmt.Sprintf(instance, secret), fmt.Sprintf(server443, secret),
	} {
		answer, err := http.Post(server.URL+"/plan?name="+dir+"/posted.conf", "text/plain", strings.NewReader(text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(body), "not for everybody") || strings.Contains(string(body), "topsecret") {
			t.Errorf("%s: %s %s", text, answer.Status, body)
		}
	}
	whole := filepath.Join(dir, "whole.conf")
	for name, text := range map[string]string{whole: "include part\n", filepath.Join(dir, "part"): good} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if status, stdout, stderr := run("plan", "--control", controlled(t, d), whole); status != 0 || stdout != "" {
		t.Errorf("over the socket: status %d\n%s%s", status, stdout, stderr)
	}
	if status, _, stderr := run("plan", "--status", strings.TrimPrefix(server.URL, "http://"), whole); status != 1 || !strings.Contains(stderr, "plan --control") {
		t.Errorf("over the status: status %d\n%s", status, stderr)
	}
}

func TestStatusPages(t *testing.T) {
	_, server := running(t, good)
	for want, path := range map[string]string{
		"TCP 192.0.2.10:80 UP live weight 1 192.0.2.11:80 UP weight 1": "/",
		"TCP_CHECK 192.0.2.11:80 UP for":                               "/",
		`"service": "TCP 192.0.2.10:80"`:                               "/status",
		`holdfast_service_up{service="TCP 192.0.2.10:80"} 1`:           "/metrics",
	} {
		answer, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if text := strings.Join(strings.Fields(string(body)), " "); !strings.Contains(text, want) {
			t.Errorf("%s: %s", path, body)
		}
	}
}

// TestReload: a broken file leaves what was in force, a good one replaces it.
func TestReload(t *testing.T) {
	d, _ := running(t, good)
	table := d.table.(*ipvstest.Fake)
	before := table.Dump()
	write := func(text string) {
		if err := os.WriteFile(d.file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("virtual_server nowhere 80 { }")
	if _, err := d.load(t.Context()); err == nil || table.Dump() != before || len(d.controller.Status().Instances) != 1 {
		t.Errorf("broken: %v\n%s", err, table.Dump())
	}
	write(strings.Replace(good, "lb_algo rr", "lb_algo wrr", 1))
	if _, err := d.load(t.Context()); err != nil || !strings.Contains(table.Dump(), "-s wrr") {
		t.Errorf("good: %v\n%s", err, table.Dump())
	}
}

// TestSecretsStayInside: what is shared between routers is shown to nobody.
func TestSecretsStayInside(t *testing.T) {
	text := strings.Replace(good, "virtual_router_id 51", "virtual_router_id 51\n authentication {\n auth_type PASS\n auth_pass open5esa\n }", 1)
	d, server := running(t, text)
	go d.observer.Run(t.Context())
	for _, path := range []string{"/", "/status", "/metrics", "/events?follow=0"} {
		answer, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || len(body) == 0 || strings.Contains(string(body), "open5esa") {
			t.Errorf("%s: %v\n%s", path, err, body)
		}
	}
	var dump bytes.Buffer
	if err := writeData(&dump, d.file, d.controller.Status()); err != nil || strings.Contains(dump.String(), "open5esa") {
		t.Errorf("%v\n%s", err, dump.String())
	}
}

// TestFindingsAreNotRepeatedForEver: a file of many servers does not fill the log with one remark, and says how many there are.
func TestFindingsAreNotRepeatedForEver(t *testing.T) {
	var log bytes.Buffer
	d := &director{options: options{file: "many.conf"}, log: slog.New(slog.NewTextHandler(&log, nil))}
	var diags config.Diagnostics
	for range 500 {
		diags = append(diags, config.Diagnostic{Severity: config.Note, Code: "no-check", Message: "has no check"})
	}
	diags = append(diags, config.Diagnostic{Severity: config.Error, Code: "other", Message: "something else"})
	d.logDiagnostics(diags)
	if n := strings.Count(log.String(), "has no check"); n != saidOften {
		t.Errorf("%d remarks of one kind", n)
	}
	for _, want := range []string{"more=490", "director check many.conf", "something else"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("nothing says %q in\n%s", want, log.String())
		}
	}
}

// ended is a context that is over.
func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
