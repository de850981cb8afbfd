//go:build unix

package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// file writes a script of the shell.
func file(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script.sh")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func sh(line string) Command { return Command{Args: []string{"sh", "-c", line}} }

func run(t *testing.T, c Command, limit time.Duration) (Outcome, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return new(Runner).Run(ctx, c)
}

func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		command Command
		status  int
		says    string
	}{
		{Command{Args: []string{"true"}}, 0, ""},
		{sh("echo one; echo the queue is full >&2; exit 3"), 3, "sh: exit status 3: the queue is full"},
		{sh("kill -9 $$"), -1, "sh: signal: killed"},
		{Command{Args: []string{"sh", "-c", `echo "$1|$2"; exit 7`, "sh", "a b", "c"}}, 7, "sh: exit status 7: a b|c"},
		{Command{Args: []string{`exit $1`, "4"}, Shell: true}, 4, "exit $1: exit status 4"},
		{Command{Args: []string{"no-such-program"}}, -1, "no-such-program: not started: executable file not found in $PATH"},
		{Command{Args: []string{"/no/such/program"}}, -1, "/no/such/program: not started: no such file or directory"},
		{Command{Args: []string{file(t, "#!/bin/sh\n", 0o644)}}, -1, "not started: permission denied"},
		{Command{Args: []string{file(t, "#!/no/such/shell\n", 0o755)}}, -1, "not started: no such file or directory"},
		{Command{}, -1, "script: not started: no program"},
		{Command{Args: []string{"true"}, User: "nobody-of-that-name"}, -1, "there is no user nobody-of-that-name"},
		{Command{Args: []string{"true"}, Group: "none-of-that-name"}, -1, "there is no group none-of-that-name"},
		{Command{Args: []string{file(t, "exit 6\n", 0o755)}}, 6, "exit status 6"}, // no #!
	} {
		got, err := run(t, c.command, 10*time.Second)
		if got.Status != c.status || err == nil && c.says != "" || err != nil && (c.says == "" || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%v: status %d, %v; want %d, %q", c.command, got.Status, err, c.status, c.says)
		}
		if errors.Is(err, ErrNotStarted) == (c.status >= 0 || strings.Contains(c.says, "signal")) {
			t.Errorf("%v: %v: is it ErrNotStarted?", c.command, err)
		}
	}
}

func TestEnvironmentIsCleaned(t *testing.T) {
	for _, name := range []string{"IFS", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "BASH_ENV"} {
		t.Setenv(name, "")
	}
	t.Setenv("KEPT", "yes")
	c := Command{Args: []string{"env"}, Env: []string{"ADDED=too"}}
	got, err := run(t, c, 10*time.Second)
	if err != nil || !strings.Contains(got.Output, "KEPT=yes") || !strings.HasSuffix(got.Output, "ADDED=too") {
		t.Fatal(err, got.Output)
	}
	for _, name := range []string{"IFS=", "LD_", "BASH_ENV"} {
		if strings.Contains(got.Output, name) {
			t.Errorf("%s is left in:\n%s", name, got.Output)
		}
	}
}

// TestNothingToReadFrom: stdin is empty, and no descriptor of ours is open in the program.
func TestNothingToReadFrom(t *testing.T) {
	secret, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	got, err := run(t, sh("cat; ls -l /proc/self/fd | grep -c passwd; pwd"), 10*time.Second)
	if want := "0\n/"; err != nil || got.Output != want {
		t.Errorf("%v, %q, want %q", err, got.Output, want)
	}
}

func TestFloodOfOutput(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := run(t, sh("head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1"), 30*time.Second)
	runtime.ReadMemStats(&after)
	if err == nil || got.LastLine() != "the end" || len(got.Output) > maxOutput {
		t.Errorf("%v, %d bytes, last %q", err, len(got.Output), got.LastLine())
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes were allocated for 20 MB of output", grown)
	}
	if long, _ := run(t, sh("head -c 5000 /dev/zero | tr '\\0' '\\377'"), 10*time.Second); len(long.LastLine()) > 200 {
		t.Errorf("a last line of %d bytes", len(long.LastLine()))
	}
}

// TestTimeout: SIGTERM to all of the group, SIGKILL to what ignores it, and an exit status of 0 on the way out is none.
func TestTimeout(t *testing.T) {
	for _, c := range []struct {
		line       string
		least, max time.Duration
	}{
		{"sleep 60", 0, Mercy - 500*time.Millisecond},
		{"trap 'exit 0' TERM; sleep 60 & wait", 0, Mercy - 500*time.Millisecond},
		{"trap '' TERM; sleep 60", Mercy, Mercy + 2*time.Second},
		{"kill -STOP $$", 0, Mercy - 500*time.Millisecond},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			got, err := run(t, sh("echo began; "+c.line), 200*time.Millisecond)
			took := time.Since(begin)
			if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "sh: timed out: began" || got.Status != -1 {
				t.Errorf("status %d, %v", got.Status, err)
			}
			if took < c.least || took > c.max {
				t.Errorf("it took %v, want %v to %v", took, c.least, c.max)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	p, err := new(Runner).Start(ctx, sh("sleep 60"))
	if err != nil {
		t.Fatal(err)
	}
	cancel(errors.New("reload"))
	if _, err := p.Wait(); err == nil || err.Error() != "sh: reload" {
		t.Errorf("%v", err)
	}
	if _, err := new(Runner).Start(ctx, sh("true")); !errors.Is(err, ErrNotStarted) || !strings.HasSuffix(err.Error(), "reload") {
		t.Errorf("after the end: %v", err)
	}
}

// TestNothingIsLeftBehind: what the program put into the background ends with it, and nothing is a zombie.
func TestNothingIsLeftBehind(t *testing.T) {
	for name, line := range map[string]string{
		"it ends":      "sleep 60 & echo $!",
		"it is killed": "sleep 60 & echo $!; wait",
	} {
		got, _ := run(t, sh(line), 300*time.Millisecond)
		poll(t, name+": its child is still there", func() bool { return dead(got.Output) })
	}
	if n := children(t); n != 0 {
		t.Errorf("%d children are left", n)
	}
}

// TestAsFirstProcess: in a container, orphans become ours. They are no zombies for long.
func TestAsFirstProcess(t *testing.T) {
	if os.Getpid() == 1 {
		for range 3 {
			if _, err := run(t, sh("sleep 60 & sleep 61 & true"), 10*time.Second); err != nil {
				t.Error(err)
			}
		}
		if n := children(t); n != 0 {
			t.Errorf("%d children are left", n)
		}
		return
	}
	lab.NeedRoot(t)
	lab.Need(t, "unshare")
	out, err := exec.Command("unshare", "--pid", "--fork", "--mount-proc", os.Args[0], "-test.run=^TestAsFirstProcess$", "-test.v").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestAsFirstProcess") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestDetachLeavesTheBackgroundAlone, as a notify script may start a daemon.
func TestDetachLeavesTheBackgroundAlone(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	c := sh("sleep 60 & echo $! > " + pid)
	c.Detach = true
	if _, err := run(t, c, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(pid)
	if dead(string(text)) {
		t.Error("it was killed")
	}
	var n int
	fmt.Sscan(string(text), &n)
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

// TestEscapeFromTheGroup: a program that moved a child to another group, with its output, delays nothing.
func TestEscapeFromTheGroup(t *testing.T) {
	lab.Need(t, "setsid")
	begin := time.Now()
	got, err := run(t, sh("setsid sleep 3 & echo done"), 10*time.Second)
	if took := time.Since(begin); err != nil || got.Output != "done" || took > 2*time.Second {
		t.Errorf("%v, %q after %v", err, got.Output, took)
	}
}

func TestLimit(t *testing.T) {
	r := NewRunner(2)
	dir := t.TempDir()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			line := fmt.Sprintf("touch %s/%d; ls %s | wc -l; sleep 0.05; rm %s/%d", dir, i, dir, dir, i)
			if got, err := r.Run(t.Context(), sh(line)); err != nil || got.Output > "2" {
				t.Errorf("%v: %s at once", err, got.Output)
			}
		})
	}
	group.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for range 2 {
		if _, err := r.Start(t.Context(), sh("sleep 0.3")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Run(ctx, sh("true")); !errors.Is(err, ErrBusy) || !errors.Is(err, ErrNotStarted) {
		t.Errorf("without a place: %v", err)
	}
}

func TestRunsAsAnother(t *testing.T) {
	lab.NeedRoot(t)
	who := func(c Command) string {
		c.Args = []string{"sh", "-c", "echo $(id -u) $(id -g) $(id -G)"}
		got, err := run(t, c, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return got.Output
	}
	for _, c := range []struct {
		command Command
		want    string
	}{
		{Command{User: "nobody"}, "65534 65534 65534"},
		{Command{User: "nobody", Group: "daemon"}, "65534 1 1"},
		{Command{User: "12345", Group: "12346"}, "12345 12346 12346"},
		{Command{User: "root"}, "0 0 0"},
		{Command{Group: "daemon"}, "0 1 1"},
	} {
		if got := who(c.command); got != c.want {
			t.Errorf("%+v runs as %s, want %s", c.command, got, c.want)
		}
	}
	for _, name := range []string{"list", "man", "www-data", "root"} { // one that is in several groups, if there is one
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		ids, _ := u.GroupIds()
		got := strings.Fields(who(Command{User: name, Supplementary: true}))[2:]
		for _, id := range ids {
			if !strings.Contains(" "+strings.Join(got, " ")+" ", " "+id+" ") {
				t.Errorf("%s runs in groups %v, want %v", name, got, ids)
			}
		}
	}
	private := file(t, "#!/bin/sh\n", 0o700)
	if _, err := run(t, Command{Args: []string{private}, User: "nobody"}, time.Second); !errors.Is(err, ErrNotStarted) || !errors.Is(err, syscall.EACCES) {
		t.Errorf("root's own script as nobody: %v", err)
	}
}

func TestSecure(t *testing.T) {
	lab.NeedRoot(t)
	base, err := os.MkdirTemp("/root", "holdfast-secure-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	script := func(path string, mode os.FileMode) string {
		path = filepath.Join(base, path)
		must(os.MkdirAll(filepath.Dir(path), 0o755))
		must(os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755))
		must(os.Chmod(path, mode))
		return path
	}
	good := script("good/s", 0o755)
	open := script("open/s", 0o755)
	must(os.Chmod(filepath.Dir(open), 0o777))
	sticky := script("sticky/s", 0o755)
	must(os.Chmod(filepath.Dir(sticky), 0o777|os.ModeSticky))
	owned := script("owned/s", 0o755)
	must(os.Chown(owned, 65534, 0))
	group := script("group/s", 0o775)
	must(os.Chown(group, 0, 65534))
	setuid := script("setuid/s", 0o777|os.ModeSetuid)
	link := filepath.Join(base, "good", "link")
	must(os.Symlink(filepath.Join(base, "open", "hop"), link)) // a good place, to a bad one, and back to a good one
	must(os.Symlink("../good/s", filepath.Join(base, "open", "hop")))
	direct := filepath.Join(base, "direct")
	must(os.Symlink("good/s", direct))
	for _, c := range []struct {
		path, user, says string
	}{
		{good, "", ""},
		{direct, "", ""},
		{sticky, "", ""},
		{script("other", 0o757), "", "can be written by others"},
		{group, "", "can be written by others"},
		{owned, "", "belongs to user 65534"},
		{open, "", "open can be written"},
		{link, "", "open can be written"},
		{open, "nobody", ""},
		{setuid, "nobody", "s can be written"},
	} {
		err := Command{Args: []string{c.path}, User: c.user, Secure: true}.Inspect()
		if got := fmt.Sprint(err); (err == nil) != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s as %q: %v, want %q", c.path, c.user, err, c.says)
		}
		if err := (Command{Args: []string{c.path}, User: c.user}).Inspect(); err != nil {
			t.Errorf("%s without security: %v", c.path, err)
		}
	}
	got, err := run(t, Command{Args: []string{script("self", 0o755)}, Secure: true}, time.Second)
	if err != nil || got.Status != 0 {
		t.Error(err)
	}
}

func TestResolve(t *testing.T) {
	real := file(t, "#!/bin/sh\necho $0\n", 0o755)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	for resolve, want := range map[bool]string{true: real, false: link} {
		if got, err := run(t, Command{Args: []string{link}, Resolve: resolve}, time.Second); err != nil || got.Output != want {
			t.Errorf("resolve %v: %q, %v; want %q", resolve, got.Output, err, want)
		}
	}
}

func TestString(t *testing.T) {
	c := Command{Args: []string{"/bin/x", "a b", "it's", "", "plain"}}
	if got, want := c.String(), `/bin/x 'a b' 'it'\''s' '' plain`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// dead says whether a process is gone, or is somebody's zombie.
func dead(pid string) bool {
	stat, err := os.ReadFile("/proc/" + strings.TrimSpace(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// children counts the children of this process, zombies too.
func children(t *testing.T) (n int) {
	t.Helper()
	all, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		list, _ := os.ReadFile(file)
		n += len(strings.Fields(string(list)))
	}
	return n
}

// poll waits for what the kernel takes a moment to do.
func poll(t *testing.T, otherwise string, ok func() bool) {
	t.Helper()
	for range 400 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error(otherwise)
}
