package config

import (
	"strconv"
	"time"
)

// TrackFile is a track_file, or a vrrp_track_file.
type TrackFile struct {
	Pos
	Name, Path string
	// Weight is 1 unless said otherwise.
	Weight  int
	Reverse bool
	// Init says that the file is to be made at the start with InitValue, when it is not there or with Overwrite anyway.
	Init      bool
	InitValue int
	Overwrite bool

	end Pos
}

// TrackProcess is a vrrp_track_process.
type TrackProcess struct {
	Pos
	Name string
	// Command is the name of the program and its parameters, of which Match says how they must match: exact, partial, initial, or
	// empty for any.
	Command []string
	Match   string
	Full    bool
	Weight  int
	Reverse bool
	// Quorum is 1 unless said otherwise; QuorumMax is -1 for none.
	Quorum, QuorumMax         int
	ForkDelay, TerminateDelay time.Duration

	end Pos
}

var fileKeywords = map[string]setter[TrackFile]{
	"file":      func(d *decoder, _ *Node, f *TrackFile) { f.Path = unescape(d.v.script[0]) },
	"weight":    func(d *decoder, n *Node, f *TrackFile) { f.Weight, f.Reverse, _ = d.trackWeight(n.Values(), 254) },
	"init_file": decodeInitFile,
}

func decodeInitFile(d *decoder, n *Node, f *TrackFile) {
	checkInitFile(d, n)
	f.Init = true
	for _, w := range n.Values() {
		if w.Text == "overwrite" {
			f.Overwrite = true
		} else if v, err := strconv.ParseInt(w.Text, 0, 32); err == nil {
			f.InitValue = int(v)
		}
	}
}

func decodeTrackFile(d *decoder, n *Node, c *Config) {
	f := &TrackFile{Pos: n.Pos, Name: n.Words[1].Text, Weight: 1, end: n.End}
	decodeBlock(d, n.block(), n.Block, f, fileKeywords)
	if f.Path == "" {
		d.errorf(n.End, "missing-keyword", "add file PATH", "%s %s has no file", n.Keyword(), f.Name)
		return
	}
	c.Files = append(c.Files, f)
	c.Trackers = append(c.Trackers, Tracker{n.Pos, "file", f.Name})
}

var processKeywords = map[string]setter[TrackProcess]{
	"process": func(d *decoder, _ *Node, p *TrackProcess) {
		for _, w := range d.v.script {
			p.Command = append(p.Command, unescape(w))
		}
	},
	"param_match": func(_ *decoder, n *Node, p *TrackProcess) {
		if p.Match = "exact"; len(n.Words) > 1 {
			p.Match = n.Words[1].Text
		}
	},
	"weight":          func(d *decoder, n *Node, p *TrackProcess) { p.Weight, p.Reverse, _ = d.trackWeight(n.Values(), 254) },
	"quorum":          number(func(p *TrackProcess) *int { return &p.Quorum }),
	"quorum_max":      number(func(p *TrackProcess) *int { return &p.QuorumMax }),
	"delay":           func(d *decoder, _ *Node, p *TrackProcess) { p.ForkDelay, p.TerminateDelay = d.v.time, d.v.time },
	"fork_delay":      timer(func(p *TrackProcess) *time.Duration { return &p.ForkDelay }),
	"terminate_delay": timer(func(p *TrackProcess) *time.Duration { return &p.TerminateDelay }),
	"full_command":    flag(func(p *TrackProcess) *bool { return &p.Full }),
}

func decodeTrackProcess(d *decoder, n *Node, c *Config) {
	p := &TrackProcess{Pos: n.Pos, Name: n.Words[1].Text, Quorum: 1, QuorumMax: -1, end: n.End}
	decodeBlock(d, n.block(), n.Block, p, processKeywords)
	if len(p.Command) == 0 {
		d.errorf(n.End, "missing-keyword", "add process NAME", "vrrp_track_process %s has no process", p.Name)
		return
	}
	if p.Match == "" && len(p.Command) > 1 {
		p.Match = "exact"
	}
	if p.QuorumMax > 0 && p.QuorumMax < p.Quorum {
		d.errorf(n.End, "bad-value", "", "vrrp_track_process %s: quorum_max %d is below quorum %d", p.Name, p.QuorumMax, p.Quorum)
		return
	}
	c.Processes = append(c.Processes, p)
	c.Trackers = append(c.Trackers, Tracker{n.Pos, "process", p.Name})
}
