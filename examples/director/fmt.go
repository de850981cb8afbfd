package main

import (
	"bytes"
	"errors"
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
	differs := flags.Bool("check", false, "")
	flags.BoolVar(differs, "d", false, "")
	files, err := parseFiles(flags, args, stdout, stderr)
	if err == nil && *write && *differs {
		err = misused("fmt", stderr, errors.New("-w writes and --check does not"))
	}
	if err != nil {
		return parseStatus(err)
	}
	status := exitOK
	for _, name := range files {
		status = max(status, formatOne(name, *write, *differs, stdout, stderr))
	}
	return status
}

// formatOne prints a file, writes it, or says whether it differs from its canonical layout.
func formatOne(name string, write, differs bool, stdout, stderr io.Writer) int {
	in, err := readInput(name)
	var src []byte
	if err == nil {
		src, err = in.bytes()
	}
	if err == nil && write && in.text != nil {
		err = fmt.Errorf("%s cannot be written to: fmt -w is for files", in.name)
	}
	if err != nil {
		fmt.Fprintln(stderr, "director:", err)
		return exitUsage
	}
	out, err := config.Format(in.name, src)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	same := bytes.Equal(src, out)
	switch {
	case differs && same, write && same:
	case differs:
		fmt.Fprintf(stdout, "%s is not in canonical layout\n", in.name)
		return exitFailed
	case write:
		err = replaceFile(name, out)
	default:
		_, err = stdout.Write(out)
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
