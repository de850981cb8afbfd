package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// writePIDs writes what is not written yet.
func (d *director) writePIDs() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pids != nil {
		return nil
	}
	release, err := writePIDFiles(d.pidFiles)
	if err != nil {
		release()
		return err
	}
	d.pids = release
	return nil
}

func (d *director) removePIDs() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pids != nil {
		d.pids()
	}
}

// writePIDFiles writes our process id into each of the files and locks them, so that a second director with one of them
// does not start. release removes them.
func writePIDFiles(names []string) (release func(), err error) {
	var held []*os.File
	release = func() {
		for _, f := range held {
			os.Remove(f.Name())
			f.Close()
		}
	}
	for _, name := range names {
		f, err := writePIDFile(name)
		if err != nil {
			return release, fmt.Errorf("pid file %s: %w", name, err)
		}
		held = append(held, f)
	}
	return release, nil
}

func writePIDFile(name string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|noFollow, 0o644)
	if err != nil {
		return nil, err
	}
	if err = lock(f); err == nil {
		err = stillThere(f)
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// stillThere says whether the file that is locked is the one of that name: the one who had it may have removed it.
func stillThere(f *os.File) error {
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	if named, err := os.Lstat(f.Name()); err != nil || !os.SameFile(ours, named) {
		return errors.New("another director has just left: try again")
	}
	return nil
}
