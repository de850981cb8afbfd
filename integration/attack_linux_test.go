package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// TestAttackOnTheStatus: a host that does to --status whatever it likes keeps neither other hosts nor the operator from an answer,
// and makes the program neither grow without end nor miss its adverts.
func TestAttackOnTheStatus(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	n := lab.New(t)
	lb, attacker, friend := n.Host("lb", "10.9.0.1/24"), n.Host("attacker", "10.9.0.66/24"), n.Host("friend", "10.9.0.3/24")
	var conf strings.Builder // with answers that do not fit into a socket's buffers
	conf.WriteString(balanced)
	for i := range 500 {
		fmt.Fprintf(&conf, "virtual_server 10.9.%d.%d 80 {\n protocol TCP\n lb_kind DR\n real_server 10.9.0.11 80 {\n }\n}\n", 1+i/250, i%250)
	}
	socket := filepath.Join(t.TempDir(), "control.sock")
	p := startDirector(t, lb, write(t, "lb.conf", conf.String()), "--ipvs", "none", "--status", "10.9.0.1:8080", "--control", socket)
	within(t, 10*time.Second, "the address is held", func() bool { return lb.Has(vip) })
	descriptors := func() int {
		list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
		return len(list)
	}
	var conns []net.Conn
	defer func() {
		for _, conn := range conns {
			conn.Close()
		}
	}()
	assault := func(count int, request string) {
		t.Helper()
		for range count {
			conn, err := attacker.DialContext(t.Context(), "tcp", "10.9.0.1:8080")
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(4096)
			}
			_, _ = io.WriteString(conn, request)
		}
	}
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return friend.DialContext(ctx, network, addr)
	}}}
	for name, request := range map[string]string{
		"half a header":              "GET /status HTTP/1.1\r\nX-Slow: ",
		"events without end":         "GET /events HTTP/1.1\r\nHost: a\r\n\r\n",
		"answers that nobody reads":  strings.Repeat("GET /status HTTP/1.1\r\nHost: a\r\n\r\n", 20),
		"a plan that never comes":    "POST /plan HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\nvirtual_server",
		"a plan that is no request":  "POST /plan HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
		"garbage":                    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"idle connections":           "GET /status?indent=0 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"a verb, which is not here":  "POST /failover HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
		"a header of a hundred keys": "GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", 100),
	} {
		assault(300, request)
		begin := time.Now()
		answer, err := client.Get("http://10.9.0.1:8080/status")
		if err != nil {
			t.Errorf("%s: another host is not answered: %v", name, err)
			continue
		}
		_, err = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("%s: another host is answered %s, %v", name, answer.Status, err)
		}
		friendly := time.Since(begin)
		begin = time.Now()
		if out := lb.MustRun(lab.Bin("director"), "status", "--control", socket); !strings.Contains(out, "web  MASTER") {
			t.Errorf("%s: the operator is told\n%.300s", name, out)
		}
		out := lb.MustRun(lab.Bin("director"), "plan", "--control", socket, write(t, "plan.conf", balanced))
		if n := strings.Count(out, "\n"); n < 500 {
			t.Errorf("%s: a plan of %d lines", name, n)
		}
		t.Logf("%s: another host waits %v, the operator %v for two answers; %d descriptors", name, friendly.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond), descriptors())
		if n := descriptors(); n > 330 {
			t.Errorf("%s: %d descriptors", name, n)
		}
	}
	if out := p.Output(); strings.Contains(out, "from=MASTER") || strings.Contains(out, "panic") {
		t.Errorf("it printed:\n%s", out)
	}
	if status := p.Stop(); status != 0 {
		t.Errorf("status %d", status)
	}
	if peak := p.PeakMemory(); peak > 300<<10 {
		t.Errorf("%d KB of memory", peak)
	} else {
		t.Logf("%d KB of memory at most", peak)
	}
}
