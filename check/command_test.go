//go:build unix

package check_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
)

func TestCommandKeepsItsContract(t *testing.T) {
	run := func(args ...string) func(*testing.T) check.Checker {
		return func(*testing.T) check.Checker { return check.Command{Args: args} }
	}
	checktest.TestChecker(t, run("true"), run("false"), run("sleep", "60"))
}

func TestCommandSaysWhy(t *testing.T) {
	script := filepath.Join(t.TempDir(), "check")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho first\necho the queue is full >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]check.Command{
		"exit status 3: the queue is full":   {Args: []string{script}},
		"executable file not found":          {Args: []string{"no-such-program"}},
		"no such file":                       {Args: []string{"/no/such/program"}},
		"no program":                         {},
		"no user nobody-of-that-name":        {Args: []string{"true"}, User: "nobody-of-that-name"},
		"no group nobody-of-that-name":       {Args: []string{"true"}, Group: "nobody-of-that-name"},
		"can be written by others than root": {Args: []string{writable(t)}, Secure: true},
		"sleep: timed out":                   {Args: []string{"sleep", "60"}},
		"permission denied":                  {Args: []string{plain(t)}},
		"exit status 7: a b|c":               {Args: []string{"sh", "-c", `echo "$1|$2"; exit 7`, "sh", "a b", "c"}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err := c.Check(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", c.Args, err, want)
		}
	}
	if err := (check.Command{Args: []string{"true"}, Secure: true}).Check(t.Context()); err != nil {
		t.Errorf("root's own program: %v", err)
	}
}

func writable(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "open")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	return path
}

func plain(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
