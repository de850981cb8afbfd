package integration

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	moby "github.com/moby/ipvs"
	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/ipvs"
)

// The benchmarks of the kernel's table: the same entries, in the same kernel, in the same run, by us, by moby/ipvs, by ipvsadm
// and by keepalived.

var tableSizes = []int{500, 2000, 10_000}

// services are n with four destinations each.
func services(n int) []ipvs.Service {
	all := make([]ipvs.Service, n)
	for i := range all {
		s := &all[i]
		s.ServiceKey = ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 80)}
		s.Scheduler = "wlc"
		for host := range byte(4) {
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 2 + host, byte(i >> 8), byte(i)}), 80)
			s.Destinations = append(s.Destinations, ipvs.Destination{Addr: addr, Weight: 10})
		}
	}
	return all
}

// bench is one table that several ways are measured on.
type bench struct {
	*testing.B
	client *ipvs.Client
	all    []ipvs.Service
}

// BenchmarkTableProgram fills an empty table.
func BenchmarkTableProgram(b *testing.B) {
	onTables(b, map[string]func(bench){
		"holdfast":   func(b bench) { b.refill(b.fill) },
		"moby":       func(b bench) { b.refill(b.fillByMoby()) },
		"ipvsadm":    func(b bench) { b.refill(b.fillByIpvsadm()) },
		"keepalived": func(b bench) { b.refillBy(bench.keepalived) },
		"director":   func(b bench) { b.refillBy(bench.director) },
	})
}

// BenchmarkTableWeight changes the weight of one destination of a full table, until the kernel has it.
func BenchmarkTableWeight(b *testing.B) {
	onTables(b, map[string]func(bench){
		"holdfast": func(b bench) {
			b.fill()
			for w := 1; b.Loop(); w++ {
				s := b.all[len(b.all)-1]
				d := s.Destinations[3]
				d.Weight = w%100 + 1
				b.must(b.client.Apply(context.Background(), ipvs.Plan{{Action: ipvs.EditDestination, Service: s, Destination: d}}))
			}
		},
		"reconciler": func(b bench) {
			r := ipvs.NewReconciler(b.client, ipvs.ReconcilerOptions{})
			b.must(r.Set(context.Background(), b.all))
			for w := 1; b.Loop(); w++ {
				s := b.all[len(b.all)-1]
				s.Destinations = slices.Clone(s.Destinations)
				s.Destinations[3].Weight = w%100 + 1
				b.must(r.Update(context.Background(), s))
			}
		},
		"moby": func(b bench) {
			b.fill()
			h := b.moby()
			for w := 1; b.Loop(); w++ {
				s, d := asMoby(&b.all[len(b.all)-1], 3)
				d.Weight = w%100 + 1
				b.must(h.UpdateDestination(s, d))
			}
		},
		"keepalived": func(b bench) { b.reload(bench.keepalived) },
		"director":   func(b bench) { b.reload(bench.director) },
	})
}

// BenchmarkTableScan reads all of a full table.
func BenchmarkTableScan(b *testing.B) {
	onTables(b, map[string]func(bench){
		"holdfast": func(b bench) {
			b.fill()
			before := cpu(unix.RUSAGE_SELF)
			for b.Loop() {
				all, err := b.client.Services(context.Background())
				if err != nil || len(all) != len(b.all) {
					b.Fatalf("%d services: %v", len(all), err)
				}
			}
			b.perOp(cpu(unix.RUSAGE_SELF) - before)
		},
		"moby": func(b bench) {
			b.fill()
			h := b.moby()
			before := cpu(unix.RUSAGE_SELF)
			for b.Loop() {
				all, err := h.GetServices()
				b.must(err)
				for _, s := range all {
					_, err := h.GetDestinations(s)
					b.must(err)
				}
			}
			b.perOp(cpu(unix.RUSAGE_SELF) - before)
		},
		"ipvsadm": func(b bench) {
			b.fill()
			before := cpu(unix.RUSAGE_CHILDREN)
			for b.Loop() {
				_, err := exec.Command("ipvsadm", "-Sn").Output()
				b.must(err)
			}
			b.perOp(cpu(unix.RUSAGE_CHILDREN) - before)
		},
	})
}

// onTables runs each way on tables of each size.
func onTables(b *testing.B, ways map[string]func(bench)) {
	if !lab.KernelBench(b) {
		return
	}
	lab.Need(b, "ipvsadm", "keepalived")
	client, err := ipvs.Open(ipvs.ClientOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	for _, n := range tableSizes {
		for _, by := range []string{"holdfast", "reconciler", "moby", "ipvsadm", "director", "keepalived"} {
			if way := ways[by]; way != nil {
				b.Run(fmt.Sprintf("services=%d/by=%s", n, by), func(b *testing.B) { way(bench{b, client, services(n)}) })
			}
		}
	}
}

func (b bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b bench) flush() { b.Helper(); b.must(b.client.Flush(context.Background())) }

// refill measures a way to fill the table.
func (b bench) refill(way func()) {
	for b.Loop() {
		b.StopTimer()
		b.flush()
		b.StartTimer()
		way()
	}
	b.complete()
}

// complete checks that everything is there.
func (b bench) complete() {
	b.Helper()
	all, err := b.client.Services(context.Background())
	b.must(err)
	have := make([]ipvs.Service, len(all))
	for i := range all {
		have[i] = all[i].Wish()
	}
	if plan := ipvs.Diff(have, b.all); len(plan) > 0 {
		b.Fatalf("%d operations are missing, such as %v", len(plan), plan[0])
	}
}

// fill makes the table that is wished for out of whatever it holds.
func (b bench) fill() {
	all, err := b.client.Services(context.Background())
	b.must(err)
	have := make([]ipvs.Service, len(all))
	for i := range all {
		have[i] = all[i].Wish()
	}
	b.must(b.client.Apply(context.Background(), ipvs.Diff(have, b.all)))
}

func (b bench) moby() *moby.Handle {
	h, err := moby.New("")
	b.must(err)
	b.Cleanup(h.Close)
	return h
}

func (b bench) fillByMoby() func() {
	h := b.moby()
	return func() {
		for i := range b.all {
			s, _ := asMoby(&b.all[i], 0)
			b.must(h.NewService(s))
			for j := range b.all[i].Destinations {
				s, d := asMoby(&b.all[i], j)
				b.must(h.NewDestination(s, d))
			}
		}
	}
}

func asMoby(s *ipvs.Service, i int) (*moby.Service, *moby.Destination) {
	d := s.Destinations[i]
	return &moby.Service{
			AddressFamily: unix.AF_INET, Protocol: uint16(s.Protocol), Address: net.IP(s.Addr.Addr().AsSlice()), Port: s.Addr.Port(),
			SchedName: s.Scheduler, Netmask: 1<<32 - 1,
		}, &moby.Destination{
			AddressFamily: unix.AF_INET, Address: net.IP(d.Addr.Addr().AsSlice()), Port: d.Addr.Port(), Weight: d.Weight,
		}
}

func (b bench) fillByIpvsadm() func() {
	lines := ipvs.Diff(nil, b.all).String()
	return func() {
		cmd := exec.Command("ipvsadm", "-R")
		cmd.Stdin = strings.NewReader(lines)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("ipvsadm -R: %v: %s", err, out)
		}
	}
}

// keepalivedConf has the weight of the last destination of the last service.
func keepalivedConf(all []ipvs.Service, last int) []byte {
	var text bytes.Buffer
	text.WriteString("global_defs {\n router_id bench\n}\n")
	for i := range all {
		s := &all[i]
		fmt.Fprintf(&text, "virtual_server %v %d {\n lvs_sched %s\n lvs_method NAT\n protocol TCP\n", s.Addr.Addr(), s.Addr.Port(), s.Scheduler)
		for j, d := range s.Destinations {
			weight := d.Weight
			if i == len(all)-1 && j == len(s.Destinations)-1 {
				weight = last
			}
			fmt.Fprintf(&text, " real_server %v %d {\n weight %d\n }\n", d.Addr.Addr(), d.Addr.Port(), weight)
		}
		text.WriteString("}\n")
	}
	return text.Bytes()
}

func (b bench) write(all []ipvs.Service) (file string) {
	return write(b, "keepalived.conf", string(keepalivedConf(all, 10)))
}

// refillBy measures a daemon from its start until all of its configuration is in the table.
func (b bench) refillBy(start func(b bench, file string) *exec.Cmd) {
	file := b.write(b.all)
	for b.Loop() {
		b.StopTimer()
		b.flush()
		b.StartTimer()
		p := start(b, file)
		b.await(10)
		b.StopTimer()
		b.complete()
		end(p)
		b.StartTimer()
	}
}

// reload measures a daemon from SIGHUP, with one other weight in its configuration, until the table has it.
func (b bench) reload(start func(b bench, file string) *exec.Cmd) {
	b.flush()
	file := b.write(b.all)
	p := start(b, file)
	defer end(p)
	b.await(10)
	time.Sleep(time.Second) // for what it does after that
	for w := 11; b.Loop(); w++ {
		b.StopTimer()
		b.must(os.WriteFile(file, keepalivedConf(b.all, w), 0o644))
		b.StartTimer()
		b.must(p.Process.Signal(syscall.SIGHUP))
		b.await(w)
	}
}

// keepalived runs its checker process only.
func (b bench) keepalived(file string) *exec.Cmd {
	dir := b.TempDir()
	return b.start("keepalived", "-n", "-l", "-C", "-f", file, "-p", filepath.Join(dir, "p"), "-c", filepath.Join(dir, "c"))
}

func (b bench) director(file string) *exec.Cmd {
	return b.start(lab.Bin("director"), "run", "-f", file)
}

func (b bench) start(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	b.must(cmd.Start())
	return cmd
}

func end(p *exec.Cmd) {
	_ = p.Process.Signal(syscall.SIGTERM)
	_ = p.Wait()
}

// await waits until the last destination of the last service has a weight: daemons work in the order of their file.
func (b bench) await(weight int) {
	b.Helper()
	last := &b.all[len(b.all)-1]
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(2 * time.Millisecond) {
		s, _ := b.client.Service(context.Background(), last.ServiceKey)
		for _, d := range s.Destinations {
			if d.Addr == last.Destinations[3].Addr && d.Weight == weight {
				return
			}
		}
		if time.Now().After(deadline) {
			b.Fatal("it does not get there")
		}
	}
}

// cpu is what the process, or the children that it waited for, has used.
func cpu(who int) time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(who, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (b bench) perOp(used time.Duration) {
	b.ReportMetric(float64(used.Milliseconds())/float64(b.N), "cpu-ms/op")
}
