package script

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sched"
)

// Process is a program that was started.
type Process struct {
	command Command
	ctx     context.Context
	cmd     *exec.Cmd
	began   time.Time
	done    chan struct{} // closed when it has ended and everything is cleaned up
	output  tail          // of the goroutine that reads, until done
	outcome Outcome       // valid once done
	err     error         // valid once done

	mu    sync.Mutex // guards the fields below, and signals against reaping
	ended bool
	told  bool // to end
}

// reaping keeps new programs from getting the number of a process group that is being reaped.
var reaping sync.RWMutex

// PID of the program, which is that of its process group too.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended and what it left behind is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// patience is how much longer than Mercy a program is waited for that does not even die by SIGKILL.
const patience = time.Second

// Wait waits for the end and tells the outcome, as [Runner.Run] does. A program that cannot be killed is given up a second
// after SIGKILL; its place in the Runner stays taken until it is gone.
func (p *Process) Wait() (Outcome, error) {
	select {
	case <-p.done:
		return p.outcome, p.err
	case <-p.ctx.Done():
	}
	timer := time.NewTimer(Mercy + patience)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.outcome, p.err
	case <-timer.C:
		return Outcome{Status: -1, Took: time.Since(p.began)}, fmt.Errorf("%s: %w: it does not die, SIGKILL was sent", p.command.name(), p.over())
	}
}

// over is why the program's time was over.
func (p *Process) over() error {
	if cause := context.Cause(p.ctx); !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return errTimedOut
}

// errTimedOut reads better than what it is.
var errTimedOut = timedOut{}

type timedOut struct{}

func (timedOut) Error() string   { return "timed out" }
func (timedOut) Is(e error) bool { return e == context.DeadlineExceeded }

// start starts a program. release is called once, when it has ended.
func start(ctx context.Context, c Command, release func()) (*Process, error) {
	prepared, err := c.prepare()
	if err != nil {
		return nil, err
	}
	p := &Process{command: c, ctx: ctx, began: time.Now(), done: make(chan struct{})}
	read, err := p.launch(prepared)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, p.terminate)
	go func() {
		defer release()
		defer close(p.done)
		p.finish(read)
		stop()
	}()
	return p, nil
}

// launch starts the program, by the shell if it is a text without #!, and returns where its output is to be read, if at all.
func (p *Process) launch(prepared plan) (read *os.File, err error) {
	var write *os.File
	if !p.command.Detach {
		if read, write, err = os.Pipe(); err != nil {
			return nil, err
		}
		defer write.Close()
	}
	reaping.RLock()
	defer reaping.RUnlock()
	p.cmd = command(prepared, p.command.Env, write)
	err = sched.Ordinary(p.cmd.Start)
	if isTextWithoutShebang(err) {
		prepared.path, prepared.argv = "/bin/sh", append([]string{"sh", prepared.path}, prepared.argv[1:]...)
		p.cmd = command(prepared, p.command.Env, write)
		err = sched.Ordinary(p.cmd.Start)
	}
	if err != nil && read != nil {
		read.Close()
	}
	return read, unwrapPath(err)
}

func command(prepared plan, env []string, output *os.File) *exec.Cmd {
	cmd := &exec.Cmd{Path: prepared.path, Args: prepared.argv, Env: environment(env), Dir: "/", SysProcAttr: attributes(prepared.who)}
	if output != nil { // a nil *os.File would not be a nil Writer
		cmd.Stdout, cmd.Stderr = output, output
	}
	return cmd
}

// drain is how long output is waited for after the end: what escaped from the process group may hold the pipe.
const drain = 100 * time.Millisecond

// finish waits for the program, ends what it left behind and puts the outcome together.
func (p *Process) finish(read *os.File) {
	var reader sync.WaitGroup
	if read != nil {
		reader.Go(func() { p.capture(read) })
	}
	err := p.await()
	if read != nil {
		_ = read.SetReadDeadline(time.Now().Add(drain))
		reader.Wait()
		read.Close()
	}
	p.outcome = Outcome{Status: p.cmd.ProcessState.ExitCode(), Output: p.output.String(), Took: time.Since(p.began)}
	p.err = p.verdict(err)
}

func (p *Process) capture(read *os.File) {
	buffer := make([]byte, maxOutput)
	for {
		n, err := read.Read(buffer)
		_, _ = p.output.Write(buffer[:n])
		if err != nil {
			return
		}
	}
}

// verdict is the error that goes with the end. A program that had to be told to end failed, whatever its exit status.
func (p *Process) verdict(err error) error {
	if p.toldToEnd() {
		p.outcome.Status, err = -1, p.over()
	}
	if err == nil {
		return nil
	}
	said := p.outcome.LastLine()
	if said != "" {
		said = ": " + said
	}
	return fmt.Errorf("%s: %w%s", p.command.name(), err, said)
}

func (p *Process) toldToEnd() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told
}

// terminate ends the process group: with SIGTERM, and with SIGKILL if that is not enough.
func (p *Process) terminate() {
	p.signal(false)
	timer := time.NewTimer(Mercy)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.signal(true)
	}
}

// signal signals the group, as long as its number is ours.
func (p *Process) signal(kill bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.told = true
		signalGroup(p.PID(), kill)
	}
}
