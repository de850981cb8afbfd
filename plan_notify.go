package holdfast

import (
	"fmt"
	"reflect"
	"strings"
)

// receiver is something that is told, or a program of start or end: what it is, and all that it is.
type receiver struct {
	name  string
	value any
}

// receivers are all of a Spec. Equal names are told apart by their number.
func (s *Spec) receivers() (list []receiver) {
	n := &s.Notify
	for _, h := range n.Hooks {
		list = append(list, receiver{fmt.Sprintf("hook %s: %s", h.Match, h.Program), h})
	}
	for _, f := range n.FIFOs {
		list = append(list, receiver{"fifo " + f.Path, f})
	}
	if n.Mail != nil {
		list = append(list, receiver{fmt.Sprintf("mail by %s to %s", n.Mail.Server, strings.Join(n.Mail.To, ", ")), n.Mail})
	}
	for _, w := range n.Webhooks {
		list = append(list, receiver{"webhook " + w.String(), w})
	}
	for i, p := range []*Program{s.Startup, s.Shutdown} {
		if p != nil {
			list = append(list, receiver{fmt.Sprintf("%s %s", []string{"startup_script", "shutdown_script"}[i], *p), *p})
		}
	}
	options := *n
	options.Hooks, options.FIFOs, options.Mail, options.Webhooks = nil, nil, nil, nil
	return append(list, receiver{"notification options", options})
}

// String is how plans and messages call it.
func (m Match) String() string {
	parts := []string{string(m.Kind), m.Object, m.To}
	for i := range parts {
		if parts[i] == "" {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, " ")
}

// String is the program as a shell would take it, and as whom it runs.
func (p Program) String() string {
	text := p.command().String()
	switch {
	case p.User != "" && p.Group != "":
		text += " as " + p.User + ":" + p.Group
	case p.User != "":
		text += " as " + p.User
	}
	return text
}

func diffNotify(have, want *Spec) (lines []string) {
	if reflect.DeepEqual(have.Notify, want.Notify) && reflect.DeepEqual(have.Startup, want.Startup) && reflect.DeepEqual(have.Shutdown, want.Shutdown) {
		return nil
	}
	before := make(map[string][]any)
	for _, r := range have.receivers() {
		before[r.name] = append(before[r.name], r.value)
	}
	for _, r := range want.receivers() {
		old := before[r.name]
		switch {
		case len(old) == 0:
			lines = append(lines, r.name+" add")
			continue
		case !reflect.DeepEqual(old[0], r.value):
			lines = append(lines, r.name+" edit")
		}
		before[r.name] = old[1:]
	}
	for _, r := range have.receivers() {
		if left := before[r.name]; len(left) > 0 {
			before[r.name] = left[1:]
			lines = append(lines, r.name+" delete")
		}
	}
	return lines
}
