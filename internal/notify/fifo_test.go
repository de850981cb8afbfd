//go:build unix

package notify

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestFIFOIsMadeWrittenAndRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	f, err := OpenFIFO(path, "", "")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode()&fs.ModeNamedPipe == 0 || info.Mode().Perm()&^0o644 != 0 {
		t.Errorf("made %v, %v", info, err)
	}
	for i := range 3 { // before there is a reader
		if err := f.Write(t.Context(), fmt.Sprintln("line", i)); err != nil {
			t.Error(err)
		}
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	lines := bufio.NewScanner(reader)
	for i := range 3 {
		if lines.Scan(); lines.Text() != fmt.Sprint("line ", i) {
			t.Errorf("read %q", lines.Text())
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the end: %v", err)
	}
}

func TestFIFOThatIsThereStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFIFO(path, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// TestFullFIFOIsToldAndNeverBlocks longer than it may.
func TestFullFIFOIsToldAndNeverBlocks(t *testing.T) {
	f, err := OpenFIFO(filepath.Join(t.TempDir(), "fifo"), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	line := strings.Repeat("x", 4095) + "\n"
	for err = nil; err == nil; {
		err = f.Write(ctx, line)
	}
	if !strings.Contains(err.Error(), "nobody reads it") {
		t.Errorf("error: %v", err)
	}
}

func TestFIFORefusesWhatIsNone(t *testing.T) {
	dir := t.TempDir()
	for name, make := range map[string]func(string) error{
		"no pipe": func(path string) error { return os.WriteFile(path, nil, 0o644) },
		"symbolic links": func(path string) error {
			return errors.Join(syscall.Mkfifo(path+".real", 0o644), os.Symlink(path+".real", path))
		},
		"no such file": func(string) error { return nil },
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		if name == "no such file" {
			path = filepath.Join(dir, "none", "fifo")
		}
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenFIFO(path, "", ""); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := filepath.Join(dir, "user")
	if _, err := OpenFIFO(path, "nobody-of-that-name", ""); err == nil {
		t.Error("an unknown user is taken")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a pipe was left behind")
	}
}
