package ipvs

import "context"

// Client is the kernel's table, by generic netlink. Its methods may be called from several goroutines at once.
type Client struct {
	impl Table
}

// Open connects to the table of the network namespace that the calling thread is in. It loads no module: see EnsureModule.
func Open() (*Client, error) {
	impl, err := openKernel()
	if err != nil {
		return nil, err
	}
	return &Client{impl: impl}, nil
}

// EnsureModule loads the kernel's ip_vs module when it is not there. It needs CAP_SYS_MODULE and the program modprobe.
func EnsureModule() error { return ensureModule() }

// Services implements [Table].
func (c *Client) Services(ctx context.Context) ([]ServiceStatus, error) { return c.impl.Services(ctx) }

// Service implements [Table].
func (c *Client) Service(ctx context.Context, key ServiceKey) (ServiceStatus, error) {
	return c.impl.Service(ctx, key)
}

// Apply implements [Table].
func (c *Client) Apply(ctx context.Context, plan Plan) error { return c.impl.Apply(ctx, plan) }

// Close implements [Table].
func (c *Client) Close() error { return c.impl.Close() }
