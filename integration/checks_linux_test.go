package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// farm is a configuration of one service with so many real servers, each with a check.
func farm(servers int, check string) string {
	var b strings.Builder
	b.WriteString("virtual_server 10.9.0.100 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n delay_loop 1\n connect_timeout 3\n retry 1\n delay_before_retry 1\n")
	for i := range servers {
		fmt.Fprintf(&b, " real_server 10.20.%d.%d 80 {\n %s\n }\n", i/250, i%250+1, check)
	}
	b.WriteString("}\n")
	return b.String()
}

// BenchmarkChecks is what checks cost: CPU for each, and resident memory, of director and keepalived in turns, on the same
// configuration, in the same kernel.
func BenchmarkChecks(b *testing.B) {
	if !lab.KernelBench(b) {
		return
	}
	lab.Need(b, "ip", "keepalived", "nginx")
	for _, c := range []struct {
		name, check string
		servers     int
	}{
		{"tcp", "TCP_CHECK {\n }", 500},
		{"tcp", "TCP_CHECK {\n }", 2000},
		{"http", "HTTP_GET {\n url {\n path /\n status_code 200\n }\n }", 500},
	} {
		for _, program := range []string{"director", "keepalived"} {
			b.Run(fmt.Sprintf("%s/servers=%d/%s", c.name, c.servers, program), func(b *testing.B) { checks(b, c.servers, c.check, program) })
		}
	}
}

// checks runs one program for a while.
func checks(b *testing.B, servers int, check, program string) {
	n := lab.New(b)
	lb, web := n.Host("lb", "10.9.0.1/16"), n.Host("web", "10.9.0.2/16")
	lb.MustRun("ip", "route", "add", "10.20.0.0/16", "via", "10.9.0.2")
	web.MustRun("ip", "route", "add", "local", "10.20.0.0/16", "dev", "lo")
	dir := b.TempDir()
	conf := write(b, "nginx.conf", "daemon off;\nmaster_process off;\npid "+dir+"/pid;\nerror_log stderr;\nevents { worker_connections 4096; }\n"+
		"http {\n access_log off;\n server { listen 80 backlog=4096; location / { return 200 ok; } }\n}\n")
	web.Start(b.Context(), "nginx", "-c", conf, "-e", "stderr")
	within(b, 20*time.Second, "nginx serves", func() bool {
		c, err := lb.DialContext(b.Context(), "tcp", "10.20.0.1:80")
		return err == nil && c.Close() == nil
	})
	file := write(b, "farm.conf", farm(servers, check))
	p := startChecks(b, lb, program, file)
	<-time.After(5 * time.Second) // all have begun
	for b.Loop() {
		const while = 10 * time.Second
		before, opened := usage(b, p), opens(b, lb)
		<-time.After(while)
		after, count := usage(b, p), opens(b, lb)-opened
		b.ReportMetric(float64(count)/while.Seconds(), "checks/s")
		b.ReportMetric(float64((after.CPU-before.CPU).Microseconds())/float64(max(count, 1)), "us-cpu/check")
		b.ReportMetric(float64(after.Memory)/(1<<20), "MB")
	}
	b.ReportMetric(0, "ns/op")
	p.Kill()
}

func startChecks(b *testing.B, h *lab.Host, program, file string) *lab.Process {
	b.Helper()
	if program == "director" {
		p := h.Start(b.Context(), lab.Bin("director"), "run", "-f", file)
		says(b, p, "msg=ready")
		return p
	}
	dir := b.TempDir()
	return h.Start(b.Context(), "keepalived", "-n", "-l", "-C", "-f", file, "-p", filepath.Join(dir, "p"), "-c", filepath.Join(dir, "c"))
}

// opens counts the TCP connections that were opened from a host.
func opens(b *testing.B, h *lab.Host) (n int) {
	b.Helper()
	var text []byte
	err := h.Do(func() (err error) { text, err = os.ReadFile("/proc/thread-self/net/snmp"); return err })
	if err != nil {
		b.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if fields[0] == "Tcp:" && names == nil {
			names = fields
		} else if fields[0] == "Tcp:" {
			n, _ = strconv.Atoi(fields[slices.Index(names, "ActiveOpens")])
		}
	}
	return n
}
