package config

import (
	_ "embed"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Keyword is one row of the schema.
type Keyword struct {
	// Block is the path of blocks that the keyword stands in, such as "virtual_server/real_server"; empty for the top level.
	// An option of the entries of a list has a path that ends in "<entry>".
	Block string
	Name  string
	// Kind is "value" for a plain statement, "block" for one that holds statements, "list" for one that holds entries,
	// "entry" for an option of an entry, "absent" for one that only keepalived's manual page has.
	Kind string
	// Type is the form of the values, see docs/keywords.md; Low and High are the range of numbers.
	Type      string
	Low, High float64
	// Words are the values that can be chosen from.
	Words []string
	// Arguments is the grammar of the values, in keepalived's notation.
	Arguments string
	Default   string
	// Alias says that the keyword is deprecated, or another spelling.
	Alias string
	// Since is the release of keepalived that has it first, where known. "Holdfast" marks those that keepalived does not have:
	// it reports and skips them.
	Since   string
	Meaning string
	// Effective says that the keyword does something here. If not, it is read and checked, and Reason says why nothing follows.
	// Of one that keepalived does not have, Reason says so.
	Effective bool
	Reason    string

	optional bool
	counts   counts
	lost     loss   // what a file loses by it, where it has no effect
	instead  string // what to do instead, of one that keepalived asks not to use any more
	inside   *block
}

// Path is the block and the name.
func (k *Keyword) Path() string {
	if k.Block == "" {
		return k.Name
	}
	return k.Block + "/" + k.Name
}

// keywordTable is the schema's source: what keepalived 2.4 knows.
//
//go:embed keywords.tsv
var keywordTable string

type block struct {
	path     string
	keywords map[string]*Keyword
}

type schema struct {
	rows   []Keyword
	blocks map[string]*block
}

var theSchema = sync.OnceValue(func() *schema {
	s := &schema{blocks: map[string]*block{}}
	for line := range strings.Lines(keywordTable) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) == 9 && !strings.HasPrefix(line, "#") {
			s.rows = append(s.rows, keywordOf(f))
		}
	}
	for i := range s.rows {
		k := &s.rows[i]
		if k.Kind != "entry" && k.Kind != "absent" {
			s.block(k.Block).keywords[k.Name] = k
		}
	}
	for i := range s.rows {
		if k := &s.rows[i]; k.Kind == "block" {
			k.inside = s.block(k.Path())
		}
	}
	return s
})

func (s *schema) block(path string) *block {
	b := s.blocks[path]
	if b == nil {
		b = &block{path: path, keywords: map[string]*Keyword{}}
		s.blocks[path] = b
	}
	return b
}

func keywordOf(f []string) Keyword {
	k := Keyword{
		Block: strings.TrimPrefix(f[0], "-"), Name: f[1], Kind: f[2],
		Arguments: f[4], Default: f[5], Alias: f[6], Since: f[7], Meaning: f[8],
	}
	form := strings.Fields(f[3])
	k.Type, k.optional = strings.TrimSuffix(form[0], "?"), strings.HasSuffix(form[0], "?")
	switch {
	case len(form) == 3:
		k.Low, _ = strconv.ParseFloat(form[1], 64)
		k.High, _ = strconv.ParseFloat(form[2], 64)
	case len(form) == 2:
		k.Words = strings.Split(form[1], "|")
	}
	if k.Block != "" { // linkbeat_use_polling is deprecated in an instance only
		k.instead = oldKeywords[k.Name]
	}
	if k.Effective = effective(k.Block, k.Name); !k.Effective {
		k.lost = loses(&k)
		k.Reason = k.lost.reason()
	} else if k.Since == "Holdfast" {
		k.Reason = "Holdfast only: keepalived does not know it"
	}
	k.counts = countsOf(&k)
	return k
}

// oldKeywords are those that keepalived asks not to use any more, with what to do instead.
var oldKeywords = map[string]string{
	"linkbeat_use_polling": "use linkbeat_interfaces", "lvs_sync_daemon_interface": "use lvs_sync_daemon in global_defs",
	"global_tracking": "track on the sync group", "native_ipv6": "remove it", "nb_get_retry": "write retry",
}

// Keywords lists every keyword, sorted by block and name.
func Keywords() []Keyword { return slices.Clone(theSchema().rows) }

// Nearest is the one of the known words that was probably meant, empty if none is near enough.
func Nearest(word string, known []string) string { return nearest(word, slices.Values(known)) }

// nearest is the keyword of the block that was probably meant, if any is near enough.
func (b *block) nearest(name string) string { return nearest(name, maps.Keys(b.keywords)) }

func nearest(name string, all iter.Seq[string]) string {
	best, distance := "", 1+min(2, len(name)/3)
	for known := range all {
		d := editDistance(name, known)
		if swapped(name, known) {
			d = 1
		}
		if d < distance || d == distance && best != "" && known < best {
			best, distance = known, d
		}
	}
	return best
}

// swapped says that two neighbouring letters make all the difference.
func swapped(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) - 1 {
		if a[i] != b[i] {
			return a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
		}
	}
	return false
}

// home is a block that has a keyword of that name, if there is one.
func (s *schema) home(name string) (string, bool) {
	for i := range s.rows {
		if s.rows[i].Name == name && s.rows[i].Kind != "entry" && s.rows[i].Kind != "absent" {
			return s.rows[i].Block, true
		}
	}
	return "", false
}

// editDistance counts the letters to insert, delete or replace (Levenshtein).
func editDistance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
