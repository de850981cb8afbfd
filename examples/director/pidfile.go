package main

import (
	"fmt"
	"os"
	"path/filepath"
)

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
