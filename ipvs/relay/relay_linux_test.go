package relay

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/ipvs"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv("HOLDFAST_RELAY_PEER"); spec != "" {
		os.Exit(peer(spec))
	}
	lab.Main(m) // nobody else listens there
}

// open is a Relay that ends with the test, and leaves nothing running.
func open(t *testing.T, o Options) *Relay {
	r := New(o)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// freePort is an address of this host that nobody listens at.
func freePort(t *testing.T, network string) netip.AddrPort {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).AddrPort()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

var addresses atomic.Uint32

// nextAddress is an address of this host, greater than those before: plans sort by address, and rounds begin with the first.
func nextAddress() netip.Addr {
	n := addresses.Add(1)
	return netip.AddrFrom4([4]byte{127, 1, byte(n >> 8), byte(n)})
}

// server is a TCP server whose connections are handled by serve.
func server(t *testing.T, serve func(c *net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(nextAddress(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c.(*net.TCPConn))
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// named answers each line with its name and the line.
func named(name string) func(c *net.TCPConn) {
	return func(c *net.TCPConn) {
		defer c.Close()
		lines := bufio.NewScanner(c)
		for lines.Scan() {
			fmt.Fprintf(c, "%s %s\n", name, lines.Text())
		}
	}
}

func tcp(t *testing.T, edit func(s *ipvs.Service), servers ...netip.AddrPort) ipvs.Service {
	s := ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: freePort(t, "tcp")}, Scheduler: "rr"}
	for _, a := range servers {
		s.Destinations = append(s.Destinations, ipvs.Destination{Addr: a, Weight: 1})
	}
	if edit != nil {
		edit(&s)
	}
	return s
}

func apply(t *testing.T, r *Relay, have, want []ipvs.Service) {
	t.Helper()
	if err := r.Apply(context.Background(), ipvs.Diff(have, want)); err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, s ipvs.Service) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// ask sends a line and returns the answer, or the error's text.
func ask(c net.Conn, line string) string {
	if _, err := fmt.Fprintln(c, line); err != nil {
		return err.Error()
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(answer, "\n")
}

// eventually waits for what goroutines of real sockets do in their own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not so after 10 s: " + what)
		}
	}
}

func status(t *testing.T, r *Relay, s ipvs.Service) ipvs.ServiceStatus {
	t.Helper()
	st, err := r.Service(context.Background(), s.ServiceKey)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestTCPGoesRoundAndIsCounted(t *testing.T) {
	r := open(t, Options{})
	s := tcp(t, nil, server(t, named("a")), server(t, named("b")))
	apply(t, r, nil, []ipvs.Service{s})
	var got []string
	for range 4 {
		c := dial(t, s)
		got = append(got, ask(c, "hello"))
		c.Close()
	}
	if text := strings.Join(got, ", "); text != "a hello, b hello, a hello, b hello" {
		t.Errorf("answers: %s", text)
	}
	eventually(t, "no connections are left", func() bool { return status(t, r, s).Destinations[1].ActiveConnections == 0 })
	st := status(t, r, s)
	if one := st.Destinations[0]; st.Stats.Connections != 4 || one.Stats.Connections != 2 || one.Stats.BytesIn != 12 || one.Stats.BytesOut != 16 || st.Stats.BytesOut != 32 {
		t.Errorf("counters: %+v", st)
	}
}

// TestHalfClose: each side may end while the other goes on.
func TestHalfClose(t *testing.T) {
	r := open(t, Options{})
	s := tcp(t, nil, server(t, func(c *net.TCPConn) {
		defer c.Close()
		all, _ := io.ReadAll(c)
		fmt.Fprintf(c, "after the end: %s", all)
	}))
	speaksFirst := tcp(t, nil, server(t, func(c *net.TCPConn) {
		defer c.Close()
		fmt.Fprint(c, "bye")
		_ = c.CloseWrite()
		all, _ := io.ReadAll(c)
		if string(all) != "still here" {
			t.Errorf("after its own end the server heard %q", all)
		}
		heard <- true
	}))
	apply(t, r, nil, []ipvs.Service{s, speaksFirst})
	c := dial(t, s)
	fmt.Fprint(c, "question")
	_ = c.CloseWrite()
	if all, err := io.ReadAll(c); string(all) != "after the end: question" || err != nil {
		t.Errorf("answer %q, %v", all, err)
	}
	c = dial(t, speaksFirst)
	if all, err := io.ReadAll(c); string(all) != "bye" || err != nil {
		t.Errorf("heard %q, %v", all, err)
	}
	fmt.Fprint(c, "still here")
	_ = c.CloseWrite()
	<-heard
}

var heard = make(chan bool, 1)

// TestBackpressure: a server that does not read stops its client; nothing is lost when it reads at last, and what is moved
// without pause is moved whole.
func TestBackpressure(t *testing.T) {
	r := open(t, Options{})
	begin, sum := make(chan bool), make(chan [32]byte, 1)
	s := tcp(t, nil, server(t, func(c *net.TCPConn) {
		defer c.Close()
		<-begin
		h := sha256.New()
		_, _ = io.Copy(h, c)
		sum <- [32]byte(h.Sum(nil))
	}))
	apply(t, r, nil, []ipvs.Service{s})
	c := dial(t, s)
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	const size = 64 << 20
	h, sent := sha256.New(), 0
	_ = c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	for {
		n, err := c.Write(chunk)
		h.Write(chunk[:n])
		if sent += n; err != nil {
			break
		}
	}
	if sent > size/2 {
		t.Fatalf("%d bytes went to a server that does not read", sent)
	}
	close(begin)
	_ = c.SetWriteDeadline(time.Now().Add(20 * time.Second))
	for sent < size {
		n, err := c.Write(chunk)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(chunk[:n])
		sent += n
	}
	_ = c.CloseWrite()
	if got := <-sum; got != [32]byte(h.Sum(nil)) {
		t.Error("what arrived is not what was sent")
	}
	eventually(t, "all bytes count", func() bool { return status(t, r, s).Stats.BytesIn == uint64(sent) })
}

// TestResetIsPassedOn: a server that breaks off is not an orderly end.
func TestResetIsPassedOn(t *testing.T) {
	r := open(t, Options{})
	s := tcp(t, nil, server(t, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1)); reset(c) }))
	nobody := tcp(t, nil, freePort(t, "tcp"))
	apply(t, r, nil, []ipvs.Service{s, nobody})
	if got := ask(dial(t, s), "x"); !strings.Contains(got, "reset") {
		t.Errorf("the server's reset became %q", got)
	}
	c, err := net.Dial("tcp", nobody.Addr.String())
	if err == nil {
		_, err = io.ReadAll(c)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a server that is not there became %v", err)
	}
}

// TestDrainAndDelete: weight 0 keeps what there is and gets no more; deleted, its connections end.
func TestDrainAndDelete(t *testing.T) {
	r := open(t, Options{})
	full := tcp(t, nil, server(t, named("a")), server(t, named("b")))
	apply(t, r, nil, []ipvs.Service{full})
	old := dial(t, full)
	if got := ask(old, "1"); got != "a 1" {
		t.Fatal(got)
	}
	drained := tcp(t, func(s *ipvs.Service) {
		*s = full
		s.Destinations = append([]ipvs.Destination(nil), full.Destinations...)
	})
	drained.Destinations[0].Weight = 0
	apply(t, r, []ipvs.Service{full}, []ipvs.Service{drained})
	for range 3 {
		if got := ask(dial(t, full), "2"); got != "b 2" {
			t.Errorf("a new client is answered by %q", got)
		}
	}
	if got := ask(old, "3"); got != "a 3" {
		t.Errorf("the old client: %q", got)
	}
	without := drained
	without.Destinations = drained.Destinations[1:]
	apply(t, r, []ipvs.Service{drained}, []ipvs.Service{without})
	if got := ask(old, "4"); strings.HasPrefix(got, "a") {
		t.Errorf("after the deletion: %q", got)
	}
	keeps := dial(t, full)
	if got := ask(keeps, "5"); got != "b 5" {
		t.Fatal(got)
	}
	apply(t, r, []ipvs.Service{without}, nil)
	if got := ask(keeps, "6"); strings.HasPrefix(got, "b") {
		t.Errorf("after the service went: %q", got)
	}
	if _, err := net.Dial("tcp", full.Addr.String()); err == nil {
		t.Error("a service that is gone is still there")
	}
}

// TestPersistence: clients of a prefix stay with their destination until the time is over, weight 0 sets them free.
func TestPersistence(t *testing.T) {
	r := open(t, Options{})
	s := tcp(t, func(s *ipvs.Service) { s.Persistence, s.Granularity = time.Second, 24 }, server(t, named("a")), server(t, named("b")))
	s.Addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.Addr.Port())
	apply(t, r, nil, []ipvs.Service{s})
	from := func(ip string) string {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		c, err := d.Dial("tcp", s.Addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return ask(c, "x")
	}
	if got := []string{from("127.0.5.1"), from("127.0.5.2"), from("127.0.6.1"), from("127.0.5.3"), from("127.0.6.1")}; fmt.Sprint(got) != "[a x a x b x a x b x]" {
		t.Errorf("answers: %v", got)
	}
	if st := status(t, r, s); st.Destinations[0].PersistentConnections != 1 || st.Destinations[1].PersistentConnections != 1 {
		t.Errorf("bound: %+v", st.Destinations)
	}
	drained := s
	drained.Destinations = []ipvs.Destination{s.Destinations[0], s.Destinations[1]}
	drained.Destinations[0].Weight = 0
	apply(t, r, []ipvs.Service{s}, []ipvs.Service{drained})
	if got := from("127.0.5.1"); got != "b x" {
		t.Errorf("a drained server's client is answered by %q", got)
	}
	apply(t, r, []ipvs.Service{drained}, []ipvs.Service{s})
	apply(t, r, []ipvs.Service{s}, []ipvs.Service{drained})
	apply(t, r, []ipvs.Service{drained}, []ipvs.Service{s})
	eventually(t, "the time is over", func() bool {
		time.Sleep(1100 * time.Millisecond)
		return from("127.0.6.1") == "a x"
	})
}

// TestThresholds: an overloaded destination gets no more until it has fewer.
func TestThresholds(t *testing.T) {
	r := open(t, Options{})
	s := tcp(t, nil, server(t, named("a")), server(t, named("b")))
	s.Destinations[0].UpperThreshold, s.Destinations[0].LowerThreshold = 2, 1
	apply(t, r, nil, []ipvs.Service{s})
	var open []*net.TCPConn
	count := make(map[string]int)
	for range 6 {
		c := dial(t, s)
		open = append(open, c)
		count[ask(c, "x")]++
	}
	if count["a x"] != 2 || count["b x"] != 4 {
		t.Errorf("with a limit of 2: %v", count)
	}
	for _, c := range open {
		c.Close()
	}
	eventually(t, "it takes some again", func() bool {
		c := dial(t, s)
		defer c.Close()
		return ask(c, "x") == "a x"
	})
}

// TestListensBeforeTheAddressIsThere: as a BACKUP does.
func TestListensBeforeTheAddressIsThere(t *testing.T) {
	r := open(t, Options{})
	for _, addr := range []string{"192.0.2.77:8077", "[2001:db8::77]:8077"} {
		key := ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort(addr)}
		apply(t, r, nil, []ipvs.Service{{ServiceKey: key}})
		key.Protocol = ipvs.UDP
		apply(t, r, nil, []ipvs.Service{{ServiceKey: key}})
	}
}

// TestRefusals: what cannot be relayed is told by operation and kind, the rest is done.
func TestRefusals(t *testing.T) {
	r := open(t, Options{})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	good := tcp(t, nil)
	for name, c := range map[string]struct {
		edit func(s *ipvs.Service)
		want error
	}{
		"mark":      {func(s *ipvs.Service) { s.ServiceKey = ipvs.ServiceKey{FWMark: 5} }, errors.ErrUnsupported},
		"sctp":      {func(s *ipvs.Service) { s.Protocol = ipvs.SCTP }, errors.ErrUnsupported},
		"any port":  {func(s *ipvs.Service) { s.Addr = netip.MustParseAddrPort("127.0.0.1:0"); s.Persistence = time.Second }, errors.ErrUnsupported},
		"scheduler": {func(s *ipvs.Service) { s.Scheduler, s.Addr = "lblc", freePort(t, "tcp") }, ipvs.ErrSchedulerNotFound},
		"taken":     {func(s *ipvs.Service) { s.Addr = taken.Addr().(*net.TCPAddr).AddrPort() }, syscall.EADDRINUSE},
	} {
		bad := good
		c.edit(&bad)
		err := r.Apply(t.Context(), ipvs.Diff(nil, []ipvs.Service{bad, good}))
		if e, ok := errors.AsType[*ipvs.Error](err); !errors.Is(err, c.want) || !ok || e.Op.Service.ServiceKey != bad.ServiceKey {
			t.Errorf("%s: %v", name, err)
		}
		apply(t, r, []ipvs.Service{good}, nil) // fails when it was not added
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := r.Apply(t.Context(), ipvs.Diff(nil, []ipvs.Service{good})); !errors.Is(err, context.Canceled) {
		t.Errorf("after Close: %v", err)
	}
}

// TestNothingIsLeftRunning: Close ends connections and waits for everything.
func TestNothingIsLeftRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	r := New(Options{})
	s := tcp(t, nil, server(t, named("a")))
	u := udpService(t, echoUDP(t, "u"))
	apply(t, r, nil, []ipvs.Service{s, u})
	for range 20 {
		ask(dial(t, s), "x")
	}
	ask(dialUDP(t, u), "x")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "only the servers of this test are left", func() bool { return runtime.NumGoroutine() <= before+4 })
}

func udpService(t *testing.T, servers ...netip.AddrPort) ipvs.Service {
	s := tcp(t, nil, servers...)
	s.Protocol, s.Addr = ipvs.UDP, freePort(t, "udp")
	return s
}

// echoUDP answers each datagram with its name and what it got.
func echoUDP(t *testing.T, name string) netip.AddrPort {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(nextAddress(), 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort(append([]byte(name+" "), buf[:n]...), from)
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func dialUDP(t *testing.T, s ipvs.Service) net.Conn {
	c, err := net.Dial("udp", s.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	return c
}

// TestUDPSessions: a client stays with its destination until it is silent for so long, and then is forgotten.
func TestUDPSessions(t *testing.T) {
	r := open(t, Options{UDPTimeout: 300 * time.Millisecond})
	s := udpService(t, echoUDP(t, "a"), echoUDP(t, "b"))
	apply(t, r, nil, []ipvs.Service{s})
	one, two := dialUDP(t, s), dialUDP(t, s)
	for i := range 5 { // longer than the timeout, all in all: traffic keeps a session
		if got := ask(one, "x") + ask(two, "x"); got != "a xb x" {
			t.Fatalf("round %d: %q", i, got)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if st := status(t, r, s); st.Destinations[0].ActiveConnections != 1 || st.Destinations[0].Stats.PacketsIn != 5 || st.Destinations[0].Stats.BytesOut != 20 {
		t.Errorf("at work: %+v", st.Destinations[0])
	}
	eventually(t, "sessions are forgotten", func() bool {
		st := status(t, r, s)
		return st.Destinations[0].ActiveConnections+st.Destinations[1].ActiveConnections == 0
	})
	if got := ask(two, "x"); got != "a x" {
		t.Errorf("after the silence %q answers: it is the turn of a", got)
	}
}

func TestUDPOnePacket(t *testing.T) {
	r := open(t, Options{})
	s := udpService(t, echoUDP(t, "a"), echoUDP(t, "b"))
	s.Flags = ipvs.OnePacket
	apply(t, r, nil, []ipvs.Service{s})
	c := dialUDP(t, s)
	if got := ask(c, "1") + ask(c, "2") + ask(c, "3") + ask(c, "4"); got != "a 1b 2a 3b 4" {
		t.Errorf("answers: %q", got)
	}
}

// TestUDPServerComesBack: a server that refuses for a while does not end its clients' sessions.
func TestUDPServerComesBack(t *testing.T) {
	r := open(t, Options{})
	gone := freePort(t, "udp")
	s := udpService(t, gone)
	apply(t, r, nil, []ipvs.Service{s})
	c := dialUDP(t, s)
	fmt.Fprintln(c, "lost")
	l, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(gone))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	eventually(t, "datagrams arrive", func() bool {
		fmt.Fprintln(c, "again")
		_ = l.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, _, err := l.ReadFromUDPAddrPort(make([]byte, 100))
		return err == nil
	})
}

// TestDescriptorsAreLeft: connections that there is no room for wait until others end, datagrams are dropped.
func TestDescriptorsAreLeft(t *testing.T) {
	r := open(t, Options{Descriptors: 4, UDPTimeout: 100 * time.Millisecond})
	s, u := tcp(t, nil, server(t, named("a"))), udpService(t, echoUDP(t, "u"))
	apply(t, r, nil, []ipvs.Service{s, u})
	one, two, three := dial(t, s), dial(t, s), dial(t, s)
	if got := ask(one, "1") + ask(two, "2"); got != "a 1a 2" {
		t.Fatal(got)
	}
	fmt.Fprintln(three, "3")
	c := dialUDP(t, u)
	fmt.Fprintln(c, "x")
	_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := c.Read(make([]byte, 10)); err == nil {
		t.Errorf("a datagram of %d bytes came back", n)
	}
	if n := status(t, r, s).Destinations[0].ActiveConnections; n != 2 {
		t.Errorf("%d connections are served", n)
	}
	one.Close()
	if got, err := bufio.NewReader(three).ReadString('\n'); got != "a 3\n" {
		t.Errorf("the one that waited: %q, %v", got, err)
	}
	two.Close()
	eventually(t, "datagrams are served", func() bool {
		fmt.Fprintln(c, "x")
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := c.Read(make([]byte, 10))
		return err == nil
	})
}

// TestManyIdleConnections: 10,000, or as many as this process may have descriptors for, cost neither buffers nor time. Clients
// and servers are another process, to have its descriptors too.
func TestManyIdleConnections(t *testing.T) {
	count := min(10000, (descriptors()-100)/2)
	t.Logf("%d connections", count)
	if count < 4000 {
		t.Fatalf("a limit of %d descriptors is too low for this test: ulimit -n 20200", descriptors())
	}
	r := open(t, Options{Descriptors: 2 * count})
	s := tcp(t, nil, freePort(t, "tcp"))
	apply(t, r, nil, []ipvs.Service{s})
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("HOLDFAST_RELAY_PEER=%v %v %d", s.Destinations[0].Addr, s.Addr, count))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	before := memory()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "open\n" {
		t.Fatalf("the peer says %q, %v", line, err)
	}
	each := int(memory()-before) / count
	if st := status(t, r, s); st.Destinations[0].ActiveConnections != count || each > 24<<10 {
		t.Errorf("%d connections are open, with %d bytes each", st.Destinations[0].ActiveConnections, each)
	}
	t.Logf("%d bytes each", each)
	fmt.Fprintln(in, "ask")
	if line, err := lines.ReadString('\n'); line != "answered\n" {
		t.Errorf("the peer says %q, %v", line, err)
	}
}

func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// peer is the other process of TestManyIdleConnections: an echo server, and so many clients of the relay.
func peer(spec string) int {
	var listen, relay string
	var count int
	if _, err := fmt.Sscan(spec, &listen, &relay, &count); err != nil {
		return 2
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	clients, servers, accepted := make([]net.Conn, count), make(chan net.Conn, count), make(chan bool)
	var dialing errgroup.Group
	dialing.SetLimit(32) // at once: more would not fit into the queues of the listeners
	go func() {
		for range count {
			c, err := l.Accept()
			if err != nil {
				return
			}
			servers <- c
			accepted <- true
		}
	}()
	for i := range clients {
		dialing.Go(func() (err error) {
			if clients[i], err = net.Dial("tcp", relay); err == nil {
				<-accepted
			}
			return err
		})
	}
	if err := dialing.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("open")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	for range count {
		c := <-servers
		go io.Copy(c, c)
	}
	for i := 0; i < count; i += 97 {
		if got := ask(clients[i], "x"); got != "x" {
			fmt.Fprintln(os.Stderr, i, got)
			return 1
		}
	}
	fmt.Println("answered")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}
