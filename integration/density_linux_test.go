package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// crowd is a configuration of so many instances, spread over interfaces, each with an address of its own.
func crowd(interfaces []string, each, priority int, interval time.Duration) string {
	var b strings.Builder
	for i, name := range interfaces {
		for vrid := 1; vrid <= each; vrid++ {
			fmt.Fprintf(&b, "vrrp_instance i%d_%d {\n interface %s\n state BACKUP\n virtual_router_id %d\n priority %d\n version 3\n advert_int %g\n"+
				" virtual_ipaddress {\n 10.%d.%d.200/32\n }\n}\n", i, vrid, name, vrid, priority, interval.Seconds(), 100+i, vrid)
		}
	}
	return b.String()
}

// BenchmarkDensity is what 250 instances cost as MASTER and as BACKUP: per cent of one core, and resident memory. Both ends
// of the wire are the same program.
func BenchmarkDensity(b *testing.B) {
	lab.Need(b, "ip", "keepalived")
	for _, interval := range []time.Duration{100 * time.Millisecond, 20 * time.Millisecond} {
		for _, program := range []string{"director", "keepalived"} {
			b.Run(fmt.Sprintf("interval=%v/%s", interval, program), func(b *testing.B) { density(b, interval, program) })
		}
	}
}

func density(b *testing.B, interval time.Duration, program string) {
	n := lab.New(b)
	hosts := []*lab.Host{n.Host("master", "10.9.0.1/16"), n.Host("backup", "10.9.0.2/16")}
	var running []*lab.Process
	for i, h := range hosts {
		file := write(b, h.Name+".conf", crowd([]string{"eth0"}, 250, 200-100*i, interval))
		running = append(running, startBench(b, h, program, file))
		within(b, 30*time.Second, h.Name+" is at work", func() bool { return i == 1 || len(h.Addrs()) > 250 })
	}
	settled := 12 * time.Second // the second burst of announcements, 5 s after the takeover, is over
	<-time.After(settled)
	for b.Loop() {
		cost(b, 10*time.Second, map[string]*lab.Process{"master": running[0], "backup": running[1]})
	}
	b.ReportMetric(0, "ns/op")
}

// cost reports what programs use in a while.
func cost(b *testing.B, while time.Duration, programs map[string]*lab.Process) {
	before := make(map[string]lab.Usage)
	for name, p := range programs {
		before[name] = usage(b, p)
	}
	<-time.After(while)
	for name, p := range programs {
		after := usage(b, p)
		b.ReportMetric(100*float64(after.CPU-before[name].CPU)/float64(while), "%cpu-"+name)
		b.ReportMetric(float64(after.Memory)/(1<<20), "MB-"+name)
	}
}

func usage(b *testing.B, p *lab.Process) lab.Usage {
	b.Helper()
	u, err := p.Usage()
	if err != nil {
		b.Fatal(err)
	}
	return u
}

// BenchmarkThousands is 4,000 instances over 16 interfaces at 1 s: how late adverts are at worst, seen on the wire of one of
// the interfaces, and what the program costs. keepalived is shown for comparison.
func BenchmarkThousands(b *testing.B) {
	lab.Need(b, "ip", "keepalived")
	for _, program := range []string{"director", "keepalived"} {
		b.Run(program, func(b *testing.B) { thousands(b, program) })
	}
}

func thousands(b *testing.B, program string) {
	h := lab.New(b).Host("master", "10.9.0.1/16")
	interfaces := []string{"eth0"}
	for i := 1; i < 16; i++ {
		name := fmt.Sprintf("eth%d", i)
		h.MustRun("ip", "link", "add", name, "type", "veth", "peer", "name", "far"+name)
		h.MustRun("ip", "link", "set", "far"+name, "up")
		h.MustRun("ip", "link", "set", name, "up")
		h.MustRun("ip", "addr", "add", fmt.Sprintf("10.%d.0.1/16", 10+i), "dev", name)
		interfaces = append(interfaces, name)
	}
	p := startBench(b, h, program, write(b, "crowd.conf", crowd(interfaces, 250, 200, time.Second)))
	within(b, 60*time.Second, "all are MASTER", func() bool { return len(h.Addrs()) > 250 })
	<-time.After(15 * time.Second)
	for b.Loop() {
		wire := h.Capture()
		cost(b, 10*time.Second, map[string]*lab.Process{"master": p})
		gaps := gapsByVRID(wire.Stop())
		if len(gaps) == 0 {
			b.Fatal("no adverts on the wire")
		}
		late := func(i int) float64 { return float64(gaps[i]-time.Second) / float64(time.Millisecond) }
		b.ReportMetric(late(len(gaps)*99/100), "ms-late-p99")
		b.ReportMetric(late(len(gaps)-1), "ms-late-max")
	}
	b.ReportMetric(0, "ns/op")
}

// gapsByVRID are the times between one advert of a virtual router and its next, sorted.
func gapsByVRID(frames []lab.Frame) (gaps []time.Duration) {
	last := make(map[byte]time.Time)
	for _, f := range frames {
		message, _, _ := vrrpOf(f.Data)
		if len(message) < 8 {
			continue
		}
		if before, seen := last[message[1]]; seen {
			gaps = append(gaps, f.At.Sub(before))
		}
		last[message[1]] = f.At
	}
	slices.Sort(gaps)
	return gaps
}

// BenchmarkManyAddresses is how long it takes to become MASTER of 1,000 addresses: until the last address is there, and the
// last has been announced once; and how late adverts were meanwhile.
func BenchmarkManyAddresses(b *testing.B) {
	lab.Need(b, "ip", "keepalived")
	for _, program := range []string{"director", "keepalived"} {
		b.Run(program, func(b *testing.B) { manyAddresses(b, program) })
	}
}

func manyAddresses(b *testing.B, program string) {
	const count = 1000
	var list strings.Builder
	for i := range count {
		fmt.Fprintf(&list, " 10.50.%d.%d/32\n", i/250, i%250+1)
	}
	conf := fmt.Sprintf("vrrp_instance web {\n interface eth0\n state BACKUP\n virtual_router_id 51\n priority 100\n version 3\n advert_int 0.1\n"+
		" virtual_ipaddress {\n %v/24\n }\n virtual_ipaddress_excluded {\n%s }\n}\n", vip, &list)
	file := write(b, "many.conf", conf)
	for b.Loop() {
		h := lab.New(b).Host("backup", "10.9.0.1/16")
		wire := h.Capture()
		p := startBench(b, h, program, file)
		within(b, 60*time.Second, "all addresses are there", func() bool { return len(h.Addrs()) > count })
		there := time.Now()
		within(b, 60*time.Second, "all addresses are announced", func() bool { return len(announced(wire.Frames())) > count })
		<-time.After(2 * time.Second) // and adverts go on meanwhile
		first, last := becoming(wire.Frames())
		b.ReportMetric(there.Sub(first).Seconds(), "s-addresses")
		b.ReportMetric(last.Sub(first).Seconds(), "s-announced")
		gaps := gapsByVRID(wire.Stop())
		b.ReportMetric(float64(gaps[len(gaps)-1]-100*time.Millisecond)/float64(time.Millisecond), "ms-late-max")
		p.Kill()
	}
	b.ReportMetric(0, "ns/op")
}

// becoming is when the first advert was sent, and when the last of the addresses was announced for the first time.
func becoming(frames []lab.Frame) (first, last time.Time) {
	for _, f := range frames {
		if message, _, _ := vrrpOf(f.Data); message != nil {
			first = f.At
			break
		}
	}
	for _, at := range announced(frames) {
		if at.After(last) {
			last = at
		}
	}
	return first, last
}

// announced are the addresses that gratuitous ARP was sent for, with when it was first.
func announced(frames []lab.Frame) map[[4]byte]time.Time {
	seen := make(map[[4]byte]time.Time)
	for _, f := range frames {
		if d := f.Data; len(d) >= 42 && d[12] == 0x08 && d[13] == 0x06 && [4]byte(d[28:32]) == [4]byte(d[38:42]) {
			if addr := [4]byte(d[28:32]); seen[addr].IsZero() {
				seen[addr] = f.At
			}
		}
	}
	return seen
}
