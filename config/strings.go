package config

// What embeds a Pos would print as its place; these print as what they are.

// String is the text of the word.
func (w Word) String() string { return w.Text }

// String is the address of the server.
func (r *RealServer) String() string { return r.Addr.String() }

// String is the kind of check and where it connects to.
func (c *Check) String() string {
	if c.local() {
		return c.Kind
	}
	return c.Kind + " " + c.Addr.String()
}

// String is the name of the group.
func (g *SyncGroup) String() string { return g.Name }

// String is the name of the group.
func (g *ServerGroup) String() string { return g.Name }

// String is the name of the script.
func (s *Script) String() string { return s.Name }

// String is the name of the instance.
func (v *VRRPInstance) String() string { return v.Name }

// String is the name of the file's block.
func (f *TrackFile) String() string { return f.Name }

// String is the name of the process's block.
func (p *TrackProcess) String() string { return p.Name }

// String is the name of the session.
func (b *BFD) String() string { return b.Name }

// String is the name of the webhook.
func (w *Webhook) String() string { return w.Name }

// String is what is tracked: its kind and its name.
func (t Track) String() string { return t.Kind + " " + t.Name }

// String is what can be tracked: its kind and its name.
func (t Tracker) String() string { return t.Kind + " " + t.Name }

// String is the address with its length.
func (a VirtualAddress) String() string { return a.Prefix.String() }

// String is the path that is asked for.
func (u *URL) String() string { return u.Path }

// String is the entry in the words of ip-route(8) or ip-rule(8).
func (e HostEntry) String() string { return e.Text }
