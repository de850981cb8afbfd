package vrrp

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hostSockets is an epoll of our own, with the sockets, a timer of the kernel's and an eventfd in it. It is itself in the
// runtime's poller: one goroutine waits for all of them and is woken by none that it does not listen to; and the timer
// wakes it to the microsecond, while one of the runtime's is up to a millisecond late on an idle process.
//
// Calls that never block are made without telling the runtime: else it wakes its monitor thread for each, and that costs more
// than all of the rest.
type hostSockets struct {
	file  *os.File // the epoll
	raw   syscall.RawConn
	epoll int
	timer int
	event int

	set    time.Time // what the timer is set to, zero for never
	fired  bool
	look   func(fd uintptr) bool // bound once, so that no wait allocates
	events [64]unix.EpollEvent

	mu    sync.Mutex // guards the fields below
	conns map[int32]*rawConn
	shut  bool
}

func (*hostNetwork) Sockets() (Sockets, error) {
	s := &hostSockets{epoll: -1, timer: -1, event: -1, conns: make(map[int32]*rawConn)}
	s.look = s.dispatch
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *hostSockets) open() (err error) {
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create", err)
	}
	_ = unix.SetNonblock(s.epoll, true) // else the runtime does not poll it
	s.file = os.NewFile(uintptr(s.epoll), "vrrp sockets")
	if s.raw, err = s.file.SyscallConn(); err != nil {
		return err
	}
	if s.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return os.NewSyscallError("timerfd_create", err)
	}
	if s.event, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	for _, fd := range []int{s.timer, s.event} { // edges: nobody reads them
		if err = s.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN|unix.EPOLLET); err != nil {
			return err
		}
	}
	return nil
}

func (s *hostSockets) control(op, fd int, events uint32) error {
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(s.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}))
}

// Wait looks first: the runtime's poller tells of what comes after that.
func (s *hostSockets) Wait(until time.Time) error {
	if s.fired || !until.Equal(s.set) {
		s.setTimer(until)
	}
	return s.raw.Read(s.look)
}

// setTimer takes the zero Time for never. The kernel takes 0 for it, so that what is past is a nanosecond ahead.
func (s *hostSockets) setTimer(until time.Time) {
	var at unix.ItimerSpec
	if !until.IsZero() {
		at.Value = unix.NsecToTimespec(max(int64(time.Until(until)), 1))
	}
	_, _, _ = unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(s.timer), 0, uintptr(unsafe.Pointer(&at)), 0, 0, 0)
	s.set, s.fired = until, false
}

// dispatch tells whether there was something.
func (s *hostSockets) dispatch(fd uintptr) bool {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&s.events)), uintptr(len(s.events)), 0, 0, 0)
	if errno != 0 {
		return true // look again
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events[:n] {
		if c := s.conns[e.Fd]; c != nil {
			c.ready()
		}
		s.fired = s.fired || int(e.Fd) == s.timer
	}
	return n > 0
}

func (s *hostSockets) Wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.shut {
		_, _ = unix.Write(s.event, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

func (s *hostSockets) add(c *rawConn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[int32(c.in)] = c
	return s.control(unix.EPOLL_CTL_ADD, c.in, unix.EPOLLIN)
}

// remove comes before the descriptor is closed, and may be another's.
func (s *hostSockets) remove(c *rawConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, int32(c.in))
}

func (s *hostSockets) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = true
	for _, fd := range []int{s.timer, s.event} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
