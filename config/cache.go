package config

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
)

// Cache has a [Loader] read again only what has changed since it read last: a virtual_server with the same text on the same
// lines is taken as it was, with all that was said of it. That holds while everything outside of such blocks is the same too, for
// it may mean something for them: other statements and the lines that they are on, included files, definitions, the
// environment. A block in which the language around the keywords is used ($, @, ~, include) or a rule is silenced counts as
// outside. Load and Read return what they would return without a Cache, but that such virtual servers are those of the Config
// before, not copies.
//
// The zero value is empty. A Cache is for one file and needs about as much memory as its text. Those who use it at the same
// time wait for each other.
type Cache struct {
	mu     sync.Mutex
	rest   uint64 // of what is outside
	served map[place]*served
}

// place is a line of a file.
type place struct {
	file string
	line int
}

// served is a virtual_server as it was read.
type served struct {
	text                string
	via                 *origin
	server              *VirtualServer
	effective, accepted int
	program             Pos // the first that it names, see Config.program
	said                [phaseEnd]Diagnostics
	old                 bool // an earlier Load has read it: it is complete
}

// phase is when something is said of a virtual server.
type phase uint8

const (
	phaseDecode phase = iota
	phaseResolve
	phaseNotify
	phaseValidate
	phaseLint
	phaseEnd
)

// load is one Load with the cache, and once more without it when something outside has changed.
func (c *Cache) load(l Loader, name, text string) *decoder {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := newReader(l, name, c.served)
	r.e.run(name, text)
	if len(c.served) > 0 && r.rest.Sum64() != c.rest {
		r = newReader(l, name, nil)
		r.e.run(name, text)
	}
	r.d.finish()
	r.d.diags = append(r.d.diags, lint(r.d.cfg, r.d.kept)...)
	c.rest, c.served = r.rest.Sum64(), r.served
	for _, s := range c.served {
		s.old = true
	}
	return r.d
}

// reader is one reading with a Cache. It stands between a file's lines and the expander. Nil is for readings without one.
type reader struct {
	d           *decoder
	e           *expander
	old, served map[place]*served
	rest        maphash.Hash
	statements  int // of the top level that came
}

// seed makes sums comparable.
var seed = maphash.MakeSeed()

func newReader(l Loader, name string, old map[place]*served) *reader {
	r := &reader{d: newDecoder(name), old: old, served: make(map[place]*served, len(old))}
	r.e = newExpander(l, &r.d.diags, func(n *Node) { r.statements++; r.d.top(n) })
	r.e.reuse, r.e.reader = true, r
	r.rest.SetSeed(seed)
	r.outside(r.e.id)
	return r
}

// outside takes note of what may mean something for the blocks that are kept, and of where it is.
func (r *reader) outside(text string) {
	if r == nil {
		return
	}
	maphash.WriteComparable(&r.rest, place{r.e.file, r.e.line})
	maphash.WriteComparable(&r.rest, text)
}

// take takes a block that the text begins with, and says how long that is; 0 when there is none that can be kept.
func (r *reader) take(text string) int {
	if r == nil || !strings.HasPrefix(text, "virtual_server ") || !r.e.idle() {
		return 0
	}
	if s := r.old[r.next()]; s != nil && s.begins(text) && s.via.equal(r.e.via) {
		r.again(s)
		return len(s.text)
	}
	length := blockLength(text)
	if length > 0 {
		r.anew(strings.Clone(text[:length])) // its values are parts of it: they must not keep the whole file in memory
	}
	return length
}

func (r *reader) next() place { return place{r.e.file, r.e.line + 1} }

// begins says whether the text begins with the block, which must have its last line for itself there too.
func (s *served) begins(text string) bool {
	return strings.HasPrefix(text, s.text) && (len(text) == len(s.text) || strings.HasSuffix(s.text, "\n"))
}

// again takes a block as it was.
func (r *reader) again(s *served) {
	r.served[r.next()] = s
	r.e.line += strings.Count(s.text, "\n")
	r.d.diags = append(r.d.diags, s.said[phaseDecode]...)
	r.d.cfg.Effective += s.effective
	r.d.cfg.Accepted += s.accepted
	if r.d.cfg.program.Line == 0 {
		r.d.cfg.program = s.program
	}
	r.d.cfg.VirtualServers = append(r.d.cfg.VirtualServers, s.server)
	r.d.keep(s)
}

// anew reads a block, and keeps it if it depends on nothing but what is noted.
func (r *reader) anew(text string) {
	cfg, at, statements, special := r.d.cfg, r.next(), r.statements, r.e.worked
	said, servers, notHeld := len(r.d.diags), len(cfg.VirtualServers), len(cfg.NotHeld)
	s := &served{text: text, via: r.e.via, effective: -cfg.Effective, accepted: -cfg.Accepted}
	program := cfg.program
	cfg.program = Pos{}
	for line := range strings.Lines(text) {
		r.e.sourceLine(line)
	}
	if s.program = cfg.program; program.Line > 0 {
		cfg.program = program
	}
	if !r.e.idle() || r.e.worked != special || r.statements != statements+1 || len(cfg.VirtualServers) != servers+1 ||
		len(cfg.NotHeld) != notHeld || strings.Contains(text, "lint:ignore") {
		r.outside(text)
		return
	}
	s.server, s.said[phaseDecode] = cfg.VirtualServers[servers], slices.Clone(r.d.diags[said:])
	s.effective += cfg.Effective
	s.accepted += cfg.Accepted
	r.served[at] = s
	r.d.keep(s)
}

// blockLength is the length of the lines from the first one to that which closes the first block; 0 when none does.
func blockLength(text string) (length int) {
	depth := 0
	for line := range strings.Lines(text) {
		length += len(line)
		opened := depth > 0
		for code := line[:commentAt(line)]; ; {
			i := braceAt(code)
			if i == len(code) {
				break
			}
			if code[i] == '{' {
				depth, opened = depth+1, true
			} else {
				depth--
			}
			code = code[i+1:]
		}
		if opened && depth <= 0 {
			return length
		}
	}
	return 0
}

// keep says that the last virtual server so far is one that is kept.
func (d *decoder) keep(s *served) {
	d.kept = append(d.kept, make([]*served, len(d.cfg.VirtualServers)-1-len(d.kept))...)
	d.kept = append(d.kept, s)
}

// keptAt is the virtual server of that index as it is kept, or nil.
func keptAt(kept []*served, i int) *served {
	if i < len(kept) {
		return kept[i]
	}
	return nil
}

// saidIn counts what was said in a phase of those that are complete.
func saidIn(kept []*served, p phase) (n int) {
	for _, s := range kept {
		if s != nil && s.old {
			n += len(s.said[p])
		}
	}
	return n
}

// eachServer looks at every virtual server in a phase. Those that are complete are left alone: what was said of them is said
// again.
func eachServer(c *Config, kept []*served, p phase, said *Diagnostics, look func(*VirtualServer)) {
	for i, v := range c.VirtualServers {
		s, from := keptAt(kept, i), len(*said)
		switch {
		case s == nil:
			look(v)
		case s.old:
			*said = append(*said, s.said[p]...)
		default:
			look(v)
			s.said[p] = slices.Clone((*said)[from:])
		}
	}
}

// equal compares what is told by [Pos.Via].
func (o *origin) equal(other *origin) bool {
	for ; o != nil && other != nil; o, other = o.pos.via, other.pos.via {
		if o.what != other.what || o.pos.File != other.pos.File || o.pos.Line != other.pos.Line || o.pos.Column != other.pos.Column {
			return false
		}
	}
	return o == other
}
