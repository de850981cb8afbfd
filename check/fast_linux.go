package check

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/due"
)

// engine makes the plain checks, TCP and HTTP that looks at no body, any number of them: on one thread, without a goroutine for
// each, with no more system calls than it takes. All of it is guarded by the Monitor's mu, but for waiting.
type engine struct {
	m     *Monitor
	poll  int             // epoll
	file  *os.File        // the same, so that Go's own poller wakes us: a thread that waits would keep others from a processor
	wait  syscall.RawConn // of file
	event int             // eventfd, that wakes it
	queue due.Queue[*task]
	runs  map[int32]*run // by descriptor

	buffer [16 << 10]byte

	wakeAt time.Time // when it will look by itself
	awake  bool      // it holds mu, and looks again before it waits
}

// newEngine begins with the first task that needs it.
func newEngine(m *Monitor) (*engine, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(poll)
		return nil, err
	}
	e := &engine{m: m, poll: poll, event: event, runs: make(map[int32]*run)}
	_ = unix.SetNonblock(poll, true) // it is then polled by Go
	e.file = os.NewFile(uintptr(poll), "epoll")
	if e.wait, err = e.file.SyscallConn(); err == nil {
		err = e.file.SetReadDeadline(time.Time{})
	}
	if err != nil {
		e.close()
		return nil, err
	}
	if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, event, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(event)}); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func (e *engine) close() {
	e.file.Close()
	unix.Close(e.event)
}

// fast says whether a checker is one for the engine.
func fast(c Checker) bool {
	switch c := c.(type) {
	case TCP:
		return c.Target.plain()
	case HTTP:
		return c.Target.plain() && c.plain()
	}
	return false
}

func (t Target) plain() bool {
	return t.Addr.IsValid() && t.Addr.Addr().Zone() == "" && t.Source.Addr().Zone() == ""
}

// run works until ctx ends.
func (e *engine) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, e.wake)
	defer stop()
	events := make([]unix.EpollEvent, 256)
	for n := 0; ; {
		sleep, goesOn := e.advance(ctx, events[:n])
		if !goesOn {
			return
		}
		n = e.next(events, sleep)
	}
}

// next waits for events, as long as there is time.
func (e *engine) next(events []unix.EpollEvent, sleep time.Duration) (n int) {
	look := func(fd uintptr) bool {
		n, _ = unix.EpollWait(int(fd), events, 0)
		return n > 0
	}
	if sleep <= 0 {
		look(uintptr(e.poll))
		return max(n, 0)
	}
	_ = e.file.SetReadDeadline(time.Now().Add(sleep))
	_ = e.wait.Read(look) // its error says that the time is over
	return max(n, 0)
}

func (e *engine) wake() {
	one := [8]byte{1}
	_, _ = unix.Write(e.event, one[:])
}

// advance takes what happened, then does what is due, and says how long to wait then. It is false after the end.
func (e *engine) advance(ctx context.Context, events []unix.EpollEvent) (sleep time.Duration, goesOn bool) {
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	e.awake = true
	defer func() { e.awake = false }()
	if ctx.Err() != nil {
		e.end()
		return 0, false
	}
	now := time.Now()
	for i := range events {
		e.happened(&events[i], now)
	}
	for t, ok := e.queue.Next(now); ok; t, ok = e.queue.Next(now) {
		if t.run != nil {
			e.fail(t.run, errTimedOut, now)
			continue
		}
		t.waits = true
		e.m.waiting = append(e.m.waiting, t)
	}
	e.m.startWaiting(now)
	sleep = time.Hour
	if first, ok := e.queue.First(); ok {
		sleep = max(first.Due().Sub(now), 0)
	}
	e.wakeAt = now.Add(sleep)
	return sleep, true
}

func (e *engine) happened(event *unix.EpollEvent, now time.Time) {
	if event.Fd == int32(e.event) {
		var b [8]byte
		_, _ = unix.Read(e.event, b[:])
		return
	}
	r := e.runs[event.Fd]
	if r == nil {
		return // it was given up in the same round
	}
	switch {
	case r.talk != nil:
		e.talked(r, event.Events, now)
	case event.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0:
		e.connected(r, socketError(r.fd), now)
	default:
		e.connected(r, nil, now)
	}
}

// connected is for TCP checks: there is no more to them.
func (e *engine) connected(r *run, err error, now time.Time) {
	if err != nil {
		e.fail(r, err, now)
		return
	}
	e.finish(r, Result{})
}

func socketError(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if n == 0 { // closed right after it was taken
		return nil
	}
	return unix.Errno(n)
}

// start begins a check.
func (e *engine) start(t *task, now time.Time) {
	r := &run{task: t, checker: t.checker, began: now, fd: -1}
	t.run = r
	e.m.busy++
	e.m.schedule(t, now.Add(t.policy().timeout()))
	switch c := t.checker.(type) {
	case TCP:
		e.connect(r, c.Target, unix.EPOLLOUT|unix.EPOLLONESHOT, now)
	case HTTP:
		r.talk = &talk{http: &c}
		e.ask(r, now)
	}
}

// connect begins a connection.
func (e *engine) connect(r *run, target Target, events uint32, now time.Time) {
	r.target = target
	var err error
	if r.fd, err = target.begin(); err == nil {
		err = unix.EpollCtl(e.poll, unix.EPOLL_CTL_ADD, r.fd, &unix.EpollEvent{Events: events, Fd: int32(r.fd)})
	}
	if err != nil {
		e.fail(r, err, now)
		return
	}
	e.runs[int32(r.fd)] = r
}

// fail ends a check of which the connection, or the time, came to nothing.
func (e *engine) fail(r *run, err error, now time.Time) {
	if r.talk == nil || !r.talk.connected {
		err = fmt.Errorf("connect to %v: %w", r.target.Addr, r.target.whose(err))
	}
	if r.talk != nil {
		err = r.talk.http.failed(r.talk.request, err)
	}
	e.finish(r, Result{Err: err})
}

// finish ends a check and tells what came of it.
func (e *engine) finish(r *run, result Result) {
	e.drop(r)
	result.At = time.Now()
	result.Latency = result.At.Sub(r.began)
	e.m.judge(r.task, result)
}

// drop gives a connection up.
func (e *engine) drop(r *run) {
	e.m.busy--
	e.queue.Remove(r.task)
	r.task.run = nil
	e.hangUp(r)
}

func (e *engine) hangUp(r *run) {
	if r.fd >= 0 {
		delete(e.runs, int32(r.fd))
		unix.Close(r.fd)
		r.fd = -1
	}
}

// end gives everything up.
func (e *engine) end() {
	for _, r := range e.runs {
		e.drop(r)
	}
	e.close()
}

// begin begins to connect. The descriptor is -1 when there is none.
func (t Target) begin() (fd int, err error) {
	family := unix.AF_INET
	if t.Addr.Addr().Is6() && !t.Addr.Addr().Is4In6() {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := t.prepare(fd); err != nil {
		return fd, err
	}
	if err := unix.Connect(fd, socketAddr(t.Addr)); err != nil && err != unix.EINPROGRESS {
		return fd, err
	}
	return fd, nil
}

func (t Target) prepare(fd int) error {
	if err := t.setOptions(fd); err != nil {
		return err
	}
	if !t.Source.Addr().IsValid() {
		return nil
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // one port may then serve several servers
	return unix.Bind(fd, socketAddr(t.Source))
}

func socketAddr(a netip.AddrPort) unix.Sockaddr {
	if addr := a.Addr().Unmap(); addr.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: addr.As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
