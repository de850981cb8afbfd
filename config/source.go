package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile is far beyond any honest configuration.
const maxFile = 256 << 20

// Loader reads configurations. The zero value reads the files of this host.
type Loader struct {
	// FS holds the files. Nil means those of this host. A leading / in a name is the root of FS.
	FS fs.FS
	// ConfigID is what @id conditions and ${_INSTANCE} are about. Empty means the host's name up to its first dot.
	ConfigID string
	// Getenv answers ${_ENV NAME}. Nil means the environment of this process.
	Getenv func(string) string
	// Cache makes a file cheap to read again. Nil means that all of it is read each time.
	Cache *Cache
}

// LoadFile reads, decodes and lints a file of this host with everything that it includes. The error is about reading it; what
// is wrong with its text is in the diagnostics, and the Config holds what could be understood.
func LoadFile(name string) (*Config, Diagnostics, error) { return Loader{}.Load(name) }

// Load is [LoadFile] for a file of fsys.
func Load(fsys fs.FS, name string) (*Config, Diagnostics, error) { return Loader{FS: fsys}.Load(name) }

// Read is [LoadFile] for text that is at hand; name is for the diagnostics. What it includes is read from this host.
func Read(name string, src []byte) (*Config, Diagnostics) { return Loader{}.Read(name, src) }

// Load reads, decodes and lints the named file with everything that it includes.
func (l Loader) Load(name string) (*Config, Diagnostics, error) {
	text, err := l.readFile(name)
	if err != nil {
		return nil, nil, fmt.Errorf("config: %w", err)
	}
	cfg, diags := l.read(name, text)
	return cfg, diags, nil
}

// Read is Load for text that is at hand.
func (l Loader) Read(name string, src []byte) (*Config, Diagnostics) {
	return l.read(name, string(src))
}

func (l Loader) read(name, text string) (*Config, Diagnostics) {
	if l.Cache != nil {
		d := l.Cache.load(l, name, text)
		return d.cfg, d.diags.sorted()
	}
	d := newDecoder(name)
	e := newExpander(l, &d.diags, d.top)
	e.reuse = true // what the decoder keeps are strings and places
	e.run(name, text)
	d.finish()
	d.diags = append(d.diags, Lint(d.cfg)...)
	return d.cfg, d.diags.sorted()
}

func (l Loader) id() string {
	if l.ConfigID != "" {
		return l.ConfigID
	}
	host, _ := os.Hostname()
	host, _, _ = strings.Cut(host, ".")
	return host
}

func (l Loader) getenv(name string) string {
	if l.Getenv != nil {
		return l.Getenv(name)
	}
	return os.Getenv(name)
}

// readFile reads a regular file that is not executable: keepalived reads no other.
func (l Loader) readFile(name string) (string, error) {
	info, err := l.stat(name)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file but %v", name, info.Mode().Type())
	case info.Mode()&0o111 != 0:
		return "", fmt.Errorf("%s is executable, and keepalived reads no such file: chmod a-x", name)
	case info.Size() > maxFile:
		return "", fmt.Errorf("%s: %w: more than %d bytes", name, errors.ErrUnsupported, maxFile)
	}
	f, err := l.open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var text strings.Builder
	text.Grow(int(info.Size()))
	_, err = io.Copy(&text, io.LimitReader(f, maxFile))
	return text.String(), err
}

func (l Loader) open(name string) (fs.File, error) {
	if l.FS == nil {
		return os.Open(name)
	}
	return l.FS.Open(inFS(name))
}

func (l Loader) stat(name string) (fs.FileInfo, error) {
	if l.FS == nil {
		return os.Stat(name)
	}
	return fs.Stat(l.FS, inFS(name))
}

func inFS(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// glob lists the files that a pattern with braces names, as glob(3) does: each alternative sorted. missing counts the
// alternatives that name nothing.
func (l Loader) glob(pattern string) (names []string, missing int) {
	for _, alternative := range braces(pattern) {
		found := l.globOne(alternative)
		if len(found) == 0 {
			missing++
		}
		names = append(names, found...)
	}
	return names, missing
}

func (l Loader) globOne(pattern string) []string {
	var found []string
	if l.FS == nil {
		found, _ = filepath.Glob(pattern)
	} else {
		found, _ = fs.Glob(l.FS, inFS(pattern))
	}
	hidden := func(name string) bool { // * does not match a leading dot
		return strings.HasPrefix(path.Base(name), ".") && !strings.HasPrefix(path.Base(pattern), ".")
	}
	return slices.DeleteFunc(found, hidden)
}

// maxBraces bounds how many names one pattern may stand for.
const maxBraces = 1024

// braces expands {a,b} as a shell does.
func braces(pattern string) []string {
	open := strings.IndexByte(pattern, '{')
	if open < 0 {
		return []string{pattern}
	}
	depth, start := 0, open+1
	var parts []string
	for i := open; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '{':
			depth++
		case c == ',' && depth == 1:
			parts, start = append(parts, pattern[start:i]), i+1
		case c == '}':
			if depth--; depth > 0 {
				continue
			}
			return joined(pattern[:open], append(parts, pattern[start:i]), pattern[i+1:])
		}
	}
	return []string{pattern} // never closed: an ordinary character
}

func joined(head string, parts []string, tail string) (all []string) {
	for _, part := range parts {
		for _, rest := range braces(part + tail) {
			if len(all) < maxBraces {
				all = append(all, head+rest)
			}
		}
	}
	return all
}
