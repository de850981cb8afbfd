package vrrp_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/ipheader"
	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// hostile are packets to the group that must not move anyone, whole Ethernet frames.
func hostile(t testing.TB) (frames [][]byte) {
	t.Helper()
	self, master, group := netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.1"), vrrp.GroupIPv4
	good := vrrp.Advertisement{Version: 3, VRID: 51, Priority: 254, Interval: 100 * time.Millisecond, Addrs: []netip.Addr{netip.MustParseAddr(vip)}}
	add := func(src netip.Addr, ttl uint8, edit func(a *vrrp.Advertisement), spoil func(b []byte) []byte) {
		a := good
		if edit != nil {
			edit(&a)
		}
		b, err := a.AppendPacket(nil, src, group)
		if err != nil {
			t.Fatal(err)
		}
		if spoil != nil {
			b = spoil(b)
		}
		header := ipheader.Header{Src: src, Dst: group, TTL: ttl, Protocol: vrrp.Protocol}
		frame := []byte{0x01, 0x00, 0x5e, 0, 0, 0x12, 2, 0, 0, 0, 0, 3, 8, 0}
		frames = append(frames, append(header.Append(frame, len(b)), b...))
	}
	add(self, 254, nil, nil)                                                                    // through a router
	add(self, 255, func(a *vrrp.Advertisement) { a.VRID = 52 }, nil)                            // another group's
	add(self, 255, func(a *vrrp.Advertisement) { a.Version, a.Interval = 2, time.Second }, nil) // another version
	add(self, 255, nil, func(b []byte) []byte { b[2]--; return b })                             // wrong checksum
	add(self, 255, nil, func(b []byte) []byte { b[3] = 255; return b })                         // claims 255 addresses
	add(self, 255, nil, func(b []byte) []byte { return b[:5] })                                 // cut off
	add(master, 254, nil, nil)                                                                  // spoofed, through a router
	add(self, 255, nil, func(b []byte) []byte { b[0] = 0x32; return b })                        // another type
	return frames
}

// flood sends the frames in turn, so many each millisecond, until stop is closed. It tells how many.
func flood(t testing.TB, h *lab.Host, frames [][]byte, each int, stop <-chan struct{}) (sent int) {
	fd := -1
	err := h.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifi.Index})
	})
	if fd >= 0 {
		defer unix.Close(fd)
	}
	if err != nil {
		t.Error(err)
		return 0
	}
	const most = 1000 // at once
	type message struct {
		unix.Msghdr
		length uint32
	}
	batch, vectors := make([]message, most+len(frames)), make([]unix.Iovec, len(frames))
	for i := range batch {
		v := &vectors[i%len(frames)]
		v.Base = &frames[i%len(frames)][0]
		v.SetLen(len(frames[i%len(frames)]))
		batch[i].Iov = v
		batch[i].SetIovlen(1)
	}
	began, tick := time.Now(), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return sent
		case <-tick.C:
		}
		for due := min(int(time.Since(began).Milliseconds())*each-sent, most); due > 0; {
			n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&batch[sent%len(frames)])), uintptr(due), 0, 0, 0)
			if errno != 0 {
				break // there is no room for more now
			}
			sent, due = sent+int(n), due-int(n)
		}
	}
}

// TestNetFlood: hostile packets at a high rate are counted, hardly logged, and delay no advert: the BACKUP, flooded too, hears
// every one in time.
func TestNetFlood(t *testing.T) {
	lab.Need(t, "ip")
	n := lab.New(t)
	a, b, c := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24"), n.Host("c", "10.0.0.3/24")
	var mu sync.Mutex
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&lockedWriter{mu: &mu, to: &logged}, nil))
	var late atomic.Int64 // the MASTER's timers, at most
	run := func(h *lab.Host, priority uint8) *vrrp.Router {
		r := vrrp.NewRouter(vrrp.Options{Network: inHost{vrrp.HostNetwork(), h}, Logger: log, OnTimer: func(d time.Duration) {
			if d := int64(d); h == a && d > late.Load() {
				late.Store(d)
			}
		}})
		in := instance(priority)
		in.Interval = 100 * time.Millisecond
		if err := r.Set([]vrrp.Instance{in}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		return r
	}
	master := run(a, 200)
	eventually(t, 3*time.Second, "a is MASTER", func() bool { return master.Status()[0].State == vrrp.Master })
	backup := run(b, 100)
	eventually(t, 3*time.Second, "b hears a", func() bool { return backup.Status()[0].Stats.AdvertsReceived > 0 })

	before := master.Status()[0].Stats
	late.Store(0)
	stop, total := make(chan struct{}), make(chan int)
	go func() { total <- flood(t, c, hostile(t), 100, stop) }()
	time.Sleep(2 * time.Second)
	close(stop)
	sent := <-total
	after := master.Status()[0]
	if got := backup.Status()[0]; got.Stats.BecomeMaster != 0 || got.State != vrrp.Backup || got.Master.String() != "10.0.0.1" {
		t.Errorf("the BACKUP was moved: %+v", got)
	}
	s := after.Stats
	rejected := s.TTLErrors + s.VersionErrors + s.ChecksumErrors + s.LengthErrors + s.TypeErrors
	if adverts := s.AdvertsSent - before.AdvertsSent; after.State != vrrp.Master || adverts < 15 || s.VRIDErrors != 0 {
		t.Errorf("%d adverts in 2 s; %+v", adverts, after)
	}
	for name, count := range map[string]uint64{"TTL": s.TTLErrors, "version": s.VersionErrors, "checksum": s.ChecksumErrors, "length": s.LengthErrors, "type": s.TypeErrors} {
		if count < 100 {
			t.Errorf("%d %s errors counted of %d packets", count, name, sent)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if lines := bytes.Count(logged.Bytes(), []byte("\n")); lines > 60 {
		t.Errorf("%d lines logged", lines)
	}
	t.Logf("%d packets sent, %d rejected by the MASTER, whose timers were %v late at most", sent, rejected, time.Duration(late.Load()))
}

type lockedWriter struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}
