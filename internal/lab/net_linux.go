package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Net is one switch and the hosts on it.
type Net struct {
	t      T
	number int64
	bridge string
	hosts  int
}

var nets atomic.Int64

// New makes a switch without hosts. It is removed at the end of t.
func New(t T) *Net {
	t.Helper()
	if unavailable != nil {
		missing(t, "no lab here: %v", unavailable)
	}
	if !inside() && !underSystemd() {
		t.Fatalf("lab: not inside the lab's namespaces: call lab.Main from TestMain, or lab.Program from main")
	}
	n := &Net{t: t, number: nets.Add(1)}
	n.bridge = fmt.Sprintf("sw%d", n.number)
	n.must(ip("link", "add", n.bridge, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0"))
	n.must(ip("link", "set", n.bridge, "up"))
	t.Cleanup(func() { _ = ip("link", "del", n.bridge) })
	return n
}

func (n *Net) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatalf("lab: %v", err)
	}
}

// Host adds a host to the switch: a network namespace with lo and eth0 up and the given addresses ("10.0.0.1/24") on eth0.
// Its programs are killed and it is removed at the end of the test.
func (n *Net) Host(name string, addrs ...string) *Host {
	n.t.Helper()
	n.hosts++
	h := &Host{
		Name: name, net: n,
		ns:   fmt.Sprintf("%d-%s", n.number, name),
		port: fmt.Sprintf("p%d.%d", n.number, n.hosts),
	}
	n.must(ip("netns", "add", h.ns))
	n.t.Cleanup(h.close)
	n.must(ip("link", "add", h.port, "type", "veth", "peer", "name", "eth0", "netns", h.ns))
	n.must(ip("link", "set", h.port, "master", n.bridge, "up"))
	for key, value := range hostSysctls {
		h.Sysctl(key, value)
	}
	n.must(ip("-n", h.ns, "link", "set", "lo", "up"))
	n.must(ip("-n", h.ns, "link", "set", "eth0", "up"))
	for _, a := range addrs {
		n.must(ip("-n", h.ns, "addr", "add", a, "dev", "eth0"))
	}
	return h
}

// Join gives the test itself an address on the switch ("10.0.0.9/24"), on the interface that it names: what is opened outside
// of hosts is there then.
func (n *Net) Join(addr string) (iface string) {
	n.t.Helper()
	n.must(ip("addr", "add", addr, "dev", n.bridge, "nodad"))
	return n.bridge
}

// hostSysctls make a host that answers at once: no duplicate address detection, no reverse path filter.
var hostSysctls = map[string]string{
	"net.ipv4.conf.all.rp_filter":      "0",
	"net.ipv4.conf.default.rp_filter":  "0",
	"net.ipv4.conf.eth0.rp_filter":     "0",
	"net.ipv6.conf.default.accept_dad": "0",
	"net.ipv6.conf.eth0.accept_dad":    "0",
}

// Host is one machine of a [Net].
type Host struct {
	// Name is the name it was given.
	Name string

	net       *Net
	ns, port  string
	processes []*Process
}

func (h *Host) close() {
	for _, p := range h.processes {
		p.Kill()
	}
	_ = ip("netns", "del", h.ns)
}

// Start runs a program in the host and returns at once. Its output is kept; it is killed when ctx ends or the test does.
func (h *Host) Start(ctx context.Context, name string, args ...string) *Process {
	h.net.t.Helper()
	p, err := start(exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.ns, name}, args...)...))
	if err != nil {
		h.net.t.Fatalf("lab: host %s: start %s: %v", h.Name, name, err)
	}
	h.processes = append(h.processes, p)
	return p
}

// Run runs a program in the host to its end and returns what it printed.
func (h *Host) Run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.ns, name}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("host %s: %s %s: %w: %s", h.Name, name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// MustRun is Run for set-up steps: an error ends the test.
func (h *Host) MustRun(name string, args ...string) string {
	h.net.t.Helper()
	out, err := h.Run(context.Background(), name, args...)
	h.net.must(err)
	return out
}

// Do calls f on a thread inside the host. Sockets that f opens stay in the host; goroutines that f starts do not.
func (h *Host) Do(f func() error) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		return fmt.Errorf("own namespace: %w", err)
	}
	defer home.Close()
	there, err := netns.GetFromName(h.ns)
	if err != nil {
		return fmt.Errorf("host %s: %w", h.Name, err)
	}
	defer there.Close()
	if err := netns.Set(there); err != nil {
		return fmt.Errorf("host %s: enter: %w", h.Name, err)
	}
	err = f()
	if back := netns.Set(home); back != nil {
		return errors.Join(err, back) // the thread stays locked and dies with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// DialContext connects from the host; it fits http.Transport. The address must be numeric.
func (h *Host) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.Do(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen opens a TCP listener in the host.
func (h *Host) Listen(address string) net.Listener {
	h.net.t.Helper()
	var l net.Listener
	h.net.must(h.Do(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	}))
	return l
}

// Sysctl sets a kernel parameter of the host ("net.ipv4.ip_forward").
func (h *Host) Sysctl(key, value string) {
	h.net.t.Helper()
	path := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
	h.net.must(h.Do(func() error { return os.WriteFile(path, []byte(value), 0o644) }))
}

// Addrs lists the addresses on eth0 now.
func (h *Host) Addrs() (addrs []netip.Prefix) {
	h.net.t.Helper()
	h.net.must(h.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		list, err := netlink.AddrList(link, netlink.FAMILY_ALL)
		for errors.Is(err, netlink.ErrDumpInterrupted) {
			list, err = netlink.AddrList(link, netlink.FAMILY_ALL)
		}
		for _, a := range list {
			if p, ok := prefixOf(a.IPNet); ok {
				addrs = append(addrs, p)
			}
		}
		return err
	}))
	return addrs
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	addr, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits), ok
}

// Has says whether addr is on eth0 now.
func (h *Host) Has(addr netip.Addr) bool {
	for _, p := range h.Addrs() {
		if p.Addr() == addr {
			return true
		}
	}
	return false
}

// Cut takes the host off the switch: nothing goes in or out, and the host's link stays up, as behind a failed switch.
func (h *Host) Cut() { h.net.t.Helper(); h.net.must(ip("link", "set", h.port, "nomaster")) }

// Unplug takes the host's carrier away: the host sees its link go down.
func (h *Host) Unplug() { h.net.t.Helper(); h.net.must(ip("link", "set", h.port, "down")) }

// Restore undoes [Host.Cut] and [Host.Unplug].
func (h *Host) Restore() {
	h.net.t.Helper()
	h.net.must(ip("link", "set", h.port, "master", h.net.bridge, "up"))
}

// Loss makes the host lose the given share of the IP packets that reach it, or of all frames on kernels that have netem and
// not what nftables needs for it. 0 ends it.
func (h *Host) Loss(percent int) {
	h.net.t.Helper()
	_, _ = h.Run(context.Background(), "nft", "delete", "table", "inet", "lab")
	_ = run("tc", "qdisc", "del", "dev", h.port, "root")
	if percent == 0 {
		return
	}
	_, err := h.Run(context.Background(), "nft", "add table inet lab; add chain inet lab in { type filter hook input priority -300; }; "+
		fmt.Sprintf("add rule inet lab in iifname eth0 numgen random mod 100 <= %d drop", min(percent, 100)-1))
	if err != nil {
		h.net.must(run("tc", "qdisc", "replace", "dev", h.port, "root", "netem", "loss", fmt.Sprintf("%d%%", min(percent, 100))))
	}
}

// Delay adds a delay ("5ms") to what the host sends. Kernels without netem give an error that wraps errors.ErrUnsupported.
func (h *Host) Delay(delay string) error {
	if _, err := h.Run(context.Background(), "tc", "qdisc", "replace", "dev", "eth0", "root", "netem", "delay", delay); err != nil {
		return fmt.Errorf("%w: netem is in the lab's own kernel only: %w", errors.ErrUnsupported, err)
	}
	return nil
}

// ip runs the ip program in the lab's own namespace.
func ip(args ...string) error { return run("ip", args...) }

func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
