package config

import (
	"path/filepath"
	"slices"
	"strings"
)

// includeCheck is which failures of an include are errors.
type includeCheck uint8

const (
	checkRead     includeCheck = 1 << iota // unreadable, a directory, executable
	checkMatch                             // a name without wildcard that is not there
	checkWildcard                          // a wildcard that matches nothing
	checkBrace                             // an alternative in braces that is not there
	checkAll      = checkRead | checkMatch | checkWildcard | checkBrace
)

var includeForms = map[string]includeCheck{
	"include": 0, "includer": checkRead, "includem": checkRead | checkMatch, "includew": checkRead | checkMatch | checkWildcard,
	"includeb": checkRead | checkBrace, "includea": checkAll,
}

var includeChecks = map[string]includeCheck{
	"readable": checkRead, "match": checkMatch, "wildcard_match": checkWildcard, "brace_match": checkBrace,
}

func isInclude(text string) bool {
	if !strings.HasPrefix(text, "include") {
		return false
	}
	word, _, _ := strings.Cut(strings.ReplaceAll(text, "\t", " "), " ")
	_, ok := includeForms[word]
	return ok || word == "include_check"
}

// include splices files in.
func (e *expander) include(text string, column int) {
	form, pattern, _ := strings.Cut(strings.ReplaceAll(text, "\t", " "), " ")
	pattern = strings.TrimSpace(pattern)
	if form == "include_check" {
		e.setCheck(strings.Fields(pattern), column)
		e.withoutSpecial(text, column)
		return
	}
	if pattern == "" {
		e.failf(column, "missing-value", form+" FILE", "%s has no file", form)
		return
	}
	check := includeForms[form] | e.check
	full := pattern
	if !filepath.IsAbs(pattern) {
		full = filepath.Join(filepath.Dir(e.file), pattern)
	}
	names, missing := e.loader.glob(full)
	e.reportMissing(pattern, len(names), missing, check, column)
	for _, name := range names {
		e.includeFile(name, strings.ContainsAny(pattern, "*?["), check, column)
	}
}

func (e *expander) reportMissing(pattern string, found, missing int, check includeCheck, column int) {
	kind, what := checkMatch, "there is no file "
	switch {
	case strings.Contains(pattern, "{"):
		kind, what = checkBrace, "an alternative names no file: "
		if missing == 0 {
			return
		}
	case found > 0:
		return
	case strings.ContainsAny(pattern, "*?["):
		kind, what = checkWildcard, "no file matches "
	}
	e.includeProblem(kind, check, column, "%s%s", what, pattern)
}

// includeProblem is an error where the form or include_check asks for it, and else worth knowing.
func (e *expander) includeProblem(kind, check includeCheck, column int, format string, args ...any) {
	severity, code := Warning, "include"
	if check&kind != 0 {
		severity = Error
	}
	if kind == checkWildcard { // there may be none
		code = "include-wildcard"
	}
	e.diags.add(e.at(column+1), severity, code, "", format, args...)
}

func (e *expander) includeFile(name string, wild bool, check includeCheck, column int) {
	if slices.Contains(e.files, name) {
		e.failf(column, "include-cycle", "", "%s includes itself", name)
		return
	}
	if len(e.files) >= maxDepth {
		e.failf(column, "include-depth", "", "files include each other more than %d deep", maxDepth)
		return
	}
	info, err := e.loader.stat(name)
	if err == nil && wild && info.IsDir() {
		return
	}
	src, err := e.loader.readFile(name)
	if err != nil {
		e.includeProblem(checkRead, check, column, "%v", err)
		return
	}
	file, line, via, fixed, level := e.file, e.line, e.via, e.fixed, e.check
	e.via, e.fixed = &origin{e.at(column + 1), "include"}, 0
	e.source(name, src)
	e.file, e.line, e.via, e.fixed, e.check = file, line, via, fixed, level
}

// setCheck works include_check off: the first word without sign replaces the set, +word adds, -word takes away.
func (e *expander) setCheck(words []string, column int) {
	if len(words) == 0 {
		e.check = checkAll
		return
	}
	for i, word := range words {
		name := strings.TrimLeft(word, "+-")
		bit, ok := includeChecks[name]
		switch {
		case !ok, i > 0 && name == word:
			e.failf(column, "bad-value", "readable, match, wildcard_match, brace_match, each with + or - before it", "include_check: %s", quoted(word))
		case word[0] == '-':
			e.check &^= bit
		case word[0] == '+':
			e.check |= bit
		default:
			e.check = checkRead | bit
		}
	}
}
