package vrrp_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// TestNotices: a change of priority and a rival are told, in order with the transitions, and nothing else is.
func TestNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := vrrptest.NewLAN()
		var mu sync.Mutex
		var told []string
		note := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf(format, args...))
		}
		r := vrrp.NewRouter(vrrp.Options{
			Network:      lan.Host("10.0.0.1"),
			OnTransition: func(tr vrrp.Transition) { note("%v %d", tr.To, tr.Priority) },
			OnNotice: func(n vrrp.Notice) {
				note("%s %v %d was %d, rival %v %d", n.Instance, n.State, n.Priority, n.Was, n.Rival, n.RivalPriority)
			},
		})
		if err := r.Set([]vrrp.Instance{instance(0)}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(10 * time.Second)
		r.SetTracking("web", vrrp.Tracking{Priority: 20})
		time.Sleep(10 * time.Second)
		rival := netip.MustParseAddr("10.0.0.9")
		advert := vrrp.Advertisement{Version: 3, VRID: 51, Priority: 50, Interval: time.Second, Addrs: []netip.Addr{netip.MustParseAddr(vip)}}
		packet, err := advert.AppendPacket(nil, rival, vrrp.GroupIPv4)
		if err != nil {
			t.Fatal(err)
		}
		lan.Inject(rival, 255, packet)
		time.Sleep(10 * time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		want := []string{"BACKUP 100", "MASTER 100", "web MASTER 120 was 100, rival invalid IP 0", "web MASTER 120 was 120, rival 10.0.0.9 50", "INIT 120"}
		if !slices.Equal(told, want) {
			t.Errorf("told:\n%s\nwant:\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
		}
	})
}
