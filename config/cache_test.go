package config_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/sample"
)

// reread reads with a cache, and requires what is read without one.
func reread(t *testing.T, l config.Loader, cache *config.Cache, files fstest.MapFS) (cfg *config.Config) {
	t.Helper()
	l.FS = files
	want, wantDiags, err := l.Load("k.conf")
	if err != nil {
		t.Fatal(err)
	}
	l.Cache = cache
	cfg, diags, err := l.Load("k.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(diags, wantDiags) {
		t.Fatalf("with a cache:\n%v\nwithout:\n%v\nof\n%s", diags, wantDiags, files["k.conf"].Data)
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Fatalf("with a cache the values differ, of\n%s", files["k.conf"].Data)
	}
	return cfg
}

// kept counts the virtual servers that two Configs have in common.
func kept(a, b *config.Config) (n int) {
	for _, v := range b.VirtualServers {
		if slices.Contains(a.VirtualServers, v) {
			n++
		}
	}
	return n
}

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o644} }

func TestCacheKeepsWhatIsTheSame(t *testing.T) {
	const head = "global_defs {\n    router_id a\n}\n"
	text := head + sample.VirtualServers(10)
	before, after, _ := strings.Cut(text, "virtual_server 10.0.0.4 ")
	_, fifth, _ := strings.Cut(after, "}\nvirtual_server 10.0.0.5 ")
	fifth = "virtual_server 10.0.0.5 " + fifth
	for name, c := range map[string]struct {
		next string
		kept int
	}{
		"nothing changed":            {text, 10},
		"one weight":                 {strings.Replace(text, "11.0.0.8 80 {\n        weight 1", "11.0.0.8 80 {\n        weight 7", 1), 9},
		"an error in one":            {strings.Replace(text, "11.0.0.8 80 {\n        weight 1", "11.0.0.8 80 {\n        wieght 7", 1), 9},
		"one goes, those below move": {before + fifth, 4},
		"one more at the end":        {text + strings.ReplaceAll(sample.VirtualServers(1), "10.0.0.0", "10.9.0.0"), 10},
		"none left":                  {head, 0},
		"global_defs changed":        {strings.Replace(text, "router_id a", "router_id b", 1), 0},
		"a definition is used now":   {strings.Replace(text, "weight 1", "weight $W", 1), 0},
	} {
		t.Run(name, func(t *testing.T) {
			var cache config.Cache
			before := reread(t, config.Loader{ConfigID: "a"}, &cache, fstest.MapFS{"k.conf": file(text)})
			after := reread(t, config.Loader{ConfigID: "a"}, &cache, fstest.MapFS{"k.conf": file(c.next)})
			if n := kept(before, after); n != c.kept {
				t.Errorf("%d virtual servers were kept, want %d", n, c.kept)
			}
			reread(t, config.Loader{ConfigID: "a"}, &cache, fstest.MapFS{"k.conf": file(text)})
		})
	}
}

// TestCacheKnowsWhatIsAround: what is not in the text of a block, and means something for it.
func TestCacheKnowsWhatIsAround(t *testing.T) {
	server := "virtual_server 10.0.0.1 80 {\n    protocol TCP\n    real_server 10.0.1.1 80 {\n        SMTP_CHECK { }\n    }\n}\n"
	env := "a"
	l := config.Loader{ConfigID: "one", Getenv: func(string) string { return env }}
	for name, c := range map[string]struct {
		text   string
		change func(files fstest.MapFS, l *config.Loader)
	}{
		"an included file": {"include more.conf\n" + server, func(files fstest.MapFS, _ *config.Loader) {
			files["more.conf"] = file("global_defs { checker_log_all_failures }\n")
		}},
		"the environment":      {"$ALL=${_ENV X}\nglobal_defs {\n smtp_alert_checker $ALL\n}\n" + server, func(fstest.MapFS, *config.Loader) { env = "true" }},
		"the configuration id": {"@two global_defs { checker_log_all_failures }\n" + server, func(_ fstest.MapFS, l *config.Loader) { l.ConfigID = "two" }},
		"a line between":       {server + "global_defs { checker_log_all_failures }\n", func(files fstest.MapFS, _ *config.Loader) { files["k.conf"] = file(server + "\nglobal_defs { }\n") }},
		"an included server": {"include more.conf\n", func(files fstest.MapFS, _ *config.Loader) {
			files["more.conf"] = file(strings.Replace(server, "TCP", "UDP", 1))
			files["k.conf"] = file("\ninclude more.conf\n")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var cache config.Cache
			l, files := l, fstest.MapFS{"k.conf": file(c.text), "more.conf": file(server)}
			before := reread(t, l, &cache, files)
			if n := kept(before, reread(t, l, &cache, files)); n == 0 {
				t.Error("unchanged, and nothing was kept")
			}
			c.change(files, &l)
			if n := kept(before, reread(t, l, &cache, files)); n != 0 {
				t.Errorf("%d were kept", n)
			}
		})
	}
}

// TestCacheOfAnyEdits edits files at random, everything that may be in the corpus included.
func TestCacheOfAnyEdits(t *testing.T) {
	corpus, _ := filepath.Glob("testdata/corpus/*.conf")
	var pieces []string
	for _, name := range corpus {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "_RANDOM") { // nobody could say what it is to be
			pieces = append(pieces, string(text))
		}
	}
	rounds := 200
	if testing.Short() {
		rounds = 30
	}
	total := 0
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 1))
		var cache config.Cache
		lines := randomLines(r, pieces)
		l := config.Loader{ConfigID: "a", Getenv: func(string) string { return "7" }}
		var before *config.Config
		for range 6 {
			files := fstest.MapFS{"k.conf": file(strings.Join(lines, "\n")), "more.conf": file(sample.VirtualServers(2))}
			after := reread(t, l, &cache, files)
			if before != nil {
				total += kept(before, after)
			}
			before, lines = after, edited(r, lines, pieces)
		}
	}
	if total < rounds {
		t.Errorf("only %d virtual servers were kept: the test has nothing to find", total)
	}
}

// randomLines are blocks of the corpus and ordinary ones.
func randomLines(r *rand.Rand, pieces []string) []string {
	var b strings.Builder
	for i := range 1 + r.IntN(8) {
		switch r.IntN(6) {
		case 0:
			b.WriteString(pieces[r.IntN(len(pieces))])
		case 1:
			b.WriteString("\ninclude more.conf\n")
		case 2:
			fmt.Fprintf(&b, "\n$W=%d\nvirtual_server 10.8.%d.1 80 {\n real_server 10.8.0.2 80 {\n weight $W\n }\n}\n", r.IntN(9), i)
		default:
			b.WriteString(strings.ReplaceAll(sample.VirtualServers(1+r.IntN(3)), "10.0.", fmt.Sprintf("10.%d.", i)))
		}
	}
	return strings.Split(b.String(), "\n")
}

// edited changes, removes, repeats or adds a line.
func edited(r *rand.Rand, lines, pieces []string) []string {
	lines = slices.Clone(lines)
	for range 1 + r.IntN(2) {
		i := r.IntN(len(lines))
		other := strings.Split(pieces[r.IntN(len(pieces))], "\n")
		switch r.IntN(6) {
		case 0:
			lines[i] = strings.Replace(lines[i], "1", "2", 1)
		case 1:
			lines[i] = other[r.IntN(len(other))]
		case 2:
			lines = slices.Insert(lines, i, other[r.IntN(len(other))])
		case 3:
			lines = append(slices.Delete(lines, i, i+1), "")
		case 4:
			j := r.IntN(len(lines))
			lines[i], lines[j] = lines[j], lines[i]
		}
	}
	return lines
}

// FuzzCache reads one text, then another, with a cache.
func FuzzCache(f *testing.F) {
	f.Add(sample.VirtualServers(2), sample.VirtualServers(3))
	f.Add("virtual_server 1.1.1.1 1 {\n} virtual_server 2.2.2.2 2 {\n}", "virtual_server 1.1.1.1 1 {\n}")
	f.Add("virtual_server 1.1.1.1 1\n{}\nvrrp_script a {\n", "a\nvirtual_server 1.1.1.1 1\n{}\n")
	f.Add("virtual_server 1.1.1.1 1 {\n}", "virtual_server 1.1.1.1 1 {\n}virtual_server 2.2.2.2 2 {\n}\n")
	f.Add("virtual_server 1.1.1.1 1 {\n} vrrp_script a { script /a }\n", "a\n")
	f.Add("virtual_server 1.1.1.1 1 {\n real_server 1.1.1.2 1 {\n HTTP_GET {\n url { path /\n regex a\n regex_options alt_verbnames\n }\n }\n }\n}\n", "a\n")
	f.Add("virtual_server 1.1.1.1 1 {\n} nothing\nvirtual_server 2.2.2.2 2 {\n}\n", "virtual_server 1.1.1.1 1 {\n} nothing\n")
	f.Add("virtual_server 1.1.1.1 1 {\n real_server 1.1.1.2 1 { # lint:ignore no-check\n }\n}\n", "")
	f.Add("virtual_server 1.1.1.1 1 {\n hashed\n real_server 1.1.1.2 1 {\n HTTP_GET {\n url { path / }\n fast_recovery\n }\n }\n}\n", "a\n")
	f.Add("virtual_server 1.1.1.1 1 {\n real_server 1.1.1.2 1 {\n MISC_CHECK {\n misc_path /a\n }\n }\n}\n", "\n")
	a, b, f1 := "virtual_server 1.1.1.1 1 {\n\n}\n", "virtual_server 2.2.2.2 2 { real_server 2.2.2.3 2 { FILE_CHECK { track_file f } } }\n", "track_file f {\n file /f\n}\n"
	f.Add(f1+b+a, a+b+f1)
	f.Fuzz(func(t *testing.T, one, two string) {
		var cache config.Cache
		l := config.Loader{ConfigID: "a", Getenv: func(string) string { return "" }}
		if strings.Contains(one+two, "_RANDOM") {
			return
		}
		for _, text := range []string{one, one, two, one} {
			reread(t, l, &cache, fstest.MapFS{"k.conf": file(text)})
		}
	})
}
