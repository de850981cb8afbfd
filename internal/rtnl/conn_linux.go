package rtnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Conn gives orders to the kernel of the network namespace that it was opened in. Its methods may be called from any
// goroutine.
type Conn struct {
	fd int

	mu  sync.Mutex // guards the fields below, and one exchange at a time
	seq uint32
	out []byte
	in  [64 << 10]byte
}

// Dial opens a Conn.
func Dial() (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("netlink socket", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5})
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("netlink bind", err)
	}
	return &Conn{fd: fd}, nil
}

// Close closes it.
func (c *Conn) Close() error { return unix.Close(c.fd) }

// most is how many requests go into one system call: as many as have room for their answers.
const most = 128

// Do carries out requests in order, in as few system calls as possible, and tells of each how it went.
func (c *Conn) Do(requests []Request) []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	errs := make([]error, len(requests))
	for start := 0; start < len(requests); start += most {
		end := min(start+most, len(requests))
		if err := c.exchange(requests[start:end], errs[start:end]); err != nil {
			for i := range errs[start:end] {
				errs[start+i] = errors.Join(errs[start+i], err)
			}
		}
	}
	return errs
}

// exchange asks for an answer to the last request only: without being asked, the kernel tells of failures.
func (c *Conn) exchange(requests []Request, errs []error) error {
	first := c.seq + 1
	c.out = c.out[:0]
	for i, q := range requests {
		flags := q.Flags | unix.NLM_F_REQUEST
		if i == len(requests)-1 {
			flags |= unix.NLM_F_ACK
		}
		c.append(q, flags)
	}
	if err := unix.Sendto(c.fd, c.out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("netlink send", err)
	}
	for {
		done := false
		err := c.receive(func(h header, data []byte) {
			i := int(h.seq - first)
			if h.kind != unix.NLMSG_ERROR || len(data) < 4 || i < 0 || i >= len(errs) {
				return
			}
			errs[i] = verdict(h, data)
			done = done || i == len(errs)-1
		})
		if err != nil || done {
			return err
		}
	}
}

func (c *Conn) append(q Request, flags uint16) {
	c.seq++
	start := len(c.out)
	c.out = binary.NativeEndian.AppendUint32(c.out, uint32(16+len(q.Data)))
	c.out = binary.NativeEndian.AppendUint16(c.out, q.Type)
	c.out = binary.NativeEndian.AppendUint16(c.out, flags)
	c.out = binary.NativeEndian.AppendUint32(c.out, c.seq)
	c.out = binary.NativeEndian.AppendUint32(c.out, 0)
	c.out = append(c.out, q.Data...)
	for (len(c.out)-start)%4 != 0 {
		c.out = append(c.out, 0)
	}
}

// header is a netlink header.
type header struct {
	kind, flags uint16
	seq         uint32
}

// receive reads one datagram and hands over its messages.
func (c *Conn) receive(f func(h header, data []byte)) error {
	n, _, err := unix.Recvfrom(c.fd, c.in[:], 0)
	for errors.Is(err, unix.EINTR) {
		n, _, err = unix.Recvfrom(c.fd, c.in[:], 0)
	}
	if err != nil {
		return os.NewSyscallError("netlink receive", err)
	}
	return messages(c.in[:n], f)
}

func messages(b []byte, f func(h header, data []byte)) error {
	for len(b) >= 16 {
		n := int(binary.NativeEndian.Uint32(b))
		if n < 16 || n > len(b) {
			return fmt.Errorf("netlink message of %d bytes in %d", n, len(b))
		}
		f(header{binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:]), binary.NativeEndian.Uint32(b[8:])}, b[16:n])
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

// verdict reads an NLMSG_ERROR: its errno and, where the kernel explains itself, its text.
func verdict(h header, data []byte) error {
	errno := unix.Errno(-int32(binary.NativeEndian.Uint32(data)))
	if errno == 0 {
		return nil
	}
	const capped, tlvs = unix.NLM_F_CAPPED, unix.NLM_F_ACK_TLVS
	if h.flags&tlvs != 0 && h.flags&capped != 0 && len(data) >= 20 {
		text := ""
		_ = Attrs(data[20:], func(kind uint16, value []byte) {
			if kind == unix.NLMSGERR_ATTR_MSG && len(value) > 0 {
				text = string(value[:len(value)-1])
			}
		})
		if text != "" {
			return fmt.Errorf("%w: %s", errno, text)
		}
	}
	return errno
}

// Dump hands over the messages of a dump, again from the start when it was interrupted by a change.
func (c *Conn) Dump(q Request, f func(kind uint16, data []byte)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var got []Request
		torn, err := c.dump(q, func(kind uint16, data []byte) {
			got = append(got, Request{Type: kind, Data: append([]byte(nil), data...)})
		})
		if err != nil {
			return err
		}
		if torn {
			continue
		}
		for _, m := range got {
			f(m.Type, m.Data)
		}
		return nil
	}
}

func (c *Conn) dump(q Request, f func(kind uint16, data []byte)) (torn bool, err error) {
	c.out = c.out[:0]
	c.append(q, q.Flags|unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	if err := unix.Sendto(c.fd, c.out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return false, os.NewSyscallError("netlink send", err)
	}
	for done := false; !done; {
		received := c.receive(func(h header, data []byte) {
			if h.seq != c.seq {
				return
			}
			torn = torn || h.flags&unix.NLM_F_DUMP_INTR != 0
			switch h.kind {
			case unix.NLMSG_DONE:
				done = true
			case unix.NLMSG_ERROR:
				done = true
				if len(data) >= 4 {
					err = verdict(h, data)
				}
			default:
				f(h.kind, data)
			}
		})
		if received != nil {
			return torn, received
		}
	}
	return torn, err
}
