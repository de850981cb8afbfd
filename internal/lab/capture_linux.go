package lab

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// Frame is one Ethernet frame that a host sent or received.
type Frame struct {
	At   time.Time
	Data []byte
}

// Capture collects the frames on a link of a host.
type Capture struct {
	conn *packet.Conn
	done chan struct{}

	mu     sync.Mutex // guards frames
	frames []Frame
}

// Capture begins to collect the frames on the host's eth0, until Stop or the end of the test.
func (h *Host) Capture() *Capture { h.net.t.Helper(); return h.CaptureOn("eth0") }

// CaptureOn is Capture on another link.
func (h *Host) CaptureOn(link string) *Capture {
	h.net.t.Helper()
	c := &Capture{done: make(chan struct{})}
	h.net.must(h.Do(func() error {
		ifi, err := net.InterfaceByName(link)
		if err != nil {
			return err
		}
		c.conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, nil)
		return err
	}))
	raw, err := c.conn.SyscallConn()
	h.net.must(err)
	control := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) })
	h.net.must(errors.Join(control, err))
	go c.collect(raw)
	h.net.t.Cleanup(func() { c.Stop() })
	return c
}

func (c *Capture) collect(raw syscall.RawConn) {
	defer close(c.done)
	buf, control := make([]byte, 1<<16), make([]byte, 64)
	for {
		f, err := receive(raw, buf, control)
		if err != nil {
			return
		}
		c.mu.Lock()
		c.frames = append(c.frames, f)
		c.mu.Unlock()
	}
}

// receive waits for a frame; its time is the kernel's, which does not depend on when we come to read it.
func receive(raw syscall.RawConn, buf, control []byte) (f Frame, err error) {
	var n, m int
	wait := raw.Read(func(fd uintptr) bool {
		n, m, _, _, err = unix.Recvmsg(int(fd), buf, control, unix.MSG_DONTWAIT)
		return !errors.Is(err, unix.EAGAIN)
	})
	if err = errors.Join(wait, err); err != nil {
		return f, err
	}
	f = Frame{At: time.Now(), Data: append([]byte(nil), buf[:n]...)}
	messages, err := unix.ParseSocketControlMessage(control[:m])
	for _, c := range messages {
		if c.Header.Level == unix.SOL_SOCKET && c.Header.Type == unix.SCM_TIMESTAMPNS && len(c.Data) >= 16 {
			f.At = time.Unix(int64(binary.NativeEndian.Uint64(c.Data)), int64(binary.NativeEndian.Uint64(c.Data[8:])))
		}
	}
	return f, err
}

// Frames are those collected so far.
func (c *Capture) Frames() []Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Frame(nil), c.frames...)
}

// Stop ends the collection and returns what there is, frames included that have arrived and are not read yet.
func (c *Capture) Stop() []Frame {
	_ = c.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	<-c.done
	_ = c.conn.Close()
	return c.Frames()
}
