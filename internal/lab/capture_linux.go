package lab

import (
	"net"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// Frame is one Ethernet frame that a host sent or received.
type Frame struct {
	At   time.Time
	Data []byte
}

// Capture collects the frames on a host's eth0.
type Capture struct {
	conn *packet.Conn
	done chan struct{}

	mu     sync.Mutex // guards frames
	frames []Frame
}

// Capture begins to collect the frames on the host's eth0, until Stop or the end of the test.
func (h *Host) Capture() *Capture {
	h.net.t.Helper()
	c := &Capture{done: make(chan struct{})}
	h.net.must(h.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		c.conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, nil)
		return err
	}))
	go c.collect()
	h.net.t.Cleanup(func() { c.Stop() })
	return c
}

func (c *Capture) collect() {
	defer close(c.done)
	buf := make([]byte, 1<<16)
	for {
		n, _, err := c.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		f := Frame{At: time.Now(), Data: append([]byte(nil), buf[:n]...)}
		c.mu.Lock()
		c.frames = append(c.frames, f)
		c.mu.Unlock()
	}
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
