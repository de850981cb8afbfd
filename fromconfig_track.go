package holdfast

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"sync"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/config"
)

// trackersOf are the trackers of scripts, files and processes, with what they do to the instances that name them or whose
// group does.
func trackersOf(c *config.Config, groups map[string]*config.SyncGroup) (list []Tracker) {
	for _, s := range c.Scripts {
		list = append(list, scriptTracker(s, c, groups))
	}
	for _, f := range c.Files {
		list = append(list, fileTrackers(f, c, groups)...)
	}
	for _, p := range c.Processes {
		list = append(list, processTracker(p, c, groups))
	}
	return list
}

// scriptTracker counts as down until its first success.
func scriptTracker(s *config.Script, c *config.Config, groups map[string]*config.SyncGroup) Tracker {
	return Tracker{Name: s.Name, Probe: check.Probe{
		Checker: commandOf(s.Command, s.Args, s.User, s.Group, s.Groups, &c.Global),
		Policy:  check.Policy{DelayLoop: s.Interval, Fall: s.Fall, Rise: s.Rise, Timeout: s.Timeout, FromStart: true, AtOnce: true},
		Alpha:   true,
	}, Effects: effectsOf(tracking{"script", s.Name, s.Weight, s.Reverse}, c, groups)}
}

// fileRange is what a file can add to a priority. A product below takes to FAULT.
const fileRange = 253

// fileTrackers are one for each weight that instances give the file: the product is the tracker's own business.
func fileTrackers(f *config.TrackFile, c *config.Config, groups map[string]*config.SyncGroup) (list []Tracker) {
	for _, e := range effectsOf(tracking{"file", f.Name, f.Weight, f.Reverse}, c, groups) {
		name := "file " + f.Name
		if e.Weight != f.Weight || e.Reverse != f.Reverse {
			name = fmt.Sprintf("%s weight %d", name, e.Weight)
		}
		if e.Reverse && !f.Reverse {
			name += " reverse"
		}
		i := slices.IndexFunc(list, func(t Tracker) bool { return t.Name == name })
		if i < 0 {
			i = len(list)
			file := check.File{Path: f.Path, Weight: e.Weight, Reverse: e.Reverse, Range: fileRange}
			list = append(list, Tracker{Name: name, Probe: check.Probe{Checker: file}})
		}
		list[i].Effects = append(list[i].Effects, Effect{Instance: e.Instance})
	}
	return list
}

var paramMatches = map[string]check.ParamMatch{
	"": check.AnyParams, "exact": check.ExactParams, "partial": check.FirstParams, "initial": check.InitialParams,
}

func processTracker(p *config.TrackProcess, c *config.Config, groups map[string]*config.SyncGroup) Tracker {
	checker := check.Process{
		Name: p.Command[0], Params: p.Command[1:], Full: p.Full, Match: paramMatches[p.Match],
		Quorum: p.Quorum, Most: max(p.QuorumMax, 0), None: p.QuorumMax == 0, ForkDelay: p.ForkDelay, TerminateDelay: p.TerminateDelay,
	}
	return Tracker{
		Name: "process " + p.Name, Probe: check.Probe{Checker: checker, Alpha: true},
		Effects: effectsOf(tracking{"process", p.Name, p.Weight, p.Reverse}, c, groups),
	}
}

// tracking is what a track_ list can name, with the weight that it has unless the list says another.
type tracking struct {
	kind, name string
	weight     int
	reverse    bool
}

// effectsOf are those on the instances that name it or whose group does. What the group says counts before what its member
// says, unless that is FAULT.
func effectsOf(what tracking, c *config.Config, groups map[string]*config.SyncGroup) (list []Effect) {
	for _, v := range c.Instances {
		own, hasOwn := what.on(v.Tracks, v.Name)
		if g := groups[v.Name]; g != nil {
			if hasOwn && !g.Weights {
				own, hasOwn = what.inGroup(own)
			}
			if shared, isShared := what.on(g.Tracks, v.Name); isShared && !(hasOwn && own.Weight == 0) {
				own, hasOwn = shared, true
			}
		}
		if hasOwn {
			list = append(list, own)
		}
	}
	return list
}

// inGroup is what is left of a member's own tracker where only the group's may move priorities: one that takes to FAULT, the
// plain file, which then does, and processes.
func (what tracking) inGroup(e Effect) (Effect, bool) {
	switch {
	case e.Weight == 0, what.kind == "process":
		return e, true
	case what.kind == "file" && e.Weight == 1:
		e.Weight = 0
		return e, true
	}
	return e, false
}

// on finds it among what is tracked. A weight there is instead of its own.
func (what tracking) on(tracks []config.Track, instance string) (Effect, bool) {
	for _, t := range tracks {
		if t.Kind != what.kind || t.Name != what.name {
			continue
		}
		if t.HasWeight {
			return Effect{instance, t.Weight, t.Reverse}, true
		}
		return Effect{instance, what.weight, what.reverse}, true
	}
	return Effect{}, false
}

// commandOf makes a check of a script. One that begins with < or > is for the shell.
func commandOf(words, args []string, who, group string, groups bool, g *config.Global) check.Command {
	c := check.Command{
		Args: args, User: cmp.Or(who, defaultUser()), Group: group, Supplementary: groups || g.SupplementaryGroups, Secure: g.ScriptSecurity, Resolve: !g.SymlinkPaths,
	}
	if len(args) > 0 && args[0] != "" && (args[0][0] == '<' || args[0][0] == '>') {
		c.Args, c.Shell = words[:1], true
	}
	return c
}

// defaultUser is whom scripts run as without script_user: keepalived_script, where there is such a user.
var defaultUser = sync.OnceValue(func() string {
	const name = "keepalived_script"
	if _, err := user.Lookup(name); err != nil || os.Geteuid() != 0 {
		return ""
	}
	return name
})

// InitFiles makes the files that track_file blocks ask for with init_file. It is for a program that starts; on a reload files
// stay what they are.
func InitFiles(c *config.Config) error {
	var errs []error
	for _, f := range c.Files {
		if !f.Init {
			continue
		}
		how := os.O_WRONLY | os.O_CREATE | os.O_EXCL
		if f.Overwrite {
			how = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
		}
		file, err := os.OpenFile(f.Path, how, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			_, err = file.WriteString(strconv.Itoa(f.InitValue) + "\n")
			err = errors.Join(err, file.Close())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%v: track_file %s: %w", f.Pos, f.Name, err))
		}
	}
	return errors.Join(errs...)
}
