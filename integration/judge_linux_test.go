package integration

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/internal/sample"
)

// differs are files that we judge differently on purpose, with the reason.
var differs = map[string]string{
	"wild.conf":                 "placeholders, U+00A0 and unknown blocks: we say once what is wrong and read on",
	"values.conf":               "blocks after errors: we leave them out as a whole",
	"top-unknown-block.conf":    "a block after an unknown keyword is left out as a whole",
	"top-bom.conf":              "a byte order mark is read over, with a warning",
	"top-smart-quotes.conf":     "characters of web pages are read as what was meant, with a warning",
	"top-full-width.conf":       "characters of web pages are read as what was meant, with a warning",
	"top-include-self.conf":     "keepalived recurses until it is out of file descriptors",
	"top-definition-cycle.conf": "keepalived loops for ever",
	"inst-brace.conf":           "the block of a keyword that has none is left out as a whole",
	"inst-server.conf":          "the block of an unknown keyword is left out as a whole",
	"vs-check.conf":             "the block of an unknown keyword is left out as a whole",
	"rs-typo.conf":              "the block of an unknown keyword is left out as a whole",
	"url-options.conf":          "2.2.7 says nothing of unknown regex options",
	"top-nul.conf":              "2.2.7 cuts the line at a NUL byte and says nothing",
	"top-random.conf":           "2.2.7 takes any parameters of ${_RANDOM}",
	"group-large.conf":          "a group with an error is not judged as a whole on top of it",
	"vs-group.conf":             "an empty group is told where it is used",
	"top-unknown-group.conf":    "keepalived logs an unknown group at run time only; a service that would not be there is an error",
	"vs-sorry-family.conf":      "told where the sorry server is written, not at the end of the service",
	"inst-ipvlan.conf":          "2.2.7 has ipvlans of another kind, and wants an address of its own for IPv4",
	"inst-vrf.conf":             "2.2.7 takes an interface or a VRF, and knows no polling of one interface",
	"rs-threshold.conf":         "2.2.7 says nothing of what the kernel refuses",
	"script-weight.conf":        "2.2.7 takes weights up to 254 and cuts others",
}

var reported = regexp.MustCompile(`Line (\d+)\)`)

// TestJudgesAsKeepalived: what keepalived remarks on a line we remark on that line, and what it accepts we accept.
func TestJudgesAsKeepalived(t *testing.T) {
	lab.Need(t, "ip", "keepalived")
	h := lab.New(t).Host("judge", "10.0.0.200/24")
	h.MustRun("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth2")
	files, _ := filepath.Glob("../config/testdata/corpus/*.conf")
	if len(files) < 150 {
		t.Fatalf("%d files", len(files))
	}
	compared := 0
	for _, file := range files {
		if differs[filepath.Base(file)] == "" && sameJudgement(t, h, file) {
			compared++
		}
	}
	t.Logf("%d files judged by both", compared)
	if compared < 130 {
		t.Errorf("only %d files were compared", compared)
	}
}

// sameJudgement compares line by line. It is false for a file with a keyword that this keepalived does not know.
func sameJudgement(t *testing.T, h *lab.Host, file string) bool {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	abs, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.Run(ctx, "keepalived", "-t", "-f", abs)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	_, diags, err := config.LoadFile(abs)
	if err != nil {
		t.Fatal(err)
	}
	ours := make(map[int]bool)
	for _, d := range diags {
		if d.Severity != config.Note {
			ours[d.Line] = true
		}
	}
	known := strings.Contains(out, "Unknown keyword") == hasCode(diags, "unknown-keyword")
	for _, line := range linesOf(out) {
		if known && !ours[line] {
			t.Errorf("%s:%d: keepalived remarks on this line and we do not:\n%s", filepath.Base(file), line, out)
		}
	}
	if exit == nil && diags.Err() != nil {
		t.Errorf("%s: keepalived accepts it and we do not: %v", filepath.Base(file), diags.Err())
	}
	return known
}

func hasCode(diags config.Diagnostics, code string) bool {
	for _, d := range diags {
		if d.Code == code {
			return true
		}
	}
	return false
}

func linesOf(out string) (lines []int) {
	for _, m := range reported.FindAllStringSubmatch(out, -1) {
		n, _ := strconv.Atoi(m[1])
		lines = append(lines, n)
	}
	sort.Ints(lines)
	return lines
}

// BenchmarkCheck times director check against keepalived -t as whole processes, in turns, on the same file. The ratio of
// times is reported, and the peak of memory in MB.
func BenchmarkCheck(b *testing.B) {
	for _, services := range []int{1000, 4000, 16000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			h := lab.New(b).Host("judge")
			file := write(b, "big.conf", sample.VirtualServers(services))
			var ours, theirs time.Duration
			peak := int64(0)
			for b.Loop() {
				took, memory := timed(h, lab.Bin("director"), "check", file)
				ours, peak = ours+took, max(peak, memory)
				took, _ = timed(h, "keepalived", "-t", "-f", file)
				theirs += took
			}
			b.ReportMetric(float64(ours.Milliseconds())/float64(b.N), "director-ms/op")
			b.ReportMetric(float64(theirs.Milliseconds())/float64(b.N), "keepalived-ms/op")
			b.ReportMetric(float64(ours)/float64(theirs), "ratio")
			b.ReportMetric(float64(peak)/1024, "director-MB")
		})
	}
}
