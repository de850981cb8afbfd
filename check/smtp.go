package check

import (
	"cmp"
	"context"
	"fmt"
	"net/textproto"
)

// SMTP is well when the server greets with 220, takes HELO with 250, and answers QUIT (SMTP_CHECK).
type SMTP struct {
	Target
	// Helo is the name to say. Empty means "localhost".
	Helo string
}

// Check implements [Checker].
func (c SMTP) Check(ctx context.Context) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	text := textproto.NewConn(conn)
	for _, step := range []struct {
		say    string
		expect int
	}{{"", 220}, {"HELO " + cmp.Or(c.Helo, "localhost"), 250}, {"QUIT", 0}} {
		if err := converse(text, step.say, step.expect); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("timed out")
			}
			return fmt.Errorf("SMTP %v: %s: %w", c.Addr, cmp.Or(step.say, "greeting"), err)
		}
	}
	return nil
}

func converse(text *textproto.Conn, say string, expect int) error {
	if say != "" {
		if err := text.PrintfLine("%s", say); err != nil {
			return cause(err)
		}
	}
	if _, _, err := text.ReadResponse(expect); err != nil {
		return cause(err)
	}
	return nil
}
