package observe_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/observe"
)

// TestDocs holds the table of docs/observe.md to the metrics that there are. UPDATE=1 writes it.
func TestDocs(t *testing.T) {
	const name, marker = "../docs/observe.md", "<!-- metrics -->\n"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), marker)
	_, after, section := strings.Cut(rest, "\n## ")
	if !found || !section {
		t.Fatalf("%s has no place for the table", name)
	}
	want := before + marker + "\n" + metricsTable(t) + "\n## " + after
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(text) != want {
		t.Errorf("%s is not what the code says: UPDATE=1 go test ./observe", name)
	}
}

func metricsTable(t *testing.T) string {
	descs := make(chan *prometheus.Desc, 1000)
	observe.New(holdfast.New(holdfast.Options{}), observe.Options{}).Describe(descs)
	close(descs)
	form := regexp.MustCompile(`fqName: "([^"]+)", help: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	var b strings.Builder
	b.WriteString("| metric | labels | meaning |\n|---|---|---|\n")
	for d := range descs {
		m := form.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("a description has another form: %v", d)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m[1], strings.ReplaceAll(m[3], ",", ", "), m[2])
	}
	return b.String()
}
