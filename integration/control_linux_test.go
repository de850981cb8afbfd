package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// TestControlSocket: the running program answers as openapi.json says, refuses other users, hears keepalived's signals, tells
// the service manager, and takes its files with it when it leaves.
func TestControlSocket(t *testing.T) {
	lab.Need(t, "ip", "setpriv")
	t.Parallel()
	h := lab.New(t).Host("lb", "10.9.0.1/24")
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	socket, pid := filepath.Join(dir, "run", "control.sock"), filepath.Join(dir, "run", "pid")
	p := h.Start(t.Context(), "env", "TMPDIR="+dir, "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), lab.Bin("director"),
		"run", "-f", write(t, "lb.conf", balanced), "--ipvs", "none", "--control", socket, "--pid", pid)
	says(t, p, "msg=ready")
	hears(t, manager, "READY=1")

	held := openAPIClient(t, socket)
	held.check("GET", "/status?indent=0", "", 200)
	held.check("GET", "/metrics", "", 200)
	held.check("GET", "/events?follow=0", "", 200)
	held.check("GET", "/", "", 200)
	held.check("GET", "/openapi.json", "", 200)
	held.check("POST", "/plan", balanced, 200)
	held.check("POST", "/plan", "virtual_server {", 422)
	held.check("POST", "/weight", `{"service":"TCP 10.9.0.100:80","server":"10.9.0.11:80","weight":5}`, 200)
	held.check("POST", "/weight", `{"service":"TCP 10.9.0.100:80","server":"10.9.0.99:80","weight":5}`, 404)
	held.check("POST", "/maintenance", `{"service":"TCP 10.9.0.100:80","server":"10.9.0.12:80","on":true}`, 200)
	held.check("POST", "/drain", `{"service":"TCP 10.9.0.100:80","server":"10.9.0.11:80"}`, 200)
	held.check("POST", "/priority", `{"instance":"web","priority":50}`, 200)
	held.check("POST", "/priority", `{"instance":"web","priority":null}`, 200)
	held.check("POST", "/failover", `{"instance":"nobody"}`, 404)
	held.check("POST", "/reload", ``, 200)
	hears(t, manager, "RELOADING=1")
	held.everyPath()

	nobody := h.Start(t.Context(), "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", lab.Bin("director"), "status", "--control", socket)
	says(t, nobody, "you may not control this director")
	if <-nobody.Done(); nobody.Stop() != 1 {
		t.Errorf("another user: status %d", nobody.Stop())
	}
	for _, c := range []struct {
		signal      syscall.Signal
		file, holds string
	}{{syscall.SIGUSR1, "keepalived.data", "VRRP Instance = web"}, {syscall.SIGUSR2, "keepalived.stats", "VRRP Instance: web"}, {36, "keepalived.json", `"iname": "web"`}} {
		if err := p.Signal(c.signal); err != nil {
			t.Fatal(err)
		}
		within(t, 10*time.Second, c.file, func() bool {
			text, _ := os.ReadFile(filepath.Join(dir, c.file))
			return strings.Contains(string(text), c.holds)
		})
	}
	if status := p.Stop(); status != 0 {
		t.Errorf("status %d", status)
	}
	hears(t, manager, "STOPPING=1")
	for _, name := range []string{socket, pid} {
		if _, err := os.Lstat(name); err == nil {
			t.Errorf("%s stayed", name)
		}
	}
}

// hears reads what the program tells until the service manager has heard the line.
func hears(t *testing.T, manager *net.UnixConn, want string) {
	t.Helper()
	if err := manager.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for buf := make([]byte, 4096); ; {
		n, err := manager.Read(buf)
		if err != nil {
			t.Fatalf("the service manager waits for %s: %v", want, err)
		}
		if strings.Contains(string(buf[:n]), want) {
			return
		}
	}
}

// described is a client that holds every request and answer to the description.
type described struct {
	t      *testing.T
	http   http.Client
	doc    *openapi3.T
	router routers.Router
	seen   map[string]bool
}

func openAPIClient(t *testing.T, socket string) *described {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../examples/director/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc) // validates it
	if err != nil {
		t.Fatal(err)
	}
	d := &described{t: t, doc: doc, router: router, seen: make(map[string]bool)}
	d.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	for _, text := range []string{"text/plain", "text/html", "text/event-stream"} {
		openapi3filter.RegisterBodyDecoder(text, openapi3filter.PlainBodyDecoder)
	}
	return d
}

func (d *described) check(method, path, body string, want int) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, "http://director"+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	switch {
	case path == "/plan":
		r.Header.Set("Content-Type", "text/plain")
	case body != "":
		r.Header.Set("Content-Type", "application/json")
	}
	route, params, err := d.router.FindRoute(r)
	if err != nil {
		d.t.Errorf("%s %s is not described: %v", method, path, err)
		return
	}
	d.seen[method+" "+route.Path] = true
	input := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route}
	if err := openapi3filter.ValidateRequest(d.t.Context(), input); err != nil {
		d.t.Errorf("%s %s: %v", method, path, err)
	}
	r.Body = io.NopCloser(strings.NewReader(body))
	answer, err := d.http.Do(r)
	if err != nil {
		d.t.Errorf("%s %s: %v", method, path, err)
		return
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != want {
		d.t.Errorf("%s %s: %s, want %d (%v)\n%s", method, path, answer.Status, want, err, text)
	}
	if err := openapi3filter.ValidateResponse(d.t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: answer.StatusCode, Header: answer.Header, Body: io.NopCloser(bytes.NewReader(text)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}); err != nil {
		d.t.Errorf("%s %s: %v", method, path, err)
	}
	if strings.HasPrefix(path, "/events") {
		d.events(string(text))
	}
}

// events holds the data of each event to its schema.
func (d *described) events(stream string) {
	d.t.Helper()
	n := 0
	for line := range strings.Lines(stream) {
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		n++
		var event any
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			d.t.Fatal(err)
		}
		if err := d.doc.Components.Schemas["Event"].Value.VisitJSON(event); err != nil {
			d.t.Errorf("%s: %v", data, err)
		}
	}
	if n == 0 {
		d.t.Errorf("no events:\n%s", stream)
	}
}

// everyPath says what is described and was not asked for.
func (d *described) everyPath() {
	d.t.Helper()
	for path, item := range d.doc.Paths.Map() {
		for method := range item.Operations() {
			if !d.seen[method+" "+path] {
				d.t.Errorf("%s %s is described and was not asked for", method, path)
			}
		}
	}
}

// TestFailoverByCommand: an operator moves the address to the other host, and it stays there.
func TestFailoverByCommand(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	lan := lab.New(t)
	a, b := lan.Host("a", "10.9.0.1/24"), lan.Host("b", "10.9.0.2/24")
	vrrpOnly, _, _ := strings.Cut(balanced, "virtual_server")
	socket := filepath.Join(t.TempDir(), "control.sock")
	startDirector(t, a, write(t, "a.conf", strings.Replace(vrrpOnly, "version 3", "version 3\n priority 150", 1)), "--ipvs", "none", "--control", socket)
	within(t, 10*time.Second, "a holds the address", func() bool { return a.Has(vip) })
	startDirector(t, b, write(t, "b.conf", vrrpOnly), "--ipvs", "none")
	a.MustRun(lab.Bin("director"), "failover", "web", "--control", socket)
	within(t, 10*time.Second, "b holds the address", func() bool { return b.Has(vip) && !a.Has(vip) })
	time.Sleep(time.Second) // five adverts: the stronger one does not preempt
	if a.Has(vip) || !b.Has(vip) {
		t.Error("the address went back by itself")
	}
	if out := a.MustRun(lab.Bin("director"), "status", "--control", socket); !strings.Contains(out, "BACKUP") {
		t.Errorf("status of a:\n%s", out)
	}
}

// TestKeepalivedCommandLine: what a unit file gives to keepalived runs a director just so.
func TestKeepalivedCommandLine(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	h := lab.New(t).Host("lb", "10.9.0.1/24")
	pid := filepath.Join(t.TempDir(), "pid")
	p := h.Start(t.Context(), lab.Bin("director"), "--dont-fork", "-l", "-P", "-S", "7", "-f", write(t, "lb.conf", balanced), "-p", pid)
	says(t, p, "msg=ready")
	says(t, p, "services=0") // -P: VRRP only
	within(t, 10*time.Second, "the address is held", func() bool { return h.Has(vip) })
	within(t, 10*time.Second, "the pid file is written", func() bool { text, _ := os.ReadFile(pid); return strings.TrimSpace(string(text)) != "" })
	if status := p.Stop(); status != 0 || h.Has(vip) {
		t.Errorf("left with status %d", status)
	}
}
