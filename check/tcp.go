package check

import "context"

// TCP is well when the server takes a connection (TCP_CHECK). It sees only that the port answers: a proxy in front of a dead
// application passes.
type TCP struct {
	Target
}

// Check implements [Checker].
func (c TCP) Check(ctx context.Context) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}
