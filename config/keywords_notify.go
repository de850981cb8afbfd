package config

import (
	"maps"
	"time"
)

// vrrpPrograms are the keywords of programs in a vrrp_instance; a group has all but the last two.
var vrrpPrograms = []string{
	"notify", "notify_master", "notify_backup", "notify_fault", "notify_stop", "notify_master_rx_lower_pri", "notify_deleted",
}

// addNotification gives a table the keywords of programs and mail.
func addNotification[T any](table map[string]setter[T], of func(*T) *Notification, programs ...string) {
	table["smtp_alert"] = func(d *decoder, _ *Node, into *T) { of(into).mail = new(d.v.flag) }
	for _, name := range programs {
		table[name] = func(d *decoder, n *Node, into *T) { of(into).add(d, n) }
	}
}

func (n *Notification) add(d *decoder, node *Node) {
	if n.Programs == nil {
		n.Programs = make(map[string]Command)
	}
	n.Programs[node.Keyword()] = d.command(node)
}

// command reads COMMAND [USER [GROUP]]. The command is one word, which may be quoted.
func (d *decoder) command(n *Node) Command {
	c := Command{Pos: n.Pos, Args: arguments(d.v.script)}
	if len(c.Args) > 0 {
		d.cfg.runs(n.Pos)
	}
	if words := d.v.script; len(words) > 1 {
		c.User, c.Group = words[1], ""
		if len(words) > 2 {
			c.Group = trimColon(words[2])
		}
	}
	return c
}

func trimColon(group string) string {
	if group != "" && group[0] == ':' {
		return group[1:]
	}
	return group
}

// fifo reads NAME [USER [GROUP]].
func fifo(field func(*Global) **FIFO) setter[Global] {
	return func(d *decoder, n *Node, g *Global) {
		into := field(g)
		if *into == nil {
			*into = &FIFO{}
		}
		if (*into).Path != "" {
			d.warnf(n.Pos, "twice", "remove one", "%s is there twice; the first counts", n.Keyword())
			return
		}
		(*into).Pos, (*into).Path = n.Pos, n.Words[1].Text
		if len(n.Words) > 2 {
			(*into).User = n.Words[2].Text
		}
		if len(n.Words) > 3 {
			(*into).Group = trimColon(n.Words[3].Text)
		}
	}
}

func fifoScript(field func(*Global) **FIFO) setter[Global] {
	return func(d *decoder, n *Node, g *Global) {
		into := field(g)
		if *into == nil {
			*into = &FIFO{Pos: n.Pos}
		}
		(*into).Script = d.command(n)
	}
}

func program(field func(*Global) *Command) setter[Global] {
	return func(d *decoder, n *Node, g *Global) { *field(g) = d.command(n) }
}

func initNotifications() {
	addNotification(instanceKeywords, func(v *VRRPInstance) *Notification { return &v.Notification }, vrrpPrograms...)
	addNotification(syncKeywords, func(g *SyncGroup) *Notification { return &g.Notification }, vrrpPrograms[:5]...)
	addNotification(serverKeywords, func(v *VirtualServer) *Notification { return &v.Notification }, "quorum_up", "quorum_down")
	addNotification(realKeywords, func(r *RealServer) *Notification { return &r.Notification }, "notify_up", "notify_down")
	instanceKeywords["notify_priority_changes"] = func(d *decoder, _ *Node, v *VRRPInstance) { v.priorities = new(d.v.flag) }
	syncKeywords["notify_priority_changes"] = func(d *decoder, _ *Node, g *SyncGroup) { g.priorities = new(d.v.flag) }
	all := func(g *Global) **FIFO { return &g.FIFO }
	vrrp := func(g *Global) **FIFO { return &g.VRRPFIFO }
	lvs := func(g *Global) **FIFO { return &g.LVSFIFO }
	maps.Copy(globalKeywords, map[string]setter[Global]{
		"notify_fifo": fifo(all), "notify_fifo_script": fifoScript(all),
		"vrrp_notify_fifo": fifo(vrrp), "vrrp_notify_fifo_script": fifoScript(vrrp),
		"lvs_notify_fifo": fifo(lvs), "lvs_notify_fifo_script": fifoScript(lvs),
		"startup_script": program(func(g *Global) *Command { return &g.Startup }), "shutdown_script": program(func(g *Global) *Command { return &g.Shutdown }),
		"startup_script_timeout":  seconds(func(g *Global) *time.Duration { return &g.StartupTimeout }),
		"shutdown_script_timeout": seconds(func(g *Global) *time.Duration { return &g.ShutdownTimeout }),

		"vrrp_notify_priority_changes":     flag(func(g *Global) *bool { return &g.PriorityChanges }),
		"fifo_write_vrrp_states_on_reload": flag(func(g *Global) *bool { return &g.StatesOnReload }),
		"rs_init_notifies":                 flag(func(g *Global) *bool { return &g.InitialServers }),
		"set_supplementary_groups":         flag(func(g *Global) *bool { return &g.SupplementaryGroups }),

		"smtp_server": func(d *decoder, n *Node, g *Global) {
			checkHostPort(d, n)
			g.Mail.Server = n.Words[1].Text
			if len(n.Words) > 2 {
				if port, ok := d.integer(n.Words[2], 1, 65535); ok {
					g.Mail.Port = int(port)
				}
			}
		},
		"smtp_helo_name":          text(func(g *Global) *string { return &g.Mail.Helo }),
		"smtp_connect_timeout":    seconds(func(g *Global) *time.Duration { return &g.Mail.Timeout }),
		"notification_email_from": text(func(g *Global) *string { return &g.Mail.From }),
		"notification_email": func(_ *decoder, n *Node, g *Global) {
			for e := range n.entries() {
				for _, w := range e.Words {
					g.Mail.To = append(g.Mail.To, w.Text)
				}
			}
		},
		"no_checker_emails":  flag(func(g *Global) *bool { return &g.Mail.OnlyChanges }),
		"no_email_faults":    flag(func(g *Global) *bool { return &g.Mail.NoFaults }),
		"smtp_alert":         func(d *decoder, _ *Node, g *Global) { g.Mail.All = new(d.v.flag) },
		"smtp_alert_vrrp":    func(d *decoder, _ *Node, g *Global) { g.Mail.VRRP = new(d.v.flag) },
		"smtp_alert_checker": func(d *decoder, _ *Node, g *Global) { g.Mail.Checkers = new(d.v.flag) },
	})
}

// resolveNotifications gives what does not say what the file says for all.
func (d *decoder) resolveNotifications() {
	d.resolveMail()
	g := &d.cfg.Global
	vrrp, checkers := first(false, g.Mail.VRRP, g.Mail.All), []*bool{g.Mail.Checkers, g.Mail.All}
	groups := make(map[string]*SyncGroup)
	for _, group := range d.cfg.SyncGroups {
		group.resolve(g, vrrp, g.PriorityChanges)
		for _, member := range group.Members {
			groups[member.Text] = group
		}
	}
	for _, v := range d.cfg.Instances {
		priorities := g.PriorityChanges
		if group := groups[v.Name]; group != nil {
			priorities = group.Priorities
		}
		v.resolve(g, vrrp, priorities)
	}
	eachServer(d.cfg, d.kept, phaseNotify, &d.diags, func(v *VirtualServer) {
		v.Notification.resolve(g, first(false, checkers...), false)
		for _, r := range v.RealServers {
			r.Notification.resolve(g, first(true, checkers...), false)
		}
	})
	for _, c := range []*Command{&g.Startup, &g.Shutdown} {
		c.resolve(g)
	}
	for _, f := range []*FIFO{g.FIFO, g.VRRPFIFO, g.LVSFIFO} {
		d.resolveFIFO(f)
	}
}

func (d *decoder) resolveFIFO(f *FIFO) {
	if f == nil {
		return
	}
	f.Script.resolve(&d.cfg.Global)
	switch {
	case f.Path == "":
		d.warnf(f.Pos, "missing-keyword", "name the pipe that it reads", "a script that reads a FIFO, and no FIFO")
	case f.Path[0] != '/':
		d.errorf(f.Pos, "bad-value", "write it from the root on", "%s is no absolute path of a FIFO", quoted(f.Path))
	}
}
