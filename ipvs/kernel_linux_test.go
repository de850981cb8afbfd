package ipvs_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
)

func TestMain(m *testing.M) {
	if os.Getenv(unprivileged) != "" { // a child of TestKernelUnprivileged
		_, err := ipvs.Open(ipvs.ClientOptions{})
		fmt.Println(errors.Is(err, fs.ErrPermission), err)
		return
	}
	if spec := os.Getenv(crashVar); spec != "" {
		if err := crash(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	lab.Main(m)
}

const unprivileged = "HOLDFAST_UNPRIVILEGED"

// openKernel gives the kernel's table, emptied. It is that of the lab's own namespace.
func openKernel(t *testing.T) *ipvs.Client {
	c, err := ipvs.Open(ipvs.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	run(t, "ipvsadm", "-C")
	return c
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

func TestKernelKeepsTheSuite(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ipvsadm")
	ipvstest.Suite(t, func(t *testing.T) ipvs.Table { return openKernel(t) }, nil)
}

// everything is a table with most of what there is to say.
func everything() []ipvs.Service {
	dest := func(addr string, f ipvs.Forward, o ipvs.TunnelOptions) ipvs.Destination {
		return ipvs.Destination{Addr: netip.MustParseAddrPort(addr), Forward: f, Tunnel: o, Weight: 70000}
	}
	web := ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort("10.99.0.1:80")}, Scheduler: "sh",
		Flags: ipvs.SHPort | ipvs.SHFallback, Persistence: time.Minute, Granularity: 24, Destinations: []ipvs.Destination{
			dest("10.99.1.1:80", ipvs.Direct, ipvs.TunnelOptions{}), dest("10.99.1.2:8080", ipvs.Masq, ipvs.TunnelOptions{}),
			dest("10.99.1.3:80", ipvs.Tunnel, ipvs.TunnelOptions{Type: ipvs.GUE, Port: 6080, Checksum: ipvs.Checksum}),
			dest("10.99.1.4:80", ipvs.Tunnel, ipvs.TunnelOptions{Type: ipvs.GRE}),
			dest("[fd99::5]:80", ipvs.Tunnel, ipvs.TunnelOptions{}),
		}}
	sip := ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.UDP, Addr: netip.MustParseAddrPort("[fd99::1]:5060")}, Scheduler: "mh",
		Flags: ipvs.OnePacket | ipvs.MHPort, Persistence: time.Hour, Granularity: 64, Engine: "sip"}
	mark := ipvs.Service{ServiceKey: ipvs.ServiceKey{FWMark: 9, IPv6: true}, Scheduler: "wrr", Flags: ipvs.Sched3}
	return []ipvs.Service{web, sip, mark}
}

// TestKernelSaysWhatIpvsadmSays: our lines are ipvsadm's own, both ways.
func TestKernelSaysWhatIpvsadmSays(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ipvsadm")
	table := openKernel(t)
	want := ipvs.Diff(nil, everything())
	if err := table.Apply(context.Background(), want); err != nil {
		t.Fatal(err)
	}
	if got := sorted(run(t, "ipvsadm", "-Sn")); got != sorted(want.String()) {
		t.Errorf("ipvsadm -Sn prints\n%swant\n%s", got, sorted(want.String()))
	}
	run(t, "ipvsadm", "-C")
	restore := exec.Command("ipvsadm", "-R")
	restore.Stdin = strings.NewReader(want.String())
	if out, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("ipvsadm -R: %v: %s", err, out)
	}
	if plan := ipvs.Diff(read(t, table), everything()); len(plan) > 0 {
		t.Errorf("what ipvsadm made of our lines differs by\n%v", plan)
	}
}

func sorted(lines string) string {
	return strings.Join(slices.Sorted(strings.Lines(lines)), "")
}

func read(t *testing.T, table ipvs.Table) []ipvs.Service {
	t.Helper()
	status, err := table.Services(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	all := make([]ipvs.Service, len(status))
	for i := range status {
		all[i] = status[i].Wish()
	}
	return all
}

// TestKernelConnections: a connection is counted, listed, and forgotten by Zero.
func TestKernelConnections(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ipvsadm", "ip")
	table, ctx := openKernel(t), context.Background()
	run(t, "ip", "addr", "add", "10.99.0.1/32", "dev", "lo")
	defer run(t, "ip", "addr", "del", "10.99.0.1/32", "dev", "lo")
	listener, err := net.Listen("tcp", "10.99.0.1:9090")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	service := ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort("10.99.0.1:8080")}, Scheduler: "rr",
		Destinations: []ipvs.Destination{{Addr: netip.MustParseAddrPort("10.99.0.1:9090"), Weight: 1}}}
	if err := table.Apply(ctx, ipvs.Diff(nil, []ipvs.Service{service})); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", "10.99.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, table, service.ServiceKey, func(s ipvs.ServiceStatus) bool {
		d := s.Destinations[0]
		return s.Stats.Connections == 1 && d.Stats.Connections == 1 && d.Stats.PacketsIn > 0 && d.ActiveConnections == 1
	})
	var conns []ipvs.Connection
	for c, err := range table.Connections(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	want := ipvs.Connection{Protocol: ipvs.TCP, Client: netip.MustParseAddrPort(conn.LocalAddr().String()), Virtual: service.Addr,
		Destination: service.Destinations[0].Addr, State: "ESTABLISHED"}
	if len(conns) == 1 {
		want.Expires = conns[0].Expires
	}
	if !slices.Equal(conns, []ipvs.Connection{want}) || want.Expires == 0 {
		t.Errorf("connections %+v, want %+v", conns, want)
	}
	if err := table.Zero(ctx, service.ServiceKey); err != nil {
		t.Error(err)
	}
	eventually(t, table, service.ServiceKey, func(s ipvs.ServiceStatus) bool {
		return s.Stats.Connections == 0 && s.Destinations[0].Stats.Connections == 0 && s.Destinations[0].ActiveConnections == 1
	})
}

// eventually looks at a service until what it tells is well: the kernel sums its counters up every two seconds.
func eventually(t *testing.T, table ipvs.Table, key ipvs.ServiceKey, well func(ipvs.ServiceStatus) bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		got, err := table.Service(context.Background(), key)
		if err == nil && well(got) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v %+v %v", got.Stats, got.Destinations, err)
		}
	}
}

func TestKernelSyncDaemons(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ipvsadm", "ip")
	table, ctx := openKernel(t), context.Background()
	run(t, "ip", "link", "add", "sync0", "type", "dummy")
	defer run(t, "ip", "link", "del", "sync0")
	run(t, "ip", "addr", "add", "10.98.0.1/24", "dev", "sync0")
	run(t, "ip", "link", "set", "sync0", "up", "multicast", "on")
	master := ipvs.SyncDaemon{Role: ipvs.SyncMaster, Interface: "sync0", ID: 7, MaxLen: 1000, Group: netip.MustParseAddr("224.0.0.90"), Port: 8900, TTL: 4}
	backup := ipvs.SyncDaemon{Role: ipvs.SyncBackup, Interface: "sync0", ID: 8}
	for _, d := range []ipvs.SyncDaemon{master, backup} {
		if err := table.StartSync(ctx, d); err != nil {
			t.Fatal(err)
		}
		if err := table.StartSync(ctx, d); !errors.Is(err, ipvs.ErrExists) {
			t.Errorf("%v started twice: %v", d.Role, err)
		}
	}
	backup.MaxLen, backup.Group, backup.Port, backup.TTL = 1472, netip.MustParseAddr("224.0.0.81"), 8848, 1
	if got, err := table.SyncDaemons(ctx); err != nil || !slices.Equal(got, []ipvs.SyncDaemon{master, backup}) {
		t.Errorf("%+v %v, want\n%+v", got, err, []ipvs.SyncDaemon{master, backup})
	}
	mixed := ipvs.Diff(nil, []ipvs.Service{everything()[0]})
	if err := table.Apply(ctx, mixed); err == nil || !strings.Contains(err.Error(), "sync daemon") {
		t.Errorf("another family beside a sync daemon: %v", err)
	}
	for _, role := range []ipvs.SyncRole{ipvs.SyncMaster, ipvs.SyncBackup} {
		if err := table.StopSync(ctx, role); err != nil {
			t.Error(err)
		}
		if err := table.StopSync(ctx, role); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v stopped twice: %v", role, err)
		}
	}
	if got, err := table.SyncDaemons(ctx); err != nil || len(got) != 0 {
		t.Errorf("%+v %v, want none", got, err)
	}
	for want, d := range map[string]ipvs.SyncDaemon{
		"no such interface": {Role: ipvs.SyncMaster, Interface: "nowhere"},
		"must be 0 to 255":  {Role: ipvs.SyncMaster, Interface: "sync0", ID: 256},
	} {
		if err := table.StartSync(ctx, d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
			_ = table.StopSync(ctx, d.Role)
		}
	}
}

// TestKernelNamespaces: a client keeps to the namespace that it was opened for.
func TestKernelNamespaces(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ipvsadm", "ip")
	here, home := openKernel(t), namespaceOf(t, "/proc/self/ns/net")
	run(t, "ip", "netns", "add", "blue")
	defer run(t, "ip", "netns", "del", "blue")
	run(t, "ip", "netns", "exec", "blue", "ip", "link", "set", "lo", "up")
	there, err := ipvs.Open(ipvs.ClientOptions{NetNS: "/run/netns/blue"})
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	one := []ipvs.Service{web(1, 2)}
	if err := there.Apply(context.Background(), ipvs.Diff(nil, one)); err != nil {
		t.Fatal(err)
	}
	if err := there.SetTimeouts(context.Background(), ipvs.Timeouts{TCP: 42 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if got := run(t, "ip", "netns", "exec", "blue", "ipvsadm", "-Sn"); got != ipvs.Diff(nil, one).String() {
		t.Errorf("blue holds\n%s", got)
	}
	if got := run(t, "ip", "netns", "exec", "blue", "ipvsadm", "-l", "--timeout"); !strings.Contains(got, "42") {
		t.Errorf("timeouts of blue: %s", got)
	}
	if got := read(t, here); len(got) != 0 {
		t.Errorf("here there is %v", ipvs.Diff(nil, got))
	}
	for range there.Connections(context.Background()) {
		t.Error("a connection in blue")
	}
	if _, err := ipvs.Open(ipvs.ClientOptions{NetNS: "/run/netns/nowhere"}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	tasks, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil || len(tasks) == 0 {
		t.Fatal(err)
	}
	for _, task := range tasks {
		if now := namespaceOf(t, task); now != "" && now != home {
			stacks := make([]byte, 1<<16)
			time.Sleep(100 * time.Millisecond) // is it on its way?
			t.Errorf("%s was left in %s, while the process is at home in %s; a moment later it is in %s:\n%s", task, now, home, namespaceOf(t, task), stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func namespaceOf(t *testing.T, path string) string {
	link, err := os.Readlink(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a thread may end meanwhile
		t.Fatal(err)
	}
	return link
}

// TestKernelOthersInTheMiddle: while somebody else adds and removes the same entries, every error says what it is about, and
// afterwards one plan makes it right.
func TestKernelOthersInTheMiddle(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ipvsadm")
	table, ctx := openKernel(t), context.Background()
	wish := []ipvs.Service{web(1, 2, 3, 4), web(5)}
	wish[1].Addr = netip.MustParseAddrPort("10.0.0.9:80")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		other, err := ipvs.Open(ipvs.ClientOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		defer other.Close()
		for {
			select {
			case <-stop:
				return
			default:
				_ = other.Apply(ctx, ipvs.Diff(wish, nil))
				_ = other.Apply(ctx, ipvs.Diff(nil, wish))
			}
		}
	}()
	for range 200 {
		for _, plan := range []ipvs.Plan{ipvs.Diff(nil, wish), ipvs.Diff(wish, nil)} {
			err := table.Apply(ctx, plan)
			if err == nil {
				continue
			}
			for _, err := range err.(interface{ Unwrap() []error }).Unwrap() {
				e, ok := errors.AsType[*ipvs.Error](err)
				if !ok || !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) || e.Kind == ipvs.ErrSchedulerNotFound {
					t.Fatalf("%v", err)
				}
			}
		}
	}
	close(stop)
	<-stopped
	if err := table.Apply(ctx, ipvs.Diff(read(t, table), wish)); err != nil {
		t.Fatal(err)
	}
	if plan := ipvs.Diff(read(t, table), wish); len(plan) > 0 {
		t.Errorf("afterwards it differs by\n%v", plan)
	}
}

// TestKernelUnprivileged: without CAP_NET_ADMIN the error says so.
func TestKernelUnprivileged(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "setpriv")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("setpriv", "--bounding-set", "-net_admin", exe)
	cmd.Env = append(os.Environ(), unprivileged+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "true ipvs: ") || !strings.Contains(string(out), "CAP_NET_ADMIN") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestKernelInfo(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ipvsadm")
	info, err := openKernel(t).Info(context.Background())
	if want := fmt.Sprintf("IP Virtual Server version %s (size=%d)", info.Version, info.TableSize); err != nil || !strings.HasPrefix(run(t, "ipvsadm", "-Ln"), want) {
		t.Errorf("%s, %v; ipvsadm says %s", want, err, run(t, "ipvsadm", "-Ln"))
	}
}

func TestOpenWithoutIPVS(t *testing.T) {
	if lab.HasIPVS() {
		return // nothing is missing here
	}
	if _, err := ipvs.Open(ipvs.ClientOptions{}); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "modprobe ip_vs") {
		t.Fatalf("without ip_vs: %v", err)
	}
}
