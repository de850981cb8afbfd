package check_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/check"
)

// full is a server whose queue of connections is full: it does not answer any more.
func full(t *testing.T) check.Target {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(name.(*unix.SockaddrInet4).Port))
	for range 8 {
		c, err := net.DialTimeout("tcp", addr.String(), 100*time.Millisecond)
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
	}
	return check.Target{Addr: addr}
}

// eventually runs probes with real servers, until all have their verdicts.
func eventually(t *testing.T, m *check.Monitor, probes []check.Probe, met func(map[string]check.ProbeStatus) bool) {
	t.Helper()
	if err := m.Set(probes); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if met(m.Status()) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%+v", m.Status())
}

// TestManyConnectionsOnOneThread: what TCP checks find is what TCP.Check finds, by which way ever they are made.
func TestManyConnectionsOnOneThread(t *testing.T) {
	before := descriptors(t)
	targets := map[string]check.Target{
		"up": listen(t, func(c net.Conn) { c.Close() }), "refused": refused(t), "silent": full(t),
		"source": listen(t, func(c net.Conn) { c.Close() }), "mapped": listen(t, func(c net.Conn) { c.Close() }),
	}
	source := targets["source"]
	source.Source = netip.MustParseAddrPort("192.0.2.1:0")
	targets["not ours"] = source
	source.Source = netip.MustParseAddrPort("127.0.0.9:0")
	targets["source"] = source
	mapped := targets["mapped"]
	mapped.Addr = netip.AddrPortFrom(netip.AddrFrom16(mapped.Addr.Addr().As16()), mapped.Addr.Port())
	targets["mapped"] = mapped
	policy := check.Policy{DelayLoop: 50 * time.Millisecond, Timeout: 150 * time.Millisecond, AtOnce: true}
	var probes []check.Probe
	for name, target := range targets {
		probes = append(probes, check.Probe{ID: name, Checker: check.TCP{Target: target}, Policy: policy})
	}
	m := check.NewMonitor(check.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	<-m.Ready()
	up := map[string]bool{"up": true, "source": true, "mapped": true, "not ours": true} // the last says nothing of the server
	eventually(t, m, probes, func(all map[string]check.ProbeStatus) bool {
		for name, s := range all {
			if s.Checks < 3 || s.Up != up[name] && s.Checked {
				return false
			}
		}
		return true
	})
	for name, s := range m.Status() {
		ctx, cancel := context.WithTimeout(t.Context(), policy.Timeout)
		err := check.TCP{Target: targets[name]}.Check(ctx)
		cancel()
		if fmt.Sprint(err) != fmt.Sprint(s.Last.Err) {
			t.Errorf("%s: on one thread %v, alone %v", name, s.Last.Err, err)
		}
		if name == "silent" && s.Last.Latency < policy.Timeout {
			t.Errorf("silent: after %v", s.Last.Latency)
		}
	}
	if s := m.Stats(); s.Stuck != 0 || s.Inconclusive == 0 {
		t.Errorf("%+v", s)
	}
	// Away, suspended, and another kind of check while they run.
	for i := range probes {
		probes[i].Policy.Timeout = time.Hour
		probes[i].Policy.DelayLoop = time.Millisecond
	}
	eventually(t, m, probes, func(map[string]check.ProbeStatus) bool { return m.Stats().Running > 0 })
	calls := make(chan struct{}, 1000)
	for i := range probes {
		if probes[i].ID == "silent" {
			probes[i].Checker = check.CheckerFunc(func(context.Context) error { calls <- struct{}{}; return nil })
		}
		probes[i].Suspended = probes[i].ID == "up"
	}
	eventually(t, m, probes, func(all map[string]check.ProbeStatus) bool { return all["silent"].Up && len(calls) > 3 })
	eventually(t, m, nil, func(map[string]check.ProbeStatus) bool { s := m.Stats(); return s.Running == 0 && s.Probes == 0 })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := descriptors(t) - before; n > 20 { // those of the servers
		t.Errorf("%d descriptors are left", n)
	}
}

// TestPlainHTTPOnOneThread: what the engine finds is what HTTP.Check finds, whatever the server does.
func TestPlainHTTPOnOneThread(t *testing.T) {
	say := func(parts ...string) check.Target { // an answer in parts, then the connection stays open
		return listen(t, func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
				return
			}
			for i, part := range parts {
				if i > 0 {
					time.Sleep(time.Millisecond) // a real server, in real time
				}
				if part == "close" {
					c.Close()
				} else {
					io.WriteString(c, part)
				}
			}
		})
	}
	const ok = "HTTP/1.1 200 OK\r\n"
	var drip []string
	for _, b := range ok + "A: b\r\nContent-Length: 3\r\n\r\nabc" {
		drip = append(drip, string(b))
	}
	probes := []check.Probe{}
	policy := check.Policy{DelayLoop: 20 * time.Millisecond, Timeout: time.Second, AtOnce: true}
	for name, target := range map[string]check.Target{
		"closed": say(ok+"\r\nbody", "close"), "length": say(ok + "Content-Length: 4\r\n\r\nbody"), "split": say(ok+"Content-Length: 4\r\n\r", "\nbo", "dy"),
		"drip": say(drip...), "chunked": say(ok+"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0", "\r\n", "\r\n"),
		"cut": say(ok+"Content-Length: 9\r\n\r\nbody", "close"), "chunk cut": say(ok+"Transfer-Encoding: chunked\r\n\r\n9\r\nbody", "close"),
		"status": say("HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n"), "no content": say("HTTP/1.1 204 No Content\r\n\r\n"),
		"continue": say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", "Content-Length: 0\r\n\r\n"), "nothing": say("close"),
		"part": say(ok+"A: b\r\n", "close"), "not HTTP": say("hello world\r\n\r\n"), "long": say(ok+"A: "+strings.Repeat("x", 80000), "\r\n\r\n"),
		"large": say(ok+"\r\n"+strings.Repeat("x", 500000), strings.Repeat("x", 900000)), "silent": listen(t, func(net.Conn) {}), "refused": refused(t),
		"full": full(t), "length in two": say(ok+"Content-Length: 400000\r\n\r\n"+strings.Repeat("x", 200000), strings.Repeat("x", 200000)),
	} {
		c := check.HTTP{Target: target, URLs: []check.URL{{Path: "/a"}, {Path: "/b", VirtualHost: "example.org"}}}
		probes = append(probes, check.Probe{ID: name, Checker: c, Policy: policy})
	}
	probes = append(probes, check.Probe{ID: "bad path", Checker: check.HTTP{Target: refused(t), URLs: []check.URL{{Path: "/a b"}}}, Policy: policy})
	m := check.NewMonitor(check.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	eventually(t, m, probes, func(all map[string]check.ProbeStatus) bool {
		for _, s := range all {
			if s.Checks < 3 {
				return false
			}
		}
		return true
	})
	status := m.Status()
	for _, p := range probes {
		ctx, cancel := context.WithTimeout(t.Context(), policy.Timeout)
		report, err := p.Checker.(check.HTTP).Report(ctx)
		cancel()
		s := status[p.ID]
		if fmt.Sprint(err) != fmt.Sprint(s.Last.Err) || err == nil && report != s.Last.Report {
			t.Errorf("%s: on one thread %v %v, alone %v %v", p.ID, s.Last.Report, s.Last.Err, report, err)
		}
		if good := "closed length split drip chunked no content continue large length in two"; s.Up != strings.Contains(good, p.ID) {
			t.Errorf("%s: up %v, %v", p.ID, s.Up, s.Last.Err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestThousandConnections with few descriptors and slots, and no descriptor left behind.
func TestThousandConnections(t *testing.T) {
	var mu sync.Mutex
	taken := 0
	server := listen(t, func(c net.Conn) { c.Close(); mu.Lock(); taken++; mu.Unlock() })
	policy := check.Policy{DelayLoop: 300 * time.Millisecond, Timeout: 2 * time.Second, AtOnce: true}
	var probes []check.Probe
	for i := range 1000 {
		target := server
		target.Source = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(i / 250), byte(i%250 + 1)}), 0)
		probes = append(probes, check.Probe{ID: fmt.Sprint(i), Checker: check.TCP{Target: target}, Policy: policy})
	}
	before := descriptors(t)
	m := check.NewMonitor(check.Options{MaxConcurrent: 16})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	eventually(t, m, probes, func(map[string]check.ProbeStatus) bool { return m.Stats().Checks > 5000 })
	if s := m.Stats(); s.Failures != 0 || s.Running > 16 || s.Distinct != 1000 {
		t.Errorf("%+v", s)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for range 400 {
		if descriptors(t) <= before+5 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("%d descriptors before, %d after", before, descriptors(t))
}

// TestOutOfRealDescriptors: a check for which there is no descriptor says nothing of its server.
func TestOutOfRealDescriptors(t *testing.T) {
	server := listen(t, func(c net.Conn) { c.Close() })
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	m := check.NewMonitor(check.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	policy := check.Policy{DelayLoop: 5 * time.Millisecond, AtOnce: true}
	probes := []check.Probe{{ID: "a", Checker: check.TCP{Target: server}, Policy: policy}}
	eventually(t, m, probes, func(all map[string]check.ProbeStatus) bool { return all["a"].Checks > 2 })
	low := limit
	low.Cur = uint64(3)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	for range 400 {
		if m.Stats().Inconclusive > 2 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if s := m.Stats(); s.Inconclusive <= 2 || !m.Status()["a"].Up {
		t.Errorf("%+v", s)
	}
	eventually(t, m, probes, func(all map[string]check.ProbeStatus) bool { return all["a"].Last.Err == nil && all["a"].Up })
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
