package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
)

const tracking = `track_file load {
    file DIR/load
    weight -1
    init_file 20
}
vrrp_track_process sleeper {
    process hf-tracked
    weight 30
    terminate_delay 0.1
}
vrrp_script fine {
    script "DIR/fine"
    interval 0.2
    fall 2
}
vrrp_instance web {
    interface eth0
    virtual_router_id 51
    version 3
    advert_int 0.1
    priority 100
    virtual_ipaddress {
        10.9.0.100/24
    }
    track_file { load }
    track_process { sleeper }
    track_script { fine }
}
`

// TestDirectorTracksFilesProcessesAndScripts: what they say is in the priority, and takes to FAULT, within a moment.
func TestDirectorTracksFilesProcessesAndScripts(t *testing.T) {
	lab.Need(t, "ip", "sleep")
	t.Parallel()
	h := lab.New(t).Host("lb", "10.9.0.1/24")
	dir := t.TempDir()
	replace(t, filepath.Join(dir, "fine"), "#!/bin/sh\ntest ! -e "+dir+"/broken\n")
	if err := os.Chmod(filepath.Join(dir, "fine"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := startDirector(t, h, write(t, "track.conf", strings.ReplaceAll(tracking, "DIR", dir)), "--ipvs", "none", "--status", "10.9.0.1:8080")
	is := func(what string, state vrrp.State, priority uint8) {
		t.Helper()
		within(t, 10*time.Second, what, func() bool {
			in := statusOf(t, h, "10.9.0.1:8080").Instances[0]
			return in.State == state && (state == vrrp.Fault || in.Priority == priority)
		})
	}
	is("init_file was made and counts", vrrp.Master, 80)
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "hf-tracked")
	if err := os.WriteFile(program, sleep, 0o755); err != nil {
		t.Fatal(err)
	}
	tracked := h.Start(t.Context(), program, "600")
	is("the process runs", vrrp.Master, 110)
	replace(t, filepath.Join(dir, "load"), "5\n")
	is("the file was written", vrrp.Master, 125)
	tracked.Kill()
	is("the process is gone", vrrp.Master, 95)
	replace(t, filepath.Join(dir, "broken"), "")
	is("the script fails", vrrp.Fault, 0)
	if err := os.Remove(filepath.Join(dir, "broken")); err != nil {
		t.Fatal(err)
	}
	is("the script succeeds", vrrp.Master, 95)
	replace(t, filepath.Join(dir, "load"), "254\n")
	is("the file says so", vrrp.Fault, 0)
	if status := p.Stop(); status != 0 {
		t.Errorf("status %d", status)
	}
}

const weighing = `track_file load { file DIR/load }
virtual_server 10.9.0.100 80 {
    lb_algo wrr
    lb_kind DR
    protocol TCP
    delay_loop 1
    real_server 10.9.0.11 80 {
        weight 5
        FILE_CHECK {
            track_file load
            weight 2
        }
        MISC_CHECK {
            misc_path "DIR/dynamic"
            misc_dynamic
            warmup 0
        }
    }
}
`

// TestKernelChecksMoveWeights: what a file and a script's exit status say is the weight in the kernel's table.
func TestKernelChecksMoveWeights(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	lab.Need(t, "ip", "ipvsadm")
	h := lab.New(t).Host("lb", "10.9.0.1/24")
	dir := t.TempDir()
	replace(t, filepath.Join(dir, "load"), "3\n")
	replace(t, filepath.Join(dir, "status"), "10\n")
	replace(t, filepath.Join(dir, "dynamic"), "#!/bin/sh\nread n < "+dir+"/status\nexit $n\n")
	if err := os.Chmod(filepath.Join(dir, "dynamic"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := startDirector(t, h, write(t, "weigh.conf", strings.ReplaceAll(weighing, "DIR", dir)))
	has := func(what, line string) {
		t.Helper()
		table := ""
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("%s: the table is %s, it printed:\n%s", what, table, p.Output())
			}
		})
		within(t, 15*time.Second, what, func() bool {
			table = strings.TrimSpace(h.MustRun("ipvsadm", "-Sn"))
			return strings.HasSuffix(table, line)
		})
	}
	has("5 + 3*2 + (10-2-5)", "-r 10.9.0.11:80 -g -w 14")
	replace(t, filepath.Join(dir, "load"), "-50\n")
	has("never below 0", "-r 10.9.0.11:80 -g -w 0")
	replace(t, filepath.Join(dir, "load"), "0\n")
	has("5 + (10-2-5)", "-r 10.9.0.11:80 -g -w 8")
	replace(t, filepath.Join(dir, "status"), "1\n")
	has("a failure", "-s wrr")
	replace(t, filepath.Join(dir, "status"), "0\n")
	has("the configured weight", "-r 10.9.0.11:80 -g -w 5")
}
