package check_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
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
	if err := m.Set(nil); err != nil {
		t.Fatal(err)
	}
	if s := m.Stats(); s.Running != 0 || s.Probes != 0 {
		t.Errorf("%+v", s)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := descriptors(t) - before; n > 20 { // those of the servers
		t.Errorf("%d descriptors are left", n)
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
