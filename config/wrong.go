package config

import "slices"

// wrong are the keywords of a block that stand there with a wrong value, or nearly spelt. That has been told: nobody needs to
// hear that they are missing too.
type wrong []string

func (w wrong) has(keywords ...string) bool {
	return slices.ContainsFunc(keywords, func(k string) bool { return slices.Contains(w, k) })
}

// wrongIn finds them once the block is decoded.
func wrongIn(b *block, nodes []*Node) (w wrong) {
	for _, n := range nodes {
		if len(n.Words) == 0 || n.read {
			continue
		}
		word := n.Keyword()
		if b.keywords[word] == nil {
			word = b.nearest(word)
		}
		if word != "" {
			w = append(w, word)
		}
	}
	return w
}
