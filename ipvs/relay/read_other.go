//go:build !unix

package relay

import (
	"errors"
	"io"
)

// descriptors is how many this process may have, as far as anybody knows.
func descriptors() int { return 16384 }

// readReady reads into a buffer that the caller gives back. A stream that has ended has read nothing.
func readReady(c io.Reader) (buf *buffer, n int, err error) {
	buf = buffers.Get().(*buffer)
	if n, err = c.Read(buf[:]); errors.Is(err, io.EOF) {
		err = nil
	}
	return buf, n, err
}
