package check

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"syscall"
)

// exchange sends a datagram and gives every answer to accept, until that is done, an error comes (such as that the port is
// unreachable), or ctx ends: then answered is false.
func (t Target) exchange(ctx context.Context, query []byte, accept func(reply []byte) (done bool)) (answered bool, err error) {
	conn, err := t.open(ctx, "udp")
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer until(ctx, conn)()
	if _, err := conn.Write(query); err != nil {
		return false, cause(err)
	}
	buf := datagrams.Get().(*[1 << 16]byte)
	defer datagrams.Put(buf)
	return await(ctx, conn.Read, buf[:], accept)
}

// datagrams are buffers for the longest there is.
var datagrams = sync.Pool{New: func() any { return new([1 << 16]byte) }}

// await reads answers into buf until one is accepted, reading fails, or ctx ends, which the socket knows by a deadline.
func await(ctx context.Context, read func([]byte) (int, error), buf []byte, accept func([]byte) bool) (answered bool, err error) {
	for ctx.Err() == nil { // a flood of answers does not keep the deadline from being seen
		n, err := read(buf)
		switch {
		case err == nil:
			if accept(buf[:n]) {
				return true, nil
			}
		case ctx.Err() == nil:
			return false, cause(err)
		}
	}
	return false, nil
}

// UDP sends a datagram (UDP_CHECK). It is not well when the server's host says that the port is unreachable, nor, with a Reply,
// when no fitting answer comes. Without a Reply silence is taken for success: the check then lasts until its timeout.
type UDP struct {
	Target
	// Payload to send. Empty means 32 bytes of text.
	Payload []byte
	// Reply is what must come back. Nil means that nothing need.
	Reply *Reply
}

// Reply is a pattern for an answer.
type Reply struct {
	// Data must be equal where Mask has bits; a nil Mask means all of it. An answer may be longer.
	Data, Mask []byte
	// Min and Max length of the answer. Max 0 means no limit.
	Min, Max int
}

func (r *Reply) fits(b []byte) error {
	if least := max(r.Min, len(r.Data)); len(b) < least {
		return fmt.Errorf("answer has %d bytes, want %d at least", len(b), least)
	}
	if r.Max > 0 && len(b) > r.Max {
		return fmt.Errorf("answer has %d bytes, want %d at most", len(b), r.Max)
	}
	for i, want := range r.Data {
		mask := byte(0xff)
		if i < len(r.Mask) {
			mask = r.Mask[i]
		}
		if b[i]&mask != want&mask {
			return fmt.Errorf("answer %s... differs at byte %d", hex.EncodeToString(b[:min(len(b), 8)]), i)
		}
	}
	return nil
}

const defaultPayload = "holdfast check - holdfast check "

// Key implements [Keyer].
func (c UDP) Key() string {
	key := fmt.Sprintf("%v %x", c.Target, c.Payload)
	if c.Reply != nil {
		key += fmt.Sprintf(" %x", *c.Reply)
	}
	return key
}

// Check implements [Checker].
func (c UDP) Check(ctx context.Context) error {
	payload := c.Payload
	if len(payload) == 0 {
		payload = []byte(defaultPayload)
	}
	misfit := errors.New("no answer")
	answered, err := c.exchange(ctx, payload, func(reply []byte) bool {
		if c.Reply == nil {
			return true
		}
		misfit = c.Reply.fits(reply)
		return misfit == nil
	})
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("UDP %v: port unreachable", c.Addr)
	case err != nil:
		return fmt.Errorf("UDP %v: %w", c.Addr, err)
	case !answered && c.Reply == nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil
	case !answered && c.Reply == nil:
		return ctx.Err()
	case !answered:
		return fmt.Errorf("UDP %v: %w", c.Addr, misfit)
	}
	return nil
}
