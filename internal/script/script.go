// Package script runs the programs that a configuration names: checks, trackers and notifications alike.
//
// A program gets a process group of its own, an environment without what would change the meaning of a script, /dev/null to
// read from, and the user it is to run as. When its time is over the group gets SIGTERM and [Mercy] later SIGKILL; nobody
// waits longer than that. What cannot be started is an error that says why. Systems other than Unix have no such programs:
// there every start fails with an error that wraps [errors.ErrUnsupported].
package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Mercy is the time between SIGTERM and SIGKILL.
const Mercy = 2 * time.Second

// ErrNotStarted is what an error wraps when the program did not run at all.
var ErrNotStarted = errors.New("not started")

// ErrBusy is what an error wraps, beside [ErrNotStarted], when the time was over before there was a place for the program.
var ErrBusy = errors.New("too many scripts are running")

// Command is a program, and whom it runs as.
type Command struct {
	// Args are the program and its arguments. A program without a / is looked up in PATH; it may be a script without #!,
	// which the shell runs, as execvp does.
	Args []string
	// Shell makes Args[0] a line for /bin/sh and the others its $1 and so on.
	Shell bool
	// User and Group to run as, by name or number. Empty means those of this process; the group of a User is his own unless
	// said otherwise.
	User, Group string
	// Supplementary adds the groups that User is a member of. Without, a program with a User is in one group only.
	Supplementary bool
	// Secure refuses a program that would run as root, or in root's group, and that others than root could change.
	Secure bool
	// Resolve gives the program its own path without symbolic links as $0.
	Resolve bool
	// Env is added to the environment.
	Env []string
	// Detach leaves alone what the program put into the background, and captures no output, which that could go on writing
	// to. Without, its process group ends with it.
	Detach bool
}

// String is the program and its arguments, as a shell would take them.
func (c Command) String() string {
	parts := make([]string, len(c.Args))
	for i, arg := range c.Args {
		if parts[i] = arg; arg == "" || strings.ContainsAny(arg, " \t\n'\"\\$&|;<>(){}*?#~") && !(c.Shell && i == 0) {
			parts[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(parts, " ")
}

// name is how messages call the program.
func (c Command) name() string {
	if len(c.Args) == 0 {
		return "script"
	}
	return c.Args[0]
}

// Outcome is how a program ended.
type Outcome struct {
	// Status is the exit status; -1 for a program that a signal ended or that was not started.
	Status int
	// Output is the end of what it printed, at most 4 KB, without blank space around.
	Output string
	// Took is how long it ran.
	Took time.Duration
}

// LastLine is the last line of the output, at most 200 bytes.
func (o Outcome) LastLine() string {
	line := strings.ToValidUTF8(o.Output[strings.LastIndexByte(o.Output, '\n')+1:], "?")
	return line[:min(len(line), 200)]
}

// Runner runs programs, a bounded number at once. The zero value has no bound. Its methods may be called from any goroutine.
type Runner struct {
	slots chan struct{}
}

// NewRunner makes a Runner of at most so many programs at once; 0 means any number.
func NewRunner(limit int) *Runner {
	if limit <= 0 {
		return &Runner{}
	}
	return &Runner{slots: make(chan struct{}, limit)}
}

// Run starts a program and waits for its end, which ctx brings about. The error is nil when the exit status is 0; it tells
// the last line that was printed. An error after the end of ctx wraps the cause of that end.
func (r *Runner) Run(ctx context.Context, c Command) (Outcome, error) {
	p, err := r.Start(ctx, c)
	if err != nil {
		return Outcome{Status: -1}, err
	}
	return p.Wait()
}

// Start starts a program, once there is a place for it. It goes on until it ends by itself or ctx ends; nobody has to wait
// for it.
func (r *Runner) Start(ctx context.Context, c Command) (*Process, error) {
	if err := r.acquire(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", c.name(), ErrNotStarted, err)
	}
	p, err := start(ctx, c, r.release)
	if err != nil {
		r.release()
		return nil, fmt.Errorf("%s: %w: %w", c.name(), ErrNotStarted, err)
	}
	return p, nil
}

func (r *Runner) acquire(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if r.slots == nil {
		return nil
	}
	select {
	case r.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errors.Join(ErrBusy, context.Cause(ctx))
	}
}

func (r *Runner) release() {
	if r.slots != nil {
		<-r.slots
	}
}

// Inspect says why a program could not be started now: it is not there, not executable, its user does not exist, or it is
// not secure. Nil means that nothing is known against it.
func (c Command) Inspect() error {
	_, err := c.prepare()
	if err != nil {
		return fmt.Errorf("%s: %w", c.name(), err)
	}
	return nil
}

// plan is a Command made ready to start.
type plan struct {
	path string
	argv []string
	who  identity
}

func (c Command) prepare() (p plan, err error) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return p, errors.New("no program")
	}
	if p.who, err = lookUp(c.User, c.Group, c.Supplementary); err != nil {
		return p, err
	}
	p.path, p.argv = "/bin/sh", append([]string{"sh", "-c", c.Args[0], "sh"}, c.Args[1:]...)
	if c.Shell {
		return p, nil
	}
	if p.path, err = exec.LookPath(c.Args[0]); err != nil {
		return p, unwrapPath(err)
	}
	if p.path, err = filepath.Abs(p.path); err != nil {
		return p, err
	}
	if c.Secure {
		if err := secure(p.path, p.who); err != nil {
			return p, err
		}
	}
	if c.Resolve {
		if p.path, err = filepath.EvalSymlinks(p.path); err != nil {
			return p, unwrapPath(err)
		}
	}
	p.argv = append([]string{p.path}, c.Args[1:]...)
	return p, nil
}

// unwrapPath cuts away what only repeats the path.
func unwrapPath(err error) error {
	if e, ok := errors.AsType[*exec.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*os.PathError](err); ok {
		err = e.Err
	}
	return err
}

// unsafeVariable says whether a variable changes what a script does.
func unsafeVariable(entry string) bool {
	name, _, _ := strings.Cut(entry, "=")
	switch name {
	case "IFS", "ENV", "BASH_ENV", "SHELLOPTS", "BASHOPTS":
		return true
	}
	return strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "BASH_FUNC_")
}

// environment is that of this process without what changes the meaning of a script, and what is added.
func environment(added []string) []string {
	var env []string
	for _, entry := range os.Environ() {
		if !unsafeVariable(entry) {
			env = append(env, entry)
		}
	}
	return append(env, added...)
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

const maxOutput = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b[max(0, len(b)-maxOutput):]...)
	if extra := len(t.b) - maxOutput; extra > 0 {
		t.b = append(t.b[:0], t.b[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string { return strings.TrimSpace(strings.ToValidUTF8(string(t.b), "?")) }
