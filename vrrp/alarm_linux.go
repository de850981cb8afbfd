package vrrp

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// fdAlarm is a timer of the kernel's in the runtime's poller, which it wakes to the microsecond.
type fdAlarm struct {
	file *os.File
	fd   int
	c    chan time.Time
}

func (*hostNetwork) alarm() (alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	a := &fdAlarm{file: os.NewFile(uintptr(fd), "timer"), fd: fd, c: make(chan time.Time, 1)}
	go a.watch()
	return a, nil
}

// watch ends with stop.
func (a *fdAlarm) watch() {
	var count [8]byte
	for {
		if _, err := a.file.Read(count[:]); err != nil {
			return
		}
		select {
		case a.c <- time.Now():
		default:
		}
	}
}

func (a *fdAlarm) fired() <-chan time.Time { return a.c }
func (a *fdAlarm) stop()                   { a.file.Close() }

// reset takes 0 for at once; the kernel takes it for never.
func (a *fdAlarm) reset(d time.Duration) {
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(max(int64(d), 1))}
	_ = unix.TimerfdSettime(a.fd, 0, &at, nil)
}
