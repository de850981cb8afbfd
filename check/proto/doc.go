// Package proto has checkers that speak to servers of particular kinds in their own protocol, as far as it takes to see that
// they work: [GRPC], [WebSocket], [Redis], [MySQL], [PostgreSQL], and [Agent] for HAProxy's agent-check.
//
// Each asks once over a connection of its own. What a server says is read as far as it matters, and no further: 64 KiB at
// most, within the check's time.
package proto

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"

	"github.com/holdfast-lb/holdfast/check"
)

// maxAnswer is what all that is read of a server stays below.
const maxAnswer = 64 << 10

// session is one conversation.
type session struct {
	net.Conn
	in *bufio.Reader
}

func newSession(conn net.Conn) *session {
	return &session{conn, bufio.NewReaderSize(io.LimitReader(conn, maxAnswer), 512)}
}

// talk connects, has the conversation, and says which server and protocol an error is of.
func talk(ctx context.Context, what string, at check.Target, secure *check.TLS, converse func(s *session) error) error {
	conn, err := at.Dial(ctx, secure, "")
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer conn.Close()
	if err := converse(newSession(conn)); err != nil {
		return fmt.Errorf("%s %v: %w", what, at.Addr, why(ctx, err))
	}
	return nil
}

// why says in short what a connection broke off for.
func why(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("timed out")
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection ended before the answer was whole")
	}
	return err
}

// line reads to the line's end, which it cuts off.
func (s *session) line() (string, error) {
	b, err := s.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("the answer's line is longer than %d bytes, and begins %s", s.in.Size(), quote(string(b)))
	}
	if err != nil {
		return "", err
	}
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return string(b), nil
}

// bytes reads so many. It is for lengths that a server says: more than maxAnswer it does not get.
func (s *session) bytes(n int) ([]byte, error) {
	if n < 0 || n > maxAnswer {
		return nil, fmt.Errorf("the answer claims %d bytes", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(s.in, b)
	return b, err
}

func (s *session) say(b []byte) error {
	_, err := s.Write(b)
	return err
}

// quote makes what a server said fit for a message.
func quote(text string) string {
	if len(text) > 60 {
		return strconv.Quote(text[:60]) + "..."
	}
	return strconv.Quote(text)
}

// upgrade speaks TLS over a conversation that began in plain text.
func upgrade(ctx context.Context, s *session, config *tls.Config) (*session, error) {
	secure := tls.Client(s.Conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return newSession(secure), nil
}
