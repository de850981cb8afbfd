package integration

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/observe"
)

// TestDashboard: every expression of the Grafana dashboard is PromQL, and speaks only of metrics and labels that there are.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("../examples/grafana/holdfast.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID          int
			Type, Title string
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	families := metricLabels(t)
	expressions := 0
	for i, p := range dashboard.Panels {
		for _, other := range dashboard.Panels[:i] {
			a, b := p.GridPos, other.GridPos
			if p.ID == other.ID || a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q are in the same place or have the same id", p.Title, other.Title)
			}
		}
		if (len(p.Targets) == 0) != (p.Type == "row") {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			expressions++
			checkExpression(t, p.Title, strings.ReplaceAll(target.Expr, "$__rate_interval", "1m"), families)
		}
	}
	if expressions < 15 {
		t.Errorf("%d expressions", expressions)
	}
}

// metricLabels are the labels of each metric, by its name.
func metricLabels(t *testing.T) map[string][]string {
	t.Helper()
	descs := make(chan *prometheus.Desc, 1000)
	observe.New(holdfast.New(holdfast.Options{}), observe.Options{}).Describe(descs)
	close(descs)
	families := make(map[string][]string)
	form := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	for d := range descs {
		m := form.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("a description has another form: %v", d)
		}
		families[m[1]] = strings.Split(m[2], ",")
	}
	return families
}

func checkExpression(t *testing.T, title, expression string, families map[string][]string) {
	t.Helper()
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	if err != nil {
		t.Errorf("%s: %s: %v", title, expression, err)
		return
	}
	known := []string{"job", "instance", "le"} // of every target, and of histograms
	var asked []string
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			labels, there := families[n.Name]
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, ok := strings.CutSuffix(n.Name, suffix); ok && !there {
					labels, there = families[base]
				}
			}
			if !there {
				t.Errorf("%s: there is no metric %s", title, n.Name)
			}
			known = append(known, labels...)
			for _, m := range n.LabelMatchers {
				if m.Name != "__name__" && !slices.Contains(labels, m.Name) {
					t.Errorf("%s: %s has no label %s", title, n.Name, m.Name)
				}
			}
		case *parser.AggregateExpr:
			asked = append(asked, n.Grouping...)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				asked = append(asked, n.VectorMatching.MatchingLabels...)
			}
		}
		return nil
	})
	for _, label := range asked {
		if !slices.Contains(known, label) {
			t.Errorf("%s: none of %s has a label %s", title, expression, label)
		}
	}
}
