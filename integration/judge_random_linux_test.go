package integration

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/lab"
)

// silent are remarks of keepalived that we need not make, with the reason.
var silent = map[string]string{
	`Unknown keyword|Unexpected '\{'`:                     "2.2.7 does not know it, or what it holds",
	`is missing a parameter after`:                        "2.2.7 ends there, and the rest of the file is not judged",
	`Segmentation`:                                        "2.2.7 dies of it",
	`Error setting global script uid/gid`:                 "users are looked up where the script runs",
	`Unable to set uid/gid for script`:                    "users are looked up where the script runs",
	`cp: |config_save_dir`:                                "no copies of configurations are kept",
	`Invalid cpu_id|outside range \[0, 1\]`:               "depends on the host's processors",
	`Invalid smtp server`:                                 "names are looked up when there is mail to send",
	`Cannot specify VRF interface and interface`:          "2.2.7 only: 2.4 takes both",
	`Unknown umask bit|umask option|invalid umask`:        "the mask is the service manager's",
	`Unknown dynamic_interfaces option`:                   "interfaces may always come and go",
	`empty notification_email block`:                      "nobody is told, as it says",
	`doesn't exist|Non-existent interface`:                "interfaces may come later",
	`must be in \[-253, 253\]|must be between 1 and 4294`: "2.4 takes more",
	`is not a private macvlan`:                            "depends on the links of the host",
	`Invalid http_protocol version`:                       "2.4 knows it",
	`unicast_ttl without unicast peers`:                   "0 is what it is without",
	`has empty label`:                                     "2.2.7 takes a label of one character for none",
	`IPv4 ipvlan requires a source`:                       "it has the interface's",
	`promote_secondaries is automatically set`:            "that is as it asks",
	`deprecated`:                            "works, and will",
	`VMAC interface name already specified`: "the last one counts, as for other words",
	`Please replace 'vrrp_iptables`:         "traffic is refused by nftables anyway",
}

// stricter are errors of ours in what keepalived takes without a word, with the reason.
var stricter = map[string]string{
	`must be followed by a block in braces|never closed`: "what follows would be lost",
	`has no value`:                                              "2.2.7 says nothing of some",
	`is not on, true, yes, off, false`:                          "2.2.7 reads no value there",
	`lthreshold .* above uthreshold`:                            "the kernel refuses it",
	`no absolute path of a FIFO|is not a path from the root on`: "it would depend on the directory of the process",
	`is not a time of .* to 1000000000 `:                        "longer than anybody waits",
	`persistence_granularity: .* is not a number from 1 to 128`: "2.2.7 takes any number for a mask",
	`is not a number from 0 to 4294967 `:                        "longer than anybody waits",
	`bindto .* is not of the family`:                            "2.2.7 says nothing of it in some checks",
}

func matches(table map[string]string, text string) bool {
	for pattern := range table {
		if regexp.MustCompile(pattern).MatchString(text) {
			return true
		}
	}
	return false
}

// TestJudgesRandomFilesAsKeepalived: files with a statement or two from anywhere in the schema, with values that may fit. What
// keepalived takes without a word has no error here, and of what it remarks on something is said here too. HOLDFAST_SEED has others made.
func TestJudgesRandomFilesAsKeepalived(t *testing.T) {
	lab.Need(t, "ip", "keepalived")
	h := lab.New(t).Host("judge")
	seed := seedOf(t)
	w := newWriter(rand.New(rand.NewPCG(seed, 1)))
	dir, compared := t.TempDir(), 0
	for i := range 300 {
		file := filepath.Join(dir, fmt.Sprint(i, ".conf"))
		if err := os.WriteFile(file, []byte(w.file()), 0o644); err != nil {
			t.Fatal(err)
		}
		if judgeRandom(t, h, file) {
			compared++
		}
	}
	t.Logf("seed %d: %d files judged by both", seed, compared)
	if compared < 100 {
		t.Errorf("only %d files were compared", compared)
	}
}

func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("HOLDFAST_SEED"), "1"), 10, 64)
	if err != nil {
		t.Fatalf("HOLDFAST_SEED: %v", err)
	}
	return seed
}

// judgeRandom is false for a file of which keepalived says what we need not.
func judgeRandom(t *testing.T, h *lab.Host, file string) bool {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out, err := h.Run(ctx, "keepalived", "-t", "-f", file)
	if err != nil && strings.Contains(err.Error(), "segmentation") || matches(silent, out) {
		return false
	}
	cfg, diags, readErr := config.LoadFile(file)
	if readErr != nil {
		t.Fatal(readErr)
	}
	text, _ := os.ReadFile(file)
	if _, err := holdfast.FromConfig(cfg); err != nil && diags.Err() == nil {
		t.Errorf("no line has an error, and it cannot be applied: %v\n%s", err, text)
	}
	says := strings.TrimSpace(out) != ""
	switch ours := diags.Err(); {
	case !says && ours != nil && !matches(stricter, ours.Error()):
		t.Errorf("keepalived takes it without a word, and we do not: %v\n%s", ours, text)
	case says && diags.Count(config.Error)+diags.Count(config.Warning) == 0:
		t.Errorf("keepalived says %s\nwe say nothing of\n%s", out, text)
	}
	return true
}

// writer makes files of what the schema has.
type writer struct {
	random *rand.Rand
	blocks map[string][]config.Keyword // by path
}

func newWriter(random *rand.Rand) *writer {
	w := &writer{random, make(map[string][]config.Keyword)}
	for _, k := range config.Keywords() {
		if k.Since != "Holdfast" && k.Kind == "value" {
			w.blocks[k.Block] = append(w.blocks[k.Block], k)
		}
	}
	return w
}

// Each file has a block to which statements are added, and what that needs.
const (
	safely     = "global_defs {\n enable_script_security\n script_user root\n}\n"
	anInstance = "vrrp_instance VI {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n  192.0.2.1/24\n }\n%s}\n"
	aService   = "virtual_server 192.0.2.1 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n%s real_server 192.0.2.9 80 {\n%s }\n}\n"
)

func (w *writer) file() string {
	switch pick := w.random.IntN(10); pick {
	case 0:
		return "global_defs {\n" + w.some("global_defs") + "}\n" + fmt.Sprintf(anInstance, "")
	case 1, 2, 3:
		return safely + fmt.Sprintf(anInstance, w.some("vrrp_instance"))
	case 4:
		return safely + "vrrp_script s {\n script /bin/true\n" + w.some("vrrp_script") + "}\n" +
			fmt.Sprintf(anInstance, " track_script {\n  s\n }\n")
	case 5, 6:
		return safely + fmt.Sprintf(aService, w.some("virtual_server"), "")
	case 7:
		return safely + fmt.Sprintf(aService, "", w.some("virtual_server/real_server"))
	}
	kind := []string{"TCP_CHECK", "HTTP_GET", "SMTP_CHECK", "DNS_CHECK", "PING_CHECK", "UDP_CHECK"}[w.random.IntN(6)]
	needs := map[string]string{"HTTP_GET": "   url {\n    path /\n   }\n"}[kind]
	return safely + fmt.Sprintf(aService, "", "  "+kind+" {\n"+needs+w.some("virtual_server/real_server/"+kind)+"  }\n")
}

// some are one or two statements of a block.
func (w *writer) some(block string) (lines string) {
	known := w.blocks[block]
	for range 1 + w.random.IntN(2) {
		k := known[w.random.IntN(len(known))]
		lines += k.Name + " " + w.value(&k) + "\n"
	}
	return lines
}

var odd = strings.Fields("0 1 -1 254 255 256 0.5 65536 abc on off 192.0.2.7 192.0.2.7/24 2001:db8::1 eth0 /bin/true")

// value fits, more often than not.
func (w *writer) value(k *config.Keyword) string {
	if w.random.IntN(4) == 0 {
		return odd[w.random.IntN(len(odd))]
	}
	switch k.Type {
	case "none":
		return ""
	case "bool":
		return w.one("", "on", "off", "true", "no")
	case "uint", "int", "uints":
		return strconv.FormatInt(int64(w.between(k.Low, k.High)), 10)
	case "secs", "millis":
		return strconv.FormatFloat(w.between(k.Low, k.High), 'f', -1, 64)
	case "word", "iword":
		return w.one(k.Words...)
	case "addr":
		return w.one("192.0.2.7", "2001:db8::7")
	case "script":
		return w.one("/bin/true", `"/bin/true a"`)
	}
	return w.one(odd...)
}

func (w *writer) one(words ...string) string { return words[w.random.IntN(len(words))] }

// between is a number of the range, one of its ends, or one beyond.
func (w *writer) between(low, high float64) float64 {
	near := []float64{low - 1, low, low + 1, min(low+10, high), high, high + 1}
	return near[w.random.IntN(len(near))]
}
