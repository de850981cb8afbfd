package config

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDocs holds docs/lint.md and docs/keywords.md to what they are made of. UPDATE=1 writes them.
func TestDocs(t *testing.T) {
	for name, want := range map[string]string{"../docs/lint.md": lintDoc(), "../docs/keywords.md": keywordDoc()} {
		if os.Getenv("UPDATE") == "1" {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil || string(got) != want {
			t.Errorf("%s is not what the code says (%v): UPDATE=1 go test ./config", name, err)
		}
	}
}

// TestReasons: every keyword without effect says why.
func TestReasons(t *testing.T) {
	for _, k := range Keywords() {
		if !k.Effective && strings.TrimPrefix(k.Reason, "no effect: ") == "" {
			t.Errorf("%s has no effect and no reason", k.Path())
		}
	}
}

// lintDoc is docs/lint.md.
func lintDoc() string {
	var b strings.Builder
	b.WriteString("# Lint rules\n\nWhat `director check` remarks about configurations that are right and bring services down nevertheless. Each rule can be\n" +
		"silenced on a line by the comment `# lint:ignore CODE`. This page is made from the code: `UPDATE=1 go test ./config`.\n")
	for _, r := range lintRules {
		fmt.Fprintf(&b, "\n## %s\n\nSeverity: %v. %s\n\nWhat to do: %s.\n", r.Code, r.Severity, r.Why, r.Fix)
	}
	return b.String()
}

// forms explains the column of arguments.
const forms = `
| in arguments | is |
|---|---|
| ` + "`TIMER`, `SECS`" + ` | seconds, with up to six decimals where the keyword takes fractions |
| ` + "`MS`, `USECS`" + ` | milliseconds, microseconds |
| ` + "`BOOL`" + ` | on, true, yes, or off, false, no; without a value it is on |
| ` + "`ADDR`, `PREFIX`" + ` | an IPv4 or IPv6 address; with its length |
| ` + "`IF`, `IFNAME`" + ` | the name of an interface |
| ` + "`PATH`, `FILE`, `SCRIPT`, `CMD`" + ` | a file; a program with its arguments, quoted as a whole |
| ` + "`[X]`, `A\\|B`, `X ...`, `{ }`" + ` | may be left out; one of them; one or more; a block follows |

A default of a TIMER or of SECS is in seconds.
`

// keywordDoc is docs/keywords.md.
func keywordDoc() string {
	var b strings.Builder
	effective, all := 0, Keywords()
	for _, k := range all {
		if k.Effective {
			effective++
		}
	}
	fmt.Fprintf(&b, "# Keywords\n\nEvery keyword of keepalived 2.4 and those that only Holdfast has, %d rows, of which %d are effective here. The others are read\n"+
		"and checked; the last column says why. What is said of parents and children is about keepalived's processes. This page is made from the\n"+
		"code: `UPDATE=1 go test ./config`.\n"+forms, len(all), effective)
	block := "-"
	for _, k := range all {
		if k.Block != block {
			block = k.Block
			fmt.Fprintf(&b, "\n## %s\n\n| keyword | arguments | default | meaning | here |\n|---|---|---|---|---|\n", cmp.Or(block, "top level"))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Name, cell(k.Arguments), cell(k.Default), cell(k.Meaning), cell(k.status()))
	}
	return b.String()
}

func (k *Keyword) status() string {
	if !k.Effective {
		return k.Reason
	}
	if k.Reason != "" {
		return "effective; " + k.Reason
	}
	return "effective"
}

// cell makes text fit for a table.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "<", "&lt;").Replace(text)
}
