package holdfast_test

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
)

// tuned is a table with timeouts and sync daemons, and a log of what it was told.
type tuned struct {
	*ipvstest.Fake

	mu       sync.Mutex // guards the fields below
	timeouts ipvs.Timeouts
	daemons  map[ipvs.SyncRole]bool
	log      []string
}

func (t *tuned) Timeouts(context.Context) (ipvs.Timeouts, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.timeouts, nil
}

func (t *tuned) SetTimeouts(_ context.Context, to ipvs.Timeouts) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timeouts = to
	t.log = append(t.log, fmt.Sprint("timeouts ", to.TCP, " ", to.TCPFin, " ", to.UDP))
	return nil
}

func (t *tuned) StartSync(_ context.Context, d ipvs.SyncDaemon) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.daemons[d.Role] {
		return fs.ErrExist
	}
	t.daemons[d.Role] = true
	t.log = append(t.log, fmt.Sprintf("start %v %s id %d", d.Role, d.Interface, d.ID))
	return nil
}

func (t *tuned) StopSync(_ context.Context, role ipvs.SyncRole) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.daemons[role] {
		return fs.ErrNotExist
	}
	delete(t.daemons, role)
	t.log = append(t.log, fmt.Sprint("stop ", role))
	return nil
}

func (t *tuned) told() string {
	synctest.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Join(t.log, ", ")
	t.log = nil
	return lines
}

// TestTuning: timeouts come and go with the wish, the sync daemon follows its instance and takes over what a crash left, flushes
// are done when asked for.
func TestTuning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		table := &tuned{Fake: w.table, timeouts: ipvs.Timeouts{TCP: 900 * time.Second, TCPFin: 120 * time.Second, UDP: 300 * time.Second},
			daemons: map[ipvs.SyncRole]bool{ipvs.SyncBackup: true}}
		w.c = holdfast.New(holdfast.Options{Network: w.lan.Host("10.0.0.1"), Table: table})
		stranger := ipvs.Diff(nil, []ipvs.Service{{ServiceKey: key("10.0.0.200:80"), Scheduler: "rr"}})
		if err := w.table.Apply(t.Context(), stranger); err != nil {
			t.Fatal(err)
		}
		spec := w.spec()
		spec.Tuning = parse(`
global_defs {
    lvs_flush
    lvs_flush_on_stop
    lvs_timeouts tcp 60 udp 5
    lvs_sync_daemon eth1 inst VI id 7
}
vrrp_instance VI {
    interface eth0
    virtual_router_id 9
    virtual_ipaddress {
        10.0.0.100
    }
}`).Tuning
		w.start(t, spec)
		if got := table.told(); got != "timeouts 1m0s 2m0s 5s, stop backup, start backup eth1 id 7" {
			t.Errorf("at the start: %s", got)
		}
		w.wantTable(t, bothServers)
		time.Sleep(5 * time.Second) // MASTER by now
		if got := table.told(); got != "stop backup, start master eth1 id 7" {
			t.Errorf("as MASTER: %s", got)
		}
		if err := w.table.Apply(t.Context(), stranger); err != nil {
			t.Fatal(err)
		}
		spec.Tuning.Timeouts, spec.Tuning.Sync = ipvs.Timeouts{UDP: 7 * time.Second}, &holdfast.Sync{Daemon: ipvs.SyncDaemon{Interface: "eth2"}}
		if err := w.c.Apply(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		got := strings.Split(table.told(), ", ")
		slices.Sort(got)
		if want := "[start backup eth2 id 0 start master eth2 id 0 stop master timeouts 15m0s 2m0s 7s]"; fmt.Sprint(got) != want {
			t.Errorf("after another wish: %v", got)
		}
		w.stop(t)
		got = strings.Split(table.told(), ", ")
		slices.Sort(got)
		if want := "[stop backup stop master timeouts 15m0s 2m0s 5m0s]"; fmt.Sprint(got) != want {
			t.Errorf("at the end: %v", got)
		}
		w.wantTable(t, "")
	})
}

// TestTuningOfATableThatHasNone tells it once.
func TestTuningOfATableThatHasNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.c = holdfast.New(holdfast.Options{Network: w.lan.Host("10.0.0.1"), Table: struct{ ipvs.Table }{w.table}})
		w.events = w.c.Subscribe(100)
		spec := w.spec()
		spec.Tuning.Timeouts.TCP = time.Minute
		w.start(t, spec)
		time.Sleep(10 * time.Second)
		if n := strings.Count(strings.Join(w.seen(t), "\n"), "error table"); n != 1 {
			t.Errorf("told %d times", n)
		}
		w.stop(t)
		spec.Tuning.Sync = &holdfast.Sync{Instance: "nobody"}
		if err := spec.Validate(); err == nil || !strings.Contains(err.Error(), "no instance nobody") {
			t.Errorf("a sync daemon of no instance: %v", err)
		}
	})
}
