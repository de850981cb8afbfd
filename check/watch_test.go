//go:build unix

package check_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/checktest"
	"github.com/holdfast-lb/holdfast/internal/lab"
)

// watching runs a Watcher and gives what it tells, as "weight detail" or the error.
func watching(t *testing.T, w check.Watcher) (next func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan string, 100), make(chan error, 1)
	go func() {
		ended <- w.Watch(ctx, func(r check.Report, err error) {
			if err != nil {
				told <- err.Error()
				return
			}
			told <- strings.TrimSpace(r.Weight.String() + " " + r.Detail)
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return func() string {
		t.Helper()
		select {
		case s := <-told:
			return s
		case <-time.After(5 * time.Second):
			t.Fatal("nothing is told")
		}
		return ""
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestFileIsReadAsCDoes, and judged by weight, reverse and range.
func TestFileIsReadAsCDoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	for _, c := range []struct {
		text string
		file check.File
		want string // the weight, or the error
	}{
		{"5\n", check.File{Weight: 1}, "+5"},
		{"  -3 apples", check.File{Weight: 2}, "-6"},
		{"+7", check.File{Weight: 1, Reverse: true}, "-7"},
		{"0x1F", check.File{Weight: 1}, "+31"},
		{"010", check.File{Weight: 1}, "+8"},
		{"08", check.File{Weight: 1}, "+0"},
		{"0x", check.File{Weight: 1}, "+0"},
		{"", check.File{Weight: 1}, "+0"},
		{"ok", check.File{Weight: 1}, "+0"},
		{"--5", check.File{Weight: 1}, "+0"},
		{strings.Repeat(" ", 126) + "12", check.File{Weight: 1}, "+1"}, // the first 127 bytes
		{"0", check.File{}, ""},
		{"1", check.File{}, "n: 1"},
		{"0", check.File{Reverse: true}, "n: 0"},
		{"-1", check.File{Reverse: true}, ""},
		{"2147483648", check.File{Weight: 1}, "does not fit into 32 bits"},
		{"99999999999999999999", check.File{Weight: 1}, "does not fit into 32 bits"},
		{"-2147483648", check.File{Weight: 1}, "which makes -2147483648"},
		{"2147483647", check.File{Weight: 5}, fmt.Sprintf("%+d", math.MaxInt32)},
		{"254", check.File{Weight: 1, Range: 253}, "+253"},
		{"-253", check.File{Weight: 1, Range: 253}, "-253"},
		{"-127", check.File{Weight: 2, Range: 253}, "which makes -254: below -253"},
	} {
		put(t, path, c.text)
		c.file.Path = path
		r, err := c.file.Report(t.Context())
		got := r.Weight.String()
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || c.want == "" || !strings.Contains(got, c.want)) {
			t.Errorf("%q with %+v: %q, want %q", c.text, c.file, got, c.want)
		}
		if errors.Is(err, check.ErrInconclusive) != strings.Contains(c.want, "does not fit") {
			t.Errorf("%q: %v: is it inconclusive?", c.text, err)
		}
	}
	if r, err := (check.File{Path: path + "x", Weight: 1}).Report(t.Context()); err != nil || !strings.Contains(r.Detail, "no such file") {
		t.Errorf("a file that is not there: %+v, %v", r, err)
	}
}

func TestFileKeepsItsContract(t *testing.T) {
	file := func(text string) func(*testing.T) check.Checker {
		return func(t *testing.T) check.Checker {
			path := filepath.Join(t.TempDir(), "n")
			put(t, path, text)
			return check.File{Path: path}
		}
	}
	checktest.TestChecker(t, file("0"), file("1"), nil)
}

// TestFileTellsWhatIsWritten, however it is written, and survives all that can happen to files.
func TestFileTellsWhatIsWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "n")
	next := watching(t, check.File{Path: path, Weight: 1})
	want := func(did, want string) {
		t.Helper()
		if got := next(); !strings.HasPrefix(got, want+" ") && !strings.HasSuffix(got, want) {
			t.Fatalf("%s: told %q, want %s", did, got, want)
		}
	}
	want("begin", "no such file or directory")
	put(t, path, "1")
	want("create", "+1")
	put(t, path, "2") // truncated, then written: nothing of 0 is told
	want("write", "+2")
	other := filepath.Join(dir, "other")
	put(t, other, "3")
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	want("rename", "+3")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want("remove", "no such file or directory")
	put(t, path, "4")
	want("create again", "+4")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	want("remove the directory", "no such file or directory")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, path, "5")
	want("make it again", "+5")
	put(t, path, "6")
	want("write there", "+6")
}

// TestFileBehindLinks: the link may be turned to another file, as Kubernetes does.
func TestFileBehindLinks(t *testing.T) {
	dir := t.TempDir()
	for _, v := range []string{"1", "2"} {
		if err := os.Mkdir(filepath.Join(dir, v), 0o755); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, v, "n"), v)
	}
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, "new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("1/n", "n")
	next := watching(t, check.File{Path: filepath.Join(dir, "n"), Weight: 1})
	for i, act := range []func(){
		func() {},
		func() { link("2/n", "n") },
		func() { put(t, filepath.Join(dir, "2", "n"), "3") },
	} {
		act()
		if got := next(); !strings.HasPrefix(got, fmt.Sprintf("+%d ", i+1)) {
			t.Fatalf("told %q, want %d", got, i+1)
		}
	}
}

// TestFileThatWasJustMadeIsNotEmpty: one that comes into sight between its creation and its first byte is told with what is written,
// and one that stays empty as 0.
func TestFileThatWasJustMadeIsNotEmpty(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "n")
	turn := func(to string) {
		t.Helper()
		_ = os.Symlink(to, filepath.Join(dir, "new"))
		if err := os.Rename(filepath.Join(dir, "new"), path); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(dir, "1"), "1")
	turn("1")
	next := watching(t, check.File{Path: path, Weight: 1})
	want := func(did, want string) {
		t.Helper()
		if got := next(); !strings.HasPrefix(got, want) {
			t.Fatalf("%s: told %q, want %s", did, got, want)
		}
	}
	want("begin", "+1 ")
	made, err := os.Create(filepath.Join(dir, "2"))
	if err != nil {
		t.Fatal(err)
	}
	turn("2")                          // the watch begins anew while the file is empty
	time.Sleep(200 * time.Millisecond) // the real kernel: it has told of the link
	if _, err := made.WriteString("2"); err != nil {
		t.Fatal(err)
	}
	made.Close()
	want("made, then written", "+2 ")
	put(t, filepath.Join(dir, "3"), "")
	turn("3")
	want("empty for good", "+0 ")
	put(t, filepath.Join(dir, "3"), "3")
	want("written", "+3 ")
	put(t, filepath.Join(dir, "3"), "")
	want("emptied", "+0 ")
}

// TestFileIsPolledWhereTheKernelSaysNothing.
func TestFileIsPolledWhereTheKernelSaysNothing(t *testing.T) {
	const path = "/proc/self/oom_score_adj"
	before, err := os.ReadFile(path)
	if err != nil {
		lab.Missing(t, "no such file on this system")
	}
	defer os.WriteFile(path, before, 0)
	next := watching(t, check.File{Path: path, Weight: 1})
	next()
	put(t, path, "17")
	if got := next(); !strings.HasPrefix(got, "+17") {
		t.Errorf("told %q", got)
	}
}

// TestManyFilesShareOneDescriptor: a user may have 128 inotify instances.
func TestManyFilesShareOneDescriptor(t *testing.T) {
	dir := t.TempDir()
	before := descriptors(t)
	var nexts []func() string
	for i := range 300 {
		nexts = append(nexts, watching(t, check.File{Path: filepath.Join(dir, fmt.Sprint(i)), Weight: 1}))
	}
	for _, next := range nexts {
		next()
	}
	if n := descriptors(t) - before; n > 3 {
		t.Errorf("%d descriptors for 300 files", n)
	}
	put(t, filepath.Join(dir, "299"), "9")
	if got := nexts[299](); !strings.HasPrefix(got, "+9") {
		t.Errorf("told %q", got)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		lab.Missing(t, "no /proc")
	}
	return len(list)
}

// sleeper is a program of a name of its own.
func sleeper(t *testing.T, name string) (path string, start func(args ...string) *exec.Cmd) {
	lab.Need(t, "sleep")
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	return path, func(args ...string) *exec.Cmd {
		t.Helper()
		cmd := exec.Command(path, args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { kill(cmd) })
		return cmd
	}
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func TestProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		lab.Missing(t, "needs Linux")
	}
	const name = "hf-long-name-of-a-process"
	path, start := sleeper(t, name)
	next := watching(t, check.Process{Name: name, Quorum: 1, Most: 1, TerminateDelay: 50 * time.Millisecond})
	want := func(text string) {
		t.Helper()
		if got := next(); !strings.HasSuffix(got, text) {
			t.Fatalf("told %q, want %q", got, text)
		}
	}
	want("0 running, want 1 to 1")
	one := start("60")
	want("1 running")
	two := start("61", "62")
	want("2 running, want 1 to 1")
	for _, c := range []struct {
		p  check.Process
		ok bool
	}{
		{check.Process{Name: name, Quorum: 2}, true},
		{check.Process{Name: name, Quorum: 3}, false},
		{check.Process{Name: name, None: true}, false},
		{check.Process{Name: "hf-not-there", None: true}, true},
		{check.Process{Name: path, Full: true, Quorum: 2}, true},
		{check.Process{Name: name, Full: true}, false},
		{check.Process{Name: path, Match: check.ExactParams, Params: []string{"60"}}, true},
		{check.Process{Name: path, Match: check.ExactParams, Params: []string{"61"}}, false},
		{check.Process{Name: path, Match: check.ExactParams}, false},
		{check.Process{Name: path, Match: check.FirstParams, Params: []string{"61"}}, true},
		{check.Process{Name: path, Match: check.FirstParams, Params: []string{"6"}}, false},
		{check.Process{Name: path, Match: check.InitialParams, Params: []string{"61", "6"}}, true},
		{check.Process{Name: path, Match: check.InitialParams, Params: []string{"6"}, Quorum: 2}, true},
		{check.Process{Name: path, Match: check.InitialParams, Params: []string{"6", "6"}}, false},
	} {
		if err := c.p.Check(t.Context()); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.p, err)
		}
	}
	kill(two)
	want("1 running")
	kill(one)
	want("0 running, want 1 to 1")
}

// TestProcessDelays: what passes within the delay is not told.
func TestProcessDelays(t *testing.T) {
	if runtime.GOOS != "linux" {
		lab.Missing(t, "needs Linux")
	}
	const name = "hf-delayed"
	_, start := sleeper(t, name)
	one := start("60")
	next := watching(t, check.Process{Name: name, TerminateDelay: 3 * time.Second, ForkDelay: 100 * time.Millisecond})
	if got := next(); !strings.HasSuffix(got, "1 running") {
		t.Fatal(got)
	}
	kill(one)
	time.Sleep(1200 * time.Millisecond) // the real kernel: it is seen to be gone, even where it is only looked for each second
	two := start("60")
	time.Sleep(1200 * time.Millisecond)
	kill(two)
	begin := time.Now()
	if got := next(); !strings.HasSuffix(got, "0 running, want at least 1") {
		t.Fatal(got)
	}
	if took := time.Since(begin); took < 2900*time.Millisecond {
		t.Errorf("told after %v", took)
	}
}
