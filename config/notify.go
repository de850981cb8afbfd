package config

import "time"

// Command is a program that a file names, with its arguments. Without Args there is none.
type Command struct {
	Pos
	Args []string
	// User and Group to run as; script_user unless said otherwise.
	User, Group string
}

// FIFO is a pipe that lines are written to: notify_fifo and its like.
type FIFO struct {
	Pos
	Path        string
	User, Group string
	Script      Command
}

// Notification are the programs of a block by their keywords (notify, notify_master, quorum_up, ...), and whether mail is sent.
type Notification struct {
	Programs map[string]Command
	// Mail is smtp_alert, resolved.
	Mail bool
	// Priorities is notify_priority_changes, resolved.
	Priorities bool

	mail, priorities *bool
}

// Deleted says whether the block has notify_deleted, with a program or without.
func (n *Notification) Deleted() bool { _, ok := n.Programs["notify_deleted"]; return ok }

// resolve inherits what is not said.
func (n *Notification) resolve(g *Global, mail, priorities bool) {
	n.Mail, n.Priorities = first(mail, n.mail), first(priorities, n.priorities)
	for name, c := range n.Programs {
		c.resolve(g)
		n.Programs[name] = c
	}
}

func (c *Command) resolve(g *Global) {
	if c.User == "" {
		c.User, c.Group = g.ScriptUser, g.ScriptGroup
	}
}

// Mail is what global_defs says about mail.
type Mail struct {
	// Server and Port are smtp_server; an empty Server means that no mail is sent.
	Server string
	Port   int // 25 unless said otherwise, 465 with security tls, 587 with starttls
	// Security is smtp_security: none, starttls or tls. Empty means TLS where the server offers it, whatever its certificate; with a
	// user it is never empty.
	Security string
	// User is smtp_user, and PasswordFile the file with its password. CA is a file of the authorities to trust; empty means the host's.
	User, PasswordFile, CA string
	Helo                   string
	From                   string
	To                     []string
	// Timeout is smtp_connect_timeout, 30 s unless said otherwise.
	Timeout time.Duration
	// OnlyChanges is no_checker_emails, NoFaults is no_email_faults.
	OnlyChanges, NoFaults bool
	// All, VRRP and Checkers are smtp_alert, smtp_alert_vrrp and smtp_alert_checker: defaults of what does not say; nil is silence.
	All, VRRP, Checkers *bool
}
