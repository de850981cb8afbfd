package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/config"
)

// reload reads the file again, tells how that went, and returns the same. why is who asked for it.
func (d *director) reload(ctx context.Context, why string) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	begun, asked := time.Now(), d.asked()
	defer d.handshake(asked.File)()
	d.tellReload("BEGUN", why, 0)
	d.systemd.reloading()
	events := d.controller.Subscribe(recentEvents)
	_, err := d.load(ctx)
	changes := appliedIn(events)
	events.Close()
	took := time.Since(begun)
	switch {
	case err == nil:
		d.log.Info("reloaded", "file", d.file, "changes", changes, "took", took)
		d.tellReload("OK", changes, took)
	case errors.Is(err, errPartly):
		d.log.Error("reloaded in part", "file", d.file, "error", err)
		d.tellReload("PARTLY", err.Error(), took)
	default:
		d.log.Error("reload failed; what was in force stays so", "error", err)
		d.tellReload("REFUSED", err.Error(), took)
	}
	d.systemd.ready(d.held())
	select {
	case d.reloaded <- struct{}{}:
	default:
	}
	return err
}

// tellReload puts a reload among the events. The file is their object.
func (d *director) tellReload(to, reason string, took time.Duration) {
	err := d.controller.Publish(holdfast.Event{Kind: holdfast.EventReload, Object: d.file, To: to, Reason: reason, Took: took})
	if err != nil && !errors.Is(err, holdfast.ErrEnded) {
		d.log.Error("event", "error", err)
	}
}

// recentEvents are enough to find what came into force: the newest are kept.
const recentEvents = 1024

// appliedIn is what changed, by the event that says so.
func appliedIn(events *holdfast.Subscription) (changes string) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		e, err := events.Next(now)
		if err != nil {
			return changes
		}
		if e.Kind == holdfast.EventApply && e.Object == "spec" {
			changes = e.Reason
		}
	}
}

// asked is what the file in force says about reloads. Whoever runs beside another keeps off that one's files.
func (d *director) asked() config.Reload {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.only == beside {
		return config.Reload{}
	}
	return d.global.Reload
}

// strict refuses what the file in force wants refused: warnings of a file to be. Rules of lint and what has no effect here are no
// reason, for keepalived has none of either.
func (d *director) strict(r loaded, err error) error {
	asked := d.asked()
	if !asked.Check || r.cfg == nil {
		return err
	}
	found := slices.DeleteFunc(slices.Clone(r.diags), func(one config.Diagnostic) bool {
		return one.Severity == config.Note || one.Code == "no-effect" || one.Code == "not-held" || isLint(one.Code)
	})
	if asked.CheckLog != "" {
		d.writeFindings(asked.CheckLog, found)
	}
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("reload_check_config: %s has %s; the first: %v", r.cfg.Name, counted(len(found), "warning"), found[0])
	}
	return err
}

// lostIncludes refuses a reload of which a part is missing that was not missing before: what it held would go away.
func (d *director) lostIncludes(diags config.Diagnostics) error {
	missing := make(map[string]bool)
	for _, one := range diags {
		if one.Code == "include" {
			missing[one.Message] = true
			if d.loaded && !d.missing[one.Message] {
				return fmt.Errorf("%v: %s, and what it held is in force", one.Pos, one.Message)
			}
		}
	}
	d.missing = missing
	return nil
}

// withFirst says what the first error of a file is, where not all of them are printed.
func withFirst(diags config.Diagnostics, err error) error {
	for _, one := range diags {
		if one.Severity == config.Error {
			return fmt.Errorf("%w; the first: %v", err, one)
		}
	}
	return err
}

func isLint(code string) bool {
	return slices.ContainsFunc(config.Rules(), func(r config.Rule) bool { return r.Code == code })
}

// writeFindings replaces the file of reload_check_config, unless it is something that must not be replaced.
func (d *director) writeFindings(name string, found config.Diagnostics) {
	err := regular(name)
	if err == nil {
		_, err = writeDump(name, "", func(w io.Writer) error {
			for _, one := range found {
				if _, err := fmt.Fprintln(w, one); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil && name != os.DevNull {
		d.log.Error("reload_check_config", "error", err)
	}
}

// handshake makes the file of reload_file, empty, until the reload is done. Whoever changes the configuration waits for its end.
func (d *director) handshake(name string) (done func()) {
	if name == "" {
		return func() {}
	}
	err := regular(name)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|noFollow, 0o644); err == nil {
			err = f.Close()
		}
	}
	if err != nil {
		d.log.Error("reload_file", "error", err)
	}
	return func() { d.dropHandshake(name) }
}

// dropHandshake removes what the last reload, or one of a director that is gone, has left.
func (d *director) dropHandshake(name string) {
	if name == "" {
		return
	}
	err := regular(name)
	if err == nil {
		err = os.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.Error("reload_file", "error", err)
	}
}

// regular is nil for a file, and for none.
func regular(name string) error {
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", name)
	}
	return err
}

// counted is a number of things.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
