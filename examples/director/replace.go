package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lockfile"
)

// handoverSignal makes a director leave everything as it is, for the one that takes its place.
const handoverSignal = syscall.SIGQUIT

// takeover is how long the old director has to leave.
const takeover = 10 * time.Second

// stateFileOf is where a run of the file writes what its successor needs, beside the ledger. Empty where that cannot be.
func stateFileOf(file string) (string, error) {
	ledger := ledgerOf(file)
	if ledger == "" {
		return "", nil
	}
	dir, name := filepath.Split(ledger)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	probe, err := os.CreateTemp(dir, ".probe-")
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, strings.Replace(name, "ipvs-", "state-", 1)), errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// takeStateFile decides where the state is kept. Without such a place a restart costs a failover, and that is told.
func (d *director) takeStateFile() {
	path, err := stateFileOf(d.file)
	if err != nil {
		d.log.Warn("no state is kept: a restart is a failover, and a second director is not refused", "error", err)
	}
	d.stateFile = path
}

// replaceOld tells the director that runs the same file, if there is one, to leave everything to this one.
func (d *director) replaceOld() error {
	if d.stateFile == "" {
		return errors.New("--replace: there is no place for the state of a director")
	}
	at := d.stateFile + ".lock"
	now, cancel := context.WithCancel(context.Background())
	cancel()
	lock, err := lockfile.Acquire(now, at)
	if err == nil {
		return lock.Release() // there is none
	}
	old := lockfile.Holder(at)
	if !errors.Is(err, lockfile.ErrHeld) || old <= 0 {
		return fmt.Errorf("--replace: %w", err)
	}
	d.log.Info("replacing", "pid", old)
	if err := syscall.Kill(old, handoverSignal); err != nil {
		return fmt.Errorf("--replace: tell process %d: %w", old, err)
	}
	return nil
}

// serveWhenFree serves what begin cannot: the old director has the address and the socket until it has left.
func (d *director) serveWhenFree(ctx context.Context) {
	select {
	case <-d.controller.Ready():
	case <-ctx.Done():
		return
	}
	limit := time.Now().Add(takeover)
	for {
		err := d.serve(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if time.Now().After(limit) {
			d.log.Error("not served", "error", err)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// serve makes what is asked for and not there yet.
func (d *director) serve(ctx context.Context) (err error) {
	if err := d.writePIDs(); err != nil {
		return err
	}
	if d.status != "" && !d.statusServed {
		err = d.serveStatus(ctx, d.status)
		d.statusServed = err == nil
	}
	if d.control != "" && !d.controlServed {
		failed := d.serveControl(ctx, d.control)
		d.controlServed = failed == nil
		err = errors.Join(err, failed)
	}
	return err
}
