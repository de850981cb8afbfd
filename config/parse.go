package config

import (
	"bytes"
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
	// HasBlock says that braces follow; Block is what they hold.
	HasBlock bool
	Block    []*Node
	// Comment is the comment at the end of the line, or on it, with its # or !.
	Comment string
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

// Parse reads a file into its tree. It knows no keyword: it reports only what is wrong with words, quotes and braces, and
// goes on after each. The tree is complete whatever the input.
func Parse(name string, src []byte) (*File, Diagnostics) {
	p := &parser{file: &File{Name: name}}
	src = p.clean(src)
	for line := range bytes.Lines(src) {
		p.line++
		p.parseLine(strings.TrimRight(string(line), "\r\n"))
	}
	p.unclosed()
	return p.file, p.diags.sorted()
}

type parser struct {
	file  *File
	diags Diagnostics
	line  int
	open  []*Node // blocks that are open, outermost first
	last  *Node   // statement that a { on its own would belong to
}

func (p *parser) at(column int) Pos { return Pos{File: p.file.Name, Line: p.line, Column: column} }

const nbsp = "\u00a0"

// clean mends what web pages and editors do to a file, and says so once.
func (p *parser) clean(src []byte) []byte {
	if rest, ok := bytes.CutPrefix(src, []byte("\ufeff")); ok {
		p.diags.add(Pos{p.file.Name, 1, 1}, Warning, "byte-order-mark", "save the file without it",
			"the file begins with a byte order mark, which keepalived takes for part of the first keyword")
		src = rest
	}
	if !bytes.Contains(src, []byte(nbsp)) {
		return src
	}
	lines, first := 0, Pos{}
	number := 0
	for line := range bytes.Lines(src) {
		number++
		if i := bytes.Index(line, []byte(nbsp)); i >= 0 {
			if lines++; lines == 1 {
				first = Pos{p.file.Name, number, i + 1}
			}
		}
	}
	p.diags.add(first, Warning, "non-breaking-space", fmt.Sprintf(`replace them: sed -i 's/\xc2\xa0/ /g' %s`, p.file.Name),
		"%d lines have non-breaking spaces (U+00A0), as copied from a web page; they are read as blanks here, but keepalived takes them for keywords and drops nearly everything", lines)
	// Two blanks for two bytes: columns stay right.
	return bytes.ReplaceAll(src, []byte(nbsp), []byte("  "))
}

// parseLine splits a line into statements. Braces end a statement wherever they stand outside of quotes.
func (p *parser) parseLine(line string) {
	if i := strings.IndexByte(line, 0); i >= 0 {
		p.diags.add(p.at(i+1), Error, "nul-byte", "", "the line holds a NUL byte and is left out")
		return
	}
	var words []Word
	for i := 0; i < len(line); {
		switch c := line[i]; {
		case isBlank(c):
			i++
		case c == '#' || c == '!':
			p.statement(words, line[i:], i)
			return
		case c == '{':
			p.statement(words, "", i)
			words = nil
			p.openBlock(i)
			i++
		case c == '}':
			p.statement(words, "", i)
			words = nil
			p.closeBlock(i)
			i++
		default:
			var w Word
			w, i = p.word(line, i)
			words = append(words, w)
		}
	}
	p.statement(words, "", len(line))
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\f' || c == '\v' || c == '\r' }

// word reads one word from line[i]. Quotes do not glue: a"b" is two words.
func (p *parser) word(line string, i int) (Word, int) {
	w := Word{Pos: p.at(i + 1)}
	if line[i] == '"' {
		w.Quoted = true
		end := strings.IndexByte(line[i+1:], '"')
		if end < 0 {
			p.diags.add(w.Pos, Error, "unterminated-quote", `add the closing "`, "the quoted text is not closed on its line")
			w.Text = line[i+1:]
			return w, len(line)
		}
		w.Text = line[i+1 : i+1+end]
		return w, i + end + 2
	}
	var text strings.Builder
	for ; i < len(line) && !isBlank(line[i]) && !strings.ContainsRune(`"{}#!`, rune(line[i])); i++ {
		if line[i] == '\\' && i+1 < len(line) && (line[i+1] == '#' || line[i+1] == '!') {
			i++ // an escaped comment sign is an ordinary character
		}
		text.WriteByte(line[i])
	}
	w.Text = text.String()
	return w, i
}

// statement adds a node to the innermost open block.
func (p *parser) statement(words []Word, comment string, column int) {
	if len(words) == 0 && comment == "" {
		return
	}
	n := &Node{Pos: p.at(column + 1), Words: words, Comment: comment}
	if len(words) > 0 {
		n.Pos = words[0].Pos
		p.last = n
	}
	p.add(n)
}

func (p *parser) add(n *Node) {
	if len(p.open) == 0 {
		p.file.Nodes = append(p.file.Nodes, n)
		return
	}
	parent := p.open[len(p.open)-1]
	parent.Block = append(parent.Block, n)
}

// openBlock gives the last statement a block. The brace may stand on the next line.
func (p *parser) openBlock(column int) {
	if p.last == nil {
		p.diags.add(p.at(column+1), Error, "stray-brace", "", "{ without a keyword before it; what is inside is left out")
		p.last = &Node{Pos: p.at(column + 1)}
	}
	p.last.HasBlock = true
	p.open = append(p.open, p.last)
	p.last = nil
}

func (p *parser) closeBlock(column int) {
	p.last = nil
	if len(p.open) == 0 {
		p.diags.add(p.at(column+1), Error, "stray-brace", "remove it, or look for a { that is missing above", "} closes nothing: no block is open here")
		return
	}
	p.open = p.open[:len(p.open)-1]
}

// unclosed names every block that is still open at the end.
func (p *parser) unclosed() {
	for _, n := range p.open {
		p.diags.add(n.Pos, Error, "unclosed-block", "look for a } that is missing", "the block %s that begins here is never closed", n.Keyword())
	}
}
