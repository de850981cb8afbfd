package check

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Command is well when a program exits with status 0 (MISC_CHECK, vrrp_script). One that cannot be started is not well.
type Command struct {
	// Args are the program and its arguments. No shell is involved. A program without a / is looked up in PATH.
	Args []string
	// User and Group to run as, by name or number. Empty means those of this process, or the group of User.
	User, Group string
	// Secure refuses a program that somebody other than root could have changed: it, and each directory above it, must be
	// root's and writable by nobody else.
	Secure bool
}

// mercy is the time between SIGTERM and SIGKILL.
const mercy = time.Second

// Check implements [Checker]. When ctx ends the program's process group gets SIGTERM, and a second later SIGKILL. The error
// has the last line that the program printed.
func (c Command) Check(ctx context.Context) error {
	if len(c.Args) == 0 {
		return errors.New("command: no program")
	}
	path, err := exec.LookPath(c.Args[0])
	if err != nil {
		return fmt.Errorf("command: %w", err)
	}
	if c.Secure {
		if err := rootOnly(path); err != nil {
			return fmt.Errorf("command: %w", err)
		}
	}
	cmd := exec.CommandContext(ctx, path, c.Args[1:]...)
	out := &lastLine{}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, out, mercy
	if err := isolate(cmd, c.User, c.Group); err != nil {
		return fmt.Errorf("command: %w", err)
	}
	err = cmd.Run()
	endGroup(cmd)
	return c.verdict(ctx, err, out.String())
}

func (c Command) verdict(ctx context.Context, err error, said string) error {
	if err == nil {
		return nil
	}
	if said != "" {
		said = ": " + said
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s timed out%s", c.Args[0], said)
	}
	return fmt.Errorf("%s: %w%s", c.Args[0], err, said)
}

// lastLine keeps the last line that was written, as far as it fits.
type lastLine struct{ b []byte }

const maxLine = 200

func (l *lastLine) Write(b []byte) (int, error) {
	l.b = append(l.b, b...)
	if extra := len(l.b) - 2*maxLine; extra > 0 {
		l.b = append(l.b[:0], l.b[extra:]...)
	}
	return len(b), nil
}

func (l *lastLine) String() string {
	text := strings.TrimSpace(string(l.b))
	text = text[strings.LastIndexByte(text, '\n')+1:]
	return text[:min(len(text), maxLine)]
}
