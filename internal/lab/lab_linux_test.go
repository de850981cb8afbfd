package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func pings(from *Host, to string) error {
	_, err := from.Run(context.Background(), "ping", "-c", "1", "-W", "1", to)
	return err
}

func TestHostsReachEachOtherUntilCut(t *testing.T) {
	Need(t, "ip", "ping")
	n := New(t)
	a, b := n.Host("a", "10.9.0.1/24"), n.Host("b", "10.9.0.2/24")
	if err := pings(a, "10.9.0.2"); err != nil {
		t.Fatal(err)
	}
	b.Cut()
	if err := pings(a, "10.9.0.2"); err == nil {
		t.Fatal("a cut host answers")
	}
	b.Restore()
	if err := pings(a, "10.9.0.2"); err != nil {
		t.Fatal(err)
	}
	if !b.Has(netip.MustParseAddr("10.9.0.2")) || b.Has(netip.MustParseAddr("10.9.0.1")) {
		t.Fatalf("addresses of b: %v", b.Addrs())
	}
}

func TestLossDropsEverythingAtHundred(t *testing.T) {
	Need(t, "ip", "nft", "ping")
	n := New(t)
	a, b := n.Host("a", "10.9.0.1/24"), n.Host("b", "10.9.0.2/24")
	b.Loss(100)
	if err := pings(a, "10.9.0.2"); err == nil {
		t.Fatal("everything is dropped and the ping came back")
	}
	b.Loss(0)
	if err := pings(a, "10.9.0.2"); err != nil {
		t.Fatal(err)
	}
}

func TestCaptureSeesFrames(t *testing.T) {
	Need(t, "ip", "ping")
	n := New(t)
	a, b := n.Host("a", "10.9.0.1/24"), n.Host("b", "10.9.0.2/24")
	c := b.Capture()
	if err := pings(a, "10.9.0.2"); err != nil {
		t.Fatal(err)
	}
	for _, f := range c.Stop() {
		if len(f.Data) > 14 && binary.BigEndian.Uint16(f.Data[12:]) == 0x0800 {
			return
		}
	}
	t.Fatal("no IPv4 frame among the captured")
}

func TestProcessOutputAndSignals(t *testing.T) {
	Need(t, "ip")
	h := New(t).Host("a")
	p := h.Start(t.Context(), "sh", "-c", `trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.02; done`)
	if err := p.WaitFor(t.Context(), "ready"); err != nil {
		t.Fatal(err)
	}
	if status := p.Stop(); status != 7 || !strings.Contains(p.Output(), "bye") {
		t.Fatalf("status %d, output %q", status, p.Output())
	}
	gone := h.Start(t.Context(), "sh", "-c", "echo no such word")
	if err := gone.WaitFor(t.Context(), "ready"); err == nil || !strings.Contains(err.Error(), "no such word") {
		t.Fatalf("waiting for what never comes: %v", err)
	}
	if err := gone.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("signal to the dead: %v", err)
	}
}

func TestDoReturnsHome(t *testing.T) {
	Need(t, "ip")
	n := New(t)
	a := n.Host("a", "10.9.0.1/24")
	l := a.Listen("10.9.0.1:80")
	defer l.Close()
	b := n.Host("b", "10.9.0.2/24")
	conn, err := b.DialContext(t.Context(), "tcp", "10.9.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := b.DialContext(ctx, "tcp", "10.9.0.1:81"); err == nil {
		t.Fatal("a closed port answered")
	}
}

func TestKernelHasIPVSAndNetem(t *testing.T) {
	if !Kernel(t) {
		return
	}
	Need(t, "ipvsadm")
	n := New(t)
	a, b := n.Host("a", "10.9.0.1/24"), n.Host("b", "10.9.0.2/24")
	a.MustRun("ipvsadm", "-A", "-t", "10.9.0.1:80", "-s", "wlc")
	a.MustRun("ipvsadm", "-a", "-t", "10.9.0.1:80", "-r", "10.9.0.2:80", "-g")
	if got := a.MustRun("ipvsadm", "-Sn"); !strings.Contains(got, "-a -t 10.9.0.1:80 -r 10.9.0.2:80 -g -w 1") {
		t.Fatalf("table of a:\n%s", got)
	}
	if got := b.MustRun("ipvsadm", "-Sn"); got != "" {
		t.Fatalf("tables are per host, yet b has:\n%s", got)
	}
	if err := b.Delay("1ms"); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal(err)
	}
}

func TestUMLRunsCommands(t *testing.T) {
	Need(t, "linux.uml")
	var out bytes.Buffer
	status, err := UML{Output: &out}.Run(t.Context(), "sh", "-c", `echo "it's $PWD"; exit 3`)
	if err != nil || status != 3 {
		t.Fatalf("status %d, %v", status, err)
	}
	dir, _ := os.Getwd()
	if got := out.String(); got != "it's "+dir+"\n" {
		t.Fatalf("output %q", got)
	}
}

func TestParseVerdicts(t *testing.T) {
	got := parseVerdicts("=== RUN   TestKernelA\n    a.go:1: hello\n--- PASS: TestKernelA (0.00s)\n" +
		"=== RUN   TestKernelB\n=== RUN   TestKernelB/sub\n--- FAIL: TestKernelB (0.01s)\n    --- FAIL: TestKernelB/sub (0.01s)\n" +
		"=== RUN   TestKernelC\npanic: oh\n")
	for name, want := range map[string]string{"TestKernelA": "PASS", "TestKernelB": "FAIL", "TestKernelC": "FAIL"} {
		if got[name].verdict != want {
			t.Errorf("%s: %q, want %s", name, got[name].verdict, want)
		}
	}
	if !strings.Contains(got["TestKernelA"].output, "hello") || !strings.Contains(got["TestKernelC"].output, "panic: oh") {
		t.Errorf("output is lost: %q", got)
	}
}
