package config_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/holdfast-lb/holdfast/config"
)

// statements writes expanded statements, one a line, blocks in braces.
func statements(nodes []*config.Node) string {
	var b strings.Builder
	for _, n := range nodes {
		for i, w := range n.Words {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(w.Text)
		}
		if n.HasBlock {
			b.WriteString(" { " + statements(n.Block) + "}")
		}
		b.WriteString("; ")
	}
	return b.String()
}

func expand(files fstest.MapFS, src string) (string, config.Diagnostics) {
	l := config.Loader{FS: files, ConfigID: "main", Getenv: func(name string) string { return "<" + name + ">" }}
	f, diags := l.Expand("etc/k.conf", []byte(src))
	return statements(f.Nodes), diags
}

func TestExpansion(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"braces anywhere":             {"a{b}c{", "a { b; }; c { }; "},
		"brace on the next line":      {"a\n{ b\n}", "a { b; }; "},
		"quotes do not glue":          {`a"b"c "d{e#f" ""`, "a b c d{e#f ; "},
		"comment in a word":           {"a!b\nc#d", "a; c; "},
		"escaped comment":             {`a\#b`, "a#b; "},
		"condition met":               {"@main a b", "a b; "},
		"condition not met":           {"@other a b", ""},
		"negated condition":           {"@^other a\n@^main b", "a; "},
		"condition without word":      {"@main\n@ a", ""},
		"condition before definition": {"@main $X=1\n@other $X=2\na $X", "a 1; "},
		"condition behind a brace":    {"a { @other b }\nc }", "a { c; }; "},
		"definition":                  {"$A=b c # d\nx ${A}e $A,f $A", "x b ce b c,f b c; "},
		"not a reference":             {"$A=b\nx $A.c [$A] \"$A\"", "x $A.c [$A] $A; "},
		"reference in quotes":         {"$A=b c\nx \"${A}\"", "x b c; "},
		"reference as keyword":        {"$A=kw\n${A} 1", "kw 1; "},
		"value at use time":           {"$B=${A}\n$A=1\nx ${B}\n$A=2\nx ${B}", "x 1; x 2; "},
		"undefined stays":             {"x ${A} y", "x $(A) y; "},
		"two dollars":                 {"$A=b\nx $${A}", "x $b; "},
		"hash begins a comment":       {"x ${_HASH}y\nz \"${_BANG}\"", "x; z !; "},
		"predefined":                  {"x ${_INSTANCE} ${_ENV HOME} ${_PWD}", "x main <HOME> etc; "},
		"random":                      {"x ${_RANDOM 7 7}", "x 7; "},
		"several lines":               {"$A=b { \\\nc \\\n# no\n}\n${A}\nx $A", "b { c; }; x b { c; }; "},
		"empty line ends it":          {"$A=b \\\n\nc\n${A}", "c; b; "},
		"nested several lines":        {"$A=a \\\nb\n$C=c \\\n$A\nx\n$C", "x; c; a; b; "},
		"sequence":                    {"~SEQ(i, 3) a ${i}", "a 1; a 2; a 3; "},
		"sequence with start":         {"~SEQ(i, 3, 1) a ${i}", "a 3; a 2; a 1; "},
		"sequence with step":          {"~SEQ(i, 0, 5, 12) a ${i}", "a 0; a 5; a 10; "},
		"sequence downwards":          {"~SEQ(i, 0) a ${i}", "a 1; a 0; "},
		"sequence in hexadecimal":     {"~SEQx(i, 9, 11) a ${i}", "a 9; a a; a b; "},
		"nested sequences":            {"~SEQ(i, 2) ~SEQ(j, 2) a ${i}${j}", "a 11; a 12; a 21; a 22; "},
		"sequence of blocks":          {"~SEQ(i, 2) a ${i} { b }", "a 1 { b; }; a 2 { b; }; "},
		"sequence over a definition":  {"$N=2\n~SEQ(i, $N) a ${i}", "a 1; a 2; "},
		"sequence not at the start":   {"a ~SEQ(i, 2)", "a ~SEQ(i, 2); "},
		"list":                        {"~LST(v, x, y) a ${v}", "a x; a y; "},
		"list of tuples":              {"~LST({a,b}, {1,2}, {3}, {,4}) k ${a}-${b}", "k 1-2; k 3-; k -4; "},
		"list with an empty value":    {"~LST(v,) a \"${v}\"", "a ; "},
		"tilde":                       {"~foo a", "~foo a; "},
		"include":                     {"a {\ninclude sub/one.conf\n}", "a { one; two; }; "},
		"include by wildcard":         {"include sub/*.conf", "one; two; three; two; "},
		"include alternatives":        {"include sub/{two,one}.conf", "two; one; two; "},
		"include with directory":      {"include sub/pwd", "x etc/sub; "},
		"include opens a block":       {"include sub/open\nb\n}", "a { b; }; "},
		"include under a condition":   {"@main include sub/two.conf\n@other include sub/one.conf", "two; "},
	} {
		files := fstest.MapFS{
			"etc/sub/one.conf": {Data: []byte("one\ninclude two.conf\n")}, "etc/sub/two.conf": {Data: []byte("two")},
			"etc/sub/three.conf": {Data: []byte("three")}, "etc/sub/.hidden.conf": {Data: []byte("hidden")},
			"etc/sub/dir.conf/x": {Data: []byte("x")}, "etc/sub/pwd": {Data: []byte("x ${_PWD}")}, "etc/sub/open": {Data: []byte("a {")},
		}
		if name == "include by wildcard" {
			c.want = "one; two; three; two; "
		}
		if got, diags := expand(files, c.src); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q\n%v", name, got, c.want, diags)
		}
	}
}

func TestWhereItCameFrom(t *testing.T) {
	files := fstest.MapFS{"etc/a.conf": {Data: []byte("$X=frobnicate\n\n ${X} 1\n")}}
	l := config.Loader{FS: files}
	_, diags := l.Read("etc/k.conf", []byte("\ninclude a.conf\n"))
	if len(diags) != 1 || diags[0].Pos.String() != "etc/a.conf:3:2" {
		t.Fatal(diags)
	}
	if via := diags[0].Via(); len(via) != 1 || via[0].What != "include" || via[0].Pos.String() != "etc/k.conf:2:1" {
		t.Errorf("via %v", via)
	}
}

// TestBombs: what grows without end is cut off, with a diagnostic.
func TestBombs(t *testing.T) {
	doubling := "$A0=\n"
	for i := range 40 {
		doubling += fmt.Sprintf("$A%d=${A%d}${A%d}\n", i+1, i, i)
	}
	deep := fstest.MapFS{}
	for i := range 40 {
		deep[fmt.Sprintf("etc/%d", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "include %d", i+1)}
	}
	for name, c := range map[string]struct {
		src, code string
		files     fstest.MapFS
	}{
		"doubling":            {doubling + "x ${A30}", "expansion-size", nil},
		"doubling, deep":      {doubling + "x ${A40}", "expansion-depth", nil},
		"nested sequences":    {"~SEQ(i, 100000) ~SEQ(j, 100000) x", "expansion-size", nil},
		"long sequence":       {"~SEQ(i, 1000000000000) x", "bad-repetition", nil},
		"self":                {"$A=x${A}\na ${A}", "definition-cycle", nil},
		"include itself":      {"include me", "include-cycle", fstest.MapFS{"etc/me": {Data: []byte("include me")}}},
		"includes, deep":      {"include 0", "include-depth", deep},
		"wildcard of itself":  {"include *", "include-cycle", fstest.MapFS{"etc/me": {Data: []byte("include *")}}},
		"executable":          {"includea x", "include", fstest.MapFS{"etc/x": {Mode: 0o755}}},
		"FIFO":                {"includea x", "include", fstest.MapFS{"etc/x": {Mode: fs.ModeNamedPipe}}},
		"parameter missing":   {"x ${_ENV}", "bad-parameters", nil},
		"one empty range":     {"x ${_RANDOM 9 5}", "bad-parameters", nil},
		"no parenthesis":      {"~SEQ(i, 3 x", "bad-repetition", nil},
		"lines in the middle": {"$A=a \\\nb\nx ${A} y", "multi-line-definition", nil},
	} {
		if got, diags := expand(c.files, c.src); !has(diags, c.code) {
			t.Errorf("%s: %s is not said; got %.100q\n%.500v", name, c.code, got, diags)
		}
	}
}

func TestIncludeChecks(t *testing.T) {
	for src, isError := range map[string]bool{
		"include no":                       false,
		"includer no":                      false,
		"includem no":                      true,
		"includea no*":                     true,
		"includem no*":                     false,
		"includew no*":                     true,
		"includeb {no,yes}":                true,
		"includew {no,yes}":                false,
		"include_check match\ninclude no":  true,
		"include_check\ninclude no*":       true,
		"include_check -match\ninclude no": false,
		"include_check frob":               true,
		"include yes":                      false,
		"include":                          true,
	} {
		if _, diags := expand(fstest.MapFS{"etc/yes": {}}, src); (diags.Err() != nil) != isError {
			t.Errorf("%q: error wanted %v: %v", src, isError, diags)
		}
	}
}
