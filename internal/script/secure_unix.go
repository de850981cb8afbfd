//go:build unix

package script

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links are followed, as Linux does.
const maxLinks = 40

// secure walks every component of a path as it is given, and of whatever its symbolic links lead to, and says which one
// others than root could change. A program that runs neither as root nor in root's group, and does not become so by
// itself, may belong to anybody.
func secure(path string, who identity) error {
	info, err := os.Stat(path)
	if err != nil {
		return unwrapPath(err)
	}
	if who.uid != 0 && who.gid != 0 && !setsRoot(info) {
		return nil
	}
	at, rest := "/", strings.Split(filepath.Clean(path), "/")
	links := 0
	if err := onlyRoot(at); err != nil {
		return err
	}
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		next := filepath.Join(at, name) // .. too: at has no links in it
		if err := onlyRoot(next); err != nil {
			return err
		}
		target, err := os.Readlink(next)
		if err != nil { // no link
			at = next
			continue
		}
		if links++; links > maxLinks {
			return syscall.ELOOP
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return nil
}

func setsRoot(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (info.Mode()&fs.ModeSetuid != 0 && stat.Uid == 0 || info.Mode()&fs.ModeSetgid != 0 && stat.Gid == 0)
}

// onlyRoot says what is wrong with one component.
func onlyRoot(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return unwrapPath(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: its owner is unknown", path)
	}
	mode := info.Mode()
	switch {
	case stat.Uid != 0:
		return fmt.Errorf("not secure: %s belongs to user %d; chown root %s", path, stat.Uid, path)
	case mode&fs.ModeSymlink != 0, mode.IsDir() && mode&fs.ModeSticky != 0:
		return nil
	case mode.Perm()&0o002 != 0, mode.Perm()&0o020 != 0 && stat.Gid != 0:
		return fmt.Errorf("not secure: %s can be written by others than root; chmod go-w %s", path, path)
	}
	return nil
}
