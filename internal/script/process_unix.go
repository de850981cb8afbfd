//go:build unix

package script

import (
	"errors"
	"os"
	"syscall"
	"time"
)

func isTextWithoutShebang(err error) bool { return errors.Is(err, syscall.ENOEXEC) }

func attributes(who identity) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if who.other {
		attr.Credential = &syscall.Credential{Uid: who.uid, Gid: who.gid, Groups: who.groups}
	}
	return attr
}

func signalGroup(pid int, kill bool) {
	if kill {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		return
	}
	_ = syscall.Kill(-pid, syscall.SIGTERM)
	_ = syscall.Kill(-pid, syscall.SIGCONT) // one that is stopped would not notice
}

// await waits for the program and ends what it left behind. The number of a group can be given away once its leader is
// reaped: the group is killed before, where the system can wait without reaping.
func (p *Process) await() error {
	var err error
	if !awaitExit(p.PID()) {
		err = p.cmd.Wait()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if !p.command.Detach {
		signalGroup(p.PID(), true)
	}
	if p.cmd.ProcessState == nil {
		err = p.reap()
	}
	return err
}

// reap reaps the program. The first process of a container inherits orphans: those of the group are reaped too, as soon as
// they are dead.
func (p *Process) reap() error {
	if os.Getpid() != 1 || p.command.Detach {
		return p.cmd.Wait()
	}
	reaping.Lock()
	defer reaping.Unlock()
	err := p.cmd.Wait()
	for range 20 {
		pid, e := syscall.Wait4(-p.PID(), nil, syscall.WNOHANG, nil)
		if errors.Is(e, syscall.ECHILD) {
			break
		}
		if pid == 0 { // killed, and not dead yet
			time.Sleep(5 * time.Millisecond)
		}
	}
	return err
}
