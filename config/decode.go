package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Decode gives the typed values of a tree that [Loader.Expand] or [Parse] made. It goes on after every error.
func Decode(f *File) (*Config, Diagnostics) {
	d := newDecoder(f.Name)
	for _, n := range f.Nodes {
		d.top(n)
	}
	d.finish()
	return d.cfg, d.diags.sorted()
}

// decoder makes typed values of statements, as they come.
type decoder struct {
	cfg   *Config
	diags Diagnostics
	// keyword is that of the statement whose values are read, v is its first value.
	keyword string
	v       value
	// quiet is above 0 inside of a block without effect: its statements are counted and not told one by one.
	quiet int
	// unnumbered counts rules without a preference, IPv4's and IPv6's.
	unnumbered [2]int
	// kept are the virtual servers as a Cache keeps them, by their index; nil, or missing at the end, for those that it does not.
	kept []*served
}

func newDecoder(name string) *decoder {
	return &decoder{cfg: &Config{Name: name, Global: Global{
		VRRPVersion: 2, StartupTimeout: 10 * time.Second, ShutdownTimeout: 10 * time.Second,
		Mail: Mail{Timeout: 30 * time.Second},
	}}}
}

// top takes a complete statement of the top level.
func (d *decoder) top(n *Node) {
	decodeStatement(d, theSchema().blocks[""], n, nil, d.cfg, topKeywords)
}

// finish is for what only the whole file shows.
func (d *decoder) finish() {
	d.resolve()
	d.validate()
}

func (d *decoder) errorf(pos Pos, code, hint, format string, args ...any) {
	d.diags.add(pos, Error, code, hint, format, args...)
}

func (d *decoder) warnf(pos Pos, code, hint, format string, args ...any) {
	d.diags.add(pos, Warning, code, hint, format, args...)
}

// setter puts one statement's values into a T. The first value has been read into d.v.
type setter[T any] func(d *decoder, n *Node, into *T)

// decodeBlock takes every statement of a block.
func decodeBlock[T any](d *decoder, b *block, nodes []*Node, into *T, table map[string]setter[T]) {
	for i, n := range nodes {
		decodeStatement(d, b, n, nodes[:i], into, table)
	}
}

// decodeStatement looks a statement up, reads its first value, and decodes it when it is effective. before are the statements of
// the block that stand above it.
func decodeStatement[T any](d *decoder, b *block, n *Node, before []*Node, into *T, table map[string]setter[T]) {
	if len(n.Words) == 0 {
		return
	}
	k := n.keyword
	if k == nil {
		if k = b.keywords[n.Words[0].Text]; k == nil {
			k = d.known(b, n)
		}
	}
	if k == nil || !d.complete(k, n) {
		return
	}
	d.keyword = k.Name
	if k.instead != "" {
		d.warnf(n.Pos, "deprecated", k.instead, "%s is deprecated", k.Name)
	}
	var ok bool
	if d.v, ok = d.read(k, n); !ok {
		if v, isInstance := any(into).(*VRRPInstance); isInstance && k.Name == "priority" {
			v.Priority, v.prioritySet = 100, true // keepalived goes on with the default
		}
		return
	}
	n.keyword, n.read = k, true
	if d.superseded(k, n, before) {
		return
	}
	if n.Comment != "" {
		d.cfg.ignore(n.Pos, n.Comment)
	}
	set := table[k.Name]
	if set != nil && k.Effective {
		d.cfg.Effective++
	} else {
		d.accept(k, n)
	}
	if set != nil {
		set(d, n, into)
		return
	}
	d.look(k, n)
}

// ignore remembers a comment that silences rules on its line.
func (c *Config) ignore(pos Pos, comment string) {
	if _, codes, ok := strings.Cut(comment, "lint:ignore "); ok {
		if c.ignored == nil {
			c.ignored = make(map[string]string)
		}
		c.ignored[fmt.Sprint(pos.File, ":", pos.Line)] = codes
	}
}

// runs remembers where a program is named first.
func (c *Config) runs(at Pos) {
	if c.program.Line == 0 {
		c.program = at
	}
}

func (c *Config) ignores(pos Pos, code string) bool {
	if c.ignored == nil {
		return false
	}
	return slices.Contains(strings.FieldsFunc(c.ignored[fmt.Sprint(pos.File, ":", pos.Line)], func(r rune) bool { return r == ' ' || r == ',' }), code)
}

// accept counts a statement without effect.
func (d *decoder) accept(k *Keyword, n *Node) {
	d.cfg.Accepted++
	if d.quiet > 0 {
		return
	}
	lost := k.lost
	d.diags.add(n.Pos, lost.severity, lost.code(), lost.hint, "%s", k.Name+" is known and has no effect here: "+lost.consequence)
	if lost.vital {
		d.cfg.NotHeld = append(d.cfg.NotHeld, d.diags[len(d.diags)-1])
	}
}

// look checks the rest of a statement that has no setter: its values, its entries, its block.
func (d *decoder) look(k *Keyword, n *Node) {
	if check := specials[k.Name]; check != nil && k.Type == "special" {
		check(d, n)
	}
	switch k.Kind {
	case "block":
		d.descend(n)
	case "list":
		d.entries(k, n)
	}
}

// known finds the statement's keyword where it could not be looked up as it stands, or says what is wrong with it.
func (d *decoder) known(b *block, n *Node) *Keyword {
	word := n.Keyword()
	if name, _, glued := strings.Cut(word, "<"); glued && b.keywords[name] != nil {
		d.errorf(n.Pos, "placeholder", "write a blank and the value", "%s has a placeholder glued to it in place of a value", name)
		return nil
	}
	d.errorf(n.Pos, "unknown-keyword", hint(b, word), "unknown keyword %s%s", quoted(word), inside(b.path))
	return nil
}

func hint(b *block, word string) string {
	if near := b.nearest(word); near != "" {
		return "did you mean " + near + "?"
	}
	switch home, ok := theSchema().home(word); {
	case ok && home == "":
		return word + " belongs at the top level: is a } missing above?"
	case ok:
		return word + " belongs into " + home
	}
	return ""
}

func quoted(word string) string {
	if r := []rune(word); len(r) > 40 {
		word = string(r[:40]) + "..."
	}
	return strconv.Quote(word)
}

func inside(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path[strings.LastIndexByte(path, '/')+1:]
}

// complete says whether the statement has its values and its braces, and no placeholder among them.
func (d *decoder) complete(k *Keyword, n *Node) bool {
	for _, w := range n.Values() {
		if w.Quoted {
			continue
		}
		if w.Text == "|" && k.Type != "text" && n.Words[len(n.Words)-1].Text != "|" {
			d.warnf(w.Pos, "placeholder", "choose one", "%s is followed by an alternative, as a manual page writes it", k.Name)
			break
		}
		if len(w.Text) > 2 && w.Text[0] == '<' {
			if k.Type == "text" || k.Type == "script" { // any text will do there
				d.warnf(w.Pos, "placeholder", "replace it by a value", "the placeholder %s stands in place of a value of %s", quoted(w.Text), k.Name)
				continue
			}
			d.errorf(w.Pos, "placeholder", "replace it by a value", "the placeholder %s stands in place of a value of %s", quoted(w.Text), k.Name)
			return false
		}
	}
	d.spare(k, n)
	if len(n.Words) == 1 && k.needsValue() {
		d.errorf(n.Pos, "missing-value", k.Name+" "+k.Arguments, "%s has no value", k.Name)
		return false
	}
	if k.Kind == "value" && n.HasBlock {
		d.errorf(n.Pos, "unexpected-brace", "", "%s takes no block", k.Name)
		return false
	}
	return true
}

// spare tells of a word that nothing reads. Behind a flag it may well have been meant to turn it off.
func (d *decoder) spare(k *Keyword, n *Node) {
	most, limited := k.mostValues()
	if !limited || len(n.Words) <= 1+most {
		return
	}
	if w := n.Words[1+most]; k.Kind == "value" && most == 0 {
		d.warnf(w.Pos, "extra-value", "remove it, or the line if it is not meant to be on", "%s takes no value: it is on, also with %s behind it", k.Name, quoted(w.Text))
	} else {
		d.warnf(w.Pos, "extra-value", "remove it", "%s is followed by %s, which means nothing there", k.Name, quoted(w.Text))
	}
}

// mostValues is how many values are read at most, where that is limited.
func (k *Keyword) mostValues() (most int, limited bool) {
	switch k.Type {
	case "none":
		return 0, true
	case "bool", "uint", "int", "secs", "millis", "addr", "word", "iword", "name":
		return 1, true
	case "text":
		return 1, !strings.Contains(k.Arguments, " ")
	case "special":
		return 2, k.Name == "virtual_server" || k.Name == "real_server" || k.Name == "sorry_server"
	}
	return 0, false
}

func (k *Keyword) needsValue() bool {
	switch k.Type {
	case "none", "bool":
		return false
	case "special":
		return !strings.HasPrefix(k.Arguments, "[") || !strings.HasSuffix(k.Arguments, "]")
	}
	return !k.optional
}

// The setters' makers.

func text[T any](field func(*T) *string) setter[T] {
	return func(d *decoder, _ *Node, into *T) { *field(into) = d.v.text }
}

func number[T any](field func(*T) *int) setter[T] {
	return func(d *decoder, _ *Node, into *T) { *field(into) = int(d.v.number) }
}

func timer[T any](field func(*T) *time.Duration) setter[T] {
	return func(d *decoder, _ *Node, into *T) { *field(into) = d.v.time }
}

// seconds is for a time in whole seconds.
func seconds[T any](field func(*T) *time.Duration) setter[T] {
	return func(d *decoder, _ *Node, into *T) { *field(into) = time.Duration(d.v.number) * time.Second }
}

func flag[T any](field func(*T) *bool) setter[T] {
	return func(d *decoder, _ *Node, into *T) { *field(into) = d.v.flag }
}

func addr[T any](field func(*T) *netip.Addr) setter[T] {
	return func(d *decoder, _ *Node, into *T) { *field(into) = d.v.addr }
}
