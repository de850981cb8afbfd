package integration

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// farm is a configuration of one service with so many real servers, each with a check every so many seconds.
func farm(servers, every int, check string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "virtual_server 10.9.0.100 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n delay_loop %d\n connect_timeout 3\n retry 1\n delay_before_retry 1\n", every)
	for i := range servers {
		fmt.Fprintf(&b, " real_server 10.20.%d.%d 80 {\n %s\n }\n", i/250, i%250+1, check)
	}
	b.WriteString("}\n")
	return b.String()
}

// BenchmarkChecks is what checks cost: CPU for each, and resident memory, of director and keepalived at the same time, in the
// same kernel, with the same configuration and the same servers; so whatever else the machine does, it does to both. The
// director looks after no table here: keepalived does not either, once it has made it.
func BenchmarkChecks(b *testing.B) {
	if !lab.KernelBench(b) {
		return
	}
	lab.Need(b, "ip", "keepalived", "nginx")
	for _, c := range []struct {
		name, check    string
		servers, every int
	}{
		{"tcp", "TCP_CHECK {\n }", 200, 1},
		{"tcp", "TCP_CHECK {\n }", 2000, 10},
		{"http", "HTTP_GET {\n url {\n path /\n status_code 200\n }\n }", 200, 1},
		{"http", "HTTP_GET {\n url {\n path /\n status_code 200\n }\n }", 2000, 10},
	} {
		b.Run(fmt.Sprintf("%s/servers=%d/every=%ds", c.name, c.servers, c.every), func(b *testing.B) { checks(b, farm(c.servers, c.every, c.check), c.every) })
	}
}

// checks runs both programs for a while.
func checks(b *testing.B, conf string, every int) {
	n := lab.New(b)
	web := n.Host("web", "10.9.0.2/16")
	web.MustRun("ip", "route", "add", "local", "10.20.0.0/16", "dev", "lo")
	serveFarm(b, web)
	file := write(b, "farm.conf", conf)
	hosts, running := map[string]*lab.Host{}, map[string]*lab.Process{}
	for i, program := range []string{"director", "keepalived"} {
		h := n.Host(program, fmt.Sprintf("10.9.0.%d/16", 10+i))
		h.MustRun("ip", "route", "add", "10.20.0.0/16", "via", "10.9.0.2")
		hosts[program], running[program] = h, startChecks(b, h, program, file, "--ipvs", "none")
	}
	<-time.After(time.Duration(every+4) * time.Second) // all have begun
	for b.Loop() {
		const while = 20 * time.Second
		before, opened := map[string]lab.Usage{}, map[string]int{}
		for program, p := range running {
			before[program], opened[program] = usage(b, p), opens(b, hosts[program])
		}
		<-time.After(while)
		each := map[string]float64{}
		for program, p := range running {
			after, count := usage(b, p), opens(b, hosts[program])-opened[program]
			each[program] = float64((after.CPU - before[program].CPU).Microseconds()) / float64(max(count, 1))
			b.ReportMetric(float64(count)/while.Seconds(), "checks/s-"+program)
			b.ReportMetric(each[program], "us/check-"+program)
			b.ReportMetric(float64(after.Memory)/(1<<20), "MB-"+program)
		}
		b.ReportMetric(each["director"]/each["keepalived"], "ratio")
	}
	b.ReportMetric(0, "ns/op")
	for _, p := range running {
		p.Kill()
	}
}

// serveFarm runs a web server that answers for every address of its host.
func serveFarm(b *testing.B, web *lab.Host) {
	conf := write(b, "nginx.conf", "daemon off;\nmaster_process off;\npid "+b.TempDir()+"/pid;\nerror_log stderr;\nevents { worker_connections 4096; }\n"+
		"http {\n access_log off;\n server { listen 80 backlog=4096; location / { return 200 ok; } }\n}\n")
	web.Start(b.Context(), "nginx", "-c", conf, "-e", "stderr")
	within(b, 20*time.Second, "nginx serves", func() bool {
		c, err := web.DialContext(b.Context(), "tcp", "10.20.0.1:80")
		return err == nil && c.Close() == nil
	})
}

// startChecks runs a program that checks; flags are for director.
func startChecks(b *testing.B, h *lab.Host, program, file string, flags ...string) *lab.Process {
	b.Helper()
	if program == "director" {
		p := h.Start(b.Context(), lab.Bin("director"), append([]string{"run", "-f", file}, flags...)...)
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

// BenchmarkDetection is how much later than the policy's arithmetic promises a server is out of the kernel's table: it dies at
// any moment, and at the latest a delay loop, and a retry with its delay, later it must be gone. Negative is earlier.
func BenchmarkDetection(b *testing.B) {
	if !lab.KernelBench(b) {
		return
	}
	for _, program := range []string{"director", "keepalived"} {
		b.Run(program, func(b *testing.B) { detection(b, program) })
	}
}

func detection(b *testing.B, program string) {
	lab.Need(b, "ip", "keepalived")
	const servers = 100
	promise := time.Second + 500*time.Millisecond
	n := lab.New(b)
	lb, web := n.Host("lb", "10.9.0.1/16"), n.Host("web", "10.9.0.2/16")
	lb.MustRun("ip", "route", "add", "10.20.0.0/16", "via", "10.9.0.2")
	web.MustRun("ip", "route", "add", "local", "10.20.0.0/16", "dev", "lo")
	web.Sysctl("net.ipv4.ip_nonlocal_bind", "1")
	conf := strings.Replace(farm(servers, 1, "TCP_CHECK {\n }"), "delay_before_retry 1\n", "delay_before_retry 0.5\n", 1)
	for b.Loop() {
		listeners := map[string]net.Listener{}
		for i := range servers {
			addr := fmt.Sprintf("10.20.%d.%d:80", i/250, i%250+1)
			listeners[addr] = web.Listen(addr)
		}
		p := startChecks(b, lb, program, write(b, "farm.conf", conf))
		<-time.After(6 * time.Second)
		over := kill(b, lb, listeners, promise)
		b.ReportMetric(over[len(over)/2], "ms-over-p50")
		b.ReportMetric(over[len(over)*99/100], "ms-over-p99")
		b.ReportMetric(over[len(over)-1], "ms-over-max")
		p.Kill()
	}
	b.ReportMetric(0, "ns/op")
}

// kill ends servers one after the other, and tells how many milliseconds later than promised each was out of the table.
func kill(b *testing.B, lb *lab.Host, listeners map[string]net.Listener, promise time.Duration) (over []float64) {
	dead := map[string]time.Time{}
	err := lb.Do(func() error {
		for begin := time.Now(); len(dead) > 0 || len(listeners) > 0; <-time.After(time.Millisecond) {
			for addr, l := range listeners { // any of them
				l.Close()
				dead[addr] = time.Now()
				delete(listeners, addr)
				break
			}
			table, err := os.ReadFile("/proc/thread-self/net/ip_vs")
			if err != nil {
				return err
			}
			for addr, since := range dead {
				ip := netip.MustParseAddrPort(addr).Addr().As4()
				if late := time.Since(since) - promise; !strings.Contains(string(table), fmt.Sprintf("%08X:0050", binary.BigEndian.Uint32(ip[:]))) {
					over = append(over, float64(late.Microseconds())/1000)
					delete(dead, addr)
				}
			}
			if time.Since(begin) > time.Minute {
				return fmt.Errorf("%d servers are not out after a minute", len(dead))
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	slices.Sort(over)
	return over
}
