package pcre

import (
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	for _, c := range []struct {
		pattern, options, body string
		from, want             int
	}{
		{`ok`, "", "all ok", 0, 4},
		{`OK`, "", "all ok", 0, -1},
		{`OK`, "caseless", "all ok", 0, 4},
		{`ok$`, "", "ok\n", 0, 0},
		{`ok$`, "", "ok\n\n", 0, -1},
		{`ok$`, "dollar_endonly", "ok\n", 0, -1},
		{`ok$`, "dollar_endonly", "ok", 0, 0},
		{`^ok$`, "multiline", "a\nok\nb", 0, 2},
		{`(?m)^ok$`, "", "a\nok\nb", 0, 2},
		{`^ok`, "", "a\nok", 0, -1},
		{`a.b`, "", "a\nb", 0, -1},
		{`a.b`, "dotall", "a\nb", 0, 0},
		{"a b # c [\n c", "extended", "abc", 0, 0},
		{`(?<x>a)\k<x>`, "", "baa", 0, 1},
		{`(a)(b)\2`, "", "abb", 0, 0},
		{`foo(?=bar)`, "", "foofoobar", 0, 3},
		{`(?<!x)y`, "", "xyzy", 0, 3},
		{`(?>a+)b`, "", "aab", 0, 0},
		{`[[:digit:]]{3}`, "", "ab123", 0, 2},
		{`[^[:space:]]`, "", " \tx", 0, 2},
		{`[]x]`, "", "a]", 0, 1},
		{`[a-[]`, "", "[", 0, 0},
		{`\d`, "", "\u0663", 0, -1},
		{`\w+\h\w+`, "", "-a\tb", 0, 1},
		{`a[\h]b`, "", "a b", 0, 0},
		{`a\Rb`, "", "a\r\nb", 0, 0},
		{`\Qa.b*\Ec`, "", "axb a.b*c", 0, 4},
		{`^(a+)(a)`, "ungreedy", "aaa", 0, 0},
		{`x{2}`, "", "axx", 0, 1},
		{`x{a}`, "", "x{a}", 0, 0},
		{`ok`, "firstline", "a\nok", 0, -1},
		{`ok`, "firstline", "aok\n", 0, 1},
		{`ok`, "", "ok ok", 1, 3},
		{`ok`, "", "ok", 9, -1},
		{`é.`, "utf", "ééx", 2, 2},
		{`^.$`, "", "é", 0, -1}, // two bytes
		{`^.$`, "utf", "é", 0, 0},
		{`é`, "", "xé", 0, 1},
		{`a|b`, "no_auto_capture no_start_optimize", "b", 0, 0},
		{"\\x{e9}", "utf", "é", 0, 0},
		{`0`, "utf", "\xd40", 0, 1}, // not UTF-8
	} {
		re, err := Compile(c.pattern, strings.Fields(c.options)...)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		if at, err := re.Find([]byte(c.body), c.from); at != c.want || err != nil {
			t.Errorf("%s (%s) in %q from %d: %d, %v, want %d", c.pattern, c.options, c.body, c.from, at, err, c.want)
		}
	}
}

func TestUngreedyTurnsQuantifiersRound(t *testing.T) {
	for pattern, want := range map[string]string{"a+b*?c?": "a+?b*c??", "a{2,3}": "a{2,3}?", "(?:a)*": "(?:a)*?"} {
		tr := translator{in: []rune(pattern), ungreedy: true}
		if got, err := tr.translate(); got != want || err != nil {
			t.Errorf("%s: %s, want %s (%v)", pattern, got, want, err)
		}
	}
}

func TestCompileSaysWhatIsWrong(t *testing.T) {
	for pattern, want := range map[string]string{"a(": "missing closing )", "a++": "possessive", "[": "unterminated", "*": "missing argument"} {
		if _, err := Compile(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", pattern, err, want)
		}
	}
	if _, err := Compile("a", "ucp"); err == nil || !strings.Contains(err.Error(), "ucp") {
		t.Errorf("ucp: %v", err)
	}
}

func TestSearchIsBoundedInTime(t *testing.T) {
	re, err := Compile(`(a+)+$x`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := re.Find([]byte(strings.Repeat("a", 4000)+"b"), 0); err == nil || !strings.Contains(err.Error(), "took longer") {
		t.Errorf("%v", err)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(`a[[:digit:]]\Qx\E$`, "utf ungreedy", []byte("a1x\n"))
	f.Add(`[`, "extended", []byte(nil))
	f.Fuzz(func(t *testing.T, pattern, options string, body []byte) {
		if len(pattern) > 100 || len(body) > 200 {
			return
		}
		re, err := Compile(pattern, strings.Fields(options)...)
		if err != nil {
			return
		}
		if at, err := re.Find(body, len(body)/2); err == nil && (at > len(body) || at >= 0 && at < len(body)/2) {
			t.Errorf("%q in %q: %d", pattern, body, at)
		}
	})
}
