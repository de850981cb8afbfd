package proc

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// TestEverySource: the kernel's word and our own looks come to the same.
func TestEverySource(t *testing.T) {
	lab.NeedRoot(t)
	c, err := connect()
	if err != nil {
		t.Logf("no process connector here (%v): only the scanner is tested", err)
	}
	sources := map[string]source{"scanner": newScanner()}
	if err == nil {
		sources["connector"] = c
	}
	for name, s := range sources {
		t.Run(name, func(t *testing.T) { testSource(t, s) })
	}
}

func testSource(t *testing.T, s source) {
	h := &hub{source: s}
	go h.run(s)
	comm := fmt.Sprint("hf-proc-", os.Getpid())
	w := &Watch{match: Match{Name: comm}, c: make(chan struct{}, 1), pids: map[int]bool{}}
	if err := h.add(w); err != nil {
		t.Fatal(err)
	}
	defer h.remove(w)
	want := func(n int) {
		t.Helper()
		for range 600 {
			h.mu.Lock()
			got := len(w.pids)
			h.mu.Unlock()
			if got == n {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Fatalf("%d processes, want %d", len(w.pids), n)
	}
	want(0)
	// A shell that calls itself so has a child that counts until it runs another program.
	cmd := exec.Command("sh", "-c", "printf "+comm+" > /proc/$$/comm; exec 3<&0; read x; (read y; exec sleep 60) <&3 & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() }()
	want(1)
	fmt.Fprintln(in)
	want(2)
	fmt.Fprintln(in)
	want(1)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	want(0)
}

func TestMessages(t *testing.T) {
	for name, m := range map[string][]byte{
		"empty": nil,
		"short": make([]byte, headerLen+eventHeader+3),
	} {
		if _, ok := parse(m); ok {
			t.Errorf("%s was taken", name)
		}
	}
	e, ok := parse(append(make([]byte, headerLen+eventHeader), 1, 0, 0, 0))
	if !ok || e.b != 0 {
		t.Errorf("%+v, %v", e, ok)
	}
}
