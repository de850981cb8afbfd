package ipvs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// bufferLen is the most that the kernel puts into one piece of a dump.
	bufferLen = 32 << 10
	// verdictLen holds a verdict with room for the kernel's words.
	verdictLen = 512
	// verdictCost is what a verdict that waits to be read takes of the receive buffer, generously.
	verdictCost = 1 << 10
	// receiveBuffer is asked for; the kernel gives up to net.core.rmem_max.
	receiveBuffer = 1 << 20
	// nap is how often a wait for the kernel looks at its context.
	nap = 50 * time.Millisecond
)

// errNoAnswer is a kernel that stays silent. It does not happen to a healthy one: it answers before sendmsg returns.
var errNoAnswer = fmt.Errorf("no answer from the kernel: %w", os.ErrDeadlineExceeded)

// socket is a generic netlink socket that is used by one goroutine at a time. It opens itself when it is needed, and again
// after it broke.
type socket struct {
	dial    func() (fd int, err error)
	space   *namespace
	timeout time.Duration
	fd      int // -1 is closed
	seq     uint32
	out     []byte // for what is sent
	room    []byte // for what is received
	lost    bool   // the kernel found no room for an answer
	limit   int    // how many verdicts surely fit into the receive buffer
}

func newSocket(space *namespace, timeout time.Duration) *socket {
	return &socket{dial: dialKernel, space: space, timeout: timeout, fd: -1, room: make([]byte, 2*bufferLen)}
}

// open does nothing when the socket is open.
func (s *socket) open() error {
	if s.fd >= 0 {
		return nil
	}
	err := s.space.do(func() (err error) {
		s.fd, err = s.dial()
		return err
	})
	if err != nil {
		s.fd = -1
		return err
	}
	size, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	s.limit = max(1, size/verdictCost)
	return os.NewSyscallError("getsockopt", err)
}

// dialKernel opens a socket that gets short verdicts with words, and has room for many. What an old kernel has not, is done
// without.
func dialKernel() (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	return fd, nil
}

func (s *socket) close() {
	if s.fd >= 0 {
		unix.Close(s.fd)
		s.fd = -1
	}
}

// nextSeq numbers n messages and returns the first number, never 0.
func (s *socket) nextSeq(n int) uint32 {
	if s.seq > 1<<31 {
		s.seq = 0
	}
	first := s.seq + 1
	s.seq += uint32(n)
	return first
}

// send gives messages to the kernel, which has done them all when send returns. A broken socket is opened again, once:
// nothing was done through it.
func (s *socket) send(b []byte) error {
	for again := false; ; again = true {
		if err := s.open(); err != nil {
			return err
		}
		err := write(s.fd, b) // what is for nobody in particular is for the kernel
		switch {
		case err == nil:
			return nil
		case err == unix.EINTR:
			continue
		case again:
			return os.NewSyscallError("write", err)
		}
		s.close()
	}
}

// receive reads what is there, up to n pieces of size bytes each, and gives each to take until that says it is done. It
// waits when nothing is there.
func (s *socket) receive(ctx context.Context, n, size int, take func(piece []byte) (done bool, err error)) error {
	var headers [verdicts]mmsghdr
	var vectors [verdicts]unix.Iovec
	for i := range n {
		vectors[i].Base = &s.room[i*size]
		vectors[i].SetLen(size)
		headers[i].msg.Iov = &vectors[i]
		headers[i].msg.SetIovlen(1)
	}
	for {
		got, err := s.read(ctx, headers[:n])
		if err != nil {
			return err
		}
		for i := range got {
			if headers[i].msg.Flags&unix.MSG_TRUNC != 0 {
				return fmt.Errorf("the kernel's answer is longer than %d bytes", size)
			}
			done, err := take(s.room[i*size : i*size+int(headers[i].n)])
			if done || err != nil {
				return err
			}
		}
	}
}

// verdicts is how many verdicts are read at once.
const verdicts = 32

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	msg unix.Msghdr
	n   uint32
}

// read fills at least one header.
func (s *socket) read(ctx context.Context, headers []mmsghdr) (int, error) {
	deadline := time.Now().Add(s.timeout)
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&headers[0])), uintptr(len(headers)),
			unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.ENOBUFS: // told before what is there still
			s.lost = true
		case unix.EAGAIN:
			if s.lost {
				return 0, os.NewSyscallError("recvmmsg", unix.ENOBUFS)
			}
			if err := s.wait(ctx, deadline); err != nil {
				return 0, err
			}
		default:
			return 0, os.NewSyscallError("recvmmsg", errno)
		}
	}
}

func (s *socket) wait(ctx context.Context, deadline time.Time) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !time.Now().Before(deadline) {
			return errNoAnswer
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}, int(nap/time.Millisecond))
		if n > 0 || err != nil && err != unix.EINTR {
			return nil // recvmmsg tells what is wrong
		}
	}
}

// namespace is the network namespace that sockets are opened in.
type namespace struct {
	file *os.File
	same os.FileInfo
}

// openNamespace opens that of a path, or that of the calling thread.
func openNamespace(path string) (*namespace, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if path == "" {
		path = threadNamespace
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	same, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	return &namespace{file: file, same: same}, nil
}

const threadNamespace = "/proc/thread-self/ns/net"

func (n *namespace) close() { n.file.Close() }

func (n *namespace) closed() bool { return n.file.Fd() == ^uintptr(0) }

// do calls f on a thread in the namespace.
func (n *namespace) do(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if here, err := os.Stat(threadNamespace); err == nil && os.SameFile(here, n.same) {
		return f()
	}
	result := make(chan error, 1)
	go func() { result <- n.visit(f) }()
	return <-result
}

// visit goes into the namespace and back. A thread that cannot get back is not used for anything else: it stays locked to its
// goroutine, and ends with it.
func (n *namespace) visit(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open(threadNamespace)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("network namespace: %w", err)
	}
	defer home.Close()
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", n.file.Name(), os.NewSyscallError("setns", err))
	}
	err = f()
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

// errTorn is a list that changed while it was read.
var errTorn = errors.New("the list changed while it was read")

// errClosed is a client after Close.
var errClosed = fmt.Errorf("the client is closed: %w", os.ErrClosed)

// verdict is what the kernel thinks of a message.
type verdict struct {
	errno   unix.Errno
	message string
}

func (v *verdict) Error() string {
	if v.message != "" {
		return v.errno.Error() + ": " + v.message
	}
	return v.errno.Error()
}

func (v *verdict) Unwrap() error { return v.errno }

// verdict is nil for an acknowledgement.
func (a *answer) verdict() error {
	number, message, err := a.errno()
	if err != nil || number == 0 {
		return err
	}
	return &verdict{errno: unix.Errno(number), message: message}
}

// ask sends one message and gives take every answer to it; the verdict on it is returned.
func (s *socket) ask(ctx context.Context, b []byte, seq uint32, take func(a *answer) error) error {
	if err := s.send(b); err != nil {
		return err
	}
	var result error
	torn := false
	err := s.answers(ctx, seq, 2, bufferLen, func(a *answer) error {
		torn = torn || a.flags&flagInterrupted != 0
		switch {
		case a.seq != seq:
		case a.typ == msgError || a.typ == msgDone:
			result = a.verdict()
		case take != nil && a.typ >= msgFirst:
			return take(a)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case result == nil && torn:
		return errTorn
	}
	return result
}

// answers gives take every answer until the verdict on the message numbered last. What is left of an exchange that was given
// up goes away with the socket.
func (s *socket) answers(ctx context.Context, last uint32, n, size int, take func(a *answer) error) error {
	s.lost = false
	err := s.receive(ctx, n, size, func(piece []byte) (done bool, err error) {
		for len(piece) > 0 && !done {
			var a answer
			if a, piece, err = nextAnswer(piece); err != nil {
				return false, err
			}
			if int32(a.seq-last) > 0 || a.seq == 0 {
				continue // not ours
			}
			if err := take(&a); err != nil {
				return false, err
			}
			done = a.seq == last && (a.typ == msgError || a.typ == msgDone)
		}
		return done, nil
	})
	if err != nil {
		s.close()
	}
	return err
}

// rawLen is the longest write that does not tell Go's scheduler that it might take time, nor does a read. The kernel answers a
// short message in microseconds, and to call in another thread meanwhile costs several times that.
const rawLen = 1 << 10

func write(fd int, b []byte) error {
	if len(b) > rawLen {
		_, err := unix.Write(fd, b)
		return err
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b))); errno != 0 {
		return errno
	}
	return nil
}
