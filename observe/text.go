package observe

import (
	"cmp"
	"fmt"
	"io"
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
	for i := range s.Instances {
		in := &s.Instances[i]
		master := "no master known"
		if in.Master.IsValid() {
			master = "master " + in.Master.String()
		}
		t.row(in.Instance.String(), fmt.Sprintf("%v for %s", in.State, age(in.Since)), fmt.Sprintf("priority %d", in.Priority), master, addresses(&in.Instance))
	}
	for _, service := range s.Services {
		t.row(service.Service, upDown(service.Up), fmt.Sprintf("live weight %d", service.LiveWeight))
		for _, server := range service.Servers {
			connections := ""
			if server.Entry != nil {
				connections = fmt.Sprintf("%d active, %d inactive", server.Entry.ActiveConnections, server.Entry.InactiveConnections)
			}
			t.row("  "+server.Server, upDown(server.Up), fmt.Sprintf("weight %d", server.Weight), connections)
			for _, c := range server.Checks {
				t.row("    "+c.ID, upDown(c.Up)+" for "+age(c.Since), c.Latency.Round(time.Microsecond).String(), c.Error)
			}
		}
	}
	for _, c := range s.Trackers {
		t.row("tracker "+c.ID, upDown(c.Up)+" for "+age(c.Since), c.Latency.Round(time.Microsecond).String(), c.Error)
	}
	return t.write(w)
}

func addresses(in *vrrp.Instance) string {
	var list []string
	for _, a := range in.Addrs {
		list = append(list, a.String())
	}
	return strings.Join(list, " ")
}

func upDown(up bool) string {
	if up {
		return "UP"
	}
	return "DOWN"
}

// table aligns columns. A colour takes no room, which text/tabwriter does not know.
type table struct {
	rows  [][]string
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

func (t *table) write(w io.Writer) error {
	var width []int
	for _, cells := range t.rows {
		for i, c := range cells {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	var b strings.Builder
	for _, cells := range t.rows {
		var line strings.Builder
		for i, c := range cells {
			pad := strings.Repeat(" ", max(width[i]-len([]rune(c)), 0)+2)
			if i == 1 && t.color {
				c = paint(c)
			}
			line.WriteString(c + pad)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// paint colours a state by its first word.
func paint(state string) string {
	word, _, _ := strings.Cut(state, " ")
	code := map[string]string{"MASTER": "1;32", "UP": "32", "BACKUP": "36", "DOWN": "1;31", "FAULT": "1;31"}[word]
	return "\x1b[" + cmp.Or(code, "33") + "m" + state + "\x1b[0m"
}
