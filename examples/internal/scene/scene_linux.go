// Package scene has what the programs of this module play in the lab: a director with its configuration, web servers behind
// a virtual IP, a client that never stops asking, and a timeline to tell it.
package scene

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// Timeline prints what happens, with the time since its start.
type Timeline struct {
	t     lab.T
	start time.Time
}

// NewTimeline starts the clock.
func NewTimeline(t lab.T) *Timeline { return &Timeline{t: t, start: time.Now()} }

// Say prints one line.
func (l *Timeline) Say(format string, args ...any) {
	l.t.Logf("%6.1fs  %s", time.Since(l.start).Seconds(), fmt.Sprintf(format, args...))
}

// Scene is a lab with a directory for the files of its programs.
type Scene struct {
	T   lab.T
	Net *lab.Net
	dir string
}

// New makes a scene without hosts. It is gone at the end of t.
func New(t lab.T) *Scene {
	dir, err := os.MkdirTemp("/run", "scene-") // the lab's own /run, gone with it however it ends
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &Scene{T: t, Net: lab.New(t), dir: dir}
}

// File writes a file for the scene's programs and returns its path.
func (s *Scene) File(name, text string) string {
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.T.Fatalf("%v", err)
	}
	return path
}

// Director runs a configuration in a host, and waits until it is in force.
func (s *Scene) Director(ctx context.Context, h *lab.Host, conf string) *lab.Process {
	file := s.File(h.Name+".conf", conf)
	p := h.Start(ctx, lab.Bin("director"), "run", "-f", file)
	ready, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := p.WaitFor(ready, "msg=ready"); err != nil {
		s.T.Fatalf("%v", err)
	}
	return p
}

// WebServer adds a host that takes packets for the virtual IP and keeps silent about it on the link, as direct routing
// needs it.
func (s *Scene) WebServer(name, addr, vip string) *lab.Host {
	h := s.Net.Host(name, addr)
	h.Sysctl("net.ipv4.conf.all.arp_ignore", "1")
	h.Sysctl("net.ipv4.conf.all.arp_announce", "2")
	h.MustRun("ip", "addr", "add", vip+"/32", "dev", "lo")
	return h
}

// Nginx runs nginx in a host, with the given body of its server block, and waits until it listens on port 80.
func (s *Scene) Nginx(ctx context.Context, h *lab.Host, server string) *lab.Process {
	prefix := filepath.Join(s.dir, h.Name)
	if err := os.MkdirAll(prefix, 0o755); err != nil {
		s.T.Fatalf("%v", err)
	}
	conf := s.File(h.Name+".nginx", fmt.Sprintf(nginxConf, prefix, server))
	p := h.Start(ctx, "nginx", "-p", prefix, "-e", "stderr", "-c", conf)
	for ctx.Err() == nil {
		conn, err := h.DialContext(ctx, "tcp", "127.0.0.1:80")
		if err == nil {
			conn.Close()
			return p
		}
		select {
		case <-p.Done():
			s.T.Fatalf("nginx on %s ended: %s", h.Name, p.Output())
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.T.Fatalf("nginx on %s: %v", h.Name, ctx.Err())
	return nil
}

const nginxConf = `daemon off;
master_process off;
pid %[1]s/pid;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path %[1]s;
    proxy_temp_path %[1]s;
    fastcgi_temp_path %[1]s;
    uwsgi_temp_path %[1]s;
    scgi_temp_path %[1]s;
    server {
        listen 80;
%[2]s
    }
}
`

// Serve answers HTTP in a host until stop is called, or the scene ends.
func (s *Scene) Serve(h *lab.Host, addr string, handler http.Handler) (stop func()) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	listener := h.Listen(addr)
	go func() { _ = server.Serve(listener) }()
	stop = func() { server.Close() }
	s.T.Cleanup(stop)
	return stop
}

// Table is the kernel's load-balancer table of a host, as ipvsadm prints it.
func (s *Scene) Table(h *lab.Host) string { return h.MustRun("ipvsadm", "-Sn") }

// InTable says whether a real server is in the table of a host.
func (s *Scene) InTable(h *lab.Host, addr string) bool {
	return strings.Contains(s.Table(h), "-r "+addr+":80 ")
}

// Until waits for a condition and says how long it took; ok is false when limit passed before.
func (s *Scene) Until(ctx context.Context, limit time.Duration, met func() bool) (took time.Duration, ok bool) {
	start := time.Now()
	for ctx.Err() == nil && time.Since(start) < limit {
		if met() {
			return time.Since(start), true
		}
		Pause(ctx, 20*time.Millisecond)
	}
	if ctx.Err() != nil {
		s.T.Fatalf("%v", ctx.Err())
	}
	return limit, false
}

// Pause waits, unless ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// client asks from a host, over a new connection each time.
func client(h *lab.Host, timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return h.DialContext(ctx, network, addr)
		},
	}}
}
