package proto

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-lb/holdfast/check"
)

// PostgreSQL is well when the server takes connections, as pg_isready has it: it lets User in, asks for a password, or says
// that it does not know the user or database. One that starts, stops or has too many connections is not.
type PostgreSQL struct {
	check.Target
	// TLS is nil for none. A server that speaks no TLS is then not well.
	TLS *check.TLS
	// User and Database to ask for. An empty User is "holdfast", an empty Database that of the user's name.
	User, Database string
	// Role that the server must have: "primary" or "standby". It takes a User who needs no password. Empty means any.
	Role string
}

// Key implements [check.Keyer].
func (c PostgreSQL) Key() string {
	return fmt.Sprintf("%v %s %q %q %q", c.Target, c.TLS.Key(), c.User, c.Database, c.Role)
}

// Check implements [check.Checker].
func (c PostgreSQL) Check(ctx context.Context) error {
	return talk(ctx, "PostgreSQL", c.Target, nil, func(s *session) error {
		if c.TLS != nil {
			secure, err := c.secure(ctx, s)
			if err != nil {
				return err
			}
			s = secure
		}
		if err := s.say(c.startup()); err != nil {
			return err
		}
		kind, body, err := s.pgMessage()
		switch {
		case err != nil:
			return err
		case kind == 'E' && c.Role == "" && pgDecides(body):
			return nil
		case kind == 'E':
			return pgError(body)
		case kind != 'R' || len(body) < 4:
			return fmt.Errorf("it answers with a message %q", kind)
		case c.Role == "":
			return s.pgLeave()
		case binary.BigEndian.Uint32(body) != 0:
			return fmt.Errorf("user %s needs a password, and its role cannot be asked for", c.user())
		}
		return s.pgRole(c.Role)
	})
}

func (c PostgreSQL) user() string { return cmp.Or(c.User, "holdfast") }

// secure asks for TLS and changes to it.
func (c PostgreSQL) secure(ctx context.Context, s *session) (*session, error) {
	if err := s.say([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}); err != nil { // SSLRequest
		return nil, err
	}
	answer, err := s.bytes(1)
	switch {
	case err != nil:
		return nil, err
	case answer[0] != 'S':
		return nil, errors.New("it speaks no TLS")
	case s.in.Buffered() > 0:
		return nil, errors.New("it sent something in plain text after it took to TLS")
	}
	config := c.TLS.Config(c.Target, "")
	config.NextProtos = []string{"postgresql"}
	return upgrade(ctx, s, config)
}

func (c PostgreSQL) startup() []byte {
	b := []byte{0, 0, 0, 0, 0, 3, 0, 0} // version 3.0
	for _, word := range []string{"user", c.user(), "database", cmp.Or(c.Database, c.user()), "application_name", "holdfast", ""} {
		b = append(append(b, word...), 0)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// pgMessage reads a message.
func (s *session) pgMessage() (kind byte, body []byte, err error) {
	head, err := s.bytes(5)
	if err != nil {
		return 0, nil, err
	}
	body, err = s.bytes(int(int32(binary.BigEndian.Uint32(head[1:]))) - 4)
	return head[0], body, err
}

// pgFields are those of an error: S severity, C code, M message.
func pgFields(body []byte) (code, message string) {
	for field := range bytes.SplitSeq(body, []byte{0}) {
		switch {
		case len(field) == 0:
		case field[0] == 'C':
			code = string(field[1:])
		case field[0] == 'M':
			message = string(field[1:])
		}
	}
	return code, message
}

// pgDecides says whether an error is one of a server that works: it knows whom it does not let in.
func pgDecides(body []byte) bool {
	code, _ := pgFields(body)
	return strings.HasPrefix(code, "28") || strings.HasPrefix(code, "3D")
}

func pgError(body []byte) error {
	code, message := pgFields(body)
	return fmt.Errorf("error %s: %s", code, quote(message))
}

func (s *session) pgLeave() error { return s.say([]byte{'X', 0, 0, 0, 4}) }

const recoveryQuery = "SELECT pg_is_in_recovery()"

// pgRole waits until the server is ready, and asks.
func (s *session) pgRole(want string) error {
	if _, err := s.pgUntilReady(); err != nil {
		return err
	}
	query := append([]byte{'Q', 0, 0, 0, byte(4 + len(recoveryQuery) + 1)}, recoveryQuery...)
	if err := s.say(append(query, 0)); err != nil {
		return err
	}
	value, err := s.pgUntilReady()
	if err != nil {
		return err
	}
	role := "primary"
	if value == "t" {
		role = "standby"
	}
	if value != "t" && value != "f" {
		return fmt.Errorf("%s gives %s", recoveryQuery, quote(value))
	}
	if role != want {
		return fmt.Errorf("its role is %s, want %s", role, want)
	}
	return s.pgLeave()
}

// pgUntilReady gives the one value that came before the server was ready.
func (s *session) pgUntilReady() (value string, err error) {
	for {
		kind, body, err := s.pgMessage()
		switch {
		case err != nil:
			return "", err
		case kind == 'E':
			return "", pgError(body)
		case kind == 'Z':
			return value, nil
		case kind == 'D' && len(body) >= 6: // one column, and its length
			value = string(body[6:])
		}
	}
}
