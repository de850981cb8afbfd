package vrrp_test

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/internal/ipheader"
	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// recorder is a host whose datagrams are kept.
type recorder struct {
	*vrrptest.Host
	mu   sync.Mutex // guards sent
	sent []vrrp.Datagram
}

type recordingConn struct {
	vrrp.Conn
	r *recorder
}

func (r *recorder) Sockets() (vrrp.Sockets, error) {
	s, err := r.Host.Sockets()
	return recordingSockets{s, r}, err
}

type recordingSockets struct {
	vrrp.Sockets
	r *recorder
}

func (s recordingSockets) Open(socket vrrp.Socket, ready func()) (vrrp.Conn, error) {
	c, err := s.Sockets.Open(socket, ready)
	return recordingConn{c, s.r}, err
}

func (c recordingConn) Send(datagrams []vrrp.Datagram) {
	c.Conn.Send(datagrams)
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	for _, d := range datagrams {
		c.r.sent = append(c.r.sent, vrrp.Datagram{Data: slices.Clone(d.Data), Dst: d.Dst})
	}
}

// TestRequirementsSend: what leaves, for each kind of instance (RFC 9568, Sections 5.1 and 7.2; RFC 3768, Section 7.2).
func TestRequirementsSend(t *testing.T) {
	for name, c := range map[string]struct {
		host string
		edit func(in *vrrp.Instance)
		dst  []string
	}{
		"IPv4":       {"10.0.0.1", func(*vrrp.Instance) {}, []string{"224.0.0.18"}},
		"version 2":  {"10.0.0.1", func(in *vrrp.Instance) { in.Version = 2 }, []string{"224.0.0.18"}},
		"IPv6":       {"fe80::1", func(in *vrrp.Instance) { in.Addrs = vrrp.MustAddresses("fe80::100", "2001:db8::100") }, []string{"ff02::12"}},
		"unicast":    {"10.0.0.1", func(in *vrrp.Instance) { in.Peers = peers("10.0.0.7", "10.0.0.3", "10.0.0.9") }, []string{"10.0.0.7", "10.0.0.3", "10.0.0.9"}},
		"AH, signed": {"10.0.0.1", func(in *vrrp.Instance) { in.Version, in.AuthType, in.Password = 2, vrrp.AuthAH, "x" }, []string{"224.0.0.18"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{Host: vrrptest.NewLAN().Host(c.host)}
				in := instance(200)
				c.edit(&in)
				router := vrrp.NewRouter(vrrp.Options{Network: r})
				if err := router.Set([]vrrp.Instance{in}); err != nil {
					t.Fatal(err)
				}
				go router.Run(t.Context())
				time.Sleep(5500 * time.Millisecond)
				synctest.Wait()
				r.mu.Lock()
				defer r.mu.Unlock()
				if len(r.sent) != 3*len(c.dst) {
					t.Fatalf("%d datagrams in three adverts", len(r.sent))
				}
				for i, d := range r.sent {
					checkDatagram(t, &in, d, c.host, c.dst[i%len(c.dst)], uint16(1+i/len(c.dst)))
				}
			})
		})
	}
}

func checkDatagram(t *testing.T, in *vrrp.Instance, d vrrp.Datagram, src, dst string, id uint16) {
	t.Helper()
	want := ipheader.Header{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), TTL: 255, Class: 0xc0, Protocol: vrrp.Protocol}
	size := ipheader.Size6
	if want.Src.Is4() {
		want.ID, size = id, ipheader.Size4
	}
	message := d.Data[size:]
	if in.AuthType == vrrp.AuthAH {
		want.Protocol = 51
		message = message[24:]
	}
	if got := ipheader.Parse(d.Data); got != want || d.Dst != want.Dst {
		t.Errorf("header %+v to %v, want %+v", got, d.Dst, want)
	}
	var a vrrp.Advertisement
	if err := a.ParsePacket(message, want.Src, want.Dst); err != nil {
		t.Fatal(err)
	}
	if a.VRID != in.VRID || a.Priority != 200 || a.Interval != time.Second || len(a.Addrs) != len(in.Addrs) || a.Addrs[0] != in.Addrs[0].Addr() || a.Checksum == vrrp.ChecksumBad {
		t.Errorf("advert %+v", a)
	}
}

// TestTrapOwnAdvertsComeBack: a link that returns what was sent must not make a lone MASTER flap, by either family.
func TestTrapOwnAdvertsComeBack(t *testing.T) {
	for host, addr := range map[string]string{"10.0.0.1": vip, "fe80::1": "fe80::100"} {
		synctest.Test(t, func(t *testing.T) {
			lan := vrrptest.NewLAN()
			in := instance(100)
			in.Addrs = vrrp.MustAddresses(addr)
			a := boot(t, lan.Host(host), in)
			time.Sleep(5 * time.Second)
			advert := vrrp.Advertisement{Version: 3, VRID: in.VRID, Priority: 100, Interval: time.Second, Addrs: []netip.Addr{netip.MustParseAddr(addr)}}
			group := vrrp.GroupIPv4
			if in.Addrs[0].Addr().Is6() {
				group = vrrp.GroupIPv6
			}
			message, err := advert.AppendPacket(nil, netip.MustParseAddr(host), group)
			if err != nil {
				t.Fatal(err)
			}
			for range 20 {
				lan.Inject(netip.MustParseAddr(host), 255, message)
				time.Sleep(time.Second)
			}
			s := a.Status()[0]
			if s.State != vrrp.Master || s.Stats.BecomeMaster != 1 || s.Stats.AdvertsSent > 25 {
				t.Errorf("%s: %v, %+v", host, s.State, s.Stats)
			}
			if s.Conflicts["source"] != 20 {
				t.Errorf("told %v", s.Conflicts)
			}
		})
	}
}
