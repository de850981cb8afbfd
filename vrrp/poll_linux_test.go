package vrrp_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// TestNetCarrier: drivers are asked in each way that they know.
func TestNetCarrier(t *testing.T) {
	h := lab.New(t).Host("a", "10.0.0.1/24")
	net := inHost{vrrp.HostNetwork(), h}
	for _, how := range []string{"", "ETHTOOL", "IOCTL"} {
		if up, err := net.Carrier("eth0", how); err != nil || !up {
			t.Errorf("by %q: %v, %v", how, up, err)
		}
	}
	h.Unplug()
	for _, how := range []string{"", "ETHTOOL", "IOCTL"} {
		if up, err := net.Carrier("eth0", how); err != nil || up {
			t.Errorf("unplugged, by %q: %v, %v", how, up, err)
		}
	}
	h.Restore()
	if up, err := net.Carrier("eth0", "MII"); !errors.Is(err, errors.ErrUnsupported) || up {
		t.Errorf("a veth knows no MII: %v, %v", up, err)
	}
	if _, err := net.Carrier("eth9", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an interface that there is not: %v", err)
	}
}

// logged is what was logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// TestNetUnknownVRIDs: with LogUnknown a VRID that no instance has is told of, once; without it nobody hears of it.
func TestNetUnknownVRIDs(t *testing.T) {
	n := lab.New(t)
	a, b := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24")
	var log logged
	r := vrrp.NewRouter(vrrp.Options{Network: inHost{vrrp.HostNetwork(), a}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	own := instance(100)
	own.Interval = 50 * time.Millisecond
	other := own
	other.VRID, other.Addrs = 77, vrrp.MustAddresses("10.0.0.77")
	if err := r.Set([]vrrp.Instance{own}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	eventually(t, 5*time.Second, "a is MASTER", func() bool { return r.Status()[0].State == vrrp.Master })
	rb, stopB := runInHost(t, b, other)
	sent := func() uint64 { return rb.Status()[0].Stats.AdvertsSent }
	eventually(t, 5*time.Second, "b sends", func() bool { return sent() > 3 })
	const told = "advert for a VRID that no instance here has"
	if log.count(told) > 0 {
		t.Error("it is told of without being asked for")
	}
	if err := r.SetHost(vrrp.Host{LogUnknown: true}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "it is told of", func() bool { return log.count(told+`" interface=eth0 vrid=77 from=10.0.0.2`) == 1 })
	before := sent()
	eventually(t, 5*time.Second, "b sends more", func() bool { return sent() > before+5 })
	if got := log.count(told); got != 1 {
		t.Errorf("it is told of %d times", got)
	}
	if s := r.Status()[0].Stats; s.AdvertsReceived > 0 {
		t.Errorf("it counts for the instance: %+v", s)
	}
	stopB()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestNetQuietIGMP: the host does not report that it is in the group, and does so again afterwards.
func TestNetQuietIGMP(t *testing.T) {
	n := lab.New(t)
	a, b := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24")
	setting := func() (value string) {
		err := a.Do(func() error {
			text, err := os.ReadFile("/proc/sys/net/ipv4/igmp_link_local_mcast_reports")
			value = strings.TrimSpace(string(text))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	for _, quiet := range []bool{true, false} {
		capture := b.Capture()
		r := vrrp.NewRouter(vrrp.Options{Network: inHost{vrrp.HostNetwork(), a}})
		if err := errors.Join(r.SetHost(vrrp.Host{QuietIGMP: quiet}), r.Set([]vrrp.Instance{instance(255)})); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		eventually(t, 5*time.Second, "b hears a", func() bool { return announced(capture, netip.MustParseAddr(vip)) })
		if quiet {
			if setting() != "0" {
				t.Error("the kernel's setting is not changed")
			}
			if err := r.SetHost(vrrp.Host{}); err != nil || setting() != "1" {
				t.Errorf("after a reload without it: %s, %v", setting(), err)
			}
			if err := r.SetHost(vrrp.Host{QuietIGMP: true}); err != nil || setting() != "0" {
				t.Errorf("after a reload with it: %s, %v", setting(), err)
			}
		}
		reported := func() bool { return reports(capture, vrrp.GroupIPv4) }
		if quiet {
			eventually(t, 5*time.Second, "b hears more", func() bool { return len(capture.Frames()) > 8 })
			if reported() {
				t.Error("membership is reported")
			}
		} else {
			eventually(t, 5*time.Second, "membership is reported", reported)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if setting() != "1" {
			t.Errorf("the setting is %s at the end", setting())
		}
		capture.Stop()
	}
}

// reports says whether an IGMP message about the group was captured.
func reports(c *lab.Capture, group netip.Addr) bool {
	ip := group.As4()
	for _, f := range c.Frames() {
		if d := f.Data; len(d) > 34 && d[12] == 8 && d[13] == 0 && d[23] == 2 && bytes.Contains(d[34:], ip[:]) {
			return true
		}
	}
	return false
}

// TestKernelVRF: adverts by unicast in a VRF, whose addresses are those of its links.
func TestKernelVRF(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	n := lab.New(t)
	a, b := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24")
	for _, h := range []*lab.Host{a, b} {
		h.MustRun("ip", "link", "add", "blue", "type", "vrf", "table", "10")
		h.MustRun("ip", "link", "set", "blue", "up")
		h.MustRun("ip", "link", "set", "eth0", "master", "blue")
	}
	wish := func(priority uint8, own, peer string) vrrp.Instance {
		in := instance(priority)
		in.Interval, in.Interface, in.Source, in.TrackSource = 50*time.Millisecond, "blue", netip.MustParseAddr(own), true
		in.Peers = []vrrp.Peer{{Addr: netip.MustParseAddr(peer)}}
		in.Addrs[0].Interface = "eth0"
		return in
	}
	addr := netip.MustParseAddr(vip)
	ra, stopA := runInHost(t, a, wish(200, "10.0.0.1", "10.0.0.2"))
	eventually(t, 20*time.Second, "a holds the address", func() bool { return a.Has(addr) })
	rb, stopB := runInHost(t, b, wish(100, "10.0.0.2", "10.0.0.1"))
	eventually(t, 20*time.Second, "b hears a", func() bool { return rb.Status()[0].Stats.AdvertsReceived > 3 })
	if s := rb.Status()[0]; s.State != vrrp.Backup || s.Master.String() != "10.0.0.1" {
		t.Errorf("b: %v, MASTER %v", s.State, s.Master)
	}
	a.MustRun("ip", "addr", "del", "10.0.0.1/24", "dev", "eth0")
	eventually(t, 20*time.Second, "a is in FAULT without its source", func() bool { return ra.Status()[0].State == vrrp.Fault && b.Has(addr) })
	a.MustRun("ip", "addr", "add", "10.0.0.1/24", "dev", "eth0")
	eventually(t, 20*time.Second, "a is back", func() bool { return a.Has(addr) && !b.Has(addr) })
	stopA()
	stopB()
}

// TestKernelVMACInVRF: a link with a virtual MAC address is in the VRF of its interface, where clients reach the address.
func TestKernelVMACInVRF(t *testing.T) {
	if !lab.Kernel(t) {
		return
	}
	n := lab.New(t)
	h, client := n.Host("a", "10.0.0.1/24"), n.Host("c", "10.0.0.9/24")
	h.MustRun("ip", "link", "add", "blue", "type", "vrf", "table", "10")
	h.MustRun("ip", "link", "set", "blue", "up")
	h.MustRun("ip", "link", "set", "eth0", "master", "blue")
	in := instance(200)
	in.Interval, in.VMAC.Use, in.Addrs = 50*time.Millisecond, true, vrrp.MustAddresses(vip+"/24")
	_, stop := runInHost(t, h, in)
	eventually(t, 20*time.Second, "the address is held", func() bool { return on(h, "vrrp.51", vip) })
	if out := h.MustRun("ip", "link", "show", "vrrp.51"); !strings.Contains(out, "master blue") {
		t.Errorf("it is not in the VRF: %s", out)
	}
	eventually(t, 20*time.Second, "the client reaches the address", func() bool {
		_, err := client.Run(t.Context(), "ping", "-c1", "-W1", vip)
		return err == nil
	})
	stop()
}
