package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/internal/filewatch"
)

// lookAgain is the longest time without a look at the clock and at the file of reload_time_file: the clock may be set, and not
// every file system tells of changes.
const lookAgain = 30 * time.Second

// keepAppointments reloads when the file of reload_time_file says so, until ctx ends.
func (d *director) keepAppointments(ctx context.Context) {
	a := appointments{director: d}
	defer func() { a.watch.Close() }()
	timer := time.NewTimer(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-a.changed():
		case <-d.reloaded: // which forgot what was told, and may have named another file
			a.told = ""
		}
		a.follow(d.asked().TimeFile)
		timer.Reset(a.look(ctx, time.Now()))
	}
}

// appointments is what a file of reload_time_file says.
type appointments struct {
	*director
	path  string
	watch *filewatch.Watch // nil while it is looked at from time to time
	told  string           // last, of what it says now
	when  time.Time        // zero for never
	daily bool
}

func (a *appointments) changed() <-chan struct{} {
	if a.watch == nil {
		return nil
	}
	return a.watch.C
}

// follow watches the file of that path.
func (a *appointments) follow(path string) {
	if path == a.path && (a.watch == nil || !a.watch.Stale()) {
		return
	}
	a.watch.Close()
	if a.watch = nil; path != "" {
		watch, err := filewatch.New(path)
		if err == nil {
			a.watch = watch
		} else if path != a.path {
			a.log.Warn("reload_time_file is looked at from time to time only", "file", path, "every", lookAgain, "error", err)
		}
	}
	a.path = path
}

// look reads the file, tells what is new in it, and does what is due. It returns when to look again.
func (a *appointments) look(ctx context.Context, now time.Time) time.Duration {
	due := !a.when.IsZero() && !now.Before(a.when)
	if due {
		a.keep(ctx)
		return 0
	}
	when, daily, err := readTimeFile(a.path, now)
	a.tell(when, err)
	a.when, a.daily = when, daily
	if when.IsZero() {
		return lookAgain
	}
	return min(lookAgain, max(0, when.Sub(now)))
}

// keep reloads. What is not said for each day is said once.
func (a *appointments) keep(ctx context.Context) {
	when := a.when
	a.when, a.told = time.Time{}, ""
	if !a.daily || !a.asked().Repeat {
		if err := os.Remove(a.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			a.log.Error("reload_time_file: it stays", "error", err)
		}
	}
	_ = a.reload(ctx, fmt.Sprintf("%s says %s", a.path, when.Format(time.RFC3339))) // it has told
	select {
	case <-a.reloaded: // nothing that is not known here
	default:
	}
}

// tell makes an event of what the file says, if that is new.
func (a *appointments) tell(when time.Time, err error) {
	text := ""
	switch {
	case err != nil:
		text = err.Error()
	case !when.IsZero():
		text = fmt.Sprintf("at %s, says %s", when.Format(time.RFC3339), a.path)
	}
	if text == a.told {
		return
	}
	switch {
	case err != nil:
		a.log.Warn("reload_time_file: no reload", "error", err)
		a.tellReload("CANCELLED", text, 0)
	case text != "":
		a.log.Info("reload scheduled", "at", when, "file", a.path)
		a.tellReload("SCHEDULED", text, 0)
	default:
		a.log.Info("reload cancelled", "file", a.path)
		a.tellReload("CANCELLED", a.path+" is gone", 0)
	}
	a.told = text
}

// readTimeFile is when the file says to reload: a zero time if it is not there.
func readTimeFile(path string, now time.Time) (when time.Time, daily bool, err error) {
	if path == "" {
		return when, false, nil
	}
	if err := regular(path); err != nil {
		return when, false, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return when, false, nil
	}
	if err != nil {
		return when, false, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil {
		return when, false, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	when, daily, err = parseTime(line, now)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return when, daily, err
}

// parseTime reads HH:MM:SS, which is today or else tomorrow, or [YY]YY-MM-DD HH:MM:SS; a Z behind it means UTC.
func parseTime(line string, now time.Time) (when time.Time, daily bool, err error) {
	text, utc := strings.CutSuffix(strings.TrimSpace(line), "Z")
	text, zone := strings.TrimSpace(text), now.Location()
	if utc {
		zone = time.UTC
	}
	if t, err := time.Parse("15:04:05", text); err == nil {
		year, month, day := now.In(zone).Date()
		when = time.Date(year, month, day, t.Hour(), t.Minute(), t.Second(), 0, zone)
		if !when.After(now) {
			when = time.Date(year, month, day+1, t.Hour(), t.Minute(), t.Second(), 0, zone)
		}
		return when, true, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "06-01-02 15:04:05"} {
		if when, err = time.ParseInLocation(layout, text, zone); err == nil {
			break
		}
	}
	switch {
	case err != nil:
		return time.Time{}, false, fmt.Errorf("%q is no time: HH:MM:SS or [YY]YY-MM-DD HH:MM:SS is wanted, with a Z for UTC", text)
	case !when.After(now):
		return time.Time{}, false, fmt.Errorf("%s is past", when.Format(time.RFC3339))
	}
	return when, false, nil
}
