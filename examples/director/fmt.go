package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfast-lb/holdfast/config"
)

func fmtCommand(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("fmt", flag.ContinueOnError)
	write := flags.Bool("w", false, "")
	files, err := parse(flags, args, 1, stderr)
	if err != nil {
		return exitUsage
	}
	src, err := os.ReadFile(files[0])
	if err != nil {
		fmt.Fprintln(stderr, "director:", err)
		return exitUsage
	}
	out, err := config.Format(files[0], src)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	switch {
	case !*write:
		_, err = stdout.Write(out)
	case !bytes.Equal(src, out):
		err = replaceFile(files[0], out)
	}
	if err != nil {
		fmt.Fprintln(stderr, "director:", err)
		return exitFailed
	}
	return exitOK
}

// replaceFile writes beside the file and renames: whoever reads it meanwhile gets the old text or the new one. Its mode and,
// where allowed, its owner are kept. A symbolic link stays one.
func replaceFile(name string, text []byte) error {
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing is there any more once it is renamed
	if err := fill(f, text, info); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

func fill(f *os.File, text []byte, like fs.FileInfo) error {
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	keepOwner(f, like)
	if err := f.Chmod(like.Mode().Perm()); err != nil {
		return err
	}
	return f.Sync()
}
