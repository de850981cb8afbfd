package vrrp_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

const urgentChild = "HOLDFAST_TEST_URGENT"

// TestNetUrgency: a process that is held up is scheduled before others from then on, with all its threads.
func TestNetUrgency(t *testing.T) {
	if os.Getenv(urgentChild) != "" {
		runUrgent(t)
		return
	}
	lab.NeedRoot(t)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNetUrgency$")
	child.Env = append(os.Environ(), urgentChild+"=1")
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	if _, err := fmt.Fscanln(out); err != nil { // it is MASTER
		t.Fatal(err)
	}
	if got := policies(t, child.Process.Pid); got != "0" {
		t.Fatalf("the policies of its threads are %s at first", got)
	}
	for _, want := range []int{1, 2, 2} {
		_ = child.Process.Signal(unix.SIGSTOP)
		time.Sleep(300 * time.Millisecond) // the time that it is held up
		_ = child.Process.Signal(unix.SIGCONT)
		eventually(t, 5*time.Second, fmt.Sprintf("its threads have the priority %d", want), func() bool {
			return policies(t, child.Process.Pid) == fmt.Sprintf("%d/%d", unix.SCHED_RR, want)
		})
	}
}

// policies are those of all threads of a process, each once, with their priorities.
func policies(t *testing.T, pid int) string {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	seen := make(map[string]bool)
	var list []string
	for _, name := range tasks {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it ended
		}
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		policy := f[38] // proc_pid_stat(5): rt_priority and policy are fields 40 and 41
		if policy != "0" {
			policy += "/" + f[37]
		}
		if !seen[policy] {
			seen[policy], list = true, append(list, policy)
		}
	}
	return strings.Join(list, " ")
}

// runUrgent is the process that is held up.
func runUrgent(t *testing.T) {
	r := vrrp.NewRouter(vrrp.Options{Network: vrrptest.NewLAN().Host("10.0.0.1")})
	in := instance(255)
	in.Interval = 10 * time.Millisecond
	if err := r.SetHost(vrrp.Host{Process: vrrp.Process{AutoRealTime: 2, AutoDelay: 200 * time.Millisecond}}); err != nil {
		t.Fatal(err)
	}
	if err := r.Set([]vrrp.Instance{in}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	go func() {
		<-r.Ready()
		fmt.Println()
	}()
	_ = r.Run(ctx)
}
