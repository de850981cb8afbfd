package config

import (
	"fmt"
	"strings"
)

// File is the syntax tree of one file.
type File struct {
	Name  string
	Nodes []*Node
}

// Node is a statement: a keyword, its values, and for a block what is inside. A comment on a line of its own is a Node with
// no Words.
type Node struct {
	Pos
	// Words are the keyword and its values, quotes removed.
	Words []Word
	// Raw is the text of the statement without its braces and comment, as it was written.
	Raw string
	// HasBlock says that braces follow; Block is what they hold.
	HasBlock bool
	Block    []*Node
	// End is the place of the closing brace.
	End Pos
	// Comment is the comment at the end of the line, or on it, with its # or !. One behind a brace of a block is a Node of its
	// own, with the brace's line: the first in the Block, or the one after it.
	Comment string

	keyword *Keyword // nil when it is not known, or when it is an entry of a list
	read    bool     // its first value has been read, without an error
}

// Word is one word of a statement.
type Word struct {
	Pos
	Text   string
	Quoted bool
}

// Keyword is the first word, empty for a comment.
func (n *Node) Keyword() string {
	if len(n.Words) == 0 {
		return ""
	}
	return n.Words[0].Text
}

// Values are the words after the keyword.
func (n *Node) Values() []Word {
	if len(n.Words) == 0 {
		return nil
	}
	return n.Words[1:]
}

// Parse reads one file into its tree and keeps everything: comments, unknown keywords, and include, definition, condition and
// repetition lines as statements like any other. It reports what is wrong with words, quotes and braces, and goes on after
// each. The tree is complete whatever the input.
func Parse(name string, src []byte) (*File, Diagnostics) {
	var diags Diagnostics
	file := &File{Name: name}
	p := newParser(&diags, func(n *Node) { file.Nodes = append(file.Nodes, n) })
	p.file, p.raw = name, true
	for line := range strings.Lines(p.clean(name, string(src))) {
		p.line++
		p.text(strings.TrimRight(line, "\r\n"), 0)
	}
	p.end()
	return file, diags.sorted()
}

// parser makes statements of lines, and blocks of statements. It knows from the schema which keywords have a block, so that a
// missing brace does not wreck what follows.
type parser struct {
	diags *Diagnostics
	emit  func(*Node) // takes each complete statement of the top level
	file  string
	line  int
	via   *origin
	fixed int  // the column of everything on this line, when it was expanded; 0 when columns are those of the text
	raw   bool // include, definitions and so on are statements like any other
	nul   bool // the file has NUL bytes
	reuse bool // emit keeps no node: the memory of a top-level statement is used again for the next

	// special takes a statement that may be a line of the language around the keywords: the rest of the line, from a column
	// on. It may be nil.
	special func(rest string, column int) bool

	open  []frame
	last  *Node // statement that a { would belong to
	nodes []Node
	words []Word
}

// frame is an open block.
type frame struct {
	node  *Node
	block *block // nil inside of lists and unknown blocks: nothing is looked up
}

func newParser(diags *Diagnostics, emit func(*Node)) *parser {
	return &parser{diags: diags, emit: emit, open: []frame{{block: theSchema().blocks[""]}}}
}

func (p *parser) at(column int) Pos {
	if p.fixed > 0 {
		column = p.fixed
	}
	return Pos{File: p.file, Line: p.line, Column: column, via: p.via}
}

// web are characters that web pages and word processors put in place of plain ones, with what was meant.
var web = strings.NewReplacer("\u00a0", "  ", "\u201c", `"  `, "\u201d", `"  `, "\u201e", `"  `, "\uff5b", "{  ", "\uff5d", "}  ",
	"\u3000", "   ", "\uff03", "#  ", "\uff01", "!  ", "\u2013", "-  ", "\u200b", "   ")

// clean mends what web pages and editors do to a file, and says so once for each kind. Columns stay right: what is put in
// place is as long as what was there.
func (p *parser) clean(name, text string) string {
	if rest, ok := strings.CutPrefix(text, "\ufeff"); ok {
		p.diags.add(Pos{File: name, Line: 1, Column: 1}, Warning, "byte-order-mark", "save the file without it",
			"the file begins with a byte order mark, which keepalived takes for part of the first keyword")
		text = rest
	}
	p.nul = strings.IndexByte(text, 0) >= 0
	for _, lead := range []byte("\xc2\xe2\xe3\xef") { // what the web's characters begin with, in UTF-8
		if strings.IndexByte(text, lead) >= 0 {
			return p.mend(name, text)
		}
	}
	return text
}

// mend replaces the web's characters outside of comments.
func (p *parser) mend(name, text string) string {
	var out strings.Builder
	lines, first, kinds := 0, Pos{}, ""
	number := 0
	for line := range strings.Lines(text) {
		number++
		code := line[:commentAt(line)]
		mended := web.Replace(code)
		if mended != code {
			i := difference(code, mended)
			if lines++; lines == 1 {
				first = Pos{File: name, Line: number, Column: i + 1}
			}
			for _, r := range code {
				if kind := fmt.Sprintf(" U+%04X", r); web.Replace(string(r)) != string(r) && !strings.Contains(kinds, kind) {
					kinds += kind
				}
			}
		}
		out.WriteString(mended + line[len(code):])
	}
	if lines == 0 {
		return text
	}
	code, what := "web-punctuation", "characters of a web page or a word processor"
	if kinds == " U+00A0" {
		code, what = "non-breaking-space", "non-breaking spaces"
	}
	p.diags.add(first, Warning, code, "replace them by plain characters, for example: "+`sed -i 's/\xc2\xa0/ /g' `+name,
		"%d lines have %s (%s); they are read here as what was meant, but keepalived takes them for words and drops nearly everything",
		lines, what, strings.TrimSpace(kinds))
	return out.String()
}

// difference is the first place at which two texts differ.
func difference(a, b string) int {
	for i := range len(a) {
		if i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

// commentAt is where the comment of a line begins, or its end.
func commentAt(line string) int {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '\\' && i+1 < len(line) && (line[i+1] == '#' || line[i+1] == '!'):
			i++
		case c == '#' || c == '!':
			return i
		}
	}
	return len(line)
}

// text splits a line, from a column on, into statements and braces. Braces end a statement wherever they stand outside of
// quotes.
func (p *parser) text(line string, column int) {
	if p.nul && strings.IndexByte(line, 0) >= 0 {
		p.diags.add(p.at(column+1), Error, "nul-byte", "", "the line holds a NUL byte and is left out")
		return
	}
	begin, count := -1, 0 // of the statement: its first byte, its words, which are the last ones of p.words
	finish := func(end int, comment string) {
		p.statement(line, begin, end, column, count, comment)
		begin, count = -1, 0
	}
	for i := 0; i < len(line); {
		c := line[i]
		switch {
		case isBlank(c):
			i++
			continue
		case c == '#' || c == '!':
			finish(i, line[i:])
			return
		case c == '{' || c == '}':
			finish(i, "")
			p.brace(c, column+i)
			i++
			continue
		}
		if begin < 0 {
			if p.reuse && p.last == nil && len(p.open) == 1 {
				p.nodes, p.words = p.nodes[:0], p.words[:0]
			}
			if p.special != nil && isSpecial(c) && p.special(line[i:], column+i) {
				return
			}
			begin = i
		}
		i = p.word(line, i, column)
		count++
	}
	finish(len(line), "")
}

// blanks separate words.
const blanks = " \t\f\v\r"

func isBlank(c byte) bool   { return c == ' ' || c == '\t' || c == '\f' || c == '\v' || c == '\r' }
func isSpecial(c byte) bool { return c == '@' || c == '$' || c == '~' || c == 'i' }

// stops are the bytes that end a word.
var stops = func() (set [256]bool) {
	for _, c := range blanks + "\"{}#!" {
		set[c] = true
	}
	return set
}()

// word reads one word from line[i]. Quotes do not glue: a"b" is two words.
func (p *parser) word(line string, i, column int) int {
	w := Word{Pos: p.at(column + i + 1)}
	start := i
	if line[i] == '"' {
		w.Quoted = true
		end := strings.IndexByte(line[i+1:], '"')
		if end < 0 {
			p.diags.add(w.Pos, Error, "unterminated-quote", `add the closing "`, "the quoted text is not closed on its line")
			w.Text, i = line[i+1:], len(line)
		} else {
			w.Text, i = line[i+1:i+1+end], i+end+2
		}
		p.words = append(p.words, w)
		return i
	}
	escaped := false
	for ; i < len(line) && !stops[line[i]]; i++ {
		switch {
		case line[i] == '\\' && i+1 < len(line) && (line[i+1] == '#' || line[i+1] == '!'):
			escaped = true
			i++
		case p.raw && line[i] == '$' && i+1 < len(line) && line[i+1] == '{':
			i += max(strings.IndexByte(line[i:], '}'), 0)
		case p.raw && i == start && strings.HasPrefix(line[i:], "~LST("):
			i += max(strings.IndexByte(line[i:], ')'), 0)
		}
	}
	w.Text = line[start:i]
	if escaped {
		w.Text = strings.NewReplacer(`\#`, "#", `\!`, "!").Replace(w.Text)
	}
	p.words = append(p.words, w)
	return i
}

// statement adds a node, made of the last count words, to the innermost open block.
func (p *parser) statement(line string, begin, end, column, count int, comment string) {
	if count == 0 && (comment == "" || !p.raw) {
		if n := p.top().node; n != nil && n.Line == p.line && comment != "" {
			n.Comment = comment // stands behind the {
		}
		return
	}
	if len(p.nodes) == cap(p.nodes) {
		p.nodes = make([]Node, 0, 256)
	}
	p.nodes = p.nodes[:len(p.nodes)+1]
	n := &p.nodes[len(p.nodes)-1]
	*n = Node{Comment: comment, Block: n.Block[:0]}
	if count == 0 {
		n.Pos = p.at(column + end + 1)
		p.add(n)
		return
	}
	n.Words = p.words[len(p.words)-count:][:count:count]
	n.Pos, n.Raw = n.Words[0].Pos, strings.TrimRight(line[begin:end], blanks)
	if cap(p.words)-len(p.words) < 64 {
		p.words = make([]Word, 0, 1024)
	}
	p.settle(n.Words[0].Text)
	if b := p.top().block; b != nil {
		n.keyword = b.keywords[n.Words[0].Text]
	}
	p.add(n)
	p.last = n
}

func (p *parser) top() *frame { return &p.open[len(p.open)-1] }

// add puts a node into the open block. One of the top level is emitted when it is complete.
func (p *parser) add(n *Node) {
	if parent := p.top().node; parent != nil {
		parent.Block = append(parent.Block, n)
	} else if n.Words == nil {
		p.flush()
		p.emit(n)
	}
}

// flush emits the top-level statement that is complete now.
func (p *parser) flush() {
	if p.last != nil && p.top().node == nil {
		p.emit(p.last)
	}
	p.last = nil
}

// settle ends the statement before: a { can no longer follow. Where the schema wants a block, it opens without its brace when
// the next word belongs there.
func (p *parser) settle(next string) {
	n := p.last
	if n == nil {
		return
	}
	if k := n.keyword; k != nil && k.Kind != "value" && !n.HasBlock && !p.raw {
		p.diags.add(n.Pos, Error, "missing-brace", "add a { after it", "%s must be followed by a block in braces", k.Name)
		n.End = n.Pos
		if next == "}" || k.inside == nil || k.inside.keywords[next] != nil {
			p.enter(n)
			return
		}
	}
	p.flush()
}

func (p *parser) brace(c byte, column int) {
	if c == '}' {
		p.settle("}")
		p.close(column)
		return
	}
	if p.last == nil {
		p.diags.add(p.at(column+1), Error, "stray-brace", "", "{ without a keyword before it; what is inside is left out")
		p.last = &Node{Pos: p.at(column + 1)}
		if parent := p.top().node; parent != nil {
			parent.Block = append(parent.Block, p.last)
		}
	}
	p.enter(p.last)
}

func (p *parser) enter(n *Node) {
	n.HasBlock, p.last = true, nil
	f := frame{node: n}
	if n.keyword != nil {
		f.block = n.keyword.inside
	}
	p.open = append(p.open, f)
}

func (p *parser) close(column int) {
	p.last = nil
	if len(p.open) == 1 {
		p.diags.add(p.at(column+1), Error, "stray-brace", "remove it, or look for a { that is missing above", "} closes nothing: no block is open here")
		return
	}
	n := p.top().node
	n.End = p.at(column + 1)
	p.open = p.open[:len(p.open)-1]
	if p.top().node == nil {
		p.emit(n)
	}
}

// end emits what is still open, and names every block that is.
func (p *parser) end() {
	p.settle("")
	for len(p.open) > 1 {
		n := p.open[1].node
		for _, f := range p.open[1:] {
			f.node.End = p.at(1)
			p.diags.add(f.node.Pos, Error, "unclosed-block", "look for a } that is missing", "the block %s that begins here is never closed", f.node.Keyword())
		}
		p.open = p.open[:1]
		p.emit(n)
	}
}
