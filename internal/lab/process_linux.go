package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a program that runs in a [Host].
type Process struct {
	cmd  *exec.Cmd
	out  *transcript
	done chan struct{}
	err  error // valid once done is closed
}

func start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, out: newTranscript(), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	cmd.WaitDelay = time.Second // a grandchild that keeps the pipe open does not hold us up
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = cmd.Wait()
		p.out.end()
		close(p.done)
	}()
	return p, nil
}

// Signal sends a signal to the program.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the program at once, with no chance to clean up, and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop asks the program to end (SIGTERM), kills it if it has not within 10 s, and returns its exit status.
func (p *Process) Stop() int {
	_ = p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.Kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// PeakMemory is the most memory that the ended program had, in KB.
func (p *Process) PeakMemory() int64 {
	<-p.done
	if usage, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return usage.Maxrss
	}
	return 0
}

// Output is what the program has printed so far.
func (p *Process) Output() string { return p.out.String() }

// WaitFor waits until the program's output holds text. It gives up with an error that quotes the output when ctx or
// the program ends first.
func (p *Process) WaitFor(ctx context.Context, text string) error {
	for {
		out, changed := p.out.look()
		if strings.Contains(out, text) {
			return nil
		}
		select {
		case <-changed:
		case <-p.done:
			if strings.Contains(p.Output(), text) {
				return nil
			}
			return fmt.Errorf("%s ended without %q (%v); it printed:\n%s", p.cmd.Args[len(p.cmd.Args)-1], text, p.err, p.Output())
		case <-ctx.Done():
			return fmt.Errorf("no %q: %w; printed so far:\n%s", text, ctx.Err(), out)
		}
	}
}

// transcript keeps output and wakes those who wait for more.
type transcript struct {
	mu      sync.Mutex // guards the fields below
	text    strings.Builder
	changed chan struct{} // closed at the next write
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

func (o *transcript) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(b)
	close(o.changed)
	o.changed = make(chan struct{})
	return len(b), nil
}

func (o *transcript) end() { _, _ = o.Write(nil) }

func (o *transcript) look() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

func (o *transcript) String() string { text, _ := o.look(); return text }
