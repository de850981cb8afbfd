package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// These tests run the unit file as it is, under systemd.

const managed = `global_defs {
    vrrp_rt_priority 7 # which the unit does not allow
}
vrrp_instance web {
    interface IFACE
    virtual_router_id 51
    version 3
    advert_int 2
    priority 200
    virtual_ipaddress {
        10.9.0.100/24
    }
    notify "/run/told/notify" nobody
}
virtual_server 10.9.0.100 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    delay_loop 1
    real_server 10.9.0.11 80 {
    }
    real_server 10.9.0.12 80 {
        weight 3
    }
}
`

const managedTable = "-A -t 10.9.0.100:80 -s rr\n-a -t 10.9.0.100:80 -r 10.9.0.11:80 -g -w 1\n-a -t 10.9.0.100:80 -r 10.9.0.12:80 -g -w 3\n"

// machine is the guest, of which a peer on the same link is the BACKUP.
type machine struct {
	*testing.T
	unit, conf string
	peer       *router
	wire       *lab.Capture
}

const usualConf = "/etc/keepalived/keepalived.conf"

// newMachine installs a unit under a name, with drop-ins.
func newMachine(t *testing.T, unit, file string, dropIns ...string) *machine {
	t.Helper()
	n := lab.New(t)
	m := &machine{T: t, unit: unit, conf: strings.ReplaceAll(managed, "IFACE", n.Join("10.9.0.1/24"))}
	m.peer = dialect{"v3", 2 * time.Second, "version 3\n advert_int 2", vip, false}.router(t, n, "director", "10.9.0.2", "10.9.0.1", 100)
	m.wire = m.peer.host.Capture()
	m.must("install", "-D", "-m", "755", lab.Bin("director"), "/usr/local/sbin/director")
	m.must("install", "-D", "-m", "644", file, "/etc/systemd/system/"+unit+".service")
	m.install("/run/told/notify", "#!/bin/sh\n(id -un; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status; echo \"$*\") >>/run/told/log\n")
	m.must("chmod", "755", "/run/told/notify")
	m.must("chmod", "777", "/run/told")
	m.install(usualConf, m.conf)
	for i, text := range dropIns {
		m.install(fmt.Sprintf("/etc/systemd/system/%s.service.d/%d.conf", unit, i), text)
	}
	m.must("systemctl", "daemon-reload")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", m.says("journalctl", "-b", "--no-pager", "-n", "60"))
		}
		m.says("systemctl", "stop", unit)
		m.says("systemctl", "reset-failed", unit)
		for _, path := range []string{"/run/told", "/run/holdfast", "/etc/systemd/system/" + unit + ".service.d", "/etc/systemd/system/" + unit + ".service"} {
			os.RemoveAll(path)
		}
	})
	return m
}

func (m *machine) install(path, text string) {
	m.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.Fatal(err)
	}
	replace(m.T, path, text)
}

func (m *machine) run(name string, args ...string) (string, error) {
	out, err := exec.CommandContext(m.Context(), name, args...).CombinedOutput()
	return string(out), err
}

// says is for what may fail.
func (m *machine) says(name string, args ...string) string {
	out, _ := exec.Command(name, args...).CombinedOutput() // at the end of a test too
	return string(out)
}

func (m *machine) must(name string, args ...string) string {
	m.Helper()
	out, err := m.run(name, args...)
	if err != nil {
		m.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// is a property of the unit.
func (m *machine) is(property string) string {
	return strings.TrimSpace(m.must("systemctl", "show", m.unit, "--value", "--property", property))
}

func (m *machine) pid() int {
	n, _ := strconv.Atoi(m.is("MainPID"))
	return n
}

func (m *machine) table() string { return m.must("ipvsadm", "-Sn") }

func (m *machine) holds() bool {
	return strings.Contains(m.must("ip", "-o", "addr"), " "+vip.String()+"/24 ")
}

// start starts the unit, which is active from when everything is in force.
func (m *machine) start() {
	m.Helper()
	m.must("systemctl", "start", m.unit)
	if got := m.table(); got != managedTable {
		m.Errorf("when the start was over the table was\n%s", got)
	}
	if text := m.is("StatusText"); text != "1 instances, 1 services" {
		m.Errorf("status %q", text)
	}
}

// unnoticed fails unless the peer saw one MASTER all the time while do was under way, and nothing else changed.
func (m *machine) unnoticed(do func()) {
	m.Helper()
	before, pid, since := m.table(), m.pid(), time.Now()
	do()
	within(m, 20*time.Second, "another process is active", func() bool { return m.is("ActiveState") == "active" && m.pid() != pid })
	if now := m.table(); now != before || !m.holds() {
		m.Errorf("it has the address: %v, and the table is\n%s", m.holds(), now)
	}
	time.Sleep(500 * time.Millisecond)
	quiet(m.T, m.wire, &router{priority: 200, dialect: m.peer.dialect}, since)
	if m.peer.holds() {
		m.Error("the peer took over")
	}
}

// logs waits until the journal has all of these of the unit: a priority and what is in the message.
func (m *machine) logs(want ...string) {
	m.Helper()
	var list string
	all := func() bool {
		list = ""
		for line := range strings.Lines(m.must("journalctl", "-b", "-u", m.unit, "-o", "json", "--output-fields=MESSAGE,PRIORITY", "--no-pager")) {
			var e struct{ MESSAGE, PRIORITY string }
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				m.Fatalf("%v: %s", err, line)
			}
			list += e.PRIORITY + " " + e.MESSAGE + "\n"
		}
		return !slices.ContainsFunc(want, func(text string) bool {
			priority, message, _ := strings.Cut(text, " ")
			return !regexp.MustCompile(`(?m)^` + priority + ` msg=.*` + regexp.QuoteMeta(message)).MatchString(list)
		})
	}
	for begin := time.Now(); !all(); time.Sleep(100 * time.Millisecond) {
		if time.Since(begin) > 5*time.Second {
			m.Fatalf("the journal lacks one of %q:\n%s", want, list)
		}
	}
}

// TestSystemdUnit: a start is over when the table is there, the process has what the unit gives and no more, a reload says how it
// went, a restart is seen by nobody, nor is a crash, one that stands still is replaced, and at the end nothing is left.
func TestSystemdUnit(t *testing.T) {
	if !lab.Systemd(t) {
		return
	}
	m := newMachine(t, "holdfast", unitFile, "[Service]\nWatchdogSec=3\n")
	m.start()

	t.Run("privileges", func(t *testing.T) { m.privileges(t) })
	t.Run("reload", func(t *testing.T) {
		m.install(usualConf, strings.Replace(m.conf, "weight 3", "weight 7", 1))
		m.must("systemctl", "reload", m.unit)
		if got := m.table(); !strings.Contains(got, "-w 7") {
			t.Errorf("when the reload was over the table was\n%s", got)
		}
		m.install(usualConf, m.conf+"virtual_server 10.9.0.100 81 {")
		before, pid := m.table(), m.pid()
		if out, err := m.run("systemctl", "reload", m.unit); err == nil {
			t.Errorf("a broken file was reloaded: %s", out)
		}
		if m.is("ActiveState") != "active" || m.pid() != pid || m.table() != before {
			t.Errorf("it changed something: %s", m.says("systemctl", "status", m.unit))
		}
		m.logs("3 reload failed", "3 never closed", "6 reloaded", "6 ready", "4 no check", "3 RestrictRealtime=no")
		m.install(usualConf, m.conf)
		m.must("systemctl", "reload", m.unit)
	})
	within(t, 15*time.Second, "it is MASTER", m.holds)
	m.peer.start(t)
	t.Run("a script's privileges", func(t *testing.T) {
		within(t, 5*time.Second, "it is told", func() bool {
			text, _ := os.ReadFile("/run/told/log")
			return bytes.Contains(text, []byte(" MASTER 200"))
		})
		text, _ := os.ReadFile("/run/told/log")
		for _, want := range []string{"nobody\n", "CapEff:\t0000000000000000\n", "NoNewPrivs:\t1\n"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("no %q:\n%s", want, text)
			}
		}
	})
	t.Run("restart", func(t *testing.T) { m.unnoticed(func() { m.must("systemctl", "restart", m.unit) }) })
	t.Run("crash", func(t *testing.T) { m.unnoticed(func() { m.must("systemctl", "kill", "-s", "KILL", m.unit) }) })
	t.Run("watchdog", func(t *testing.T) {
		pid := m.pid()
		m.must("kill", "-STOP", strconv.Itoa(pid))
		took := within(t, 15*time.Second, "another process is active", func() bool { return m.is("ActiveState") == "active" && m.pid() != pid })
		if got := m.table(); got != managedTable {
			t.Errorf("the table is\n%s", got)
		}
		within(t, 15*time.Second, "it is MASTER again", func() bool { return m.holds() && !m.peer.holds() })
		t.Logf("a new process after %v", took)
	})
	t.Run("stop", func(t *testing.T) {
		m.must("systemctl", "stop", m.unit)
		if m.is("Result") != "success" || m.is("ActiveState") != "inactive" || m.table() != "" || m.holds() {
			t.Errorf("%s, it holds the address: %v, the table is\n%s", m.is("Result"), m.holds(), m.table())
		}
		within(t, 5*time.Second, "the peer takes over", m.peer.holds)
		ns, _ := os.Readlink("/proc/self/ns/net")
		left, _ := filepath.Glob("/run/holdfast/state-" + strings.Trim(ns, "net:[]") + "*")
		if len(left) != 1 || !strings.HasSuffix(left[0], ".lock") {
			t.Errorf("left behind: %v", left)
		}
	})
	t.Run("broken file", func(t *testing.T) {
		m.install(usualConf, "vrrp_instance web {\n")
		if out, err := m.run("systemctl", "start", m.unit); err == nil {
			t.Errorf("it started: %s", out)
		}
		m.logs("3 not started")
	})
}

// privileges are read from where the kernel tells them.
func (m *machine) privileges(t *testing.T) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.pid()))
	if err != nil {
		t.Fatal(err)
	}
	const netBind, netAdmin, netRaw, kill, setGID, setUID = 1 << 10, 1 << 12, 1 << 13, 1 << 5, 1 << 6, 1 << 7
	caps := fmt.Sprintf("%016x", netBind|netAdmin|netRaw|kill|setGID|setUID)
	for _, want := range []string{"CapEff:\t" + caps, "CapPrm:\t" + caps, "CapBnd:\t" + caps, "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(status), want+"\n") {
			t.Errorf("no %q:\n%s", want, status)
		}
	}
	ours, _ := filepath.Glob("/run/holdfast/*")
	modes := strings.Fields(m.must("stat", append([]string{"-c", "%a:%U:%F:%n", "/run/holdfast"}, ours...)...))
	if len(ours) < 3 {
		t.Errorf("there is only %v", ours)
	}
	for i, line := range modes {
		if i == 0 && !strings.HasPrefix(line, "755:root:") || strings.HasSuffix(line, "control.sock") && !strings.HasPrefix(line, "600:root:") {
			t.Errorf("%s", line)
		}
	}
	t.Logf("%s", strings.Join(modes, " "))
}

// TestSystemdOldUnit: the director drops into the unit of Debian's keepalived, with the flags that are in use there.
func TestSystemdOldUnit(t *testing.T) {
	if !lab.Systemd(t) {
		return
	}
	lab.Need(t, "keepalived")
	m := newMachine(t, "keepalived", "/lib/systemd/system/keepalived.service",
		"[Service]\nRestartKillSignal=SIGQUIT\nExecStart=\nExecStart=/usr/local/sbin/director --dont-fork $DAEMON_ARGS\nEnvironment=\"DAEMON_ARGS=-D -l -f "+usualConf+" -p /run/keepalived.pid\"\n")
	m.install(usualConf, strings.Replace(m.conf, "advert_int 2", "advert_int 0.2", 1))
	m.start()
	within(t, 15*time.Second, "it is MASTER", m.holds)
	if text, _ := os.ReadFile("/run/keepalived.pid"); strings.TrimSpace(string(text)) != strconv.Itoa(m.pid()) {
		t.Errorf("the pid file has %q", text)
	}
	m.install(usualConf, strings.Replace(m.conf, "weight 3", "weight 7", 1))
	m.must("systemctl", "reload", m.unit)
	within(t, 5*time.Second, "the file is in force", func() bool { return strings.Contains(m.table(), "-w 7") })
	m.must("systemctl", "stop", m.unit)
	if m.is("Result") != "success" || m.table() != "" || m.holds() {
		t.Errorf("%s, it holds the address: %v, the table is\n%s", m.is("Result"), m.holds(), m.table())
	}
}
