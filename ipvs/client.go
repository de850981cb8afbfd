package ipvs

import (
	"context"
	"iter"
	"time"
)

// ClientOptions of a [Client]. The zero value is usable.
type ClientOptions struct {
	// NetNS is the path of the network namespace whose table it is, such as /run/netns/blue or /proc/PID/ns/net; to enter it
	// needs CAP_SYS_ADMIN. Empty means the namespace of the calling thread.
	NetNS string
	// Timeout is how long an answer of the kernel may take, beside what a context allows. 0 means 3 s. A healthy kernel
	// answers at once.
	Timeout time.Duration
}

// Client is the kernel's table, by generic netlink. Its methods may be called from several goroutines at once; one that reads
// does not keep one that changes waiting. A socket that broke is opened again.
type Client struct {
	impl kernelTable
}

// kernelTable is what an operating system has to offer.
type kernelTable interface {
	Table
	Zero(ctx context.Context, keys ...ServiceKey) error
	Flush(ctx context.Context) error
	Info(ctx context.Context) (Info, error)
	Timeouts(ctx context.Context) (Timeouts, error)
	SetTimeouts(ctx context.Context, t Timeouts) error
	SyncDaemons(ctx context.Context) ([]SyncDaemon, error)
	StartSync(ctx context.Context, d SyncDaemon) error
	StopSync(ctx context.Context, role SyncRole) error
	Connections(ctx context.Context) iter.Seq2[Connection, error]
}

// Open connects to the kernel's table. It loads no module: see EnsureModule. A kernel without ip_vs is an error that wraps
// errors.ErrUnsupported, lack of CAP_NET_ADMIN one that wraps fs.ErrPermission.
func Open(o ClientOptions) (*Client, error) {
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Second
	}
	impl, err := openKernel(o)
	if err != nil {
		return nil, err
	}
	return &Client{impl: impl}, nil
}

// EnsureModule loads the kernel's ip_vs module when it is not there. It needs CAP_SYS_MODULE and the program modprobe.
func EnsureModule() error { return ensureModule() }

// Services implements [Table]. Another's changes while the table is read may make it miss an entry that was there all the
// time: the kernel counts entries from the start of its list for each piece that it gives.
func (c *Client) Services(ctx context.Context) ([]ServiceStatus, error) { return c.impl.Services(ctx) }

// Service implements [Table].
func (c *Client) Service(ctx context.Context, key ServiceKey) (ServiceStatus, error) {
	return c.impl.Service(ctx, key)
}

// Apply implements [Table]. Operations go to the kernel in batches of some hundred in one system call; others' Apply may come
// between two batches.
func (c *Client) Apply(ctx context.Context, plan Plan) error { return c.impl.Apply(ctx, plan) }

// Zero sets the counters of services and of their destinations to 0: of those named, or of all when none is.
func (c *Client) Zero(ctx context.Context, keys ...ServiceKey) error {
	return c.impl.Zero(ctx, keys...)
}

// Flush removes everything, whoever made it. It goes through moby/ipvs.
func (c *Client) Flush(ctx context.Context) error { return c.impl.Flush(ctx) }

// Info tells the version of IPVS and the size of its table of connections.
func (c *Client) Info(ctx context.Context) (Info, error) { return c.impl.Info(ctx) }

// Timeouts reads the timeouts of connections. It goes through moby/ipvs.
func (c *Client) Timeouts(ctx context.Context) (Timeouts, error) { return c.impl.Timeouts(ctx) }

// SetTimeouts sets those timeouts of connections that are not 0. It goes through moby/ipvs.
func (c *Client) SetTimeouts(ctx context.Context, t Timeouts) error {
	return c.impl.SetTimeouts(ctx, t)
}

// SyncDaemons lists the sync daemons that run: at most one of each role.
func (c *Client) SyncDaemons(ctx context.Context) ([]SyncDaemon, error) {
	return c.impl.SyncDaemons(ctx)
}

// StartSync starts a sync daemon. One of that role that runs already is an error that wraps ErrExists.
func (c *Client) StartSync(ctx context.Context, d SyncDaemon) error { return c.impl.StartSync(ctx, d) }

// StopSync stops the sync daemon of a role. When none runs the error wraps fs.ErrNotExist.
func (c *Client) StopSync(ctx context.Context, role SyncRole) error {
	return c.impl.StopSync(ctx, role)
}

// Connections reads the table of connections, entry by entry (/proc/net/ip_vs_conn). An error ends it. It is for looking at a
// destination that drains; how many connections there are, [Table.Service] tells at far less cost.
func (c *Client) Connections(ctx context.Context) iter.Seq2[Connection, error] {
	return c.impl.Connections(ctx)
}

// Close implements [Table].
func (c *Client) Close() error { return c.impl.Close() }
