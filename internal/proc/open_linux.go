package proc

import (
	"encoding/binary"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The process connector; see linux/cn_proc.h and linux/connector.h.
const (
	cnIdxProc   = 1
	cnValProc   = 1
	mcastListen = 1

	eventNone = 0x00000000 // the answer to mcastListen
	eventFork = 0x00000001
	eventExec = 0x00000002
	eventComm = 0x00000200
	eventExit = 0x80000000

	sizeofCnMsg = 20 // idx, val, seq, ack in 32 bits; length and flags in 16
	headerLen   = unix.SizeofNlMsghdr + sizeofCnMsg
	eventHeader = 16 // what and cpu in 32 bits, timestamp in 64
)

// open listens to the kernel, or else scans.
func open() source {
	c, err := connect()
	if err != nil {
		return newScanner()
	}
	return c
}

// connector is a socket on which the kernel tells of processes.
type connector struct {
	file   *os.File
	buffer []byte
}

const (
	receiveBuffer = 1 << 20
	answerTimeout = 500 * time.Millisecond
)

func connect() (*connector, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_CONNECTOR)
	if err != nil {
		return nil, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: cnIdxProc}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if err := unix.Sendto(fd, listenMessage(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	c := &connector{file: os.NewFile(uintptr(fd), "process connector"), buffer: make([]byte, 64<<10)}
	if err := c.answered(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func listenMessage() []byte {
	b := make([]byte, headerLen+4)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], unix.NLMSG_DONE)
	cn := b[unix.SizeofNlMsghdr:]
	binary.NativeEndian.PutUint32(cn, cnIdxProc)
	binary.NativeEndian.PutUint32(cn[4:], cnValProc)
	binary.NativeEndian.PutUint16(cn[16:], 4)
	binary.NativeEndian.PutUint32(cn[sizeofCnMsg:], mcastListen)
	return b
}

// answered waits for the kernel's answer: to those without privilege, and in containers, it says nothing.
func (c *connector) answered() error {
	if err := c.file.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	for {
		n, err := c.file.Read(c.buffer)
		if err != nil {
			return err
		}
		if e, ok := parse(c.buffer[:n]); ok && e.what == eventNone {
			if e.a != 0 {
				return unix.Errno(e.a)
			}
			return c.file.SetReadDeadline(time.Time{})
		}
	}
}

func (c *connector) next(h *hub) bool {
	n, err := c.file.Read(c.buffer)
	switch {
	case errors.Is(err, unix.ENOBUFS): // some were lost
		h.rescan()
	case err != nil:
		return false
	default:
		if e, ok := parse(c.buffer[:n]); ok {
			e.tell(h)
		}
	}
	return true
}

func (c *connector) close() { c.file.Close() }

// event is what the kernel tells, with the first four numbers that follow.
type event struct{ what, a, b, c, d uint32 }

// parse reads a message: one event each.
func parse(m []byte) (e event, ok bool) {
	if len(m) < headerLen+eventHeader+4 {
		return e, false
	}
	data := m[headerLen:]
	e.what = binary.NativeEndian.Uint32(data)
	for i, field := range []*uint32{&e.a, &e.b, &e.c, &e.d} {
		if at := eventHeader + 4*i; len(data) >= at+4 {
			*field = binary.NativeEndian.Uint32(data[at:])
		}
	}
	return e, true
}

// tell tells the hub of processes; threads are not counted.
func (e event) tell(h *hub) {
	pid, process := int(e.a), int(e.b)
	switch e.what {
	case eventFork: // parent's thread and process, child's thread and process
		if e.c == e.d {
			h.forked(int(e.b), int(e.d))
		}
	case eventExec:
		h.renamed(process)
	case eventComm:
		if pid == process {
			h.renamed(process)
		}
	case eventExit:
		if pid == process {
			h.exited(process)
		}
	}
}
