package proto

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast-lb/holdfast/check"
)

// Redis is well when the server answers PING with PONG. One that loads its data, or wants a password, is not.
type Redis struct {
	check.Target
	// TLS is nil for none.
	TLS *check.TLS
	// User and Password to say (AUTH). An empty Password says nothing; an empty User is the default one.
	User, Password string
	// Role that the server must have: "master" or "slave", as the server itself says. Empty means any.
	Role string
}

// Key implements [check.Keyer].
func (c Redis) Key() string {
	return fmt.Sprintf("%v %s %q %q %q", c.Target, c.TLS.Key(), c.User, c.Password, c.Role)
}

// Check implements [check.Checker].
func (c Redis) Check(ctx context.Context) error {
	return talk(ctx, "Redis", c.Target, c.TLS, func(s *session) error {
		if c.Password != "" {
			auth := []string{"AUTH", c.Password}
			if c.User != "" {
				auth = []string{"AUTH", c.User, c.Password}
			}
			if err := s.redis("AUTH", "+OK", auth...); err != nil {
				return err
			}
		}
		if err := s.redis("PING", "+PONG", "PING"); err != nil || c.Role == "" {
			return err
		}
		return s.redisRole(c.Role)
	})
}

// command is a request in Redis' protocol: words with their lengths.
func command(words ...string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, w := range words {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b
}

func (s *session) redis(what, want string, words ...string) error {
	if err := s.say(command(words...)); err != nil {
		return err
	}
	answer, err := s.line()
	if err != nil {
		return err
	}
	if answer != want {
		return fmt.Errorf("%s: %s", what, quote(strings.TrimPrefix(answer, "-")))
	}
	return nil
}

// redisRole reads the first word of the answer to ROLE.
func (s *session) redisRole(want string) error {
	if err := s.say(command("ROLE")); err != nil {
		return err
	}
	head, err := s.line()
	if err != nil {
		return err
	}
	if !strings.HasPrefix(head, "*") {
		return fmt.Errorf("ROLE: %s", quote(strings.TrimPrefix(head, "-")))
	}
	size, err := s.line()
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(size, "$"))
	if err != nil {
		return fmt.Errorf("ROLE: %s is no length", quote(size))
	}
	role, err := s.bytes(n)
	if err != nil {
		return err
	}
	if string(role) != want {
		return fmt.Errorf("its role is %s, want %s", quote(string(role)), want)
	}
	return nil
}
