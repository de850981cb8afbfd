package holdfast_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
)

// pages are all texts for people.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || path != "." && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			texts[path] = read(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notWord = regexp.MustCompile("[^a-z0-9 _-]")
)

// TestLinksResolve: every link within the repository leads to a file that is there, and to a heading that it has.
func TestLinksResolve(t *testing.T) {
	for page, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := page
			if target != "" {
				path = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %s leads nowhere", page, m[1])
			} else if anchor != "" && !slices.Contains(anchors(read(t, path)), anchor) {
				t.Errorf("%s: %s: there is no such heading", page, m[1])
			}
		}
	}
}

// anchors are those of a page's headings, as GitHub makes them.
func anchors(text string) (list []string) {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		list = append(list, strings.ReplaceAll(notWord.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return list
}

// TestIndex: docs/README.md leads to every page of docs/.
func TestIndex(t *testing.T) {
	index := read(t, "docs/README.md")
	for page := range pages(t) {
		if name, ok := strings.CutPrefix(page, "docs/"); ok && name != "README.md" && !strings.Contains(index, "]("+name+")") {
			t.Errorf("docs/README.md does not lead to %s", name)
		}
	}
}

var goBlock = regexp.MustCompile("(?s)(?:<!-- (from|program) (\\S+) -->\n)?```go\n(.*?)```\n")

// TestProgramsAreReal: Go in a page is that of a file that the compiler sees, of which a comment before it says "from FILE"
// for a part, "program FILE" for all of it. UPDATE=1 writes whole programs anew.
func TestProgramsAreReal(t *testing.T) {
	for page, text := range pages(t) {
		updated := goBlock.ReplaceAllStringFunc(text, func(block string) string {
			m := goBlock.FindStringSubmatch(block)
			how, file, code := m[1], m[2], m[3]
			if how == "" {
				t.Errorf("%s: a block of Go is not said to be from a file:\n%s", page, code)
				return block
			}
			source := read(t, file)
			switch {
			case how == "from" && !strings.Contains(flat(source), flat(code)):
				t.Errorf("%s: not in %s:\n%s", page, file, code)
			case how == "program" && os.Getenv("UPDATE") == "1":
				return "<!-- program " + file + " -->\n```go\n" + source + "```\n"
			case how == "program" && source != code:
				t.Errorf("%s: not what %s is: UPDATE=1 go test -run %s .", page, file, t.Name())
			}
			return block
		})
		if updated != text {
			if err := os.WriteFile(page, []byte(updated), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// flat is a text without its indentation.
func flat(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}

var confBlock = regexp.MustCompile("(?s)```conf\n(.*?)```\n")

// TestConfigurationsAreRight: what pages show of keepalived.conf is read without an error or a warning, and has an effect.
func TestConfigurationsAreRight(t *testing.T) {
	seen := 0
	for page, text := range pages(t) {
		for _, m := range confBlock.FindAllStringSubmatch(text, -1) {
			seen++
			_, diags := config.Read(page, []byte(m[1]))
			for _, d := range diags {
				if d.Severity != config.Note || d.Code == "no-effect" {
					t.Errorf("%s:\n%s%v", page, m[1], d)
				}
			}
		}
	}
	if seen < 4 {
		t.Errorf("%d configurations", seen)
	}
}

var (
	directorVerb = regexp.MustCompile("(?m)(?:`|^    |^\\$ |bin/|&& )director ([a-z]+)\\b")
	makeTarget   = regexp.MustCompile("(?m)(?:`|^    |^\\$ )make ([a-z]+)\\b")
	program      = regexp.MustCompile(`\bbin/([a-z]+)\b`)
)

// TestCommandsExist: what pages tell people to type is there.
func TestCommandsExist(t *testing.T) {
	director, makefile := read(t, "examples/director/main.go"), read(t, "Makefile")
	for page, text := range pages(t) {
		for _, m := range directorVerb.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(director, `case "`+m[1]+`":`) {
				t.Errorf("%s: there is no director %s", page, m[1])
			}
		}
		for _, m := range makeTarget.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s: there is no make %s", page, m[1])
			}
		}
		for _, m := range program.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat("examples/" + m[1] + "/README.md"); err != nil && m[1] != "kill" {
				t.Errorf("%s: there is no bin/%s, or it has no README", page, m[1])
			}
		}
	}
}

// TestEveryBenchmarkIsNamed: docs/performance.md has a command for each benchmark, and each of its commands runs one.
func TestEveryBenchmarkIsNamed(t *testing.T) {
	run := make(map[*regexp.Regexp][]string) // by command: the directory, and benchmarks that it runs
	for _, m := range regexp.MustCompile("-bench (?:'([^']+)'|(\\S+)) [^`]*?(\\.\\S*)`").FindAllStringSubmatch(read(t, "docs/performance.md"), -1) {
		run[regexp.MustCompile(m[1]+m[2])] = []string{filepath.Clean(m[3])}
	}
	for _, dir := range packagesBelow(t, ".") {
		files, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
		for _, file := range files {
			for _, m := range regexp.MustCompile(`(?m)^func Benchmark(\w+)`).FindAllStringSubmatch(read(t, file), -1) {
				named := false
				for pattern, where := range run {
					if where[0] == dir && pattern.MatchString(m[1]) {
						run[pattern], named = append(where, m[1]), true
					}
				}
				if !named {
					t.Errorf("docs/performance.md has no command for Benchmark%s of %s", m[1], dir)
				}
			}
		}
	}
	for pattern, where := range run {
		if len(where) == 1 {
			t.Errorf("docs/performance.md: -bench %v %s runs nothing", pattern, where[0])
		}
	}
}

// TestEveryFolderIsNamed: ARCHITECTURE.md has a line for every folder with Go in it, and no line for another.
func TestEveryFolderIsNamed(t *testing.T) {
	text := read(t, "ARCHITECTURE.md")
	for _, dir := range packagesBelow(t, ".") {
		files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
		if len(files) > 0 && dir != "." && !strings.Contains(text, "| `"+filepath.ToSlash(dir)+"` |") {
			t.Errorf("%s is not in the list of ARCHITECTURE.md", dir)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+(?:/[a-z]+)*)` \\|").FindAllStringSubmatch(text, -1) {
		if files, _ := filepath.Glob(m[1] + "/*"); len(files) == 0 {
			t.Errorf("ARCHITECTURE.md has a line for %s, which is not there", m[1])
		}
	}
}
