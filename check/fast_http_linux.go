package check

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/sys/unix"
)

// talk is a HTTP check under way on the engine: one request and its answer after the other, each over a connection of its own.
type talk struct {
	http *HTTP
	url  int // which one it is about
	*request
	connected bool
	out       []byte // what is still to be sent
	in        []byte // the header, as far as it has come
	body      body
	status    string
}

// body is how far a body has come. It is counted, and not kept.
type body struct {
	begun   bool
	chunked bool
	last    []byte // the last bytes of a chunked one
	length  int64  // -1 when its end is that of the connection
	read    int64
}

// plain says that a check needs nothing that the engine cannot do: it looks at the status, and at the body only to see that
// it comes.
func (c *HTTP) plain() bool {
	if c.TLS != nil || len(c.URLs) == 0 || c.Protocol == HTTP11Keep || c.Protocol == HTTP2 {
		return false
	}
	for i := range c.URLs {
		u := &c.URLs[i]
		if u.Redirects > 0 || u.Digest != "" || u.Text != "" || u.Regex != nil || len(u.JSON) > 0 || u.Within > 0 {
			return false
		}
	}
	return true
}

// ask begins with a url.
func (e *engine) ask(r *run, now time.Time) {
	t := r.talk
	t.request = t.http.first(&t.http.URLs[t.url])
	if err := t.validate(); err != nil {
		e.finish(r, Result{Err: t.http.failed(t.request, err)})
		return
	}
	t.connected, t.out, t.in, t.body = false, t.append(nil, t.http.Protocol), t.in[:0], body{}
	e.connect(r, t.http.Target, unix.EPOLLOUT|unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLET, now)
}

// talked takes what the kernel tells of a connection: once, so that everything there is must be done.
func (e *engine) talked(r *run, events uint32, now time.Time) {
	t := r.talk
	if !t.connected {
		if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			if err := socketError(r.fd); err != nil {
				e.fail(r, err, now)
				return
			}
		}
		t.connected = true
	}
	if len(t.out) > 0 && events&unix.EPOLLOUT != 0 {
		n, err := unix.SendmsgN(r.fd, t.out, nil, nil, unix.MSG_NOSIGNAL)
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			e.fail(r, fmt.Errorf("sending: %w", err), now)
			return
		}
		t.out = t.out[max(n, 0):]
	}
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
		return
	}
	done, err := e.listen(r, events)
	switch {
	case err != nil:
		e.fail(r, err, now)
	case done:
		e.answered(r, now)
	}
}

// answered goes on with the next url.
func (e *engine) answered(r *run, now time.Time) {
	t := r.talk
	if t.url++; t.url == len(t.http.URLs) {
		e.finish(r, Result{Report: Report{Detail: t.status}})
		return
	}
	e.hangUp(r)
	e.ask(r, now)
}

// listen reads what there is, and says whether that is all.
func (e *engine) listen(r *run, events uint32) (done bool, err error) {
	ending := events&(unix.EPOLLRDHUP|unix.EPOLLHUP) != 0
	for {
		n, err := unix.Read(r.fd, e.buffer[:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return false, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false, err
		case n == 0:
			return true, r.talk.ended()
		}
		if done, err := r.talk.take(e.buffer[:n]); done || err != nil {
			return done, err
		}
		if n < len(e.buffer) { // that was all; what comes later is told again
			if ending {
				return true, r.talk.ended()
			}
			return false, nil
		}
	}
}

// take takes a piece of an answer.
func (t *talk) take(b []byte) (done bool, err error) {
	if t.body.begun {
		return t.takeBody(b), nil
	}
	searched := max(len(t.in)-3, 0)
	t.in = append(t.in, b...)
	for {
		at := bytes.Index(t.in[searched:], []byte("\r\n\r\n"))
		head := searched + at + 4
		switch {
		case at < 0 && len(t.in) > maxHeader, head > maxHeader:
			return false, errLongHeader
		case at < 0:
			return false, nil
		}
		rest := t.in[head:]
		if err := t.takeHeader(t.in[:head]); err != nil {
			return false, err
		}
		if t.body.begun {
			return t.takeBody(rest), nil
		}
		t.in, searched = append(t.in[:0], rest...), 0 // it only announced another
	}
}

// takeHeader judges a header.
func (t *talk) takeHeader(b []byte) error {
	resp, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(b), 16), &http.Request{Method: t.method})
	if err != nil {
		return err
	}
	if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
		return nil
	}
	t.status = resp.Status
	if u := &t.http.URLs[t.url]; !u.accepts(resp.StatusCode) {
		return fmt.Errorf("%s, want %s", statusLine(resp), u.wanted())
	}
	t.body = body{begun: true, chunked: len(resp.TransferEncoding) > 0, length: resp.ContentLength}
	return nil
}

var lastChunk = []byte("0\r\n\r\n")

// takeBody counts, and says whether the end is reached, or far enough.
func (t *talk) takeBody(b []byte) (done bool) {
	t.body.read += int64(len(b))
	if !t.body.chunked {
		return t.body.read >= maxBody || t.body.length >= 0 && t.body.read >= t.body.length
	}
	t.body.last = append(t.body.last, b[max(0, len(b)-len(lastChunk)):]...)
	t.body.last = t.body.last[max(0, len(t.body.last)-len(lastChunk)):]
	return t.body.read >= maxBody || bytes.Equal(t.body.last, lastChunk)
}

// ended judges an answer that the server has ended.
func (t *talk) ended() error {
	switch {
	case !t.body.begun:
		return errNoHeader
	case t.body.chunked && !bytes.HasSuffix(t.body.last, []byte("\r\n\r\n")), !t.body.chunked && t.body.read < t.body.length:
		return fmt.Errorf("status %s, then the body broke off: %w", t.status[:min(3, len(t.status))], io.ErrUnexpectedEOF)
	}
	return nil
}
