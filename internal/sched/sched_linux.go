package sched

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// raised is what was applied that children shall not inherit. It is the process's, as scheduling is.
var raised atomic.Pointer[Options]

// Apply changes all threads of the process; those that come later inherit it.
func Apply(o Options) error {
	var errs []error
	if o.RealTime != 0 || o.Nice != nil || len(o.CPUs) > 0 {
		if o.RealTime != 0 || o.Nice != nil {
			raised.Store(&o)
		}
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range tasks {
			if tid, err := strconv.Atoi(t.Name()); err == nil {
				errs = append(errs, o.thread(tid))
			}
		}
	}
	if o.LockMemory {
		const onFault = 4 // MCL_ONFAULT: what the runtime reserves and does not use is not filled
		if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | onFault); err != nil {
			errs = append(errs, fmt.Errorf("lock memory: %w", needs(err, "CAP_IPC_LOCK")))
		}
	}
	return errors.Join(errs...)
}

func (o *Options) thread(tid int) error {
	var errs []error
	if o.RealTime != 0 {
		if err := setScheduler(tid, unix.SCHED_RR, o.RealTime); err != nil {
			errs = append(errs, fmt.Errorf("real-time priority %d: %w", o.RealTime, needs(err, "CAP_SYS_NICE, and RestrictRealtime=no in a unit file")))
		}
	}
	if o.Nice != nil {
		if err := unix.Setpriority(unix.PRIO_PROCESS, tid, *o.Nice); err != nil {
			errs = append(errs, fmt.Errorf("nice value %d: %w", *o.Nice, needs(err, "CAP_SYS_NICE")))
		}
	}
	if len(o.CPUs) > 0 {
		var set unix.CPUSet
		for _, c := range o.CPUs {
			set.Set(c)
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil {
			errs = append(errs, fmt.Errorf("processors %v: %w", o.CPUs, err))
		}
	}
	return ended(errors.Join(errs...))
}

// needs says what would be allowed with which privilege.
func needs(err error, what string) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: it needs %s", err, what)
	}
	return err
}

// ended ignores a thread that is gone.
func ended(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

func setScheduler(pid, policy, priority int) error {
	param := int32(priority)
	_, _, errno := unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, uintptr(pid), uintptr(policy), uintptr(unsafe.Pointer(&param)))
	if errno != 0 {
		return errno
	}
	return nil
}

// Ordinary calls f, which starts a child, on a thread of ordinary scheduling: the child inherits it.
func Ordinary(f func() error) error {
	o := raised.Load()
	if o == nil {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = setScheduler(0, unix.SCHED_NORMAL, 0)
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 0)
	defer func() { _ = o.thread(unix.Gettid()) }()
	return f()
}
