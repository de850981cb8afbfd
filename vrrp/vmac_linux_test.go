package vrrp_test

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// TestNetVMAC: adverts and addresses have the virtual MAC; whatever was changed for that is as before at the end.
func TestNetVMAC(t *testing.T) {
	lab.Need(t, "ip")
	for name, c := range map[string]struct {
		addr string
		edit func(in *vrrp.Instance)
		mac  string // source of adverts
	}{
		"IPv4":      {"10.0.0.100", func(*vrrp.Instance) {}, "\x00\x00\x5e\x00\x01\x33"},
		"IPv6":      {"2001:db8::100", func(*vrrp.Instance) {}, "\x00\x00\x5e\x00\x02\x33"},
		"xmit_base": {"10.0.0.100", func(in *vrrp.Instance) { in.VMAC.TransmitBase = true }, ""},
		"own name and MAC": {"10.0.0.100", func(in *vrrp.Instance) {
			in.VMAC.Name, in.VMAC.MAC = "vip0", [6]byte{2, 0, 0x5e, 0, 1, 9}
		}, "\x02\x00\x5e\x00\x01\x09"},
	} {
		t.Run(name, func(t *testing.T) {
			n := lab.New(t)
			a, b := n.Host("a", "10.0.0.1/24"), n.Host("b", "10.0.0.2/24")
			a.Sysctl("net.ipv4.conf.all.rp_filter", "1")
			before := sysctls(t, a)
			wish := func(priority uint8) vrrp.Instance {
				in := instance(priority)
				in.Interval, in.Addrs, in.VMAC.Use = 50*time.Millisecond, vrrp.MustAddresses(c.addr), true
				c.edit(&in)
				return in
			}
			link := "vrrp.51"
			if n := wish(1).VMAC.Name; n != "" {
				link = n
			}
			capture := b.Capture()
			_, stopA := runInHost(t, a, wish(200))
			eventually(t, 5*time.Second, "a holds the address", func() bool { return on(a, link, c.addr) })
			rb, stopB := runInHost(t, b, wish(100))
			eventually(t, 5*time.Second, "b hears a", func() bool { return rb.Status()[0].Stats.AdvertsReceived > 3 })
			if s := rb.Status()[0]; s.State != vrrp.Backup || s.Stats.BecomeMaster > 0 {
				t.Errorf("b: %+v", s)
			}
			seen := 0
			for _, f := range capture.Frames() {
				d := string(f.Data)
				if v4 := len(d) > 34 && d[12:14] == "\x08\x00" && d[23] == 112; v4 || len(d) > 54 && d[12:14] == "\x86\xdd" && d[20] == 112 {
					if seen++; (d[6:12] == c.mac) != (c.mac != "") {
						t.Fatalf("an advert comes from %x, want %x", d[6:12], c.mac)
					}
				}
			}
			if seen == 0 {
				t.Error("no adverts were seen")
			}
			a.MustRun("ip", "link", "del", link)
			eventually(t, 5*time.Second, "a makes its link again", func() bool { return on(a, link, c.addr) || on(b, link, c.addr) })
			eventually(t, 5*time.Second, "a has the address back", func() bool { return on(a, link, c.addr) && !on(b, link, c.addr) })
			stopB()
			stopA()
			if out, err := a.Run(t.Context(), "ip", "link", "show", link); err == nil {
				t.Errorf("the link is left over: %s", out)
			}
			if after := sysctls(t, a); after != before {
				t.Errorf("sysctls were\n%s\nand are\n%s", before, after)
			}
		})
	}
}

// on says whether an address is on a link of a host.
func on(h *lab.Host, link, addr string) bool {
	out, err := h.Run(context.Background(), "ip", "-o", "addr", "show", "dev", link)
	return err == nil && strings.Contains(out, " "+netip.MustParseAddr(addr).String()+"/")
}

func sysctls(t *testing.T, h *lab.Host) string {
	t.Helper()
	var b strings.Builder
	err := h.Do(func() error {
		for _, key := range []string{"all/rp_filter", "eth0/rp_filter", "lo/rp_filter", "default/rp_filter", "eth0/arp_ignore", "eth0/arp_filter", "eth0/promote_secondaries"} {
			text, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + key)
			if err != nil {
				return err
			}
			b.WriteString(key + " " + string(text))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
