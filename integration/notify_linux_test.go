package integration

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// narrator is a load balancer that writes down what it tells: the arguments of its programs, and the lines of its FIFOs.
type narrator struct {
	name    string
	host    *lab.Host
	dir     string
	process *lab.Process
}

func newNarrator(t *testing.T, name string) *narrator {
	n := &narrator{name: name, host: lab.New(t).Host("lb", "10.9.0.1/24"), dir: t.TempDir()}
	n.script(t, "told", `echo "$*" >> `+n.dir+`/told.log`)
	n.script(t, "reader", `exec cat "$1" >> "$1".log`)
	return n
}

func (n *narrator) script(t *testing.T, name, line string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, name), []byte("#!/bin/sh\n"+line+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// write writes the configuration, in which DIR is the narrator's own.
func (n *narrator) write(t *testing.T, conf string) string {
	t.Helper()
	file := filepath.Join(n.dir, "lb.conf")
	replace(t, file, strings.ReplaceAll(conf, "DIR", n.dir))
	return file
}

func (n *narrator) start(t *testing.T, conf string, flags ...string) {
	t.Helper()
	file := n.write(t, conf)
	if n.name == "director" {
		n.process = startDirector(t, n.host, file, flags...)
		return
	}
	n.process = n.host.Start(t.Context(), "keepalived", "-n", "-l", "-D", "-f", file,
		"-p", n.dir+"/p", "-r", n.dir+"/r", "-c", n.dir+"/c")
}

// heard is what is in a log.
func (n *narrator) heard(log string) string {
	text, err := os.ReadFile(filepath.Join(n.dir, log+".log"))
	if err != nil {
		return ""
	}
	return string(text)
}

func (n *narrator) hears(t *testing.T, log, text string) {
	t.Helper()
	within(t, 20*time.Second, fmt.Sprintf("%s tells %s in %s", n.name, text, log), func() bool { return strings.Contains(n.heard(log), text) })
}

const instancesTold = `
global_defs {
    script_user root
    notify_fifo DIR/all
    vrrp_notify_fifo DIR/vrrp
    vrrp_notify_fifo_script DIR/reader
}
vrrp_sync_group G {
    group {
        A
        B
    }
    notify "DIR/told group"
    notify_master "DIR/told group-master"
    notify_backup "DIR/told group-backup"
    notify_fault "DIR/told group-fault"
    notify_stop "DIR/told group-stop"
}
vrrp_instance A {
    interface eth0
    virtual_router_id 51
    priority 100
    advert_int 1
    virtual_ipaddress {
        10.9.0.100/24
    }
    notify "DIR/told A 'two words'"
    notify_master "DIR/told A master"
    notify_backup "DIR/told A backup"
    notify_fault "DIR/told A fault"
    notify_stop "DIR/told A stop"
}
vrrp_instance B {
    interface eth0
    virtual_router_id 52
    priority 150
    advert_int 1
    virtual_ipaddress {
        10.9.0.101/24
    }
    notify "DIR/told B"
}
vrrp_instance C {
    interface eth0
    virtual_router_id 53
    priority 90
    virtual_ipaddress {
        10.9.0.102/24
    }
    notify "DIR/told C"
    notify_fault "DIR/told C fault"
    notify_deleted "DIR/told C deleted"
}
`

// TestInstancesAreToldAsKeepalivedDoes tells one story twice: the same arguments, and the same lines in the same order, but for
// members of a group that change at the same moment. keepalived ends the reader of a FIFO before it writes the last lines; so
// the test reads the general one itself.
func TestInstancesAreToldAsKeepalivedDoes(t *testing.T) {
	lab.Need(t, "ip", "keepalived")
	t.Parallel()
	told, lines := make(map[string][]string), make(map[string][]string)
	for _, name := range []string{"keepalived", "director"} {
		n := newNarrator(t, name)
		all := n.read(t, "all")
		n.start(t, instancesTold, "--ipvs", "none")
		n.hears(t, "vrrp", "GROUP \"G\" MASTER")
		n.hears(t, "vrrp", "INSTANCE \"C\" MASTER")
		n.host.MustRun("ip", "link", "set", "eth0", "down")
		n.hears(t, "vrrp", "GROUP \"G\" FAULT")
		n.hears(t, "vrrp", "INSTANCE \"C\" FAULT")
		n.host.MustRun("ip", "link", "set", "eth0", "up")
		within(t, 20*time.Second, "they are back", func() bool {
			return strings.Count(n.heard("vrrp"), "GROUP \"G\" MASTER") == 2 && strings.Count(n.heard("vrrp"), "INSTANCE \"C\" MASTER") == 2
		})
		gone, _, _ := strings.Cut(instancesTold, "vrrp_instance C")
		n.write(t, gone)
		if err := n.process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		n.hears(t, "vrrp", "INSTANCE \"C\" DELETED")
		n.hears(t, "told", "C deleted")
		n.process.Stop()
		lines[name] = membersSorted(all())
		if text := strings.Join(lines[name], "\n"); !strings.HasPrefix(text, strings.Join(membersSorted(n.heard("vrrp")), "\n")) {
			t.Errorf("%s: the two FIFOs differ:\n%s\n%s", name, text, n.heard("vrrp"))
		}
		told[name] = strings.Split(n.heard("told"), "\n")
		slices.Sort(told[name]) // they run at the same time
	}
	same(t, "arguments", told)
	same(t, "lines", lines)
}

// read makes a FIFO, and returns what gives all that was written to it.
func (n *narrator) read(t *testing.T, name string) (all func() string) {
	t.Helper()
	path := filepath.Join(n.dir, name)
	if err := syscall.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pipe.Close() })
	return func() string {
		if err := pipe.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(pipe)
		return string(text)
	}
}

// membersSorted are lines in which members of a group that change together stand in the order of their names.
func membersSorted(text string) []string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := range len(lines) - 1 {
		a, b := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		if len(a) == 4 && len(b) == 4 && a[0] == "INSTANCE" && a[1] == `"B"` && b[1] == `"A"` && a[2] == b[2] {
			lines[i], lines[i+1] = lines[i+1], lines[i]
		}
	}
	return lines
}

func same(t *testing.T, what string, of map[string][]string) {
	t.Helper()
	if !slices.Equal(of["director"], of["keepalived"]) {
		t.Errorf("%s of director:\n%s\nof keepalived:\n%s", what, strings.Join(of["director"], "\n"), strings.Join(of["keepalived"], "\n"))
	}
}

const servicesTold = `
global_defs {
    script_user root
    rs_init_notifies
    lvs_notify_fifo DIR/lvs
}
virtual_server 10.9.0.100 80 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    delay_loop 1
    retry 1
    delay_before_retry 1
    warmup 0
    quorum 2
    quorum_up "DIR/told quorum up"
    quorum_down "DIR/told quorum down"
    real_server 10.9.0.1 8081 {
        notify_up "DIR/told first up"
        notify_down "DIR/told first down"
        TCP_CHECK { }
    }
    real_server 10.9.0.1 8082 {
        notify_up "DIR/told second up"
        notify_down "DIR/told second down"
        TCP_CHECK { }
    }
}
virtual_server fwmark 7 {
    lb_algo rr
    lb_kind NAT
    delay_loop 1
    warmup 0
    omega
    sorry_server 10.9.0.1 8083
    real_server 10.9.0.1 8081 {
        TCP_CHECK { }
    }
}
`

// TestKernelServicesAreToldAsKeepalivedDoes is the same with services, which need a table.
func TestKernelServicesAreToldAsKeepalivedDoes(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ip", "keepalived")
	told, lines := make(map[string][]string), make(map[string][]string)
	for _, name := range []string{"keepalived", "director"} {
		n := newNarrator(t, name)
		all := n.read(t, "lvs")
		first, second := n.host.Listen("10.9.0.1:8081"), n.host.Listen("10.9.0.1:8082")
		n.start(t, servicesTold)
		n.hears(t, "told", "quorum up")
		first.Close()
		n.hears(t, "told", "quorum down")
		first = n.host.Listen("10.9.0.1:8081")
		within(t, 20*time.Second, "quorum is back", func() bool { return strings.Count(n.heard("told"), "quorum up") == 2 })
		second.Close()
		n.hears(t, "told", "second down")
		gone, _, _ := strings.Cut(servicesTold, "    real_server 10.9.0.1 8082")
		_, rest, _ := strings.Cut(servicesTold, "virtual_server fwmark")
		n.write(t, gone+"}\nvirtual_server fwmark"+rest)
		if err := n.process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		within(t, 20*time.Second, "what is left is enough", func() bool { return strings.Count(n.heard("told"), "quorum up") == 3 })
		n.process.Stop()
		first.Close()
		lines[name] = strings.Split(all(), "\n")
		told[name] = strings.Split(n.heard("told"), "\n")
		slices.Sort(told[name])
	}
	same(t, "arguments", told)
	same(t, "lines", lines)
}
