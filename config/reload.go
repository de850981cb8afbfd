package config

// Reload is what global_defs says about reading the configuration again.
type Reload struct {
	// Check is reload_check_config: warnings refuse a reload as errors do. CheckLog is the file for what is found; empty means none.
	Check    bool
	CheckLog string
	// File is reload_file: it is there while a reload lasts. Empty means none.
	File string
	// TimeFile is reload_time_file: it says when to reload. Empty means none. Repeat is reload_repeat: each day.
	TimeFile string
	Repeat   bool
}

// reloadFile is reload_file without a path, where keepalived has it.
const reloadFile = "/run/keepalived.reload"

// reloadGlobals are of global_defs.
func reloadGlobals() map[string]setter[Global] {
	return map[string]setter[Global]{
		"reload_check_config": func(d *decoder, _ *Node, g *Global) { g.Reload.Check, g.Reload.CheckLog = true, d.v.text },
		"reload_file": func(d *decoder, n *Node, g *Global) {
			g.Reload.File = reloadFile
			if len(n.Words) > 1 {
				g.Reload.File = d.absolute(n.Words[1])
			}
		},
		"reload_time_file": func(d *decoder, n *Node, g *Global) { g.Reload.TimeFile = d.absolute(n.Words[1]) },
		"reload_repeat":    flag(func(g *Global) *bool { return &g.Reload.Repeat }),
	}
}

// absolute is a path that means the same wherever the program was started.
func (d *decoder) absolute(w Word) string {
	if len(w.Text) == 0 || w.Text[0] != '/' {
		d.bad(w, "a path from the root on")
		return ""
	}
	return w.Text
}
