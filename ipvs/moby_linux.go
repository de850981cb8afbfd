package ipvs

import (
	"context"
	"errors"
	"fmt"
	"sync"

	moby "github.com/moby/ipvs"
	"golang.org/x/sys/unix"
)

// mobyHandle is moby/ipvs, for what it can say and what is not done often. It is opened when it is needed first.
type mobyHandle struct {
	space  *namespace
	mu     sync.Mutex // guards handle, which answers one request at a time
	handle *moby.Handle
}

// use calls f with the handle. moby/ipvs knows nothing of contexts; ctx is looked at before.
func (m *mobyHandle) use(ctx context.Context, f func(h *moby.Handle) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case m.space.closed():
		return errClosed
	}
	if m.handle == nil {
		if err := m.open(); err != nil {
			return err
		}
	}
	return f(m.handle)
}

// open makes sure that the handle speaks to IPVS: moby/ipvs looks for the family once in a process's life, and if it was not
// there then, everything seems to succeed ever after.
func (m *mobyHandle) open() error {
	var handle *moby.Handle
	err := m.space.do(func() (err error) {
		handle, err = moby.New("")
		return err
	})
	if err != nil {
		return err
	}
	_, err = handle.GetService(&moby.Service{FWMark: 1<<32 - 1, AddressFamily: unix.AF_INET})
	if err != nil && !errors.Is(err, unix.ESRCH) {
		handle.Close()
		return fmt.Errorf("moby/ipvs was used in this process before ip_vs was there, and does not see it until a restart: %w", err)
	}
	m.handle = handle
	return nil
}

func (m *mobyHandle) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.handle != nil {
		m.handle.Close()
		m.handle = nil
	}
}

// Flush implements [Client].
func (k *kernel) Flush(ctx context.Context) error {
	if err := k.moby.use(ctx, (*moby.Handle).Flush); err != nil {
		return fmt.Errorf("ipvs: flush: %w", err)
	}
	return nil
}

// Timeouts implements [Client].
func (k *kernel) Timeouts(ctx context.Context) (t Timeouts, err error) {
	err = k.moby.use(ctx, func(h *moby.Handle) error {
		c, err := h.GetConfig()
		if err == nil {
			t = Timeouts{TCP: c.TimeoutTCP, TCPFin: c.TimeoutTCPFin, UDP: c.TimeoutUDP}
		}
		return err
	})
	return t, readError("timeouts", err)
}

// SetTimeouts implements [Client].
func (k *kernel) SetTimeouts(ctx context.Context, t Timeouts) error {
	if err := t.Validate(); err != nil {
		return err
	}
	err := k.moby.use(ctx, func(h *moby.Handle) error {
		return h.SetConfig(&moby.Config{TimeoutTCP: t.TCP, TimeoutTCPFin: t.TCPFin, TimeoutUDP: t.UDP})
	})
	if err != nil {
		return fmt.Errorf("ipvs: set timeouts tcp %v, tcpfin %v, udp %v: %w", t.TCP, t.TCPFin, t.UDP, err)
	}
	return nil
}
