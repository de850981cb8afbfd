package holdfast

import (
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/holdfast-lb/holdfast/config"
)

// states are what the keywords of programs are about, in the order in which they run.
var states = []struct {
	keyword string
	kind    EventKind
	to      string
	words   bool
}{
	{keyword: "notify_master", kind: EventInstance, to: "MASTER"},
	{keyword: "notify_backup", kind: EventInstance, to: "BACKUP"},
	{keyword: "notify_fault", kind: EventInstance, to: "FAULT"},
	{keyword: "notify_stop", kind: EventInstance, to: stateStop},
	{keyword: "notify_deleted", kind: EventInstance, to: stateDeleted},
	{keyword: "notify", kind: EventInstance, words: true},
	{keyword: "notify_master_rx_lower_pri", kind: EventRival},
	{keyword: "quorum_up", kind: EventService, to: "UP"},
	{keyword: "quorum_down", kind: EventService, to: "DOWN"},
	{keyword: "notify_up", kind: EventServer, to: "UP"},
	{keyword: "notify_down", kind: EventServer, to: "DOWN"},
}

// notifyOf makes the receivers. services are those of the virtual servers, in their order.
func notifyOf(c *config.Config, services []Service) Notify {
	g := &c.Global
	t := translation{Notify: Notify{Host: g.RouterID, InitialServers: g.InitialServers, Repeat: g.StatesOnReload}, global: g}
	t.FIFOs = append(t.FIFOs, fifoOf(g.FIFO, g, true, true)...)
	t.FIFOs = append(t.FIFOs, fifoOf(g.VRRPFIFO, g, true, false)...)
	t.FIFOs = append(t.FIFOs, fifoOf(g.LVSFIFO, g, false, true)...)
	for _, v := range c.Instances {
		t.add(EventInstance, v.Name, &v.Notification)
		if v.Priorities {
			t.Priorities = append(t.Priorities, v.Name)
		}
	}
	for _, group := range c.SyncGroups {
		t.add(EventGroup, group.Name, &group.Notification)
	}
	every := allAlert(c)
	for i, v := range c.VirtualServers {
		if tells(&v.Notification) {
			t.add(EventService, services[i].String(), &v.Notification)
		}
		for _, r := range v.RealServers {
			n := r.Notification
			if n.Mail = n.Mail && !every; tells(&n) {
				t.add(EventServer, ServerKey{services[i].String(), r.Addr}.String(), &n)
			}
		}
	}
	if every {
		t.about = append(t.about, Match{Kind: EventServer})
	}
	t.Mail = mailOf(&g.Mail, t.about)
	return t.Notify
}

// tells says whether a block tells anybody: most do not, and need no name.
func tells(n *config.Notification) bool { return n.Mail || len(n.Programs) > 0 }

// allAlert says whether mail is sent of every server there is, so that one Match will do.
func allAlert(c *config.Config) bool {
	for _, v := range c.VirtualServers {
		for _, r := range v.RealServers {
			if !r.Mail {
				return false
			}
		}
	}
	return len(c.VirtualServers) > 0
}

// translation collects receivers.
type translation struct {
	Notify
	global *config.Global
	about  []Match
}

// add takes what a block says of an object.
func (t *translation) add(kind EventKind, object string, n *config.Notification) {
	if n.Mail {
		t.about = append(t.about, Match{Kind: kind, Object: object})
	}
	if len(n.Programs) == 0 {
		return
	}
	for _, s := range states {
		program, there := n.Programs[s.keyword]
		if !there {
			continue
		}
		h := Hook{Match: Match{Kind: s.kind, Object: object, To: s.to}, Program: *programOf(&program, t.global), Words: s.words}
		if kind == EventGroup {
			h.Kind = EventGroup
		}
		t.Hooks = append(t.Hooks, h)
	}
}

func programOf(c *config.Command, g *config.Global) *Program {
	return &Program{Args: c.Args, User: c.User, Group: c.Group, Supplementary: g.SupplementaryGroups, Secure: g.ScriptSecurity}
}

func fifoOf(f *config.FIFO, g *config.Global, instances, services bool) []FIFO {
	if f == nil || f.Path == "" {
		return nil
	}
	one := FIFO{Path: f.Path, User: f.User, Group: f.Group, Instances: instances, Services: services}
	if len(f.Script.Args) > 0 {
		one.Reader = programOf(&f.Script, g)
	}
	return []FIFO{one}
}

// implicitTLS is the port on which mail servers expect TLS from the first byte (RFC 8314).
const implicitTLS = 465

func mailOf(m *config.Mail, about []Match) *Mail {
	if m.Server == "" || len(m.To) == 0 || len(about) == 0 {
		return nil
	}
	mail := &Mail{Server: net.JoinHostPort(m.Server, strconv.Itoa(m.Port)), Helo: m.Helo, Timeout: m.Timeout, From: m.From, About: about}
	if m.Port == implicitTLS {
		mail.Security = "tls"
	}
	if mail.From == "" {
		mail.From = "holdfast"
	}
	mail.From = withDomain(mail.From)
	for _, to := range m.To {
		mail.To = append(mail.To, withDomain(to))
	}
	if m.NoFaults {
		mail.Except = []Match{{Kind: EventInstance, To: "FAULT"}, {Kind: EventGroup, To: "FAULT"}}
	}
	return mail
}

// withDomain makes the address of a user of this host whole.
func withDomain(address string) string {
	if strings.Contains(address, "@") {
		return address
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return address + "@" + host
}
