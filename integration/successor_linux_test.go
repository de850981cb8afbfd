package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// quiet fails unless one router alone sent adverts since a time, none of priority 0, none later than a peer waits for.
func quiet(t *testing.T, wire *lab.Capture, r *router, since time.Time) {
	t.Helper()
	last, sent := since, 0
	var longest time.Duration
	for _, a := range adverts(wire.Frames()) {
		if a.at.Before(since) {
			continue
		}
		if a.priority != uint8(r.priority) {
			t.Errorf("an advert of priority %d from %v", a.priority, a.src)
		}
		longest, last = max(longest, a.at.Sub(last)), a.at
		sent++
	}
	if sent == 0 || longest > 3*r.dialect.interval || time.Since(last) > 3*r.dialect.interval {
		t.Errorf("%d adverts; the longest gap is %v", sent, longest)
	}
	t.Logf("%d adverts, one each %v; the longest gap is %v", sent, r.dialect.interval, longest)
}

// gone counts the looks at which the host did not have the address, until stop is called.
func gone(h *router) (stop func() int) {
	var missing atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			if !h.holds() {
				missing.Add(1)
			}
			<-tick.C
		}
	}()
	return func() int { cancel(); <-done; return int(missing.Load()) }
}

// TestDirectorIsReplaced: directors follow one another, and a keepalived that waits to take over sees nothing of it.
func TestDirectorIsReplaced(t *testing.T) {
	lab.Need(t, "ip", "keepalived")
	t.Parallel()
	d := dialect{"v3", 300 * time.Millisecond, "version 3\n advert_int 0.3", vip, false}
	high, low, wire := pair(t, d, "director", "keepalived")
	high.start(t)
	within(t, high.masterDown(d)+slack, "the director is MASTER", high.holds)
	low.start(t)
	since, missing := time.Now(), gone(high)
	for range 3 {
		p := high.host.Start(t.Context(), lab.Bin("director"), "run", "-f", high.file, "--ipvs", "none", "--replace", "--status", "10.9.0.1:8080")
		says(t, p, "msg=ready")
		<-high.process.Done()
		if status := high.process.Stop(); status != 0 {
			t.Errorf("the old one ended with status %d:\n%s", status, high.process.Output())
		}
		high.process = p
		says(t, p, "msg=status")
	}
	time.Sleep(3 * d.interval)
	quiet(t, wire, high, since)
	if n := missing(); n > 0 {
		t.Errorf("the address was not there at %d looks", n)
	}
	if low.holds() || strings.Contains(low.process.Output(), "MASTER") {
		t.Errorf("keepalived took over:\n%s", low.process.Output())
	}
	high.process.Stop()
	within(t, low.masterDown(d)+slack, "keepalived takes over in the end", low.holds)
}

// TestDirectorComesBackFromACrash: at once nobody sees it, later it finds its place as the protocol has it.
func TestDirectorComesBackFromACrash(t *testing.T) {
	lab.Need(t, "ip", "keepalived")
	t.Parallel()
	d := dialect{"v3", time.Second, "version 3\n advert_int 1", vip, false}
	high, low, wire := pair(t, d, "director", "keepalived")
	high.start(t)
	within(t, high.masterDown(d)+slack, "the director is MASTER", high.holds)
	low.start(t)
	time.Sleep(2 * d.interval)
	since, missing := time.Now(), gone(high)
	high.process.Kill()
	<-high.process.Done()
	high.start(t)
	time.Sleep(3 * d.interval)
	quiet(t, wire, high, since)
	if n := missing(); n > 0 || low.holds() {
		t.Errorf("after kill -9: the address was not there at %d looks; keepalived has it: %v", n, low.holds())
	}
	high.process.Kill()
	<-high.process.Done()
	within(t, low.masterDown(d)+slack, "keepalived takes over", low.holds)
	high.start(t)
	within(t, slack, "what was left of the address is removed", func() bool { return !high.holds() && low.holds() })
	within(t, high.masterDown(d)+slack, "the director is MASTER again", func() bool { return high.holds() && !low.holds() })
}

// TestSecondDirectorIsRefused with the same file on the same host; on another host it is another's.
func TestSecondDirectorIsRefused(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	n := lab.New(t)
	h, other := n.Host("lb", "10.9.0.1/24"), n.Host("other", "10.9.0.2/24")
	vrrpOnly, _, _ := strings.Cut(balanced, "virtual_server")
	file := write(t, "vrrp.conf", vrrpOnly)
	startDirector(t, h, file, "--ipvs", "none")
	second := h.Start(t.Context(), lab.Bin("director"), "run", "-f", file, "--ipvs", "none", "--control", "")
	says(t, second, "held by another process")
	if <-second.Done(); second.Stop() != 1 {
		t.Errorf("status %d:\n%s", second.Stop(), second.Output())
	}
	startDirector(t, other, file, "--ipvs", "none", "--control", "")
}

const successor = `virtual_server 10.9.0.100 80 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    delay_loop 1
    warmup 0
    retry 3
    real_server 10.9.0.1 8081 {
        TCP_CHECK { }
    }
    real_server 10.9.0.1 8082 {
        TCP_CHECK { }
    }
}
`

// TestKernelConnectionsOutliveADirector: one that is open goes on, new ones never fail, and a server that was down is not tried.
func TestKernelConnectionsOutliveADirector(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ip", "ipvsadm")
	n := lab.New(t)
	h, client := n.Host("lb", "10.9.0.1/24", "10.9.0.100/32"), n.Host("client", "10.9.0.2/24")
	l := h.Listen("10.9.0.1:8081")
	defer l.Close()
	go echo(l)
	file := write(t, "lb.conf", successor)
	p := startDirector(t, h, file)
	table := func() string { return h.MustRun("ipvsadm", "-Sn") }
	within(t, 20*time.Second, "the dead server is out", func() bool { return !strings.Contains(table(), "8082") })
	before := table()
	long, err := client.DialContext(t.Context(), "tcp", "10.9.0.100:80")
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	stop := knock(client)
	for i := range 3 {
		next := h.Start(t.Context(), lab.Bin("director"), "run", "-f", file, "--replace", "--control", "")
		says(t, next, "msg=ready")
		if status := p.Stop(); status != 0 {
			t.Errorf("the old one ended with status %d:\n%s", status, p.Output())
		}
		p = next
		said := fmt.Sprintf("hello %d", i)
		if err := long.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(long, said); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, len(said))
		if _, err := io.ReadFull(long, answer); err != nil || string(answer) != said {
			t.Fatalf("the open connection says %q, %v", answer, err)
		}
		if now := table(); now != before {
			t.Errorf("the table was\n%sand is\n%s", before, now)
		}
	}
	good, bad := stop()
	if bad > 0 || good == 0 {
		t.Errorf("of new connections %d were good and %d failed", good, bad)
	}
	p.Kill() // and what a crash leaves behind is taken away in the end
	<-p.Done()
	if now := table(); now != before {
		t.Errorf("after a crash the table is\n%s", now)
	}
	if status := startDirector(t, h, file).Stop(); status != 0 || table() != "" {
		t.Errorf("status %d, left behind:\n%s", status, table())
	}
}

func echo(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}

// knock makes one connection after the other until stop is called.
func knock(client *lab.Host) (stop func() (good, bad int)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var good, bad int
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			conn, err := client.DialContext(ctx, "tcp", "10.9.0.100:80")
			switch {
			case ctx.Err() != nil:
			case err != nil:
				bad++
			default:
				good++
			}
			if err == nil {
				conn.Close()
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	return func() (int, int) { cancel(); <-done; return good, bad }
}
