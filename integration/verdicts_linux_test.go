package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/internal/lab"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// patient is a real server with a check, and how it falls ill.
type patient struct {
	name, addr, check string
	ill, heal         func()
	reason            string // while it is ill
}

// statusHere asks a director by its socket.
func statusHere(t *testing.T, socket string) (s holdfast.Status) {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	r, err := client.Get("http://director/status")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// signalTo sends a signal to the process of a pid file.
func signalTo(t *testing.T, pidFile string, s syscall.Signal) func() {
	return func() {
		t.Helper()
		text, err := os.ReadFile(pidFile)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		pid, _ := strconv.Atoi(strings.TrimSpace(first))
		if err := syscall.Kill(pid, s); pid <= 1 || err != nil {
			t.Fatalf("%s: %v", pidFile, err)
		}
	}
}

// TestDirectorJudgesRealServers: one keepalived.conf with every check that asks over the network, and those that do not. All
// servers are well and in the table; each falls ill in its own way, and is out with its reason; each heals, and is in again.
func TestDirectorJudgesRealServers(t *testing.T) {
	lab.Need(t, "ip", "nginx", "unbound", "socat", "redis-server", "redis-cli")
	n := lab.New(t)
	n.Join("10.9.0.1/24")
	patients := append(webPatients(t), mailAndNames(t)...)
	patients = append(patients, databasePatients(t)...)
	patients = append(patients, ownPatients(t)...)
	patients = append(patients, pathPatient(t, n))

	dir := t.TempDir()
	flag := filepath.Join(dir, "flag")
	replace(t, flag, "0\n")
	conf := "global_defs {\n script_user root\n}\ntrack_file flag {\n file " + flag + "\n weight 0\n}\nbfd_instance gateway {\n source_ip 10.9.0.1\n neighbor_ip 10.9.0.2\n min_rx 50\n min_tx 50\n multiplier 5\n}\n"
	patients = append(patients,
		patient{"FILE", "127.0.0.1:1", "FILE_CHECK {\n track_file flag\n weight 0\n }", func() { replace(t, flag, "1\n") }, func() { replace(t, flag, "0\n") }, "flag"},
		patient{"MISC", "127.0.0.1:1", "MISC_CHECK {\n misc_path \"/usr/bin/test -s " + dir + "/script\"\n misc_timeout 10\n }", func() { os.Remove(dir + "/script") }, func() { replace(t, dir+"/script", "x") }, "exit status 1"})
	replace(t, dir+"/script", "x")
	for i, p := range patients {
		host, port, _ := net.SplitHostPort(p.addr)
		conf += fmt.Sprintf("virtual_server 127.0.0.1 %d {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n delay_loop 0.3\n connect_timeout 1\n warmup 0\n retry 1\n delay_before_retry 0.1\n"+
			" real_server %s %s {\n %s\n }\n}\n", 20000+i, host, port, p.check)
	}
	socket := filepath.Join(dir, "control.sock")
	serve(t, "unix "+socket, lab.Bin("director"), "run", "-f", write(t, "all.conf", conf), "--ipvs", "relay", "--control", socket)
	arrive(t, socket, patients, true)
	for _, p := range patients {
		p.ill()
	}
	arrive(t, socket, patients, false)
	for _, p := range patients {
		p.heal()
	}
	arrive(t, socket, patients, true)
}

// arrive waits until all patients are in the table, or all out of it, each with its reason.
func arrive(t *testing.T, socket string, patients []patient, well bool) {
	t.Helper()
	var wrong string
	judged := func() bool {
		wrong = ""
		for i, s := range statusHere(t, socket).Services {
			p, server := patients[i], s.Servers[0]
			c := server.Checks[0]
			in := server.Entry != nil && server.Entry.Weight > 0
			if server.Up != well || in != well || (c.Error == "") != well || !well && !strings.Contains(c.Error, p.reason) {
				wrong += fmt.Sprintf("\n%s %s: up %v, in the table %v, %q, want %v and %q", p.name, p.addr, server.Up, in, c.Error, well, p.reason)
			}
		}
		return wrong == ""
	}
	for begin := time.Now(); !judged(); time.Sleep(50 * time.Millisecond) {
		if time.Since(begin) > 25*time.Second {
			t.Fatalf("not as they should be:%s", wrong)
		}
	}
}

// webPatients are served by nginx.
func webPatients(t *testing.T) []patient {
	dir, a := nginx(t)
	page := func(name string) (ill, heal func()) {
		file := filepath.Join(dir, "www", name)
		heal = func() { replace(t, file, "well\n") }
		heal()
		return func() { os.Remove(file) }, heal
	}
	plainIll, plainHeal := page("plain")
	sslIll, sslHeal := page("ssl")
	again := signalTo(t, filepath.Join(dir, "nginx.pid"), syscall.SIGHUP)
	certify := func(validFor time.Duration) func() {
		return func() { a.Issue(validFor, "www.example.org", "127.0.0.1"); again() }
	}
	return []patient{
		{"HTTP_GET", "127.0.0.1:8080", "HTTP_GET {\n url {\n path /plain\n status_code 200\n }\n }", plainIll, plainHeal, "status 404, want 200"},
		{"SSL_GET", "127.0.0.1:8443", "SSL_GET {\n url {\n path /ssl\n status_code 200\n }\n }", sslIll, sslHeal, "status 404, want 200"},
		{"SSL_GET verified", "127.0.0.1:8443", "SSL_GET {\n tls_verify\n tls_ca " + a.File + "\n url {\n path /page.html\n status_code 200\n }\n }",
			certify(-time.Hour), certify(time.Hour), "expired"},
	}
}

// mailAndNames are Postfix, unbound, socat, and what the kernel answers.
func mailAndNames(t *testing.T) []patient {
	dir, _ := postfix(t, "", "")
	main, err := os.ReadFile(filepath.Join(dir, "main.cf"))
	if err != nil {
		t.Fatal(err)
	}
	setting := func(lines string) func() {
		return func() {
			replace(t, filepath.Join(dir, "main.cf"), string(main)+lines)
			signalTo(t, filepath.Join(dir, "queue/pid/master.pid"), syscall.SIGHUP)()
		}
	}
	unboundPID := filepath.Join(t.TempDir(), "unbound.pid")
	serve(t, "udp 127.0.0.1:5353", "unbound", "-d", "-c", write(t, "unbound.conf", strings.Replace(unboundConf, `pidfile: ""`, "pidfile: "+unboundPID, 1)))
	echo := func() *exec.Cmd {
		c := exec.Command("socat", "UDP4-RECVFROM:7007,bind=127.0.0.1,fork", "EXEC:cat")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	socat := echo()
	t.Cleanup(func() { _ = socat.Process.Kill(); _ = socat.Wait() })
	pings := func(ignore string) func() {
		return func() { replace(t, "/proc/sys/net/ipv4/icmp_echo_ignore_all", ignore) }
	}
	t.Cleanup(pings("0"))
	return []patient{
		{"SMTP", "127.0.0.1:2525", "SMTP_CHECK {\n helo_name lb1.example.org\n }", setting("smtpd_client_restrictions = reject\n"), setting(""), "554"},
		{"DNS", "127.0.0.1:5353", "DNS_CHECK {\n name www.example.org\n type A\n retry 0\n }", signalTo(t, unboundPID, syscall.SIGSTOP), signalTo(t, unboundPID, syscall.SIGCONT), "no answer"},
		{"UDP", "127.0.0.1:7007", "UDP_CHECK {\n require_reply\n }", func() { _ = socat.Process.Kill(); _ = socat.Wait() }, func() { socat = echo() }, "unreachable"},
		{"PING", "127.0.0.9:1", "PING_CHECK {\n }", pings("1"), pings("0"), "no answer"},
	}
}

func databasePatients(t *testing.T) []patient {
	serve(t, "tcp 127.0.0.1:6379", "redis-server", "--port", "6379", "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	redis := func(args ...string) func() {
		return func() {
			if out, err := exec.Command("redis-cli", args...).CombinedOutput(); err != nil || !strings.Contains(string(out), "OK") {
				t.Fatalf("redis-cli: %v: %s", err, out)
			}
		}
	}
	pg := filepath.Join(postgreSQL(t), "data", "postmaster.pid")
	maria := filepath.Join(mariaDB(t), "pid")
	return []patient{
		{"REDIS", "127.0.0.1:6379", "REDIS_CHECK {\n role master\n }", redis("CONFIG", "SET", "requirepass", "x"), redis("-a", "x", "--no-auth-warning", "CONFIG", "SET", "requirepass", ""), "NOAUTH"},
		{"PGSQL", "127.0.0.1:5432", "PGSQL_CHECK {\n user postgres\n }", signalTo(t, pg, syscall.SIGSTOP), signalTo(t, pg, syscall.SIGCONT), "timed out"},
		{"MYSQL", "127.0.0.1:3306", "MYSQL_CHECK {\n user probe\n }", signalTo(t, maria, syscall.SIGSTOP), signalTo(t, maria, syscall.SIGCONT), "timed out"},
	}
}

// ownPatients are served by this process, with the libraries of others.
func ownPatients(t *testing.T) []patient {
	h := health.NewServer()
	grpcTo := grpcServer(t, h).Addr.String()
	serving := func(s grpc_health_v1.HealthCheckResponse_ServingStatus) func() {
		return func() { h.SetServingStatus("", s) }
	}
	var broken atomic.Bool
	web := httpServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		chat(w, r)
	}))
	var says atomic.Value
	says.Store("up\n")
	agent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { agent.Close() })
	go func() {
		for {
			c, err := agent.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprint(c, says.Load())
			c.Close()
		}
	}()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := tcp.Addr().String()
	t.Cleanup(func() { tcp.Close() })
	return []patient{
		{"TCP", addr, "TCP_CHECK {\n }", func() { tcp.Close() }, func() {
			if tcp, err = net.Listen("tcp", addr); err != nil {
				t.Fatal(err)
			}
		}, "connection refused"},
		{"GRPC", grpcTo, "GRPC_CHECK {\n }", serving(grpc_health_v1.HealthCheckResponse_NOT_SERVING), serving(grpc_health_v1.HealthCheckResponse_SERVING), "NOT_SERVING"},
		{"WEBSOCKET", web, "WEBSOCKET_CHECK {\n path /chat\n }", func() { broken.Store(true) }, func() { broken.Store(false) }, "status 403"},
		{"AGENT", "127.0.0.1:1", fmt.Sprintf("AGENT_CHECK {\n connect_port %d\n }", agent.Addr().(*net.TCPAddr).Port), func() { says.Store("down # migrating\n") }, func() { says.Store("up\n") }, "migrating"},
	}
}

// pathPatient is seen by BFD, with FRR's bfdd at the other end.
func pathPatient(t *testing.T, n *lab.Net) patient {
	gateway := n.Host("gateway", "10.9.0.2/24")
	start := func() *lab.FRR {
		return gateway.FRR("bfd\n peer 10.9.0.1 local-address 10.9.0.2\n  receive-interval 50\n  transmit-interval 50\n  no shutdown\n !\n!\n", "bfdd")
	}
	frr := start()
	return patient{"BFD", "10.9.0.2:80", "BFD_CHECK {\n name gateway\n }", func() { frr.Kill() }, func() { frr = start() }, "detection time expired"}
}
