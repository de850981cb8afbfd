package observe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxConnections bounds the clients of one [Serve].
const maxConnections = 256

// Serve answers on l until ctx ends, then closes it and every connection and returns nil. Clients are bounded in number,
// in how long they may take to ask and in how long they may be idle; h bounds what it reads and how long it writes. When there
// are too many, the host that has most connections loses its oldest: a crowd from one host keeps nobody else out.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	crowd := crowd{conns: make(map[net.Conn]*client)}
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 30 * time.Second,
		MaxHeaderBytes: 16 << 10, ConnState: crowd.changed,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// crowd is who is connected.
type crowd struct {
	mu    sync.Mutex // guards the field below
	conns map[net.Conn]*client
}

// client is one connection.
type client struct {
	host  string
	since time.Time // it came, or became idle
	busy  bool      // has asked, and waits for the answer
}

// changed hears of every connection that comes, asks, rests or goes.
func (c *crowd) changed(conn net.Conn, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s {
	case http.StateNew:
		if len(c.conns) >= maxConnections {
			c.makeRoom()
		}
		c.conns[conn] = &client{host: hostOf(conn.RemoteAddr().String()), since: time.Now()}
	case http.StateClosed, http.StateHijacked:
		delete(c.conns, conn)
	default:
		if one := c.conns[conn]; one != nil {
			one.busy = s == http.StateActive
			if !one.busy {
				one.since = time.Now()
			}
		}
	}
}

// makeRoom closes the oldest connection of the host that has most, one that waits for nothing if there is one.
func (c *crowd) makeRoom() {
	have := make(map[string]int)
	for _, one := range c.conns {
		have[one.host]++
	}
	var victim net.Conn
	for conn, one := range c.conns {
		if victim == nil || one.before(c.conns[victim], have) {
			victim = conn
		}
	}
	delete(c.conns, victim)
	victim.Close()
}

// before says whether c has to go before other.
func (c *client) before(other *client, have map[string]int) bool {
	if have[c.host] != have[other.host] {
		return have[c.host] > have[other.host]
	}
	if c.busy != other.busy {
		return other.busy
	}
	return c.since.Before(other.since)
}

// hostOf is an address without its port, and the whole of one that has none.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}
