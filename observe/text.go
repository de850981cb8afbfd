package observe

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// WriteText writes a snapshot for people, in columns: a line for each instance, service, server, check and tracker. With
// color, states are coloured by the escape sequences of a terminal.
func WriteText(w io.Writer, s holdfast.Status, color bool) error {
	t := table{color: color}
	age := func(since time.Time) string { return s.Time.Sub(since).Round(time.Second).String() }
	for _, e := range []*holdfast.Event{s.Reload, s.Scheduled} {
		if e != nil && e.To != "OK" {
			t.row("reload", e.To+" "+age(e.Time)+" ago", e.Object, e.Reason)
		}
	}
	t.section()
	for i := range s.Instances {
		in := &s.Instances[i]
		master := "no master known"
		if in.Master.IsValid() {
			master = "master " + in.Master.String()
		}
		t.row(in.Instance.String(), fmt.Sprintf("%v for %s", in.State, age(in.Since)), fmt.Sprintf("priority %d", in.Priority), master, addresses(&in.Instance), conflicting(in.Conflicts))
	}
	t.section()
	for _, service := range s.Services {
		t.row(service.Service, upDown(service.Up), fmt.Sprintf("live weight %d", service.LiveWeight))
		for _, server := range service.Servers {
			connections := ""
			if server.Entry != nil {
				connections = fmt.Sprintf("%d active, %d inactive", server.Entry.ActiveConnections, server.Entry.InactiveConnections)
			}
			t.row("  "+server.Server, serverState(&server), fmt.Sprintf("weight %d", server.Weight), connections)
			for _, c := range server.Checks {
				t.row("    "+c.ID, upDown(c.Up)+" for "+age(c.Since), c.Latency.Round(time.Microsecond).String(), c.Error)
			}
		}
	}
	t.section()
	for _, c := range s.Trackers {
		t.row("tracker "+c.ID, upDown(c.Up)+" for "+age(c.Since), c.Latency.Round(time.Microsecond).String(), c.Error)
	}
	t.section()
	for i := range s.Sessions {
		b := &s.Sessions[i]
		t.row("bfd "+b.Session.Name, fmt.Sprintf("%v for %s", upDown(b.Alive), age(b.Since)), fmt.Sprintf("%v, the peer %v", b.State, b.Remote))
	}
	t.section()
	_, err := io.WriteString(w, t.text.String())
	return err
}

func addresses(in *vrrp.Instance) string {
	var list []string
	for _, a := range in.Addrs {
		list = append(list, a.String())
	}
	return strings.Join(list, " ")
}

// conflicting tells how often other routers, or hosts, did not agree.
func conflicting(counts map[string]uint64) string {
	var list []string
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%s %d", kind, counts[kind]))
	}
	if len(list) == 0 {
		return ""
	}
	return "conflicts: " + strings.Join(list, ", ")
}

func serverState(s *holdfast.ServerStatus) string {
	if s.Maintenance {
		return "MAINTENANCE"
	}
	return upDown(s.Up)
}

func upDown(up bool) string {
	if up {
		return "UP"
	}
	return "DOWN"
}

// table aligns columns, those of each section by themselves. A colour takes no room, which text/tabwriter does not know.
type table struct {
	rows  [][]string // of this section
	text  strings.Builder
	color bool
}

func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = oneLine(cells[i])
	}
	t.rows = append(t.rows, cells)
}

// oneLine keeps names and reasons from moving the cursor.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// section writes what there is so far.
func (t *table) section() {
	var width []int
	for _, cells := range t.rows {
		for i, c := range cells {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	for _, cells := range t.rows {
		var line strings.Builder
		for i, c := range cells {
			pad := strings.Repeat(" ", width[i]-len([]rune(c))+2)
			if i == 1 && t.color {
				c = paint(c)
			}
			line.WriteString(c + pad)
		}
		t.text.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	t.rows = nil
}

// paint colours a state by its first word.
func paint(state string) string {
	word, _, _ := strings.Cut(state, " ")
	code := map[string]string{"MASTER": "1;32", "UP": "32", "BACKUP": "36", "DOWN": "1;31", "FAULT": "1;31", "REFUSED": "1;31"}[word]
	return "\x1b[" + cmp.Or(code, "33") + "m" + state + "\x1b[0m"
}
