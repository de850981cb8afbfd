package config

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

// Keyword is one row of the schema.
type Keyword struct {
	// Block is the path of blocks that the keyword stands in, such as "virtual_server/real_server"; empty for the top level.
	Block string
	Name  string
	// Kind is "value" for a plain statement, "block" for one that holds statements, "list" for one that holds entries.
	Kind string
	// Values is how many values the keyword needs at least.
	Values int
	// Arguments is the grammar of the values, in keepalived's notation.
	Arguments string
	// Effective says that the keyword does something here. If not, it is read and gets a note.
	Effective bool
}

// keywordTable is the schema's source: what keepalived 2.4 knows.
//
//go:embed keywords.tsv
var keywordTable string

type schema struct {
	rows   []Keyword
	blocks map[string]map[string]*Keyword
}

var theSchema = sync.OnceValue(func() *schema {
	s := &schema{blocks: make(map[string]map[string]*Keyword)}
	for line := range strings.Lines(keywordTable) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 5 {
			continue // the heading
		}
		values, _ := strconv.Atoi(f[3])
		k := Keyword{Block: strings.TrimPrefix(f[0], "-"), Name: f[1], Kind: f[2], Values: values, Arguments: f[4]}
		k.Effective = effective(k.Block, k.Name)
		s.rows = append(s.rows, k)
	}
	for i := range s.rows {
		k := &s.rows[i]
		if s.blocks[k.Block] == nil {
			s.blocks[k.Block] = make(map[string]*Keyword)
		}
		s.blocks[k.Block][k.Name] = k
	}
	return s
})

// Keywords lists every keyword, sorted by block and name.
func Keywords() []Keyword { return append([]Keyword(nil), theSchema().rows...) }

func (s *schema) lookup(block, name string) *Keyword { return s.blocks[block][name] }

// nearest is the keyword of the block that was probably meant, if any is near enough.
func (s *schema) nearest(block, name string) string {
	best, distance := "", 1+min(2, len(name)/3)
	for known := range s.blocks[block] {
		d := editDistance(name, known)
		if d < distance || d == distance && best != "" && known < best {
			best, distance = known, d
		}
	}
	return best
}

// home is a block that has a keyword of that name, if there is one.
func (s *schema) home(name string) (string, bool) {
	for i := range s.rows {
		if s.rows[i].Name == name {
			return s.rows[i].Block, true
		}
	}
	return "", false
}

// editDistance counts the letters to insert, delete or replace (Levenshtein).
func editDistance(a, b string) int {
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
