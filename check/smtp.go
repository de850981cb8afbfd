package check

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
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

// Check implements [Checker].
func (c SMTP) Check(ctx context.Context) error {
	conn, err := c.Dial(ctx)
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
		if text.in.R.Buffered() > 0 {
			return "STARTTLS", errors.New("the server sent something in plain text after it")
		}
		secure, err := c.StartTLS.handshake(ctx, conn, c.StartTLS.config(c.Target, ""))
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

func replies(conn net.Conn) *textproto.Reader {
	return textproto.NewReader(bufio.NewReaderSize(io.LimitReader(conn, maxDialogue), 512))
}

// conversation is one of lines and numbered replies.
type conversation struct {
	out io.Writer
	in  *textproto.Reader
}

func (t conversation) say(line string, expect int) error {
	if line != "" {
		if _, err := io.WriteString(t.out, line+"\r\n"); err != nil {
			return err
		}
	}
	_, _, err := t.in.ReadResponse(expect)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("closed without a reply")
	}
	return err
}
