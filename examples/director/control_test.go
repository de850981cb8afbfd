package main

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
)

// TestVerbs: what an operator says by the command line is so, in the table and in the status, and can be taken back.
func TestVerbs(t *testing.T) {
	d, _ := running(t, good)
	table := d.table.(*ipvstest.Fake)
	socket := controlled(t, d)
	say := func(words string) {
		t.Helper()
		if status, _, stderr := run(strings.Fields(words + " --control " + socket)...); status != 0 {
			t.Fatalf("director %s: status %d: %s", words, status, stderr)
		}
	}
	wantLine := func(line string, there bool) {
		t.Helper()
		if strings.Contains(table.Dump(), line) != there {
			t.Errorf("%q is there: %v, want %v:\n%s", line, !there, there, table.Dump())
		}
	}
	say("weight 192.0.2.10:80 192.0.2.11 7")
	wantLine("-r 192.0.2.11:80 -g -w 7", true)
	say("reload")
	wantLine("-r 192.0.2.11:80 -g -w 7", true)
	say("weight tcp/192.0.2.10:80 192.0.2.11:80 reset")
	wantLine("-r 192.0.2.11:80 -g -w 1", true)
	say("maintenance on 192.0.2.10:80 192.0.2.11")
	wantLine("-r 192.0.2.11:80", false)
	say("maintenance off 192.0.2.10:80 192.0.2.11")
	wantLine("-r 192.0.2.11:80", true)
	say("drain 192.0.2.10:80 192.0.2.11 --no-wait")
	for limit := time.Now().Add(10 * time.Second); strings.Contains(table.Dump(), "-r 192.0.2.11:80"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("drained, and still there:\n%s", table.Dump())
		}
	}
	say("maintenance off 192.0.2.10:80 192.0.2.11")
	say("drain 192.0.2.10:80 192.0.2.11")
	wantLine("-r 192.0.2.11:80", false)
	say("priority web 42")
	if p := d.controller.Status().Instances[0].Priority; p != 42 {
		t.Errorf("priority %d", p)
	}
	say("priority web reset")
	say("maintenance on web")
	if s := d.controller.Status().Instances[0]; s.Priority != 100 || s.State.String() != "FAULT" {
		t.Errorf("in maintenance: %v, priority %d", s.State, s.Priority)
	}
}

// TestVerbsRefuse: what makes no sense changes nothing, and the answer says why.
func TestVerbsRefuse(t *testing.T) {
	d, _ := running(t, good)
	socket := controlled(t, d)
	before := d.table.(*ipvstest.Fake).Dump()
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"weight 192.0.2.99:80 192.0.2.11 7", 1, "no service 192.0.2.99:80"},
		{"weight 192.0.2.10:80 192.0.2.99 7", 1, "no server 192.0.2.99"},
		{"weight 192.0.2.10:80 192.0.2.11 much", 2, `"much": 0 to 65535 is wanted, or reset`},
		{"weight 192.0.2.10:80 192.0.2.11 -3", 2, `"-3": 0 to 65535 is wanted, or reset`},
		{"weight 192.0.2.10:80 192.0.2.11 70000", 2, "  director weight SERVICE SERVER N|reset"},
		{"priority web 0", 2, `"0": 1 to 254 is wanted, or reset`},
		{"priority web 300", 2, `"300": 1 to 254 is wanted, or reset`},
		{"weight 192.0.2.10:80", 2, "1 operand (192.0.2.10:80), wanted 3"},
		{"priority nobody 5", 1, "nobody"},
		{"priority web 255", 2, "1 to 254 is wanted"},
		{"maintenance maybe web", 1, "on or off is wanted"},
		{"failover nobody", 1, "nobody"},
		{"drain 192.0.2.10:80", 2, "1 operand (192.0.2.10:80), wanted 2"},
		{"events --fallow", 2, "fallow"},
	} {
		status, stdout, stderr := run(strings.Fields(c.args + " --control " + socket)...)
		if status != c.status || !strings.Contains(stderr, c.says) {
			t.Errorf("director %s: status %d, want %d and %q; it said:\n%s%s", c.args, status, c.status, c.says, stdout, stderr)
		}
	}
	if after := d.table.(*ipvstest.Fake).Dump(); after != before {
		t.Errorf("the table changed:\n%s", after)
	}
	if status, _, stderr := run("status", "--control", filepath.Join(t.TempDir(), "nobody")); status != 1 || !strings.Contains(stderr, "is a director running") {
		t.Errorf("without a director: %d %s", status, stderr)
	}
}

// TestBadRequests: bytes that are no request of ours get an answer that says so, and no more.
func TestBadRequests(t *testing.T) {
	d, _ := running(t, good)
	c := newClient(controlled(t, d))
	for path, bodies := range map[string][]string{
		"/weight":      {"{", `{"wait":3}`, `{"unknown":1}`, `{"service":"TCP 192.0.2.10:80","server":"192.0.2.11","weight":1}`, `[]`, `{"service":"TCP 192.0.2.10:80","server":"192.0.2.11:80","weight":-1}`, `{"weight":1e999}`, strings.Repeat(" ", maxRequest+1)},
		"/maintenance": {"", `{}`, `{"on":true}`, `{"on":null,"instance":"web"}`},
		"/priority":    {`{"instance":"web","priority":0}`, `{"instance":"web","priority":256}`},
	} {
		for _, body := range bodies {
			r, err := http.NewRequestWithContext(t.Context(), "POST", "http://director"+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			response, err := c.http.Do(r)
			if err != nil {
				t.Errorf("%s %.40q: %v", path, body, err)
				continue
			}
			response.Body.Close()
			if response.StatusCode != http.StatusBadRequest {
				t.Errorf("%s %.40q: %s", path, body, response.Status)
			}
		}
	}
}

// TestReadOnlyOverTCP: what is served at --status changes nothing.
func TestReadOnlyOverTCP(t *testing.T) {
	_, server := running(t, good)
	for _, path := range []string{"/drain", "/maintenance", "/weight", "/priority", "/failover", "/reload"} {
		response, err := http.Post(server.URL+path, "application/json", strings.NewReader(`{"instance":"web","on":true}`))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusNotFound && response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %s", path, response.Status)
		}
	}
}

func TestStatusAndEventsOfARunningDirector(t *testing.T) {
	d, _ := running(t, good)
	go d.observer.Run(t.Context())
	socket := controlled(t, d)
	if status, stdout, stderr := run("status", "--control", socket); status != 0 || !strings.Contains(stdout, "TCP 192.0.2.10:80") || strings.Contains(stdout, "\x1b") {
		t.Errorf("status: %d %s%s", status, stdout, stderr)
	}
	if _, stdout, _ := run("status", "--json", "--control", socket); !strings.Contains(stdout, `"service": "TCP 192.0.2.10:80"`) {
		t.Errorf("status --json: %s", stdout)
	}
	for limit := time.Now().Add(10 * time.Second); len(d.observer.History()) < 2 && time.Now().Before(limit); {
		time.Sleep(5 * time.Millisecond)
	}
	if status, stdout, stderr := run("events", "--control", socket); status != 0 || !strings.Contains(stdout, "apply     spec") || !strings.Contains(stdout, "instance  web  INIT -> BACKUP") {
		t.Errorf("events: %d %s%s", status, stdout, stderr)
	}
	if _, stdout, _ := run("events", "--json", "--control", socket); !strings.HasPrefix(stdout, `{"seq":1,`) {
		t.Errorf("events --json: %s", stdout)
	}
}

// TestReloadTells: the answer of a broken reload is why.
func TestReloadTells(t *testing.T) {
	d, _ := running(t, good)
	socket := controlled(t, d)
	if err := os.WriteFile(d.file, []byte("virtual_server nowhere 80 { }"), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := run("reload", "--control", socket); status != 1 || !strings.Contains(stderr, "has 1 error; the first: ") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// TestControlSocket: it is private from the first moment, a dead one is replaced, a living one and other files are left
// alone, and it goes away with its director.
func TestControlSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "control.sock")
	l, remove, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	go func() {
		if conn, err := l.Accept(); err == nil {
			conn.Close()
		}
	}()
	if _, _, err := listenControl(path); err == nil || !strings.Contains(err.Error(), "another director") {
		t.Errorf("a second one: %v", err)
	}
	l.Close()
	second, removeSecond, err := listenControl(path)
	if err != nil {
		t.Fatalf("in the place of a dead one: %v", err)
	}
	remove() // the first one's end is late
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the first one took the second one's socket away: %v", err)
	}
	second.Close()
	removeSecond()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it stayed: %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := listenControl(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("in the place of a file: %v", err)
	}
}

func TestFindServer(t *testing.T) {
	s := holdfast.Status{Services: []holdfast.ServiceStatus{
		{Service: "TCP 192.0.2.10:80", Servers: []holdfast.ServerStatus{{Server: "10.0.0.1:80"}, {Server: "10.0.0.1:81"}, {Server: "[2001:db8::1]:80"}}},
		{Service: "UDP 192.0.2.10:80", Servers: []holdfast.ServerStatus{{Server: "10.0.0.1:80"}}},
		{Service: "shop", Servers: []holdfast.ServerStatus{{Server: "10.0.0.9:80"}}},
	}}
	for _, c := range []struct{ service, server, want string }{
		{"TCP 192.0.2.10:80", "10.0.0.1:81", "TCP 192.0.2.10:80 10.0.0.1:81"},
		{"tcp/192.0.2.10:80", "2001:db8::1", "TCP 192.0.2.10:80 [2001:db8::1]:80"},
		{"udp 192.0.2.10:80", "10.0.0.1", "UDP 192.0.2.10:80 10.0.0.1:80"},
		{"shop", "10.0.0.9", "shop 10.0.0.9:80"},
		{"192.0.2.10:80", "10.0.0.1:80", "may be"},
		{"tcp/192.0.2.10:80", "10.0.0.1", "may be"},
		{"192.0.2.1:80", "10.0.0.1", "there is no service"},
		{"shop", "10.0.0.1", "has no server"},
	} {
		v, err := findServer(s, c.service, c.server)
		got := v.Service + " " + v.Server
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %s, want %s", c.service, c.server, got, c.want)
		}
	}
}

// TestColors: only where somebody sees them.
func TestColors(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	var b strings.Builder
	if !inColor(&terminalWriter{Writer: &b, color: true}) || inColor(&terminalWriter{Writer: &b}) || inColor(&b) {
		t.Error("a terminal has colours, and nothing else")
	}
	t.Setenv("NO_COLOR", "1")
	if inColor(&terminalWriter{Writer: &b, color: true}) {
		t.Error("NO_COLOR")
	}
	line := eventLine(holdfast.Event{Kind: "server", Object: "a\x1b[2Jb", To: "DOWN", Reason: "x\ny", Took: 305 * time.Millisecond, Missed: 3}, true)
	if !strings.Contains(line, "3 events were lost") || !strings.Contains(line, "a [2Jb") || !strings.Contains(line, "\x1b[1;31mDOWN") || strings.Count(line, "\n") != 2 {
		t.Errorf("%q", line)
	}
	told := paintDiagnostic(config.Diagnostic{Severity: config.Error, Message: "no error: at all"}, true)
	if !strings.Contains(told, "\x1b[1;31merror:\x1b[0m no error: at all") {
		t.Errorf("%q", told)
	}
	if plan := paintPlan("-a x\n-d y\n-e z\n", true); plan != "\x1b[32m-a x\x1b[0m\n\x1b[31m-d y\x1b[0m\n\x1b[33m-e z\x1b[0m\n" {
		t.Errorf("%q", plan)
	}
}
