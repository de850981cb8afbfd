package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// TestKeepalivedFlags: a unit file's command line for keepalived works here.
func TestKeepalivedFlags(t *testing.T) {
	sound, broken := file(t, good), file(t, "vrrp_instance web { interfase eth0 }\n")
	log := filepath.Join(t.TempDir(), "log")
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"-t -f " + sound, 0, "0 errors"},
		{"-nlDt -f " + sound, 0, "0 errors"},
		{"--config-test --use-file=" + sound, 0, "0 errors"},
		{"-t --use-file " + broken, 1, "did you mean interface?"},
		{"--config-test=" + log + " -f " + broken, 1, ""},
		{"-t -i lb2 -f " + file(t, "@lb1 frobnicate\n"), 0, "0 errors"},
		{"-f /nonexistent.conf -t", 2, "no such file"},
		{"--signum=DATA", 0, "10\n"},
		{"--signum RELOAD", 0, "1\n"},
		{"--signum=FROB", 2, "STOP, RELOAD"},
		{"-v", 0, "Holdfast director"},
		{"--version", 0, "Holdfast director"},
		{"-h", 0, "usage"},
		{"--frobnicate", 2, "frobnicate"},
		{"-n -f " + sound + " operand", 2, "no operands"},
		{"-s blue -f " + sound, 2, "ip netns exec blue"},
		{"-n -l -D -P -f " + broken, 1, "did you mean interface?"},
		{"-n -x -A /run/agentx -p " + filepath.Join(t.TempDir(), "pid") + " -f " + broken + " --ipvs none", 1, "--snmp has no effect"},
		{"-n -p /proc/nowhere/pid -f " + sound + " --ipvs none", 1, "pid file /proc/nowhere/pid"},
	} {
		status, stdout, stderr := run(strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(strings.ReplaceAll(stdout+stderr, `\"`, `"`), c.says) {
			t.Errorf("director %s: status %d, want %d and %q; it said:\n%s%s", c.args, status, c.status, c.says, stdout, stderr)
		}
	}
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "did you mean interface?") {
		t.Errorf("-tFILE: %v %s", err, text)
	}
}

func TestParts(t *testing.T) {
	both := holdfast.Spec{Instances: make([]vrrp.Instance, 1), Services: make([]holdfast.Service, 1), Trackers: make([]holdfast.Tracker, 1)}
	for p, want := range map[part][3]int{everything: {1, 1, 1}, vrrpOnly: {1, 0, 1}, checksOnly: {0, 1, 0}} {
		s := both
		p.restrict(&s)
		if got := [3]int{len(s.Instances), len(s.Services), len(s.Trackers)}; got != want {
			t.Errorf("part %d: %v, want %v", p, got, want)
		}
	}
}

// master is a status with one MASTER.
func master() holdfast.Status {
	return holdfast.Status{Instances: []vrrp.InstanceStatus{{
		Instance: vrrp.Instance{Name: "VI 1", Interface: "eth0", VRID: 51, Version: 2, Addrs: vrrp.MustAddresses("10.9.9.100/24")},
		State:    vrrp.Master, Priority: 105, Since: time.Unix(1795599770, 292603000).UTC(),
		Stats: vrrp.Stats{AdvertsSent: 3, BecomeMaster: 1, TTLErrors: 2},
	}}}
}

// TestDumps: the layouts are those that keepalived 2.2.7 wrote when asked by `kill -USR2` and by its JSON signal.
func TestDumps(t *testing.T) {
	var stats bytes.Buffer
	if err := writeStats(&stats, master()); err != nil {
		t.Fatal(err)
	}
	want := `VRRP Instance: VI_1
  Advertisements:
    Received: 0
    Sent: 3
  Became master: 1
  Released master: 0
  Packet Errors:
    Length: 0
    TTL: 2
    Invalid Type: 0
    Advertisement Interval: 0
    Address List: 0
  Authentication Errors:
    Invalid Type: 0
    Type Mismatch: 0
    Failure: 0
  Priority Zero:
    Received: 0
    Sent: 0
`
	if stats.String() != want {
		t.Errorf("statistics:\n%s", stats.String())
	}
	var data bytes.Buffer
	if err := writeData(&data, "/etc/k.conf", master()); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{" VRRP Instance = VI_1\n", "   State = MASTER\n", "   Interface = eth0\n", "   Virtual Router ID = 51\n", "   Virtual IP (1):\n     10.9.9.100/24 dev eth0\n"} {
		if !strings.Contains(data.String(), line) {
			t.Errorf("no %q in the data:\n%s", line, data.String())
		}
	}
	for version, member := range map[int]string{0: "", 1: "", 2: "vrrp"} {
		var text bytes.Buffer
		if err := writeKeepalivedJSON(&text, master(), version); err != nil {
			t.Fatal(err)
		}
		list := text.Bytes()
		if member != "" {
			var outer map[string]json.RawMessage
			if err := json.Unmarshal(list, &outer); err != nil {
				t.Fatal(err)
			}
			list = outer[member]
		}
		var instances []struct {
			Data  map[string]any    `json:"data"`
			Stats map[string]uint64 `json:"stats"`
		}
		if err := json.Unmarshal(list, &instances); err != nil || len(instances) != 1 {
			t.Fatalf("version %d: %v\n%s", version, err, text.String())
		}
		d := instances[0].Data
		if d["iname"] != "VI 1" || d["state"] != 2.0 || d["vrid"] != 51.0 || d["effective_priority"] != 105.0 || d["last_transition"] != 1795599770.292603 || instances[0].Stats["advert_sent"] != 3 {
			t.Errorf("version %d: %v", version, instances)
		}
	}
}

// TestDumpDoesNotFollowLinks: a dump replaces what is there.
func TestDumpDoesNotFollowLinks(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "keepalived.data")
	if err := os.Symlink(victim, target); err != nil {
		t.Fatal(err)
	}
	d, _ := running(t, "global_defs {\n state_dump_file "+target+"\n}\n"+good)
	d.dumpTo(dataSignal)
	if text, _ := os.ReadFile(victim); string(text) != "precious" {
		t.Errorf("the victim: %q", text)
	}
	if text, _ := os.ReadFile(target); !strings.Contains(string(text), "VRRP Instance = web") {
		t.Errorf("the dump: %q", text)
	}
}

func TestPIDFiles(t *testing.T) {
	dir := t.TempDir()
	names := []string{filepath.Join(dir, "a", "pid"), filepath.Join(dir, "b.pid")}
	release, err := writePIDFiles(names)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(names[1]); strings.TrimSpace(string(text)) == "" {
		t.Error("no process id")
	}
	again, err := writePIDFiles(names[1:])
	again()
	if err == nil || !strings.Contains(err.Error(), "another director") {
		t.Errorf("a second director: %v", err)
	}
	release()
	if _, err := os.Stat(names[0]); err == nil {
		t.Error("the file stayed")
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if release, err := writePIDFiles([]string{filepath.Join(dir, "link")}); err == nil {
		release()
		t.Error("a symbolic link was followed")
	}
}

// TestJournal: priorities instead of times and levels.
func TestJournal(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(newLineHandler(&b, slog.LevelInfo, journalPrefix)).With("a", 1).WithGroup("g")
	log.Info("up", "time", "noon")
	log.Error("down", "why", "two words")
	log.Warn("left cleanly")
	log.Debug("unseen")
	if want := "<6>msg=up a=1 g.time=noon\n<3>msg=down a=1 g.why=\"two words\"\n<4>msg=\"left cleanly\" a=1\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	b.Reset()
	slog.New(newLineHandler(&b, slog.LevelInfo, peoplePrefix)).Error("down", "why", "two words")
	if want := " \x1b[1;31mERROR\x1b[0m \x1b[1mdown                \x1b[0m why=\"two words\"\n"; !strings.HasSuffix(b.String(), want) {
		t.Errorf("for people: %q, want %q", b.String(), want)
	}
}

// TestSystemd: what the service manager hears, in order.
func TestSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "60000")
	t.Setenv("WATCHDOG_PID", "")
	hear := func(want string) {
		t.Helper()
		buf := make([]byte, 4096)
		if err := l.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := l.Read(buf)
		if err != nil || !strings.Contains(string(buf[:n]), want) {
			t.Errorf("heard %q, want %q (%v)", buf[:n], want, err)
		}
	}
	var s systemd
	s.ready(1, 2)
	hear("READY=1")
	s.reloading()
	hear("MONOTONIC_USEC=")
	looked := make(chan struct{}, 100)
	go s.keepAlive(t.Context(), func() { looked <- struct{}{} })
	hear("WATCHDOG=1")
	hear("WATCHDOG=1")
	if len(looked) < 2 {
		t.Error("the watchdog was fed blindly")
	}
}
