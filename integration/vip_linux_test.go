package integration

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/ipvs"
)

// story is what events tell, as "object to".
type story struct {
	mu    sync.Mutex // guards the field below
	lines []string
}

func (s *story) follow(ctx context.Context, events *holdfast.Subscription) {
	for {
		e, err := events.Next(ctx)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.lines = append(s.lines, strings.Join([]string{string(e.Kind), e.Object, e.To, e.Reason}, " "))
		s.mu.Unlock()
	}
}

// last is the newest line that begins so.
func (s *story) last(begin string) (line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		if strings.HasPrefix(l, begin) {
			line = l
		}
	}
	return line
}

// behind is a service at the virtual address with one server, which is checked at its own, and a tracker that connects to the
// virtual address itself.
func behind(addr string, how ipvs.Forward, source string) (holdfast.Service, holdfast.Tracker) {
	policy := check.Policy{DelayLoop: 100 * time.Millisecond, Timeout: 300 * time.Millisecond, AtOnce: true}
	real := netip.MustParseAddrPort(addr)
	front := check.Target{Addr: netip.AddrPortFrom(vip, real.Port())}
	if source != "" {
		front.Source = netip.AddrPortFrom(netip.MustParseAddr(source), 0)
	}
	service := holdfast.Service{Service: ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: front.Addr}, Scheduler: "rr"},
		Servers: []holdfast.Server{{
			RealServer: ipvs.RealServer{Destination: ipvs.Destination{Addr: real, Weight: 1, Forward: how}},
			Checks:     []check.Probe{{ID: "TCP", Checker: check.TCP{Target: check.Target{Addr: real}}, Policy: policy}},
		}}}
	return service, holdfast.Tracker{Name: "front " + front.Addr.String() + source, Probe: check.Probe{Checker: check.TCP{Target: front}, Policy: policy}}
}

// TestKernelServiceIsCheckedAtItsOwnAddress: what docs/check.md says of checks through the virtual address.
func TestKernelServiceIsCheckedAtItsOwnAddress(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ip")
	n := lab.New(t)
	n.Join("10.9.0.1/24") // this process is the director
	server, other := n.Host("server", "10.9.0.11/24"), n.Host("other", "10.9.0.12/24")
	for _, l := range []net.Listener{server.Listen("0.0.0.0:80"), other.Listen("0.0.0.0:81")} {
		defer l.Close()
		go echo(l)
	}
	table, err := ipvs.Open(ipvs.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	c := holdfast.New(holdfast.Options{Table: table})
	routed, front := behind("10.9.0.11:80", ipvs.Direct, "")
	masked, frontMasked := behind("10.9.0.12:81", ipvs.Masq, "")
	_, frontFrom := behind("10.9.0.11:80", ipvs.Direct, "10.9.0.1")
	var s story
	ctx, cancel := context.WithCancel(t.Context())
	go s.follow(ctx, c.Subscribe(1000))
	if err := c.Apply(ctx, holdfast.Spec{Services: []holdfast.Service{routed, masked}, Trackers: []holdfast.Tracker{front, frontMasked, frontFrom}}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	is := func(what string, tracker holdfast.Tracker, verdict string) {
		t.Helper()
		within(t, 10*time.Second, what, func() bool {
			trackers := c.Status().Trackers
			i := slices.IndexFunc(trackers, func(s holdfast.CheckStatus) bool { return s.ID == tracker.Name })
			return i >= 0 && trackers[i].Checks > 0 && trackers[i].Up == (verdict == "UP")
		})
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	// The server answers at its own address, and takes nothing for the virtual one.
	is("a server without the virtual address is seen", front, "DOWN")
	if got := s.last("tracker " + front.Name + " "); !strings.Contains(got, "connect to 10.9.0.100:80: timed out") {
		t.Errorf("the event says %q", got)
	}
	if got := s.last("server "); got != "" {
		t.Errorf("of a server whose own address answers: %q", got)
	}
	is("a masqueraded server need not have it", frontMasked, "UP")
	server.MustRun("ip", "addr", "add", "10.9.0.100/32", "dev", "lo")
	is("now it has the address", front, "UP")
	is("and is seen from any address", frontFrom, "UP")
	// This host becomes MASTER.
	run("ip", "addr", "add", "10.9.0.100/32", "dev", "lo")
	is("a connection from the virtual address to itself cannot be routed directly", front, "DOWN")
	is("the answer to another address of this host is taken for a forgery", frontFrom, "DOWN")
	time.Sleep(500 * time.Millisecond) // the real kernel: several checks
	is("masqueraded it can", frontMasked, "UP")
	run("sysctl", "-q", "-w", "net.ipv4.conf.all.accept_local=1", "net.ipv4.conf.all.rp_filter=0")
	is("unless that is allowed", frontFrom, "UP")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
