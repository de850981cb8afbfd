package integration

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// TestReloadsByFiles: the running program empties and removes reload_file, reloads when reload_time_file says so, hears of its
// changes and removal, and every reload is told: to who follows the events, in the status, on the page, to a program.
func TestReloadsByFiles(t *testing.T) {
	lab.Need(t, "ip")
	t.Parallel()
	h := lab.New(t).Host("lb", "10.9.0.1/24")
	dir := t.TempDir()
	busy, at, socket := filepath.Join(dir, "busy"), filepath.Join(dir, "at"), filepath.Join(dir, "control.sock")
	vrrpOnly, _, _ := strings.Cut(balanced, "virtual_server")
	text := "global_defs {\n reload_file " + busy + "\n reload_time_file " + at + "\n}\n" + vrrpOnly
	file := write(t, "lb.conf", text)
	for _, left := range []string{busy, at} {
		replace(t, left, "12:00:00 o'clock\n")
	}
	p := startDirector(t, h, file, "--ipvs", "none", "--control", socket)
	director := func(command string) string { return h.MustRun(lab.Bin("director"), command, "--control", socket) }
	events := func(want string) {
		t.Helper()
		within(t, 10*time.Second, want, func() bool { return strings.Contains(director("events"), want) })
	}
	gone := func(name string) {
		t.Helper()
		within(t, 10*time.Second, name+" is gone", func() bool { _, err := os.Lstat(name); return errors.Is(err, fs.ErrNotExist) })
	}
	gone(busy) // what a predecessor left
	events("CANCELLED  " + at + `: "12:00:00 o'clock" is no time`)

	replace(t, busy, "please")
	replace(t, file, strings.Replace(text, "version 3", "version 3\n priority 150", 1))
	reload(t, p, "msg=reloaded")
	gone(busy)
	events("reload    " + file + "  ... -> BEGUN  SIGHUP")
	events("... -> OK  1 instance changed")

	replace(t, file, strings.Replace(text, "version 3", "virsion 3", 1))
	replace(t, at, time.Now().Add(time.Hour).UTC().Format("2006-01-02 15:04:05Z"))
	events("SCHEDULED  at ")
	if out := director("status"); !strings.Contains(out, "reload  SCHEDULED") {
		t.Errorf("status:\n%s", out)
	}
	if err := os.Remove(at); err != nil {
		t.Fatal(err)
	}
	events("CANCELLED  " + at + " is gone")
	replace(t, at, time.Now().Add(2*time.Second).Format(time.TimeOnly))
	events("BEGUN  " + at + " says ")
	events(`REFUSED  ` + file + ` has 1 error; the first: ` + file + `:8:5: error: unknown keyword "virsion" in vrrp_instance; did you mean version?`)
	gone(at)
	if out := director("status"); !strings.Contains(out, "reload  REFUSED") || strings.Contains(out, "SCHEDULED") {
		t.Errorf("status:\n%s", out)
	}
	if status := p.Stop(); status != 0 {
		t.Errorf("status %d", status)
	}
}
