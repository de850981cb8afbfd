package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-lb/holdfast/internal/iproute"
)

// HostEntry is an entry of virtual_routes, virtual_rules, static_routes or static_rules.
type HostEntry struct {
	Pos
	// Text is the entry in the words of ip-route(8) or ip-rule(8).
	Text string
	// Interfaces are those that it names and that are tracked.
	Interfaces []string
	// TrackGroup is that of a static entry.
	TrackGroup string
}

func (d *decoder) routes(n *Node) (list []HostEntry) {
	for e := range n.entries() {
		before := d.diags.errors()
		checkRoute(d, e)
		words, group := trackGroupOf(e.Words)
		r, err := iproute.ParseRoute(texts(words))
		if !d.understood(e, words, before, err) {
			continue
		}
		entry := HostEntry{Pos: e.Pos, Text: strings.Join(texts(words), " "), TrackGroup: group}
		if !r.NoTrack {
			entry.Interfaces = r.Interfaces()
		}
		list = append(list, entry)
	}
	return list
}

// rules gives those without a preference one as keepalived does: down from 16384, by family.
func (d *decoder) rules(n *Node) (list []HostEntry) {
	for e := range n.entries() {
		before := d.diags.errors()
		checkRule(d, e)
		words, group := trackGroupOf(e.Words)
		r, err := iproute.ParseRule(texts(words))
		if !d.understood(e, words, before, err) {
			continue
		}
		entry := HostEntry{Pos: e.Pos, Text: strings.Join(texts(words), " "), TrackGroup: group}
		if !r.HasPriority {
			family := 0
			if r.IPv6 {
				family = 1
			}
			entry.Text += fmt.Sprint(" preference ", 16384-d.unnumbered[family])
			d.unnumbered[family]++
		}
		if !r.NoTrack && r.IIF != "" {
			entry.Interfaces = []string{r.IIF}
		}
		list = append(list, entry)
	}
	return list
}

// understood tells of an error, unless one was told already.
func (d *decoder) understood(e *Node, words []Word, before int, err error) bool {
	wrong, isWrong := errors.AsType[*iproute.Error](err)
	if !isWrong || d.diags.errors() > before {
		return err == nil && d.diags.errors() == before
	}
	pos := e.Pos
	if wrong.Word >= 0 && wrong.Word < len(words) {
		pos = words[wrong.Word].Pos
	}
	d.errorf(pos, "bad-value", "", "%s: %s", d.keyword, wrong.Msg)
	return false
}

func (l Diagnostics) errors() (n int) {
	for _, d := range l {
		if d.Severity == Error {
			n++
		}
	}
	return n
}

// trackGroupOf takes track_group NAME out.
func trackGroupOf(words []Word) (rest []Word, group string) {
	for i, w := range words {
		if w.Text == "track_group" && i+1 < len(words) {
			return append(append(rest, words[:i]...), words[i+2:]...), words[i+1].Text
		}
	}
	return words, ""
}

func texts(words []Word) []string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = w.Text
	}
	return list
}
