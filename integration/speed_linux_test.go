package integration

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/internal/sample"
	"github.com/holdfast-lb/holdfast/ipvs"
)

// contender is a director or a keepalived with a large configuration.
type contender struct {
	name     string
	host     *lab.Host
	dir      string
	services int
	process  *lab.Process
	began    time.Time
	table    *ipvs.Client // of its host, to look at
}

func (c *contender) file() string { return filepath.Join(c.dir, "lb.conf") }

// write writes the configuration. Checks are so seldom that none runs meanwhile. Of each service whose number is a multiple of
// every, counted from the end, the first server gets the weight.
func (c *contender) write(b *testing.B, every, weight int) {
	text := strings.ReplaceAll(sample.VirtualServers(c.services), "delay_loop 6", "delay_loop 86400")
	if every > 0 {
		services := strings.Split(text, "virtual_server ")
		for i := len(services) - 1; i > 0; i -= every {
			services[i] = strings.Replace(services[i], "weight 1\n", fmt.Sprintf("weight %d\n", weight), 1)
		}
		text = strings.Join(services, "virtual_server ")
	}
	if err := os.WriteFile(c.file(), []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}

func (c *contender) start(b *testing.B) {
	c.began = time.Now()
	if c.name == "director" {
		c.process = c.host.Start(b.Context(), lab.Bin("director"), "run", "-f", c.file(), "--ipvs", "kernel", "--control", "")
		return
	}
	c.process = c.host.Start(b.Context(), "keepalived", "-n", "-l", "-C", "-f", c.file(), "-p", c.dir+"/p", "-r", c.dir+"/r", "-c", c.dir+"/c")
}

// patience is how long a contender may take for anything.
const patience = 4 * time.Minute

// until waits for the first server of the last service to have a weight, and tells how long that took from a time on. It is false
// when that is longer than anybody waits.
func (c *contender) until(b *testing.B, from time.Time, weight int) (took time.Duration, ok bool) {
	last := c.services - 1
	key := ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(last >> 16), byte(last >> 8), byte(last)}), 80)}
	first := netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, byte(last >> 14), byte(last >> 6), byte(last & 63 << 2)}), 80)
	for time.Since(from) < patience {
		s, err := c.table.Service(b.Context(), key)
		is := func(d ipvs.DestinationStatus) bool { return d.Addr == first && d.Weight == weight }
		if err == nil && len(s.Destinations) == 4 && slices.ContainsFunc(s.Destinations, is) {
			return time.Since(from), true
		}
		time.Sleep(5 * time.Millisecond) // a look takes from whom it looks at
	}
	b.Logf("%s with %d services is not there after %v", c.name, c.services, patience)
	return patience, false
}

// reload has it read the file again, and tells how long it took until the change is in the table.
func (c *contender) reload(b *testing.B, every, weight int) (took time.Duration, ok bool) {
	c.write(b, every, weight)
	from := time.Now()
	if err := c.process.Signal(syscall.SIGHUP); err != nil {
		b.Fatal(err)
	}
	return c.until(b, from, weight)
}

// atRest waits until a contender uses next to no processor time any more, or until nobody waits longer.
func (c *contender) atRest(b *testing.B) {
	for begun := time.Now(); time.Since(begun) < patience; {
		before := usage(b, c.process).CPU
		time.Sleep(2 * time.Second)
		if usage(b, c.process).CPU-before <= 20*time.Millisecond {
			return
		}
	}
	b.Logf("%s with %d services does not come to rest in %v", c.name, c.services, patience)
}

// BenchmarkKernelStart compares the time, and the processor time, from the start of director and keepalived to a complete table, in
// turns in the same kernel: the median of so many starts.
func BenchmarkKernelStart(b *testing.B) {
	if !lab.KernelBench(b) {
		return
	}
	lab.Need(b, "ip", "ipvsadm", "keepalived")
	for _, services := range []int{2000, 10000} {
		b.Run(strconv.Itoa(services), func(b *testing.B) {
			all := make(map[string][]float64)
			for b.Loop() {
				for _, name := range []string{"keepalived", "director"} {
					startOnce(b, &contender{name: name, dir: b.TempDir(), services: services}, all)
				}
			}
			b.ReportMetric(0, "ns/op")
			for what, values := range all {
				slices.Sort(values)
				b.ReportMetric(values[len(values)/2], what)
			}
		})
	}
}

func startOnce(b *testing.B, c *contender, all map[string][]float64) {
	c.open(b)
	defer c.table.Close()
	c.write(b, 0, 0)
	c.start(b)
	defer func() { c.process.Kill(); <-c.process.Done() }()
	if took, ok := c.until(b, c.began, 1); ok {
		all[c.name+"-ms"] = append(all[c.name+"-ms"], ms(took))
		all[c.name+"-cpu-ms"] = append(all[c.name+"-cpu-ms"], ms(usage(b, c.process).CPU))
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// open makes the contender a host, and a way to look at its table.
func (c *contender) open(b *testing.B) {
	c.host = lab.New(b).Host("lb", "10.9.0.1/24")
	err := c.host.Do(func() (err error) { c.table, err = ipvs.Open(ipvs.ClientOptions{}); return err })
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkKernelReload compares director and keepalived, in turns in the same kernel: from the start to a complete table; from
// SIGHUP to one changed weight, and to one in each tenth service, in the table; processor time of the start, of a reload that
// changes nothing, and of ten seconds at rest; memory. One that is not there within four minutes is not measured any further.
func BenchmarkKernelReload(b *testing.B) {
	if !lab.KernelBench(b) {
		return
	}
	lab.Need(b, "ip", "ipvsadm", "keepalived")
	for _, services := range []int{2000, 10000} {
		b.Run(strconv.Itoa(services), func(b *testing.B) {
			sums := make(map[string]float64)
			for b.Loop() {
				for _, name := range []string{"keepalived", "director"} {
					measure(b, &contender{name: name, dir: b.TempDir(), services: services}, sums)
				}
			}
			b.ReportMetric(0, "ns/op")
			for what, sum := range sums {
				b.ReportMetric(sum/float64(b.N), what)
			}
		})
	}
}

func measure(b *testing.B, c *contender, sums map[string]float64) {
	add := func(what string, v float64) { sums[c.name+"-"+what] += v }
	c.open(b)
	defer c.table.Close()
	c.write(b, 0, 0)
	c.start(b)
	defer func() { c.process.Kill(); <-c.process.Done() }()
	took, ok := c.until(b, c.began, 1)
	add("start-ms", ms(took))
	if !ok {
		return
	}
	add("start-cpu-ms", ms(usage(b, c.process).CPU))
	c.atRest(b)
	add("MB", float64(usage(b, c.process).Memory)/(1<<20))
	before := usage(b, c.process).CPU
	time.Sleep(10 * time.Second)
	add("idle-cpu-ms", ms(usage(b, c.process).CPU-before))
	for _, change := range []struct {
		what          string
		every, weight int
	}{{"one", c.services + 1, 2}, {"one-more", c.services + 1, 4}, {"tenth", 10, 3}} {
		took, ok := c.reload(b, change.every, change.weight)
		add(change.what+"-ms", ms(took))
		if !ok {
			return
		}
		c.atRest(b)
	}
	before = usage(b, c.process).CPU
	if err := c.process.Signal(syscall.SIGHUP); err != nil {
		b.Fatal(err)
	}
	time.Sleep(time.Second)
	c.atRest(b)
	add("none-cpu-ms", ms(usage(b, c.process).CPU-before))
	add("later-MB", float64(usage(b, c.process).Memory)/(1<<20))
	if out := c.host.MustRun("ipvsadm", "-Ln"); strings.Count(out, "\n") < 5*c.services*99/100 { // keepalived may be at work on some
		b.Fatalf("%s: the table has %d lines", c.name, strings.Count(out, "\n"))
	}
}
