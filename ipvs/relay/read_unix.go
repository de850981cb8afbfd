//go:build unix

package relay

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// descriptors is how many this process may have.
func descriptors() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(min(uint64(limit.Cur), 1<<20))
}

// readReady waits until there is something to read, and only then takes a buffer for it. The caller gives the buffer back,
// unless it is nil. A stream that has ended has read nothing.
func readReady(c syscall.Conn) (buf *buffer, n int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, 0, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		buf = buffers.Get().(*buffer)
		for {
			if n, failed = unix.Read(int(fd), buf[:]); !errors.Is(failed, unix.EINTR) {
				break
			}
		}
		if errors.Is(failed, unix.EAGAIN) {
			buffers.Put(buf)
			buf, failed = nil, nil
			return false
		}
		return true
	})
	if err == nil {
		err = failed
	}
	return buf, max(n, 0), err
}
