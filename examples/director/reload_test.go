package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
)

// reloads are what was told of reloads since the subscription was made.
func reloads(t *testing.T, events *holdfast.Subscription) (list []string) {
	t.Helper()
	for {
		e, err := events.Next(ended(t))
		if err != nil {
			return list
		}
		if e.Kind == holdfast.EventReload {
			list = append(list, e.To+" "+e.Reason)
		}
	}
}

// TestBrokenReloads: whatever is wrong with the file, everything stays as it was, and the answer, the event and the status say why.
func TestBrokenReloads(t *testing.T) {
	d, _ := running(t, good)
	table := d.table.(*ipvstest.Fake)
	socket, before := controlled(t, d), table.Dump()
	dir := filepath.Dir(d.file)
	aside := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	many := strings.Repeat("virtual_server 192.0.2.10 80 { protocol TCP\n", 1<<15)
	for _, c := range []struct {
		name, text string
		says       string
	}{
		{"an unknown keyword", good + "frobnicate\n", `unknown keyword "frobnicate"`},
		{"a wrong value", strings.Replace(good, "virtual_router_id 51", "virtual_router_id 0", 1), "virtual_router_id"},
		{"a missing value", strings.Replace(good, "interface eth0", "interface", 1), "interface has no value"},
		{"a brace too few", strings.TrimSuffix(good, "}\n"), "never closed"},
		{"a brace too many", good + "}\n", "}"},
		{"an open quote", good + "global_defs {\n router_id \"a\n}\n", "quote"},
		{"a service twice", good + good[strings.Index(good, "virtual_server"):], "192.0.2.10"},
		{"a missing include", good + "include " + filepath.Join(dir, "nowhere.conf") + "\n", "nowhere.conf"},
		{"an include of itself", good + "include " + d.file + "\n", "include"},
		{"an include of garbage", good + "include " + aside("garbage", "\x00\x01\xff\xfe{{{\n") + "\n", "garbage"},
		{"garbage", "\x7fELF\x02\x01\x01\x00\x00\xff\xfe\x80", "error"},
		{"many blocks in each other", many, "32769 errors"},
		{"another namespace", "net_namespace other\n" + good, "need a restart"},
		{"a key that is not there", strings.Replace(good, "virtual_router_id 51", "virtual_router_id 51\n auth_hmac { key 1 file:/nonexistent\n active_key 1\n time_window 10\n }", 1), "/nonexistent"},
	} {
		events := d.controller.Subscribe(1000)
		if err := os.WriteFile(d.file, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		status, _, stderr := run("reload", "--control", socket)
		if status != 1 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: status %d, want %q in %.300s", c.name, status, c.says, stderr)
		}
		if table.Dump() != before || len(d.controller.Status().Instances) != 1 {
			t.Errorf("%s: the table changed:\n%s", c.name, table.Dump())
		}
		told := reloads(t, events)
		if len(told) != 2 || told[0] != "BEGUN director reload" || !strings.HasPrefix(told[1], "REFUSED ") || !strings.Contains(told[1], c.says) {
			t.Errorf("%s: events %.300q", c.name, told)
		}
		if last := d.controller.Status().Reload; last == nil || last.To != "REFUSED" {
			t.Errorf("%s: status %+v", c.name, last)
		}
	}
	part := aside("part.conf", good)
	if err := os.WriteFile(d.file, []byte("include part.conf\ninclude was-never-there.conf\ninclude none*.conf\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := run("reload", "--control", socket); status != 1 || !strings.Contains(stderr, "was-never-there.conf, and what it held") {
		t.Errorf("an include that is new and missing: %s", stderr)
	}
	if err := os.WriteFile(d.file, []byte("include part.conf\ninclude none*.conf\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := run("reload", "--control", socket); status != 0 {
		t.Errorf("the same in parts, and no file for a wildcard: %s", stderr)
	}
	if err := os.Remove(part); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := run("reload", "--control", socket); status != 1 || !strings.Contains(stderr, "part.conf, and what it held is in force") || table.Dump() != before {
		t.Errorf("an include that went away: %s\n%s", stderr, table.Dump())
	}
	for name, spoil := range map[string]func() error{
		"missing":     func() error { return os.Remove(d.file) },
		"a directory": func() error { return os.Mkdir(d.file, 0o755) },
		"huge": func() error {
			return errors.Join(os.WriteFile(d.file, nil, 0o644), os.Truncate(d.file, 1<<40))
		},
		"a pipe": func() error { return exec.Command("mkfifo", d.file).Run() },
		"a link to nowhere": func() error {
			return os.Symlink(filepath.Join(dir, "nowhere"), d.file)
		},
	} {
		os.RemoveAll(d.file)
		if name == "missing" {
			aside(filepath.Base(d.file), good)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if status, _, stderr := run("reload", "--control", socket); status != 1 || !strings.Contains(stderr, d.file) || table.Dump() != before {
			t.Errorf("%s: status %d, %s\n%s", name, status, stderr, table.Dump())
		}
	}
	os.RemoveAll(d.file)
	if err := os.WriteFile(d.file, []byte(strings.Replace(good, "lb_algo rr", "lb_algo wrr", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	events := d.controller.Subscribe(1000)
	if status, _, stderr := run("reload", "--control", socket); status != 0 {
		t.Errorf("a good one after all that: %s", stderr)
	}
	if told := reloads(t, events); fmt.Sprint(told) != "[BEGUN director reload OK 1 service changed]" {
		t.Errorf("events %q", told)
	}
}

// TestReloadCheckConfig: with that keyword in force a warning refuses a reload; what only Holdfast remarks does not.
func TestReloadCheckConfig(t *testing.T) {
	log := filepath.Join(t.TempDir(), "findings")
	strict := "global_defs {\n reload_check_config " + log + "\n}\n" + good // with a TCP_CHECK before HTTP, which lint remarks
	d, _ := running(t, strict)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(d.file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.reload(t.Context(), "test"); err != nil {
		t.Errorf("the same file: %v", err)
	}
	write(strings.Replace(strict, "virtual_router_id 51", "virtual_router_id 51\n native_ipv6", 1))
	if err := d.reload(t.Context(), "test"); err == nil || !strings.Contains(err.Error(), "reload_check_config: ") || !strings.Contains(err.Error(), "native_ipv6 is deprecated") {
		t.Errorf("a warning: %v", err)
	}
	if found, err := os.ReadFile(log); err != nil || strings.Count(string(found), "\n") != 1 || !strings.Contains(string(found), "native_ipv6") {
		t.Errorf("findings %q, %v", found, err)
	}
	write(good) // in force is still the strict one
	if err := d.reload(t.Context(), "test"); err != nil {
		t.Error(err)
	}
	write(strings.Replace(good, "virtual_router_id 51", "virtual_router_id 51\n native_ipv6", 1))
	if err := d.reload(t.Context(), "test"); err != nil {
		t.Errorf("a warning, and the keyword is gone: %v", err)
	}
}

// TestHandshake: the file of reload_file is emptied and goes away; what is no file is left alone.
func TestHandshake(t *testing.T) {
	d, _ := running(t, good)
	name := filepath.Join(t.TempDir(), "reload")
	if err := os.WriteFile(name, []byte("please"), 0o644); err != nil {
		t.Fatal(err)
	}
	done := d.handshake(name)
	if text, err := os.ReadFile(name); err != nil || len(text) != 0 {
		t.Errorf("while it lasts: %q, %v", text, err)
	}
	done()
	if _, err := os.Lstat(name); err == nil {
		t.Error("it stayed")
	}
	precious := filepath.Join(filepath.Dir(name), "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(precious, name); err != nil {
		t.Fatal(err)
	}
	d.handshake(name)()
	if text, _ := os.ReadFile(precious); string(text) != "x" {
		t.Error("a link was followed")
	}
	if info, err := os.Lstat(name); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Error("a link was removed")
	}
}

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("", 2*3600)
	now := time.Date(2026, 11, 25, 13, 0, 0, 0, zone)
	for line, want := range map[string]string{
		"14:00:00":               "2026-11-25T14:00:00+02:00 true",
		"13:00:00":               "2026-11-26T13:00:00+02:00 true",
		"03:30:00":               "2026-11-26T03:30:00+02:00 true",
		"11:30:00Z":              "2026-11-25T11:30:00Z true",
		"10:30:00 Z":             "2026-11-26T10:30:00Z true",
		"2026-12-01 02:03:04\r":  "2026-12-01T02:03:04+02:00 false",
		" 26-12-01 02:03:04Z ":   "2026-12-01T02:03:04Z false",
		"2026-11-25 12:59:59":    "2026-11-25T12:59:59+02:00 is past",
		"26-11-25 11:00:00Z":     "2026-11-25T11:00:00Z is past",
		"":                       "is no time",
		"25:00:00":               "is no time",
		"2026-13-01 00:00:00":    "is no time",
		"tomorrow":               "is no time",
		"2026-11-25 14:00:00 +1": "is no time",
	} {
		when, daily, err := parseTime(line, now)
		got := fmt.Sprintf("%s %v %v", when.Format(time.RFC3339), daily, err)
		if !strings.Contains(got, want) || (err == nil) != (strings.HasSuffix(want, "true") || strings.HasSuffix(want, "false")) {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, line := range []string{"14:00:00", "26-12-01 02:03:04Z", "\x00"} {
		f.Add(line)
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, line string) {
		when, daily, err := parseTime(line, now)
		if err == nil && !when.After(now) || err != nil && (!when.IsZero() || daily) || daily && when.Sub(now) > 26*time.Hour {
			t.Errorf("%q: %v %v %v", line, when, daily, err)
		}
	})
}

// TestAppointments: a time of day comes again each day with reload_repeat and goes away without; a date goes away; what the file
// says is told once, and is in the status while it is to come.
func TestAppointments(t *testing.T) {
	for _, c := range []struct {
		repeat, layout string
		again          bool
	}{{"", time.TimeOnly, false}, {" reload_repeat\n", time.TimeOnly, true}, {" reload_repeat\n", time.DateTime, false}} {
		path := filepath.Join(t.TempDir(), "at")
		d, _ := running(t, "global_defs {\n reload_time_file "+path+"\n"+c.repeat+"}\n"+good)
		events := d.controller.Subscribe(1000)
		a := appointments{director: d}
		a.follow(d.asked().TimeFile)
		now := time.Now().Truncate(time.Second)
		if err := os.WriteFile(path, []byte(now.Add(10*time.Second).Format(c.layout)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if wait := a.look(t.Context(), now); wait != 10*time.Second {
				t.Errorf("%+v: the next look is in %v", c, wait)
			}
		}
		if at := d.controller.Status().Scheduled; at == nil || !strings.Contains(at.Reason, path) {
			t.Errorf("%+v: the status has %+v", c, at)
		}
		a.look(t.Context(), now.Add(10*time.Second))
		wait := a.look(t.Context(), now.Add(10*time.Second))
		_, err := os.Lstat(path)
		if there := err == nil; there != c.again || wait != lookAgain || a.when.IsZero() == c.again || c.again && a.when.Sub(now) < 23*time.Hour {
			t.Errorf("%+v: the file is there: %v; next %v, look in %v", c, there, a.when, wait)
		}
		a.watch.Close()
		var told []string
		for _, line := range reloads(t, events) {
			word, _, _ := strings.Cut(line, " ")
			told = append(told, word)
		}
		want := "SCHEDULED BEGUN OK"
		if c.again {
			want += " SCHEDULED"
		}
		if got := strings.Join(told, " "); got != want {
			t.Errorf("%+v: told %s, want %s", c, got, want)
		}
	}
}
