package check

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// exchange sends a datagram and gives every answer to accept, until that is done, an error comes (such as that the port is
// unreachable), or ctx ends: then answered is false.
func (t Target) exchange(ctx context.Context, query []byte, accept func(reply []byte) (done bool)) (answered bool, err error) {
	var d net.Dialer
	if t.Source.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(t.Source, 0))
	}
	conn, err := d.DialContext(ctx, "udp", t.Addr.String())
	if err != nil {
		return false, cause(err)
	}
	defer conn.Close()
	if _, err := conn.Write(query); err != nil {
		return false, cause(err)
	}
	return await(ctx, conn.SetDeadline, conn.Read, make([]byte, 1<<16), accept)
}

// await reads answers into buf until one is accepted, reading fails, or ctx ends, which it makes known to the socket by a
// deadline.
func await(ctx context.Context, setDeadline func(time.Time) error, read func([]byte) (int, error), buf []byte, accept func([]byte) bool) (answered bool, err error) {
	defer context.AfterFunc(ctx, func() { _ = setDeadline(time.Unix(1, 0)) })()
	for {
		n, err := read(buf)
		switch {
		case err == nil:
			if accept(buf[:n]) {
				return true, nil
			}
		case ctx.Err() != nil:
			return false, nil
		default:
			return false, cause(err)
		}
	}
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
	if len(b) < max(r.Min, len(r.Data)) || r.Max > 0 && len(b) > r.Max {
		return fmt.Errorf("answer has %d bytes, want %d to %d", len(b), max(r.Min, len(r.Data)), r.Max)
	}
	for i, want := range r.Data {
		mask := byte(0xff)
		if r.Mask != nil {
			mask = r.Mask[i]
		}
		if b[i]&mask != want&mask {
			return fmt.Errorf("answer %s... differs at byte %d", hex.EncodeToString(b[:min(len(b), 8)]), i)
		}
	}
	return nil
}

const defaultPayload = "holdfast check - holdfast check "

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
