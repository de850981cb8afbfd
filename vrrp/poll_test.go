package vrrp_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// TestPolledLink: a driver whose loss of carrier the kernel does not tell of takes the instance out, within a second, and lets it
// in again; a link that is polled no more is what the kernel says.
func TestPolledLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := vrrptest.NewLAN().Host("10.0.0.1")
		a := boot(t, host, instance(100))
		polls := vrrp.Host{Polls: []vrrp.LinkPoll{{Interface: vrrptest.Interface}}}
		within := func(d time.Duration, want vrrp.State) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := state(a); got != want {
				t.Fatalf("%v after %v, want %v", got, d, want)
			}
		}
		within(10*time.Second, vrrp.Master)
		host.SetCarrier(vrrptest.Interface, false)
		within(10*time.Second, vrrp.Master) // nobody asks
		if err := a.SetHost(polls); err != nil {
			t.Fatal(err)
		}
		within(time.Millisecond, vrrp.Fault)
		host.SetCarrier(vrrptest.Interface, true)
		within(time.Second+time.Millisecond, vrrp.Backup)
		within(10*time.Second, vrrp.Master)
		host.SetCarrier(vrrptest.Interface, false)
		within(time.Second+time.Millisecond, vrrp.Fault)
		if err := a.SetHost(vrrp.Host{}); err != nil {
			t.Fatal(err)
		}
		within(10*time.Second, vrrp.Master)
		if err := a.SetHost(vrrp.Host{Polls: []vrrp.LinkPoll{{Interface: "x", How: "PHONE"}}}); err == nil || !strings.Contains(err.Error(), "PHONE") {
			t.Errorf("polled by phone: %v", err)
		}
	})
}

// TestExtraAnnouncements: while MASTER, one address of each virtual link but its own is announced every so often, or of every
// other interface; a reload changes the period, and the end of office ends it.
func TestExtraAnnouncements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		host := lan.Host("10.0.0.1")
		host.SetLink("eth1", true)
		host.SetLink("eth2", true)
		in := instance(100)
		in.Addrs = vrrp.MustAddresses(vip, "10.1.0.1", "10.1.0.2", "10.2.0.1")
		in.Addrs[1].Interface, in.Addrs[1].VMAC = "eth1", true
		in.Addrs[2].Interface, in.Addrs[2].VMAC = "eth1", true
		in.Addrs[3].Interface = "eth2"
		in.Announce.Extra = 10 * time.Second
		a := boot(t, host, in)
		time.Sleep(5*time.Second + 5*time.Second + 100*time.Millisecond) // MASTER, and the second burst is over
		count := func(d time.Duration) (counts []int) {
			before := len(lan.Trace())
			time.Sleep(d)
			synctest.Wait()
			seen := lan.Trace()[before:]
			for _, addr := range []string{vip, "10.1.0.1", "10.1.0.2", "10.2.0.1"} {
				n := 0
				for _, line := range seen {
					if strings.Contains(line, "announce "+addr) {
						n++
					}
				}
				counts = append(counts, n)
			}
			return counts
		}
		if got := count(time.Minute); !slices.Equal(got, []int{0, 6, 0, 0}) {
			t.Errorf("in a minute %v of each address were announced", got)
		}
		in.Announce.Extra, in.Announce.ExtraAll = 20*time.Second, true
		if err := a.Set([]vrrp.Instance{in}); err != nil {
			t.Fatal(err)
		}
		if got := count(time.Minute + time.Second); !slices.Equal(got, []int{0, 3, 0, 3}) {
			t.Errorf("of all interfaces, in a minute %v of each address were announced", got)
		}
		host.Down()
		if got := count(time.Minute); !slices.Equal(got, []int{0, 0, 0, 0}) {
			t.Errorf("in FAULT %v of each address were announced", got)
		}
	})
}
