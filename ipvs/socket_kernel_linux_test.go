package ipvs

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// openTight gives a client whose kernel has room for hardly an answer.
func openTight(t *testing.T) *kernel {
	impl, err := openKernel(ClientOptions{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { impl.Close() })
	k := impl.(*kernel)
	k.writer.socket.close()
	k.writer.socket.dial = func() (int, error) {
		fd, err := dialKernel()
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1)
		}
		return fd, err
	}
	if err := k.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k
}

// TestKernelSmallBuffer: where the receive buffer is small, batches are.
func TestKernelSmallBuffer(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	k := openTight(t)
	plan := failing(100)
	if n := len(failed(k.Apply(t.Context(), plan))); n != 100 {
		t.Errorf("%d errors of 100", n)
	}
	if limit := k.writer.socket.limit; limit > 10 {
		t.Errorf("batches of %d in a buffer of a few KB", limit)
	}
}

func failing(n int) Plan {
	plan := additions(n)
	for i := range plan {
		plan[i].Service.Addr = netip.MustParseAddrPort("10.99.0.77:80")
	}
	return plan
}

// TestKernelLostAnswers: when answers do not fit after all, what is not known is told as such, and the socket is of use again.
func TestKernelLostAnswers(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	k := openTight(t)
	ctx := context.Background()
	plan := failing(100)
	results := make([]error, len(plan))
	_ = k.writer.use(ctx, func(s *socket) error {
		k.run(ctx, s, uint16(k.family.Load()), plan, results)
		return nil
	})
	refused, unknown := 0, 0
	for i, err := range results {
		switch {
		case errors.Is(err, unix.ESRCH) && unknown == 0:
			refused++
		case errors.Is(err, unix.ENOBUFS) && strings.Contains(err.Error(), "what became of it is not known"):
			unknown++
		default:
			t.Fatalf("operation %d: %v", i, err)
		}
	}
	if refused == 0 || unknown == 0 {
		t.Errorf("%d refused, %d unknown", refused, unknown)
	}
	if n := len(failed(k.Apply(ctx, plan[:3]))); n != 3 {
		t.Errorf("%d errors of 3 afterwards", n)
	}
}

// TestKernelReopens: a socket that somebody closed is opened again.
func TestKernelReopens(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	impl, err := openKernel(ClientOptions{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer impl.Close()
	k := impl.(*kernel)
	if _, err := k.Services(t.Context()); err != nil {
		t.Fatal(err)
	}
	unix.Close(k.reader.socket.fd)
	if _, err := k.Services(t.Context()); err != nil {
		t.Error(err)
	}
}
