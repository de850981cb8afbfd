package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// The signals of keepalived. jsonSignal is SIGRTMIN+2, as Debian's keepalived has it.
const (
	dataSignal  = syscall.SIGUSR1
	statsSignal = syscall.SIGUSR2
	jsonSignal  = syscall.Signal(36)
)

// signalNumbers are what --signum tells.
var signalNumbers = map[string]syscall.Signal{
	"STOP": syscall.SIGTERM, "RELOAD": syscall.SIGHUP, "DATA": dataSignal, "STATS": statsSignal, "JSON": jsonSignal,
}

// serveSignals does what signals ask for, one after another.
func (d *director) serveSignals(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			switch s {
			case syscall.SIGHUP:
				_ = d.reload(ctx, "SIGHUP") // it has told
			case handoverSignal:
				d.log.Info("leaving everything to a successor")
				d.controller.Handover()
			default:
				d.dumpTo(s)
			}
		}
	}
}

// dumpTo writes what the signal asks for where keepalived does.
func (d *director) dumpTo(s os.Signal) {
	d.mu.Lock()
	g := d.global
	d.mu.Unlock()
	status := d.controller.Status()
	var name string
	var err error
	switch s {
	case dataSignal:
		name, err = writeDump(g.StateDumpFile, "keepalived.data", func(w io.Writer) error { return writeData(w, d.file, status) })
	case statsSignal:
		name, err = writeDump(g.StatsDumpFile, "keepalived.stats", func(w io.Writer) error { return writeStats(w, status) })
	case jsonSignal:
		name, err = writeDump(g.JSONDumpFile, "keepalived.json", func(w io.Writer) error { return writeKeepalivedJSON(w, status, g.JSONVersion) })
	}
	if err != nil {
		d.log.Error("dump not written", "error", err)
		return
	}
	d.log.Info("dump written", "file", name)
}

// writeDump replaces the named file, or the usual one in the folder for temporary files, as a whole: whoever reads it
// meanwhile gets the old one, and a link that somebody laid there is not followed.
func writeDump(name, usual string, write func(io.Writer) error) (string, error) {
	if name == "" {
		name = filepath.Join(os.TempDir(), usual)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name()) // nothing is there any more once it is renamed
	err = errors.Join(write(f), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	return name, err
}

// printSignal is --signum.
func printSignal(name string, stdout, stderr io.Writer) int {
	n, known := signalNumbers[strings.ToUpper(name)]
	if !known {
		fmt.Fprintf(stderr, "director: --signum %s: STOP, RELOAD, DATA, STATS and JSON exist\n", name)
		return exitUsage
	}
	fmt.Fprintln(stdout, int(n))
	return exitOK
}
