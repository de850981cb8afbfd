package proto

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/holdfast-lb/holdfast/check"
)

// MySQL is well when a MySQL or MariaDB server greets, and, with a User, takes it. A server that has too many connections or
// has blocked this host says so in place of the greeting.
type MySQL struct {
	check.Target
	// User to log in as, without a password, and to log out at once: create user 'probe'@'10.0.0.%'. Empty means that the
	// check hangs up after the greeting, which some servers count as an error of this host and at max_connect_errors block
	// it for.
	User string
}

// Check implements [check.Checker].
func (c MySQL) Check(ctx context.Context) error {
	return talk(ctx, "MySQL", c.Target, nil, func(s *session) error {
		_, greeting, err := s.mysqlPacket()
		if err != nil {
			return err
		}
		if greeting[0] != 10 {
			return fmt.Errorf("it greets with %s, which is not version 10 of the protocol", quote(string(greeting)))
		}
		if bytes.IndexByte(greeting, 0) < 0 {
			return fmt.Errorf("the greeting %s has no end of the server's version", quote(string(greeting)))
		}
		if c.User == "" {
			return nil
		}
		return s.mysqlLogin(c.User)
	})
}

const (
	mysqlProtocol41       = 0x0200
	mysqlSecureConnection = 0x8000
	mysqlPluginAuth       = 0x80000
	mysqlNoPassword       = "mysql_native_password"
)

// mysqlLogin answers the greeting, reads the verdict and leaves in due form.
func (s *session) mysqlLogin(user string) error {
	login := binary.LittleEndian.AppendUint32(nil, mysqlProtocol41|mysqlSecureConnection|mysqlPluginAuth)
	login = binary.LittleEndian.AppendUint32(login, 1<<24)
	login = append(login, 33) // utf8
	login = append(login, make([]byte, 23)...)
	login = append(append(login, user...), 0)
	login = append(login, 0) // no answer to the challenge: no password
	login = append(append(login, mysqlNoPassword...), 0)
	if err := s.mysqlSend(1, login); err != nil {
		return err
	}
	for range 4 { // it may ask for another way to log in
		seq, verdict, err := s.mysqlPacket()
		switch {
		case err != nil:
			return err
		case verdict[0] == 0x00:
			return s.mysqlSend(0, []byte{1}) // COM_QUIT
		case verdict[0] == 0xfe, verdict[0] == 0x01 && !bytes.Equal(verdict, []byte{1, 4}): // another way; or it goes on by itself
			if verdict[0] == 0x01 {
				continue
			}
			if err := s.mysqlSend(seq+1, nil); err != nil {
				return err
			}
		default:
			return fmt.Errorf("user %s: it wants a password", user)
		}
	}
	return fmt.Errorf("user %s: the login has no end", user)
}

func (s *session) mysqlSend(seq byte, body []byte) error {
	head := []byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), seq}
	return s.say(append(head, body...))
}

// mysqlPacket reads a packet, which has at least one byte. One that tells an error is that error.
func (s *session) mysqlPacket() (seq byte, body []byte, err error) {
	head, err := s.bytes(4)
	if err != nil {
		return 0, nil, err
	}
	if body, err = s.bytes(int(head[0]) | int(head[1])<<8 | int(head[2])<<16); err != nil {
		return 0, nil, err
	}
	switch {
	case len(body) == 0:
		return 0, nil, fmt.Errorf("it sent an empty packet")
	case body[0] == 0xff && len(body) >= 3:
		text := body[3:]
		if len(text) >= 6 && text[0] == '#' { // SQLSTATE
			text = text[6:]
		}
		return 0, nil, fmt.Errorf("error %d: %s", binary.LittleEndian.Uint16(body[1:]), quote(string(text)))
	}
	return head[3], body, nil
}
