package lab

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Kernel is for tests named TestKernel... that need ip_vs. Where the running kernel has it, the answer is true and the test
// goes on. Elsewhere all such tests of the package are run once in User Mode Linux; t gets the verdict and the output that
// its namesake had there, and the answer is false: the test returns. It may skip or fail t, see [Need].
func Kernel(t KernelT) bool {
	t.Helper()
	if HasIPVS() {
		return true
	}
	Need(t, "linux.uml", "go")
	results, err := kernelResults()
	judge(t, results, err, "TestKernel")
	return false
}

// judge gives t the verdict of its namesake.
func judge(t KernelT, results map[string]kernelResult, err error, prefix string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
	r, ok := results[t.Name()]
	switch {
	case !ok:
		t.Fatalf("the run in User Mode Linux has no test %s: is its name %s...?", t.Name(), prefix)
	case r.verdict != "PASS":
		t.Fatalf("%s in User Mode Linux:\n%s", r.verdict, r.output)
	default:
		t.Logf("passed in User Mode Linux:\n%s", r.output)
	}
}

// KernelT is a [T] with a name, as every test has.
type KernelT interface {
	T
	Name() string
}

type kernelResult struct {
	verdict, output string
}

// kernelResults runs the TestKernel tests of the package in the working directory, once.
var kernelResults = sync.OnceValues(func() (map[string]kernelResult, error) {
	return guestResults("^TestKernel", UML{Memory: "2G"})
})

// guestResults runs tests of the package in the working directory.
func guestResults(pattern string, u UML) (map[string]kernelResult, error) {
	var out bytes.Buffer
	u.Output = &out
	limit := guestLimit()
	err := inUML(u, limit, "-test.v", "-test.run="+pattern, "-test.parallel=1", fmt.Sprintf("-test.timeout=%v", limit-limit/8))
	if err != nil {
		return nil, fmt.Errorf("kernel tests in User Mode Linux: %w\n%s", err, tail(out.String(), 60))
	}
	return parseVerdicts(out.String()), nil
}

// guestLimit is how long the guest may take: most of what go test gives this process.
func guestLimit() time.Duration {
	given := 10 * time.Minute
	if f := flag.Lookup("test.timeout"); f != nil {
		if d, err := time.ParseDuration(f.Value.String()); err == nil && d > 0 {
			given = d
		}
	}
	return given - given/5
}

// inUML builds the test binary of the package in the working directory and runs it in User Mode Linux.
func inUML(u UML, limit time.Duration, args ...string) error {
	dir, err := os.MkdirTemp("", "holdfast-kernel-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "kernel.test")
	// Without -race: the detector's memory layout does not fit into the guest.
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the kernel tests: %w: %s", err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_, err = u.Run(ctx, append([]string{binary}, args...)...)
	return err
}

// KernelBench is [Kernel] for a benchmark. In User Mode Linux it runs as often as -test.benchtime says there, and prints what
// it measured; here it is skipped then.
func KernelBench(b *testing.B) bool {
	b.Helper()
	if HasIPVS() {
		return true
	}
	Need(b, "linux.uml", "go")
	args := []string{"-test.run=^$", "-test.bench=" + benchPattern(b.Name()), "-test.timeout=0"}
	for _, name := range []string{"test.benchtime", "test.count", "test.cpuprofile"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != f.DefValue {
			args = append(args, "-"+name+"="+f.Value.String())
		}
	}
	if err := inUML(UML{Memory: "2G", Output: os.Stdout}, time.Hour, args...); err != nil {
		b.Fatalf("benchmark in User Mode Linux: %v", err)
	}
	b.Skip("it ran in User Mode Linux, see above")
	return false
}

// benchPattern is what -test.bench says of the benchmark and what is below it.
func benchPattern(name string) string {
	_, below, _ := strings.Cut(flag.Lookup("test.bench").Value.String(), "/")
	return strings.TrimSuffix("^"+name+"$/"+below, "/")
}

var (
	runLine     = regexp.MustCompile(`^=== (?:RUN|CONT|NAME) +(\S+)`)
	verdictLine = regexp.MustCompile(`^--- (PASS|FAIL|SKIP): (\S+)`)
)

// parseVerdicts reads the output of a -test.v run: what each top-level test printed and how it ended. A test that never
// ended (a panic, a time-out) counts as failed.
func parseVerdicts(out string) map[string]kernelResult {
	results := make(map[string]kernelResult)
	current := ""
	for line := range strings.Lines(out) {
		if m := runLine.FindStringSubmatch(line); m != nil {
			current, _, _ = strings.Cut(m[1], "/")
			if _, seen := results[current]; !seen {
				results[current] = kernelResult{verdict: "FAIL"}
			}
		} else if m := verdictLine.FindStringSubmatch(line); m != nil {
			current = m[2]
			r := results[current]
			r.verdict = m[1]
			results[current] = r
		}
		r := results[current]
		r.output += line
		results[current] = r
	}
	return results
}
