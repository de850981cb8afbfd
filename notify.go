package holdfast

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfast-lb/holdfast/internal/mail"
	"github.com/holdfast-lb/holdfast/internal/script"
)

// Notify is who is told of what happens, beside subscribers. Receivers are told in order, do not wait for each other, and delay
// nobody; what a receiver could not be told is an [EventError].
type Notify struct {
	// Host names this machine in mail. Empty means its name.
	Host string
	// Hooks are programs that are run.
	Hooks []Hook
	// Priorities names the instances whose changes of priority are written to FIFOs.
	Priorities []string
	// InitialServers says that a server that is up as it starts is told as UP. Without, only what changes later is.
	InitialServers bool
	// Repeat says that every Apply writes the states of all instances and groups to FIFOs again.
	Repeat bool
	// FIFOs are pipes that lines are written to. Their paths are unique.
	FIFOs []FIFO
	// Mail is nil for none.
	Mail *Mail
	// Webhooks are addresses that events are posted to.
	Webhooks []Webhook
}

// Match says which events something is about.
type Match struct {
	// Kind of the events. Empty means every kind.
	Kind EventKind
	// Object is the event's. Empty means every object.
	Object string
	// To is the state that was entered: MASTER, BACKUP or FAULT, STOP at the end of Run, DELETED when the object is no longer in
	// the Spec; UP or DOWN. Empty means every state.
	To string
}

// Program is a program that is run. No shell is involved.
type Program struct {
	// Args are the program and its arguments.
	Args []string
	// User and Group to run as, by name or number. Empty means those of this process, or the group of User. Supplementary adds
	// the groups that User is a member of.
	User, Group   string
	Supplementary bool
	// Secure refuses a program that would run as root and that somebody else could change.
	Secure bool
	// Timeout ends it, with SIGTERM and then SIGKILL. 0 means a minute.
	Timeout time.Duration
}

// Hook runs a program for events. Programs of one object run one after the other, so that the last one leaves things in the
// state of the last event.
type Hook struct {
	Match
	// Program without Args does nothing. With To DELETED it says that removing the object is told as DELETED and not as FAULT.
	Program Program
	// Words adds four arguments: INSTANCE, GROUP or another kind in capitals, the object, the state and the priority (0 for all but
	// instances).
	Words bool
}

// FIFO is a pipe that lines are written to, as keepalived writes them. It is made if it is missing.
type FIFO struct {
	// Path is absolute.
	Path string
	// User and Group own it if it is made. Empty means those of this process.
	User, Group string
	// Instances and Services say what is written: lines of instances and sync groups, lines of services and their servers.
	Instances, Services bool
	// Reader is a program that is started with Path as its last argument, before the pipe is opened; it is ended with the FIFO.
	// Nil means that somebody else reads.
	Reader *Program
}

// Mail is who gets mail of what. A mail that cannot be handed over is tried again for a quarter of an hour.
type Mail struct {
	// Server is a host, or host:port.
	Server string
	// Security is empty for TLS where the server offers it, whatever its certificate; "none", "starttls" or "tls" for none, or
	// for TLS with a certificate that is verified, begun in the session or at once.
	Security string
	// User and Password authenticate, unless User is empty.
	User     string
	Password string `json:"-"`
	// Helo is the name to greet the server with. Empty means this host's.
	Helo string
	// Timeout bounds one session. 0 means 30 s.
	Timeout time.Duration
	// TLS is used instead of the default one, if it is not nil.
	TLS *tls.Config `json:"-"`

	From string
	To   []string
	// About says of what, without what Except says.
	About, Except []Match
}

// Webhook is an address that events are posted to, each as one JSON object. One that is not answered with a status of 200 to 299
// is tried again for a minute.
type Webhook struct {
	// Name is what plans and events call it. Empty means the address without its path, in which there may be a secret.
	Name string
	URL  string
	// Header is added to the request, for instance for authentication.
	Header http.Header `json:"-"`
	// About says which events. Empty means all.
	About []Match
	// Timeout bounds one try. 0 means 10 s.
	Timeout time.Duration
	// TLS is used instead of the default one, if it is not nil.
	TLS *tls.Config `json:"-"`
}

// String is what plans and events call it.
func (w *Webhook) String() string {
	if w.Name != "" {
		return w.Name
	}
	u, err := url.Parse(w.URL)
	if err != nil {
		return "with an address that is none"
	}
	return u.Scheme + "://" + u.Host
}

func (m Match) matches(kind EventKind, object, to string) bool {
	return (m.Kind == "" || m.Kind == kind) && (m.Object == "" || m.Object == object) && (m.To == "" || m.To == to)
}

func (p *Program) timeout() time.Duration { return cmp.Or(p.Timeout, time.Minute) }

func (p *Program) command(more ...string) script.Command {
	return script.Command{
		Args: slices.Concat(p.Args, more), User: p.User, Group: p.Group, Supplementary: p.Supplementary, Secure: p.Secure, Detach: true,
	}
}

func (m *Mail) server() mail.Server {
	return mail.Server{
		Address: m.Server, Security: mail.Security(m.Security), User: m.User, Password: m.Password, Helo: m.Helo, Timeout: m.Timeout, TLS: m.TLS,
	}
}

// validate reports what can be seen without trying.
func (n *Notify) validate() error {
	var errs []error
	for _, h := range n.Hooks {
		if len(h.Program.Args) == 0 && h.To != stateDeleted {
			errs = append(errs, fmt.Errorf("holdfast: hook of %s %s %s: no program", h.Kind, h.Object, h.To))
		}
	}
	paths := make(map[string]bool)
	for _, f := range n.FIFOs {
		if !filepath.IsAbs(f.Path) || paths[f.Path] {
			errs = append(errs, fmt.Errorf("holdfast: FIFO %q: its path must be absolute and not another's", f.Path))
		}
		paths[f.Path] = true
	}
	if n.Mail != nil {
		server := n.Mail.server()
		errs = append(errs, server.Validate())
		if n.Mail.From == "" || len(n.Mail.To) == 0 {
			errs = append(errs, errors.New("holdfast: mail: a sender and a recipient are needed"))
		}
	}
	for _, w := range n.Webhooks {
		if u, err := url.Parse(w.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			errs = append(errs, fmt.Errorf("holdfast: webhook %v: it must be an http or https address", &w))
		}
	}
	return errors.Join(errs...)
}

func (n *Notify) clone() Notify {
	c := *n
	c.Hooks, c.FIFOs, c.Webhooks = slices.Clone(n.Hooks), slices.Clone(n.FIFOs), slices.Clone(n.Webhooks)
	c.Priorities = slices.Clone(n.Priorities)
	if n.Mail != nil {
		m := *n.Mail
		m.To, m.About, m.Except = slices.Clone(m.To), slices.Clone(m.About), slices.Clone(m.Except)
		c.Mail = &m
	}
	return c
}
