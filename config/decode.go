package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// maxFile is far beyond any honest configuration.
const maxFile = 256 << 20

// LoadFile reads, decodes and lints a file of this host. The error is about reading it; what is wrong with its text is in the
// diagnostics, and the Config holds what could be understood.
func LoadFile(path string) (*Config, Diagnostics, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("config: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("config: %s is not a regular file but %v", path, info.Mode().Type())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("config: %w", err)
	}
	return read(path, f)
}

// Load is LoadFile for a file of fsys.
func Load(fsys fs.FS, name string) (*Config, Diagnostics, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("config: %w", err)
	}
	return read(name, f)
}

func read(name string, f io.ReadCloser) (*Config, Diagnostics, error) {
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("config: %w", err)
	}
	if len(src) > maxFile {
		return nil, nil, fmt.Errorf("config: %s: %w: more than %d bytes", name, errors.ErrUnsupported, maxFile)
	}
	cfg, diags := Read(name, src)
	return cfg, diags, nil
}

// Read is LoadFile for text that is at hand; name is for the diagnostics.
func Read(name string, src []byte) (*Config, Diagnostics) {
	file, diags := Parse(name, src)
	cfg, more := Decode(file)
	diags = append(append(diags, more...), Lint(cfg)...)
	return cfg, diags.sorted()
}

// Decode gives the typed values of a tree. It goes on after every error.
func Decode(f *File) (*Config, Diagnostics) {
	cfg := &Config{Name: f.Name, Global: Global{VRRPVersion: 2, GARPMasterDelay: 5 * time.Second, GARPMasterRepeat: 5}}
	d := &decoder{schema: theSchema(), cfg: cfg}
	decodeBlock(d, "", f.Nodes, cfg, topKeywords)
	d.resolve()
	d.validate()
	return cfg, d.diags.sorted()
}

type decoder struct {
	schema *schema
	cfg    *Config
	diags  Diagnostics
	// keyword is that of the statement whose values are read.
	keyword string
}

func (d *decoder) errorf(pos Pos, code, hint, format string, args ...any) {
	d.diags.add(pos, Error, code, hint, format, args...)
}

// setter puts one statement's values into a T.
type setter[T any] func(d *decoder, n *Node, into *T)

// decodeBlock looks every statement of a block up, and decodes those that are effective.
func decodeBlock[T any](d *decoder, block string, nodes []*Node, into *T, table map[string]setter[T]) {
	for _, n := range nodes {
		if len(n.Words) == 0 {
			continue
		}
		k := d.known(block, n)
		if k == nil || !d.complete(k, n) {
			continue
		}
		if set, ok := table[k.Name]; ok {
			d.cfg.Effective++
			d.keyword = k.Name
			set(d, n, into)
			continue
		}
		d.accept(k, n)
	}
}

// accept counts a statement without effect, and looks for unknown keywords inside.
func (d *decoder) accept(k *Keyword, n *Node) {
	d.cfg.Accepted++
	lost := loses(k)
	d.diags.add(n.Pos, lost.severity, "no-effect", "", "%s is known and has no effect here%s", k.Name, lost.consequence)
	if k.Kind == "block" {
		path := strings.TrimPrefix(k.Block+"/"+k.Name, "/")
		decodeBlock(d, path, n.Block, &struct{}{}, map[string]setter[struct{}]{})
	}
}

// known finds the statement's keyword, or says what is wrong with it.
func (d *decoder) known(block string, n *Node) *Keyword {
	word := n.Keyword()
	if k := d.schema.lookup(block, word); k != nil {
		return k
	}
	if name, _, glued := strings.Cut(word, "<"); glued {
		if k := d.schema.lookup(block, name); k != nil {
			d.errorf(n.Pos, "placeholder", "write a blank and the value", "%s has a placeholder glued to it in place of a value", name)
			return nil
		}
	}
	if language(word) {
		d.errorf(n.Pos, "unsupported", "write out what it stands for", "%s: include files, definitions, conditions and repetitions are not read yet", word)
		return nil
	}
	d.errorf(n.Pos, "unknown-keyword", d.hint(block, word), "unknown keyword %s%s", quoted(word), inside(block))
	return nil
}

// language says that a word belongs to the language around the keywords.
func language(word string) bool {
	return strings.HasPrefix(word, "include") || strings.HasPrefix(word, "$") || strings.HasPrefix(word, "@") || strings.HasPrefix(word, "~")
}

func (d *decoder) hint(block, word string) string {
	if near := d.schema.nearest(block, word); near != "" {
		return "did you mean " + near + "?"
	}
	switch home, ok := d.schema.home(word); {
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

func inside(block string) string {
	if block == "" {
		return ""
	}
	return " in " + block[strings.LastIndexByte(block, '/')+1:]
}

// complete says whether the statement has its values and its braces, and no placeholder among them.
func (d *decoder) complete(k *Keyword, n *Node) bool {
	for _, w := range n.Values() {
		if w.Text == "|" {
			return d.alternatives(k, n)
		}
		if strings.HasPrefix(w.Text, "<") && !w.Quoted {
			d.errorf(w.Pos, "placeholder", "replace it by a value", "the placeholder %s stands in place of a value of %s", quoted(w.Text), k.Name)
			return false
		}
	}
	if len(n.Values()) < k.Values {
		d.errorf(n.Pos, "missing-value", k.Name+" "+k.Arguments, "%s has no value", k.Name)
		return false
	}
	if k.Kind != "value" && !n.HasBlock {
		d.errorf(n.Pos, "missing-brace", "", "%s must be followed by a block in braces", k.Name)
		return false
	}
	if k.Kind == "value" && n.HasBlock {
		d.errorf(n.Pos, "unexpected-brace", "", "%s takes no block", k.Name)
		return false
	}
	return true
}

// alternatives is what a manual page looks like. A block is read under its first name, to find what else is wrong.
func (d *decoder) alternatives(k *Keyword, n *Node) bool {
	d.errorf(n.Pos, "placeholder", "choose one", "%s is followed by an alternative, as a manual page writes it", k.Name)
	return n.HasBlock && k.Kind == "block" && k.Values == 0
}

// The values.

func (d *decoder) bad(w Word, what string) {
	d.errorf(w.Pos, "bad-value", "", "%s: %s is not %s", d.keyword, quoted(w.Text), what)
}

func (d *decoder) integer(w Word, low, high int) (int, bool) {
	v, err := strconv.ParseUint(strings.TrimPrefix(w.Text, "+"), 10, 32)
	if err != nil || int(v) < low || int(v) > high {
		d.bad(w, fmt.Sprintf("a number from %d to %d", low, high))
		return 0, false
	}
	return int(v), true
}

// seconds reads a time: seconds with up to 6 decimals, no unit.
func (d *decoder) seconds(w Word, low, high float64) (time.Duration, bool) {
	v, err := strconv.ParseFloat(w.Text, 64)
	plain := strings.Trim(w.Text, "0123456789.") == ""
	if err != nil || !plain || v < low || v > high {
		d.bad(w, fmt.Sprintf("a time of %g to %g seconds (no unit, up to 6 decimals)", low, high))
		return 0, false
	}
	return time.Duration(v*1e6+0.5) * time.Microsecond, true
}

func (d *decoder) boolean(n *Node) (bool, bool) {
	if len(n.Values()) == 0 {
		return true, true
	}
	switch w := n.Words[1]; w.Text {
	case "on", "true", "yes":
		return true, true
	case "off", "false", "no":
		return false, true
	default:
		d.bad(w, "on, true, yes, off, false or no")
		return false, false
	}
}

func (d *decoder) address(w Word) (netip.Addr, bool) {
	a, err := netip.ParseAddr(w.Text)
	if err != nil {
		d.bad(w, "an IP address")
	}
	return a, err == nil
}

// addressPort reads ADDR [PORT] from the given words.
func (d *decoder) addressPort(words []Word) (netip.AddrPort, bool) {
	a, ok := d.address(words[0])
	if !ok || len(words) == 1 {
		return netip.AddrPortFrom(a, 0), ok
	}
	port, ok := d.integer(words[1], 0, 65535)
	return netip.AddrPortFrom(a, uint16(port)), ok
}

// prefix reads an address that may have a prefix length; without, it is the whole address.
func (d *decoder) prefix(w Word) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(w.Text); err == nil {
		return p, true
	}
	if a, err := netip.ParseAddr(w.Text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	d.bad(w, "an IP address, with or without a prefix length")
	return netip.Prefix{}, false
}

func (d *decoder) oneOf(w Word, words ...string) (string, bool) {
	for _, known := range words {
		if w.Text == known {
			return known, true
		}
	}
	d.bad(w, "one of "+strings.Join(words, ", "))
	return "", false
}

// The setters' makers.

func text[T any](field func(*T) *string) setter[T] {
	return func(_ *decoder, n *Node, into *T) { *field(into) = n.Words[1].Text }
}

func number[T any](low, high int, field func(*T) *int) setter[T] {
	return func(d *decoder, n *Node, into *T) {
		if v, ok := d.integer(n.Words[1], low, high); ok {
			*field(into) = v
		}
	}
}

func timer[T any](low, high float64, field func(*T) *time.Duration) setter[T] {
	return func(d *decoder, n *Node, into *T) {
		if v, ok := d.seconds(n.Words[1], low, high); ok {
			*field(into) = v
		}
	}
}

func flag[T any](field func(*T) *bool) setter[T] {
	return func(d *decoder, n *Node, into *T) {
		if v, ok := d.boolean(n); ok {
			*field(into) = v
		}
	}
}

func choice[T any](field func(*T) *string, words ...string) setter[T] {
	return func(d *decoder, n *Node, into *T) {
		if v, ok := d.oneOf(n.Words[1], words...); ok {
			*field(into) = v
		}
	}
}

func addr[T any](field func(*T) *netip.Addr) setter[T] {
	return func(d *decoder, n *Node, into *T) {
		if v, ok := d.address(n.Words[1]); ok {
			*field(into) = v
		}
	}
}
