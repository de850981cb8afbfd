package check

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// SMTP is well when the server greets with 220, takes HELO with 250, and answers QUIT (SMTP_CHECK).
type SMTP struct {
	Target
	// Helo is the name to say. Empty means "localhost".
	Helo string
	// StartTLS changes to TLS after the greeting, with EHLO in place of HELO, and says it again. Nil means plain text.
	StartTLS *TLS
}

// maxDialogue is what all of a mail server's replies together must stay below.
const maxDialogue = 64 << 10

// Key implements [Keyer].
func (c SMTP) Key() string { return fmt.Sprintf("%v %q %s", c.Target, c.Helo, c.StartTLS.Key()) }

// Check implements [Checker].
func (c SMTP) Check(ctx context.Context) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer until(ctx, conn)()
	step, err := c.dialogue(ctx, conn)
	if err != nil {
		return fmt.Errorf("SMTP %v: %s: %w", c.Addr, step, ended(ctx, err))
	}
	return nil
}

// dialogue says which step an error is of.
func (c SMTP) dialogue(ctx context.Context, conn net.Conn) (step string, err error) {
	text := conversation{conn, replies(conn)}
	if err := text.say("", 220); err != nil {
		return "greeting", err
	}
	hello := "HELO " + cmp.Or(c.Helo, "localhost")
	if c.StartTLS != nil {
		hello = "EHLO " + cmp.Or(c.Helo, "localhost")
	}
	if err := text.say(hello, 250); err != nil {
		return hello, err
	}
	if c.StartTLS != nil {
		if err := text.say("STARTTLS", 220); err != nil {
			return "STARTTLS", err
		}
		if text.in.Buffered() > 0 {
			return "STARTTLS", errors.New("the server sent something in plain text after it")
		}
		secure, err := handshake(ctx, conn, c.StartTLS.Config(c.Target, ""))
		if err != nil {
			return "STARTTLS", err
		}
		text = conversation{secure, replies(secure)}
		if err := text.say(hello, 250); err != nil {
			return hello, err
		}
	}
	return "QUIT", text.say("QUIT", 0) // any answer will do
}

func replies(conn net.Conn) *bufio.Reader {
	return bufio.NewReaderSize(io.LimitReader(conn, maxDialogue), maxReplyLine)
}

// maxReplyLine is what a mail server's line must stay below, as RFC 5321 has it (4.5.3.1.5).
const maxReplyLine = 512

// conversation is one of lines and numbered replies.
type conversation struct {
	out io.Writer
	in  *bufio.Reader
}

// say sends a line, if there is one, and reads the reply. With expect 0 any will do.
func (t conversation) say(line string, expect int) error {
	if line != "" {
		if _, err := io.WriteString(t.out, line+"\r\n"); err != nil {
			return err
		}
	}
	for {
		b, err := t.in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("a line is longer than %d bytes", maxReplyLine)
		case errors.Is(err, io.EOF):
			return errors.New("closed without a reply")
		case err != nil:
			return err
		}
		reply := strings.TrimRight(string(b), "\r\n")
		code, more, ok := replyCode(reply)
		if !ok {
			return fmt.Errorf("%q is no reply", clip(reply))
		}
		if !more && expect != 0 && code != expect {
			return errors.New(clip(reply))
		}
		if !more {
			return nil
		}
	}
}

// replyCode reads the three digits before a blank, a - (another line follows) or the line's end.
func replyCode(line string) (code int, more, ok bool) {
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false, false
	}
	for _, c := range []byte(line[:3]) {
		if c < '0' || c > '9' {
			return 0, false, false
		}
		code = code*10 + int(c-'0')
	}
	return code, len(line) > 3 && line[3] == '-', true
}
