package check

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-lb/holdfast/internal/proc"
)

// Process is well while the right number of processes runs on this machine (vrrp_track_process). It is a [Watcher]: the
// kernel tells of processes that come and go; where it does not, for want of CAP_NET_ADMIN or in a container, they are
// counted once a second. Linux only.
//
// A child of a process that counts does too, until it runs another program.
type Process struct {
	// Name is that of the program, of which the kernel knows 15 bytes. With Full it is the whole of argv[0].
	Name string
	Full bool
	// Params are looked at as Match says; any Match but AnyParams implies Full.
	Params []string
	Match  ParamMatch
	// Quorum is the least number that is well, 0 means 1. Most is the greatest, 0 means any number.
	Quorum, Most int
	// None makes it well when none runs.
	None bool
	// ForkDelay is how long it must have been well again before that counts, TerminateDelay how long not.
	ForkDelay, TerminateDelay time.Duration
}

// ParamMatch says what the parameters of a process must be.
type ParamMatch uint8

// What the parameters must be.
const (
	AnyParams     = ParamMatch(proc.AnyParams)     // whatever they are
	ExactParams   = ParamMatch(proc.ExactParams)   // those of Params and no others
	FirstParams   = ParamMatch(proc.FirstParams)   // those of Params come first
	InitialParams = ParamMatch(proc.InitialParams) // the same, and the last of Params may be just the beginning of the real one
)

func (p Process) match() proc.Match {
	return proc.Match{Name: p.Name, Full: p.Full, Params: p.Params, Mode: proc.Mode(p.Match)}
}

// Key implements [Keyer].
func (p Process) Key() string { return fmt.Sprintf("%#v", p) }

// Check implements [Checker].
func (p Process) Check(ctx context.Context) error {
	_, err := p.Report(ctx)
	return err
}

// Report implements [Reporter]. It counts once; delays are no part of it.
func (p Process) Report(ctx context.Context) (Report, error) {
	if ctx.Err() != nil {
		return Report{}, context.Cause(ctx)
	}
	n, err := proc.Count(p.match())
	if err != nil {
		return Report{}, fmt.Errorf("process %s: %w", p.Name, err)
	}
	return p.judge(n)
}

func (p Process) well(n int) bool {
	if p.None {
		return n == 0
	}
	return n >= max(p.Quorum, 1) && (p.Most == 0 || n <= p.Most)
}

func (p Process) judge(n int) (Report, error) {
	text := fmt.Sprintf("process %s: %d running", p.Name, n)
	if p.well(n) {
		return Report{Detail: text}, nil
	}
	return Report{}, fmt.Errorf("%s, want %s", text, p.wanted())
}

func (p Process) wanted() string {
	least := max(p.Quorum, 1)
	switch {
	case p.None:
		return "none"
	case p.Most == 0:
		return fmt.Sprintf("at least %d", least)
	}
	return fmt.Sprintf("%d to %d", least, p.Most)
}

// Watch implements [Watcher].
func (p Process) Watch(ctx context.Context, tell func(Report, error)) error {
	w, err := proc.New(p.match())
	if err != nil {
		return fmt.Errorf("process %s: %w", p.Name, err)
	}
	defer w.Close()
	told := p.well(w.Count())
	tell(p.judge(w.Count()))
	hold := time.NewTimer(time.Hour)
	hold.Stop()
	defer hold.Stop()
	held := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.C:
		case <-hold.C:
			held = false
			if n := w.Count(); p.well(n) != told {
				told = !told
				tell(p.judge(n))
			}
			continue
		}
		switch well := p.well(w.Count()); {
		case well == told: // it came back in time
			hold.Stop()
			held = false
		case !held:
			held = true
			hold.Reset(p.delay(well))
		}
	}
}

// delay is how long it must be so before that counts.
func (p Process) delay(well bool) time.Duration {
	if well {
		return p.ForkDelay
	}
	return p.TerminateDelay
}
