package holdfast

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/holdfast-lb/holdfast/ipvs"
)

// Tuning is what the table is to have beside services. The zero value leaves it alone.
type Tuning struct {
	// Timeouts of idle connections; what is 0 stays as it is. What was there before comes back at the end of Run, and when they
	// are no longer wished for.
	Timeouts ipvs.Timeouts
	// Sync tells other directors of connections, or hears of theirs. Nil means neither.
	Sync *Sync
	// Flush removes what is in the table and not in the Spec, whoever made it, once at the start of Run; FlushAtEnd removes
	// everything at its end.
	Flush, FlushAtEnd bool
}

// Sync is the synchronisation of connections between directors.
type Sync struct {
	// Daemon says how. Its Role is not looked at.
	Daemon ipvs.SyncDaemon
	// Instance decides who tells: while it is MASTER this host does, else it listens. Empty means both at once.
	Instance string
}

func (t *Tuning) validate(s *Spec) error {
	if t.Sync != nil && t.Sync.Instance != "" && s.instance(t.Sync.Instance) < 0 {
		return fmt.Errorf("holdfast: sync daemon: there is no instance %s", t.Sync.Instance)
	}
	return nil
}

// diffTuning has a line for each part that changes.
func diffTuning(have, want *Tuning) (lines []string) {
	if have.Timeouts != want.Timeouts {
		lines = append(lines, fmt.Sprintf("table timeouts: tcp %v, tcpfin %v, udp %v", want.Timeouts.TCP, want.Timeouts.TCPFin, want.Timeouts.UDP))
	}
	if before, after := have.Sync.String(), want.Sync.String(); before != after {
		lines = append(lines, fmt.Sprintf("table sync daemon: %s -> %s", before, after))
	}
	return lines
}

// String is none for nil.
func (s *Sync) String() string {
	if s == nil {
		return "none"
	}
	d := &s.Daemon
	text := fmt.Sprintf("%s id %d", d.Interface, d.ID)
	if s.Instance != "" {
		text += " by " + s.Instance
	}
	if d.MaxLen != 0 || d.Port != 0 || d.TTL != 0 || d.Group.IsValid() {
		text += fmt.Sprintf(" maxlen %d port %d ttl %d group %v", d.MaxLen, d.Port, d.TTL, d.Group)
	}
	return text
}

// tunable is a table that has all this. The kernel's does.
type tunable interface {
	Timeouts(ctx context.Context) (ipvs.Timeouts, error)
	SetTimeouts(ctx context.Context, t ipvs.Timeouts) error
	StartSync(ctx context.Context, d ipvs.SyncDaemon) error
	StopSync(ctx context.Context, role ipvs.SyncRole) error
}

// tuner keeps the tuning. It is not for several goroutines.
type tuner struct {
	table   tunable       // nil when the table has none of it
	former  ipvs.Timeouts // as they were before ours
	set     ipvs.Timeouts // ours, zero for none
	daemons map[ipvs.SyncRole]ipvs.SyncDaemon
}

// keep brings the table to the wish. master says whether the instance that decides is MASTER.
func (t *tuner) keep(ctx context.Context, want *Tuning, master bool) error {
	if t.table == nil {
		if want.Timeouts != (ipvs.Timeouts{}) || want.Sync != nil {
			return fmt.Errorf("holdfast: timeouts and sync daemons: %w: this table has none", errors.ErrUnsupported)
		}
		return nil
	}
	return errors.Join(t.keepTimeouts(ctx, want.Timeouts), t.keepDaemons(ctx, daemons(want.Sync, master)))
}

func (t *tuner) keepTimeouts(ctx context.Context, want ipvs.Timeouts) (err error) {
	if want == t.set {
		return nil
	}
	if t.set == (ipvs.Timeouts{}) {
		if t.former, err = t.table.Timeouts(ctx); err != nil {
			return err
		}
	}
	next := t.former
	for _, f := range []struct{ from, to *time.Duration }{{&want.TCP, &next.TCP}, {&want.TCPFin, &next.TCPFin}, {&want.UDP, &next.UDP}} {
		if *f.from != 0 {
			*f.to = *f.from
		}
	}
	if err = t.table.SetTimeouts(ctx, next); err == nil {
		t.set = want
	}
	return err
}

// daemons are those that are to run.
func daemons(s *Sync, master bool) map[ipvs.SyncRole]ipvs.SyncDaemon {
	wanted := make(map[ipvs.SyncRole]ipvs.SyncDaemon)
	if s == nil {
		return wanted
	}
	for _, role := range []ipvs.SyncRole{ipvs.SyncMaster, ipvs.SyncBackup} {
		if s.Instance == "" || master == (role == ipvs.SyncMaster) {
			d := s.Daemon
			d.Role = role
			wanted[role] = d
		}
	}
	return wanted
}

func (t *tuner) keepDaemons(ctx context.Context, wanted map[ipvs.SyncRole]ipvs.SyncDaemon) error {
	var errs []error
	for role, d := range t.daemons {
		if wanted[role] == d {
			continue
		}
		if err := t.table.StopSync(ctx, role); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		delete(t.daemons, role)
	}
	for role, d := range wanted {
		if _, runs := t.daemons[role]; runs {
			continue
		}
		if err := t.start(ctx, d); err != nil {
			errs = append(errs, err)
			continue
		}
		if t.daemons == nil {
			t.daemons = make(map[ipvs.SyncRole]ipvs.SyncDaemon)
		}
		t.daemons[role] = d
	}
	return errors.Join(errs...)
}

// start replaces a daemon that a crash has left.
func (t *tuner) start(ctx context.Context, d ipvs.SyncDaemon) error {
	err := t.table.StartSync(ctx, d)
	if errors.Is(err, fs.ErrExist) {
		if err = t.table.StopSync(ctx, d.Role); err == nil {
			err = t.table.StartSync(ctx, d)
		}
	}
	return err
}

// tuneAgain is the time after which what failed is tried again: an interface may not be there yet.
const tuneAgain = time.Second

// keepTuning keeps the tuning until ctx ends.
func (c *Controller) keepTuning(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-c.retune:
		}
		c.mu.Lock()
		want := c.spec.Tuning
		c.mu.Unlock()
		err := c.tuner.keep(ctx, &want, want.Sync != nil && c.isMaster(want.Sync.Instance))
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			told = ""
		default:
			if err.Error() != told {
				_ = c.tell(ctx, err)
			}
			told = err.Error()
			timer.Reset(tuneAgain)
		}
	}
}

func (c *Controller) isMaster(instance string) bool {
	for _, s := range c.router.Status() {
		if s.Instance.String() == instance {
			return s.State.String() == "MASTER"
		}
	}
	return false
}

// tune has the tuning looked at again.
func (c *Controller) tune() {
	select {
	case c.retune <- struct{}{}:
	default:
	}
}
