package check

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-lb/holdfast/internal/script"
)

// Command is well when a program exits with status 0 (MISC_CHECK, vrrp_script). One that cannot be started is not well.
type Command struct {
	// Args are the program and its arguments. No shell is involved, except for a script without #!. A program without a / is
	// looked up in PATH.
	Args []string
	// Shell makes Args[0] a line for /bin/sh, and the others its $1 and so on.
	Shell bool
	// User and Group to run as, by name or number. Empty means those of this process, or the group of User.
	User, Group string
	// Supplementary adds the groups that User is a member of.
	Supplementary bool
	// Secure refuses a program that would run as root and that others than root could have changed: it, and each directory
	// and symbolic link on the way to it, must be root's and writable by nobody else.
	Secure bool
	// Resolve gives the program its path without symbolic links as $0.
	Resolve bool
	// Dynamic takes exit status 2 to 255 for success as well, and the status less 2 for the weight that the server should
	// have (misc_dynamic). Status 0 is success and leaves the configured weight.
	Dynamic bool
}

// scripts bounds the programs that checks run at once: each takes a process and two descriptors.
var scripts = script.NewRunner(256)

// Check implements [Checker]. When ctx ends the program's process group gets SIGTERM, and two seconds later SIGKILL. The
// error has the last line that the program printed.
func (c Command) Check(ctx context.Context) error {
	_, err := c.Report(ctx)
	return err
}

// Report implements [Reporter]: the detail is the last line that the program printed.
func (c Command) Report(ctx context.Context) (Report, error) {
	out, err := scripts.Run(ctx, c.command())
	r := Report{Detail: out.LastLine()}
	switch {
	case c.Dynamic && out.Status >= 2:
		r.Weight, err = Absolute(out.Status-2), nil
	case errors.Is(err, script.ErrBusy):
		err = fmt.Errorf("%w: %w", err, ErrInconclusive)
	}
	return r, err
}

// Key implements [Keyer].
func (c Command) Key() string { return fmt.Sprintf("%#v", c) }

// Inspect says why the program could not be started now. Nil means that nothing is known against it.
func (c Command) Inspect() error { return c.command().Inspect() }

func (c Command) command() script.Command {
	return script.Command{
		Args: c.Args, Shell: c.Shell, User: c.User, Group: c.Group, Supplementary: c.Supplementary, Secure: c.Secure, Resolve: c.Resolve,
	}
}
