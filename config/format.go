package config

import (
	"errors"
	"slices"
	"strings"
)

// Format gives a file its canonical layout: four blanks of indentation, one statement or brace a line, one blank before a
// brace or a comment, one empty line between groups. Comments stay, and so does the meaning. Lines of the language around the
// keywords (conditions, definitions, repetitions) are only indented, and bodies of multi-line definitions are left as they
// are. A file whose words, quotes or braces are wrong is not formatted.
func Format(name string, src []byte) ([]byte, error) {
	before, diags := Parse(name, src)
	if err := diags.Err(); err != nil {
		return nil, err
	}
	f := &formatter{}
	for line := range strings.Lines(string(src)) {
		f.line(strings.TrimRight(line, "\r\n"))
	}
	out := f.bytes()
	after, _ := Parse(name, out)
	if !sameNodes(before.Nodes, after.Nodes) {
		return nil, errors.New("config: " + name + ": the canonical layout would mean something else; it is left as it is")
	}
	return out, nil
}

// sameNodes compares what is said, not where.
func sameNodes(a, b []*Node) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].HasBlock != b[i].HasBlock || len(a[i].Words) != len(b[i].Words) || !sameNodes(a[i].Block, b[i].Block) {
			return false
		}
		for j := range a[i].Words {
			if a[i].Words[j].Text != b[i].Words[j].Text || a[i].Words[j].Quoted != b[i].Words[j].Quoted {
				return false
			}
		}
	}
	return true
}

type formatter struct {
	out         []string
	depth       int
	gap         bool // an empty line was read and not written yet
	open        bool // the last line is a statement that a { may be put on
	definition  bool // inside of a multi-line definition
	conditional bool // the line before was a condition that opened a block
}

func (f *formatter) bytes() []byte {
	if len(f.out) == 0 {
		return nil
	}
	return []byte(strings.Join(f.out, "\n") + "\n")
}

func (f *formatter) line(line string) {
	text := strings.Trim(line, blanks)
	switch {
	case f.definition:
		f.out = append(f.out, strings.TrimRight(line, blanks))
		f.definition = text != "" && strings.HasSuffix(uncomment(text), `\`) || strings.HasPrefix(text, "#") || strings.HasPrefix(text, "!")
	case text == "":
		f.gap = len(f.out) > 0
	case strings.ContainsRune("@$~", rune(text[0])) || strings.Contains(text, "$"):
		f.language(text)
	default:
		f.conditional = false
		f.statements(text)
	}
}

// put writes a line at the present depth.
func (f *formatter) put(text string) {
	if f.gap && text != "}" && len(f.out) > 0 && !strings.HasSuffix(f.out[len(f.out)-1], "{") {
		f.out = append(f.out, "")
	}
	f.gap = false
	f.out = append(f.out, strings.Repeat("    ", max(f.depth, 0))+text)
}

// language indents a line whose text is not to be touched. Of conditions in a row that open a block each, one is taken.
func (f *formatter) language(text string) {
	code := uncomment(text)
	change := braceBalance(code)
	if change < 0 {
		f.depth += change
	}
	again := text[0] == '@' && f.conditional && change > 0
	if again {
		f.depth -= change
	}
	f.put(text)
	if change > 0 {
		f.depth += change
	}
	f.conditional = text[0] == '@' && change > 0
	f.open = false
	_, value, isDefinition := definitionOf(code)
	f.definition = isDefinition && strings.HasSuffix(value, `\`)
}

// braceBalance counts braces outside of quotes that are no part of ${NAME}.
func braceBalance(text string) (change int) {
	for i := braceAt(text); i < len(text); i += 1 + braceAt(text[i+1:]) {
		switch {
		case text[i] == '}':
			change--
		case i > 0 && text[i-1] == '$':
			i += max(strings.IndexByte(text[i:], '}'), 0)
		default:
			change++
		}
	}
	return change
}

// statements splits a line at its braces.
func (f *formatter) statements(text string) {
	end := commentAt(text)
	code, comment := strings.TrimRight(text[:end], blanks), text[end:]
	wrote := false
	for code != "" {
		i := braceAt(code)
		if statement := strings.Trim(code[:i], blanks); statement != "" {
			f.put(oneBlank(statement))
			f.open, wrote = true, true
		}
		if i == len(code) {
			break
		}
		f.brace(code[i])
		wrote = true
		code = strings.TrimLeft(code[i+1:], blanks)
	}
	f.comment(comment, wrote)
}

func (f *formatter) brace(c byte) {
	if c == '}' {
		f.depth--
		f.put("}")
		f.open = false
		return
	}
	if f.open {
		f.out[len(f.out)-1] += " {"
	} else {
		f.put("{")
	}
	f.depth++
	f.open, f.gap = false, false
}

func (f *formatter) comment(comment string, behind bool) {
	switch {
	case comment == "":
	case behind:
		f.out[len(f.out)-1] += " " + comment
		f.open = false
	default:
		f.put(comment)
		f.open = false
	}
}

// oneBlank takes surplus blanks out from between words. Where there are quotes of a script or escapes, nobody can tell.
func oneBlank(statement string) string {
	if strings.ContainsAny(statement, `'\`) {
		return statement
	}
	var b strings.Builder
	quoted, blank := false, false
	for i := 0; i < len(statement); i++ {
		c := statement[i]
		if c == '"' {
			quoted = !quoted
		}
		if !quoted && isBlank(c) {
			blank = true
			continue
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Format writes the tree in the canonical layout: that of a tree that [Parse] made is what the function Format makes of its
// text. A statement whose Words were changed is written anew, with quotes around what has blanks; one that was added needs no Pos.
// What is between the statements of a line and of the next is kept as far as it is an empty line.
func (f *File) Format() []byte {
	w := &treeWriter{}
	w.nodes(f.Nodes)
	return w.out.bytes()
}

// treeWriter gives a formatter what a tree holds.
type treeWriter struct {
	out  formatter
	line int // in the source, of what was written last; 0 when it has none
}

func (w *treeWriter) nodes(list []*Node) {
	for _, n := range list {
		w.node(n)
	}
}

func (w *treeWriter) node(n *Node) {
	behind := n.Line > 0 && n.Line == w.line
	if n.Line > 0 { // one that was added stands right behind the one before
		w.out.gap = w.line > 0 && n.Line > w.line+1
		w.line = n.Line
	}
	if len(n.Words) == 0 {
		w.out.comment(n.Comment, behind)
		return
	}
	switch {
	case n.HasBlock && n.language() && n.End.Line == n.Line: // it is about this line
		w.out.put(n.line())
	case n.HasBlock:
		w.out.put(n.statement())
		w.out.open = true
		w.out.brace('{')
		w.nodes(n.Block)
		w.out.brace('}')
		w.line = max(w.line, n.End.Line)
	default:
		w.out.put(n.statement())
		w.out.open = true
	}
	w.out.comment(n.Comment, true)
}

// language says that the statement is one of the language around the keywords, or has something of it.
func (n *Node) language() bool {
	first := n.Words[0].Text
	return first != "" && strings.IndexByte("@$~", first[0]) >= 0 || strings.Contains(n.Raw, "$")
}

// line is the statement with its block on one line.
func (n *Node) line() string {
	text := n.statement()
	if !n.HasBlock {
		return text
	}
	text += " {"
	for _, inside := range n.Block {
		text += " " + inside.line()
	}
	return text + " }"
}

// statement is the text of a statement: as it was written, if it still says the same.
func (n *Node) statement() string {
	words := wordsOf(n.Raw)
	if slices.EqualFunc(words, n.Words, func(a, b Word) bool { return a.Text == b.Text && a.Quoted == b.Quoted }) {
		raw := strings.Trim(n.Raw, blanks)
		if !n.language() {
			raw = oneBlank(raw)
		}
		return raw
	}
	var b strings.Builder
	for i, w := range n.Words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w.written())
	}
	return b.String()
}

// written is the word with quotes if it needs them.
func (w Word) written() string {
	if w.Quoted || w.Text == "" || strings.ContainsAny(w.Text, blanks+"#!{}") {
		return `"` + w.Text + `"`
	}
	return w.Text
}

// wordsOf are the words of a statement's text.
func wordsOf(raw string) []Word {
	f, _ := Parse("", []byte(raw))
	if len(f.Nodes) == 0 {
		return nil
	}
	return f.Nodes[0].Words
}
