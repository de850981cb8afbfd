package config

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
)

// Limits of expansion. No honest configuration comes near; a bomb ends at them with a diagnostic.
const (
	maxDepth = 32      // files within files, definitions within definitions, repetitions within repetitions
	maxLines = 1 << 20 // lines, rounds and replacements that expansion makes
	maxText  = 1 << 20 // bytes of one expanded line
)

// origin is what produced a line: a file that includes, a definition, a repetition.
type origin struct {
	pos  Pos
	what string
}

// Expand reads a file with everything that it includes, and gives its statements with conditions decided, definitions
// replaced and repetitions written out. What produced a statement is told by [Pos.Via].
func (l Loader) Expand(name string, src []byte) (*File, Diagnostics) {
	var diags Diagnostics
	file := &File{Name: name}
	newExpander(l, &diags, func(n *Node) { file.Nodes = append(file.Nodes, n) }).run(name, string(src))
	return file, diags.sorted()
}

// expander gives the parser its lines.
type expander struct {
	*parser
	loader  Loader
	id      string
	defs    map[string]*definition
	reading *definition // a multi-line definition that goes on
	files   []string    // open, outermost first
	depth   int
	made    int
	check   includeCheck
	worked  int     // texts that were more than statements
	reader  *reader // nil without a Cache
}

// definition is what $NAME stands for: one line, or several.
type definition struct {
	name  string
	lines []string
	multi bool
	used  bool // being expanded: a second use within is a cycle
}

func newExpander(l Loader, diags *Diagnostics, emit func(*Node)) *expander {
	e := &expander{parser: newParser(diags, emit), loader: l, id: l.id(), defs: map[string]*definition{}}
	e.special = e.maybeLanguage
	return e
}

func (e *expander) run(name, text string) {
	e.source(name, text)
	e.end()
}

// source reads the lines of one file.
func (e *expander) source(name, text string) {
	e.file, e.line = name, 0
	e.files = append(e.files, name)
	for text = e.clean(name, text); text != ""; {
		if n := e.reader.take(text); n > 0 {
			text = text[n:]
			continue
		}
		line := text
		if end := strings.IndexByte(text, '\n'); end >= 0 {
			line = text[:end+1]
		}
		text = text[len(line):]
		e.sourceLine(line)
		e.reader.outside(line)
	}
	e.files = e.files[:len(e.files)-1]
}

// sourceLine reads one line of a file.
func (e *expander) sourceLine(line string) {
	e.line++
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	switch {
	case e.reading != nil:
		e.continueDefinition(line)
	case strings.IndexByte(line, '$') >= 0:
		e.language(uncomment(line), len(line)-len(strings.TrimLeft(line, blanks)))
	default:
		e.text(line, 0)
	}
}

// idle says that nothing is open: what comes next is a statement of the top level.
func (e *expander) idle() bool { return len(e.open) == 1 && e.last == nil && e.reading == nil }

// uncomment removes comment and outer blanks. Escapes of comment signs stay, for the parser to remove.
func uncomment(line string) string { return strings.Trim(line[:commentAt(line)], blanks) }

// maybeLanguage takes a statement's text when it is a line of the language around the keywords.
func (e *expander) maybeLanguage(rest string, column int) bool {
	if rest[0] == 'i' && !isInclude(rest) {
		return false
	}
	text := uncomment(rest)
	if text[0] == '~' && !isRepetition(text) {
		return false
	}
	e.language(text, column)
	return true
}

// language works a line, or the rest of one, off: condition, definition, repetition, substitution, include, in this order;
// then what stands before the first brace, the brace, and the rest in the same way.
func (e *expander) language(text string, column int) {
	e.worked++
	if e.depth++; e.depth > maxDepth {
		e.failf(column, "expansion-depth", "", "expansion is more than %d deep here; the rest is left out", maxDepth)
		e.depth--
		return
	}
	defer func() { e.depth-- }()
	for text != "" {
		rest := e.piece(text, column)
		column += len(text) - len(rest)
		text = rest
	}
}

// piece works the beginning of a text off, up to its first brace, and returns the rest.
func (e *expander) piece(text string, column int) (rest string) {
	if strings.HasPrefix(text, "@") {
		var keep bool
		if text, keep = e.condition(text); !keep {
			return ""
		}
	}
	if name, value, ok := definitionOf(text); ok {
		e.define(name, value)
		return ""
	}
	if isRepetition(text) {
		e.repeat(text, column)
		return ""
	}
	if strings.IndexByte(text, '$') < 0 {
		return e.plain(text, column)
	}
	e.expanded(e.substitute(text, column), text, column)
	return ""
}

// expanded hands the first of the lines on as it is; what a multi-line definition has beyond it are lines of their own.
func (e *expander) expanded(lines []string, text string, column int) {
	if len(lines) != 1 || lines[0] != text {
		defer func(fixed int) { e.fixed = fixed }(e.fixed)
		if e.fixed == 0 {
			e.fixed = column + 1
		}
	}
	if !e.spend(len(lines), column) {
		return
	}
	if rest := e.plain(uncomment(lines[0]), column); rest != "" {
		e.language(rest, column)
	}
	for _, line := range lines[1:] {
		e.language(uncomment(line), column)
	}
}

// spend takes from what expansion may make. When that is used up it says so, once.
func (e *expander) spend(count, column int) bool {
	if e.made > maxLines {
		return false
	}
	if e.made += count; e.made > maxLines {
		e.failf(column, "expansion-size", "", "expansion makes more than %d lines; the rest is left out", maxLines)
		return false
	}
	return true
}

// plain is a line without definitions: an include, or statements up to a brace. It returns what is after that.
func (e *expander) plain(text string, column int) (rest string) {
	if isInclude(text) {
		e.include(text, column)
		return ""
	}
	end := braceAt(text)
	if end == len(text) {
		e.withoutSpecial(text, column)
		return ""
	}
	e.withoutSpecial(text[:end+1], column)
	return strings.TrimLeft(text[end+1:], blanks)
}

// withoutSpecial parses text whose language has been worked off.
func (e *expander) withoutSpecial(text string, column int) {
	special := e.special
	e.special = nil
	e.text(text, column)
	e.special = special
}

// braceAt is the first brace outside of quotes that is no part of ${NAME}, or the end.
func braceAt(text string) int {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case (c == '{' || c == '}') && !quoted:
			return i
		}
	}
	return len(text)
}

func (e *expander) failf(column int, code, hint, format string, args ...any) {
	e.diags.add(e.at(column+1), Error, code, hint, format, args...)
}

// condition decides @id and @^id. Without a word after it the line is dropped.
func (e *expander) condition(text string) (rest string, keep bool) {
	id, rest, _ := strings.Cut(strings.ReplaceAll(text[1:], "\t", " "), " ")
	rest = strings.TrimLeft(rest, " ")
	if id == "" || rest == "" {
		return "", false
	}
	if other, not := strings.CutPrefix(id, "^"); not {
		return rest, other != e.id
	}
	return rest, id == e.id
}

// Definitions.

func isName(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// nameAt is the length of the name that a text begins with.
func nameAt(text string) int {
	n := 0
	for n < len(text) && isName(text[n]) && (n > 0 || text[0] < '0' || text[0] > '9') {
		n++
	}
	return n
}

// definitionOf reads $NAME=value.
func definitionOf(text string) (name, value string, ok bool) {
	if !strings.HasPrefix(text, "$") {
		return "", "", false
	}
	n := nameAt(text[1:])
	if n == 0 || len(text) <= n+1 || text[n+1] != '=' {
		return "", "", false
	}
	return text[1 : n+1], strings.TrimLeft(text[n+2:], blanks), true
}

func (e *expander) define(name, value string) {
	d := &definition{name: name}
	e.defs[name] = d
	first, more := strings.CutSuffix(value, `\`)
	if !more {
		d.lines = []string{value}
		return
	}
	d.multi = true
	if first = strings.TrimSpace(first); first != "" {
		d.lines = []string{first}
	}
	e.reading = d
}

// continueDefinition adds a line: lines that end in a backslash have another one after them. A line of nothing but a comment
// is skipped, an empty one ends the definition.
func (e *expander) continueDefinition(line string) {
	text := uncomment(line)
	if text == "" {
		if strings.TrimSpace(line) == "" {
			e.reading = nil
		}
		return
	}
	body, more := strings.CutSuffix(text, `\`)
	if body = strings.TrimSpace(body); body != "" {
		e.reading.lines = append(e.reading.lines, body)
	}
	if !more {
		e.reading = nil
	}
}

// substitute replaces what is defined in a line, again in what it is replaced with. The result has several lines when the
// line ends in a multi-line definition.
func (e *expander) substitute(text string, column int) []string {
	defer func(via *origin) { e.via = via }(e.via)
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' {
			out.WriteByte(text[i])
			continue
		}
		name, parameters, length := referenceAt(text[i:])
		if length == 0 {
			out.WriteByte('$')
			continue
		}
		lines, ok := e.value(name, parameters, text[i:i+length], column+i)
		if last := i+length == len(text); ok && len(lines) > 1 && !last {
			e.failf(column+i, "multi-line-definition", "put it at the end of the line", "$%s has several lines and is not the last thing on its line", name)
			ok = false
		}
		switch {
		case !ok:
			out.WriteString(quoteBraces(text[i : i+length]))
		case len(lines) > 1:
			return append([]string{out.String() + lines[0]}, lines[1:]...)
		case len(lines) == 1:
			out.WriteString(lines[0])
		}
		i += length - 1
		if out.Len() > maxText {
			e.failf(column, "expansion-size", "", "the line grows beyond %d bytes; the rest of it is left out", maxText)
			break
		}
	}
	return []string{out.String()}
}

// quoteBraces keeps a reference that cannot be replaced in one piece: its braces shall not pass for a block's.
func quoteBraces(reference string) string {
	return strings.NewReplacer("{", "(", "}", ")").Replace(reference)
}

// referenceAt reads ${NAME}, ${NAME PARAMETERS}, or $NAME before a blank, a comma, a parenthesis or the end.
func referenceAt(text string) (name, parameters string, length int) {
	if strings.HasPrefix(text, "${") {
		n, end := nameAt(text[2:]), strings.IndexByte(text, '}')
		if n == 0 || end < 0 || end > n+2 && !isBlank(text[n+2]) || end < n+2 {
			return "", "", 0
		}
		return text[2 : n+2], strings.TrimSpace(text[n+2 : end]), end + 1
	}
	n := nameAt(text[1:])
	if n == 0 || n+1 < len(text) && !strings.ContainsRune(" \t,)", rune(text[n+1])) {
		return "", "", 0
	}
	return text[1 : n+1], "", n + 1
}

// value is what a reference stands for.
func (e *expander) value(name, parameters, reference string, column int) (lines []string, ok bool) {
	d := e.defs[name]
	switch {
	case d == nil && strings.HasPrefix(name, "_"):
		text, ok := e.predefined(name, parameters, column)
		e.reader.outside(text)
		return []string{text}, ok
	case d == nil:
		e.diags.add(e.at(column+1), Warning, "undefined", "define it above: $"+name+"=VALUE", "%s is not defined; it is taken as it stands", reference)
		return nil, false
	case d.used:
		e.failf(column, "definition-cycle", "", "$%s is defined by itself", name)
		return nil, false
	case !e.spend(1, column):
		return nil, false
	case e.depth > maxDepth:
		e.failf(column, "expansion-depth", "", "definitions are more than %d deep", maxDepth)
		return nil, false
	}
	d.used = true
	e.depth++
	defer func() { d.used = false; e.depth-- }()
	e.via = &origin{e.at(column + 1), "definition $" + name}
	if d.multi {
		return d.lines, true
	}
	if strings.IndexByte(d.lines[0], '$') < 0 {
		return d.lines, true
	}
	return e.substitute(d.lines[0], column), true
}

// predefined are the names that begin with an underscore.
func (e *expander) predefined(name, parameters string, column int) (string, bool) {
	words := strings.Fields(parameters)
	bad := func(want string) (string, bool) {
		e.failf(column, "bad-parameters", "${"+name+want+"}", "${%s %s} has the wrong parameters", name, parameters)
		return "", false
	}
	switch name {
	case "_PWD":
		return e.dir(), true
	case "_INSTANCE":
		return e.id, true
	case "_HASH":
		return "#", true
	case "_BANG":
		return "!", true
	case "_ENV":
		if len(words) != 1 {
			return bad(" NAME")
		}
		return e.loader.getenv(words[0]), true
	case "_RANDOM":
		low, high, ok := randomRange(words)
		if !ok {
			return bad(" [MIN [MAX]]")
		}
		if low > high {
			e.failf(column, "bad-parameters", "", "${_RANDOM %s}: the least is above the most", parameters)
			high = low
		}
		return strconv.FormatUint(low+rand.Uint64N(high-low+1), 10), true
	}
	e.diags.add(e.at(column+1), Warning, "undefined", "", "%s is not defined; it is taken as it stands", name)
	return "", false
}

func randomRange(words []string) (low, high uint64, ok bool) {
	high = 32767
	for i, bound := range []*uint64{&low, &high} {
		if i < len(words) {
			v, err := strconv.ParseUint(words[i], 10, 32)
			if err != nil {
				return 0, 0, false
			}
			*bound = v
		}
	}
	return low, high, len(words) <= 2
}

func (e *expander) dir() string {
	dir := filepath.Dir(e.file)
	if e.loader.FS == nil {
		if abs, err := filepath.Abs(dir); err == nil {
			return abs
		}
	}
	return dir
}

// Repetitions.

func isRepetition(text string) bool {
	return strings.HasPrefix(text, "~SEQ(") || strings.HasPrefix(text, "~SEQx(") || strings.HasPrefix(text, "~LST(")
}

// repeat works ~SEQ(...) and ~LST(...) off: the text after the parenthesis, once for each value.
func (e *expander) repeat(text string, column int) {
	kind, rest, _ := strings.Cut(text, "(")
	list, body, closed := strings.Cut(rest, ")")
	if !closed {
		e.failf(column, "bad-repetition", "", "%s has no closing parenthesis", kind)
		return
	}
	if kind != "~LST" && strings.IndexByte(list, '$') >= 0 {
		if lines := e.substitute(list, column); len(lines) == 1 {
			list = lines[0]
		}
	}
	names, rows, err := rowsOf(kind, list)
	if err != nil {
		e.failf(column, "bad-repetition", "", "%s(%s): %v", kind, list, err)
		return
	}
	if body = strings.TrimLeft(body, blanks); body == "" {
		return
	}
	defer func(via *origin, fixed int) { e.via, e.fixed = via, fixed }(e.via, e.fixed)
	e.via = &origin{e.at(column + 1), kind}
	if e.fixed == 0 {
		e.fixed = column + 1
	}
	e.rounds(names, rows, body, column)
}

func (e *expander) rounds(names []string, rows [][]string, body string, column int) {
	for _, row := range rows {
		if !e.spend(1, column) {
			return
		}
		for i, name := range names {
			e.defs[name] = &definition{name: name, lines: []string{row[i]}}
		}
		e.language(body, column)
	}
}

// rowsOf gives the variables of a repetition and their values, round by round.
func rowsOf(kind, list string) (names []string, rows [][]string, err error) {
	if kind == "~LST" {
		return listRows(list)
	}
	f := strings.Split(list, ",")
	for i := range f {
		f[i] = strings.TrimSpace(f[i])
	}
	if nameAt(f[0]) == 0 || nameAt(f[0]) != len(f[0]) || len(f) < 2 || len(f) > 4 {
		return nil, nil, fmt.Errorf("want (VARIABLE, [START, [STEP,]] END)")
	}
	start, step, end, err := sequence(f[1:])
	if err != nil {
		return nil, nil, err
	}
	if (end-start)/step >= maxLines {
		return nil, nil, fmt.Errorf("more than %d rounds", maxLines)
	}
	format := "%d"
	if kind == "~SEQx" {
		if format = "%x"; start < 0 || end < 0 {
			return nil, nil, fmt.Errorf("hexadecimal numbers cannot be negative")
		}
	}
	for v := start; step > 0 && v <= end || step < 0 && v >= end; v += step {
		rows = append(rows, []string{fmt.Sprintf(format, v)})
	}
	return f[:1], rows, nil
}

// sequence reads [START, [STEP,]] END.
func sequence(f []string) (start, step, end int64, err error) {
	numbers := make([]int64, len(f))
	for i := range f {
		if numbers[i], err = strconv.ParseInt(f[i], 0, 64); err != nil {
			return 0, 0, 0, fmt.Errorf("%q is not a number", f[i])
		}
		if numbers[i] > 1<<40 || numbers[i] < -1<<40 {
			return 0, 0, 0, fmt.Errorf("%s is out of range", f[i])
		}
	}
	end = numbers[len(numbers)-1]
	start = 1
	if end < 0 {
		start = -1
	}
	if len(numbers) > 1 {
		start = numbers[0]
	}
	step = 1
	if start > end {
		step = -1
	}
	if len(numbers) > 2 {
		step = numbers[1]
	}
	if step == 0 || step > 0 && start > end || step < 0 && start < end {
		return 0, 0, 0, fmt.Errorf("step %d never gets from %d to %d", step, start, end)
	}
	return start, step, end, nil
}

// listRows reads VARIABLE, V1, V2 or {A,B}, {A1,B1}, {A2,B2}.
func listRows(list string) (names []string, rows [][]string, err error) {
	items := tuples(list)
	if len(items) < 2 {
		return nil, nil, fmt.Errorf("want (VARIABLE, VALUE, ...) or ({VARIABLES}, {VALUES}, ...)")
	}
	names = items[0]
	for _, name := range names {
		if nameAt(name) == 0 || nameAt(name) != len(name) {
			return nil, nil, fmt.Errorf("%q is no name", name)
		}
	}
	for _, row := range items[1:] {
		if len(row) > len(names) {
			return nil, nil, fmt.Errorf("%d values for %d variables", len(row), len(names))
		}
		rows = append(rows, append(row, make([]string, len(names)-len(row))...))
	}
	return names, rows, nil
}

// tuples splits at commas outside of braces, and what is in braces at its own.
func tuples(list string) (items [][]string) {
	for rest, more := list, true; more; {
		rest = strings.TrimLeft(rest, blanks)
		if inner, after, ok := strings.Cut(strings.TrimPrefix(rest, "{"), "}"); ok && strings.HasPrefix(rest, "{") {
			var row []string
			for _, v := range strings.Split(inner, ",") {
				row = append(row, strings.TrimSpace(v))
			}
			items = append(items, row)
			_, rest, more = strings.Cut(after, ",")
			continue
		}
		var one string
		one, rest, more = strings.Cut(rest, ",")
		items = append(items, []string{strings.TrimSpace(one)})
	}
	return items
}
