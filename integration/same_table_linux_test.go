package integration

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/ipvs"
)

// tables writes services of every kind, by chance.
type tables struct {
	random *rand.Rand
	text   strings.Builder
}

func (w *tables) one(words ...string) string { return words[w.random.IntN(len(words))] }

func (w *tables) printf(format string, args ...any) { fmt.Fprintf(&w.text, format, args...) }

// maybe writes a line now and then.
func (w *tables) maybe(format string, args ...any) {
	if w.random.IntN(3) == 0 {
		w.printf("    "+format+"\n", args...)
	}
}

// file has so many services, of which every fourth is of IPv6, and some of a mark or a group.
func (w *tables) file(services int) string {
	w.printf("virtual_server_group many {\n    10.3.0.1-3 80\n    10.3.1.0/30 81\n    fwmark 900\n}\n")
	w.printf("virtual_server group many {\n    protocol TCP\n    lb_algo wrr\n    lb_kind NAT\n    real_server 11.9.0.1 80 {\n    }\n}\n")
	for i := range services {
		w.service(i)
	}
	return w.text.String()
}

func (w *tables) service(i int) {
	six := i%4 == 3
	address := func(net, host int) string {
		if six {
			return fmt.Sprintf("2001:db8:%x::%x", net, host)
		}
		return fmt.Sprintf("10.%d.%d.%d", net, host>>8, host&255)
	}
	mark := w.random.IntN(6) == 0
	if mark {
		w.printf("virtual_server fwmark %d {\n", i+1)
		if six {
			w.printf("    ip_family inet6\n")
		}
	} else {
		w.printf("virtual_server %s %s {\n    protocol %s\n", address(1, i), w.one("80", "443", "0"), w.one("TCP", "UDP", "SCTP"))
	}
	w.scheduler()
	method := w.one("NAT", "DR", "TUN", "TUN type gue port 6080", "TUN type gre csum")
	w.printf("    lb_kind %s\n", method)
	w.persistence(six)
	w.maybe("weight %d", 1+w.random.IntN(9))
	w.maybe("quorum %d", 1+w.random.IntN(3))
	w.maybe("sorry_server %s 80", address(2, 9999))
	for j := range 1 + w.random.IntN(3) { // keepalived leaves a service without servers out
		w.server(address(2, i*8+j))
	}
	w.printf("}\n")
}

func (w *tables) scheduler() {
	name := w.one("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "sed", "nq", "fo", "ovf")
	w.printf("    lb_algo %s\n", name)
	if name == "sh" || name == "mh" {
		w.maybe("%s-port", name)
		w.maybe("%s-fallback", name)
	}
}

func (w *tables) persistence(six bool) {
	if w.random.IntN(3) > 0 {
		return
	}
	w.printf("    persistence_timeout %s\n", w.one("", "60", "600"))
	if six {
		w.maybe("persistence_granularity %s", w.one("64", "128"))
	} else {
		w.maybe("persistence_granularity %s", w.one("255.255.255.0", "255.255.0.0"))
	}
}

func (w *tables) server(address string) {
	w.printf("    real_server %s %s {\n", address, w.one("80", "8080"))
	w.maybe("    weight %s", w.one("0", "1", "7", "65535"))
	w.maybe("    lvs_method %s", w.one("NAT", "DR", "TUN"))
	w.maybe("    %s", w.one("uthreshold 100", "uthreshold 100\n        lthreshold 10"))
	w.maybe("    inhibit_on_failure")
	w.printf("    }\n")
}

// tableOf reads a host's table, as lines without counters.
func tableOf(t *testing.T, h *lab.Host) (lines []string) {
	t.Helper()
	var table *ipvs.Client
	err := h.Do(func() (err error) { table, err = ipvs.Open(ipvs.ClientOptions{}); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	services, err := table.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range services {
		wish := s.Wish()
		for _, d := range wish.Destinations {
			lines = append(lines, fmt.Sprintf("%v %+v", s.ServiceKey, d))
		}
		lines = append(lines, fmt.Sprintf("%v -s %s flags %v persistence %v of %d by %q", wish.ServiceKey, wish.Scheduler, wish.Flags,
			wish.Persistence, wish.Granularity, wish.Engine))
	}
	slices.Sort(lines)
	return lines
}

// TestKernelSameTableAsKeepalived: the same file, of services with all kinds of options, is the same table.
func TestKernelSameTableAsKeepalived(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "keepalived")
	net := lab.New(t)
	ours, theirs := net.Host("ours", "10.9.0.1/24"), net.Host("theirs", "10.9.0.2/24")
	seed := seedOf(t)
	w := &tables{random: rand.New(rand.NewPCG(seed, 2))}
	file := write(t, "tables.conf", w.file(60))
	startDirector(t, ours, file, "--ipvs", "kernel", "--control", "")
	want := tableOf(t, ours)
	theirs.Start(t.Context(), "keepalived", "-n", "-l", "-C", "-f", file, "-p", file+".pid", "-c", file+".checkers")
	var got []string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && !slices.Equal(got, want); time.Sleep(200 * time.Millisecond) {
		got = tableOf(t, theirs)
	}
	t.Logf("seed %d: %d lines", seed, len(want))
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("only the director has  %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("only keepalived has  %s", line)
		}
	}
	if t.Failed() {
		t.Logf("%s", w.text.String())
	}
}
