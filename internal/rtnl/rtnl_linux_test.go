package rtnl

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// dial opens a Conn in a new host with an interface d0.
func dial(t *testing.T) (*Conn, *lab.Host) {
	t.Helper()
	lab.Need(t, "ip")
	h := lab.New(t).Host("h")
	h.MustRun("ip", "link", "add", "d0", "type", "veth", "peer", "name", "d0peer")
	h.MustRun("ip", "link", "set", "d0", "up")
	var c *Conn
	if err := h.Do(func() (err error) { c, err = Dial(); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, h
}

func index(t *testing.T, c *Conn, name string) int {
	t.Helper()
	m := NewMirror()
	if err := m.Fill(c); err != nil {
		t.Fatal(err)
	}
	l, ok := m.Link(name)
	if !ok {
		t.Fatalf("no link %s among %v", name, m.Links())
	}
	return l.Index
}

// TestBatch: of many changes at once each has its own verdict.
func TestBatch(t *testing.T) {
	c, _ := dial(t)
	d0 := index(t, c, "d0")
	var add, remove []Request
	const n, bad = 700, 333
	for i := range n {
		a := Address{Index: d0, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), 32)}
		if i == bad {
			a.Index = 9999
		}
		add, remove = append(add, a.Add()), append(remove, a.Remove())
	}
	check := func(what string, errs []error, want error) {
		t.Helper()
		for i, err := range errs {
			if i == bad && !errors.Is(err, unix.ENODEV) || i != bad && !errors.Is(err, want) {
				t.Fatalf("%s: address %d: %v, want %v", what, i, err, want)
			}
		}
	}
	check("add", c.Do(add), nil)
	check("add again", c.Do(add), unix.EEXIST)
	m := NewMirror()
	if err := m.Fill(c); err != nil {
		t.Fatal(err)
	}
	if l, _ := m.Link("d0"); len(slices.DeleteFunc(l.Addrs, func(p netip.Prefix) bool { return p.Addr().Is6() })) != n-1 {
		t.Fatalf("%d addresses, want %d", len(l.Addrs), n-1)
	}
	check("remove", c.Do(remove), nil)
	check("remove again", c.Do(remove), unix.EADDRNOTAVAIL)
}

// TestAddressOptions is read back by ip.
func TestAddressOptions(t *testing.T) {
	c, h := dial(t)
	d0 := index(t, c, "d0")
	for _, a := range []Address{
		{Index: d0, Prefix: netip.MustParsePrefix("10.1.0.1/24"), Broadcast: netip.MustParseAddr("10.1.0.255"), Label: "d0:vip", Scope: 253},
		{Index: d0, Prefix: netip.MustParsePrefix("10.2.0.1/32"), Peer: netip.MustParsePrefix("10.2.0.2/32"), Flags: unix.IFA_F_NOPREFIXROUTE},
		{Index: d0, Prefix: netip.MustParsePrefix("2001:db8::1/128"), Flags: unix.IFA_F_NODAD, Deprecated: true},
	} {
		for _, err := range c.Do([]Request{a.Add()}) {
			if err != nil {
				t.Fatal(a.Prefix, err)
			}
		}
	}
	got := h.MustRun("ip", "-o", "addr", "show", "dev", "d0")
	for _, want := range []string{"10.1.0.1/24 brd 10.1.0.255 scope link d0:vip", "10.2.0.1 peer 10.2.0.2/32 scope global noprefixroute", "2001:db8::1/128 scope global nodad deprecated", "preferred_lft 0sec"} {
		if !contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func contains(text, want string) bool {
	fold := func(s string) (out []byte) {
		for _, c := range []byte(s) {
			if c == ' ' && len(out) > 0 && out[len(out)-1] == ' ' {
				continue
			}
			out = append(out, c)
		}
		return out
	}
	a, b := fold(text), fold(want)
	for i := 0; i+len(b) <= len(a); i++ {
		if string(a[i:i+len(b)]) == string(b) {
			return true
		}
	}
	return false
}

func watch(t *testing.T, c *Conn, h *lab.Host, changed func(Event)) *Mirror {
	t.Helper()
	m := NewMirror()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	first := make(chan bool, 1)
	go func() {
		done <- h.Do(func() error {
			return m.Watch(ctx, c, func(e Event) {
				select {
				case first <- true:
				default:
				}
				changed(e)
			})
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-first
	return m
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("not within 5 s: " + what)
}

func TestMirrorFollows(t *testing.T) {
	c, h := dial(t)
	m := watch(t, c, h, func(Event) {})
	has := func(name, prefix string) bool {
		l, _ := m.Link(name)
		return slices.Contains(l.Addrs, netip.MustParsePrefix(prefix))
	}
	h.MustRun("ip", "addr", "add", "10.5.0.1/24", "dev", "d0")
	eventually(t, "the address", func() bool { return has("d0", "10.5.0.1/24") })
	h.MustRun("ip", "addr", "del", "10.5.0.1/24", "dev", "d0")
	eventually(t, "no address", func() bool { return !has("d0", "10.5.0.1/24") })
	h.MustRun("ip", "link", "set", "d0", "down")
	eventually(t, "down", func() bool { l, _ := m.Link("d0"); return l.Flags&unix.IFF_UP == 0 })
	h.MustRun("ip", "link", "set", "d0", "name", "d1", "mtu", "1400")
	eventually(t, "another name", func() bool {
		l, ok := m.Link("d1")
		_, old := m.Link("d0")
		return ok && !old && l.MTU == 1400
	})
	h.MustRun("ip", "link", "del", "d1")
	eventually(t, "gone", func() bool { _, ok := m.Link("d1"); return !ok })
}

// TestMirrorResyncs: events that the kernel had to drop are made up for.
func TestMirrorResyncs(t *testing.T) {
	c, h := dial(t)
	d0 := index(t, c, "d0")
	release := make(chan struct{})
	resynced := make(chan bool, 1)
	blocked := false
	m := watch(t, c, h, func(e Event) {
		if e.Lost.IsValid() && !blocked {
			blocked = true
			<-release
		}
		if e == (Event{}) && blocked {
			select {
			case resynced <- true:
			default:
			}
		}
	})
	h.MustRun("ip", "addr", "add", "10.5.0.1/24", "dev", "d0")
	h.MustRun("ip", "addr", "del", "10.5.0.1/24", "dev", "d0") // the watcher stands still from here
	var add []Request
	const n = 4000
	for i := range n {
		a := Address{Index: d0, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), 32)}
		add = append(add, a.Add())
	}
	if err := errors.Join(c.Do(add)...); err != nil {
		t.Fatal(err)
	}
	close(release)
	select {
	case <-resynced:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was dropped, or nobody noticed")
	}
	eventually(t, "all addresses", func() bool {
		l, _ := m.Link("d0")
		return len(slices.DeleteFunc(l.Addrs, func(p netip.Prefix) bool { return p.Addr().Is6() })) == n
	})
}

// FuzzMessages: whatever stands in a datagram, nothing panics.
func FuzzMessages(f *testing.F) {
	a := Address{Index: 1, Prefix: netip.MustParsePrefix("10.0.0.1/24"), Label: "x"}
	for _, kind := range []uint16{unix.RTM_NEWADDR, unix.RTM_NEWLINK, unix.NLMSG_ERROR, unix.RTM_DELROUTE} {
		data := a.Add().Data
		b := binary.NativeEndian.AppendUint32(nil, uint32(16+len(data)))
		b = binary.NativeEndian.AppendUint16(b, kind)
		f.Add(append(b, append(make([]byte, 10), data...)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := &Mirror{links: map[int]*Link{1: {Name: "x", Index: 1}}, names: map[string]int{"x": 1}}
		_ = messages(b, func(h header, data []byte) {
			m.apply(h, data, func(e Event) { _ = fmt.Sprint(e) })
			if len(data) >= 4 {
				_ = verdict(h, data)
			}
		})
	})
}
