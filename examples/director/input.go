package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/holdfast-lb/holdfast/config"
)

// maxInput is far beyond any honest configuration.
const maxInput = 64 << 20

// input is a file to look at. Its text is there when it came through a pipe, which can be read once.
type input struct {
	name string
	text []byte
}

// readInput takes - for standard input, and reads pipes and terminals. Everything else is left to who reads files.
func readInput(name string) (input, error) {
	if name == "-" {
		return readAll("<stdin>", os.Stdin)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode()&(os.ModeNamedPipe|os.ModeCharDevice) == 0 {
		return input{name: name}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return input{}, err
	}
	defer f.Close()
	return readAll(name, f)
}

func readAll(name string, r io.Reader) (input, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return input{}, fmt.Errorf("%s: %w", name, err)
	}
	if len(text) > maxInput {
		return input{}, fmt.Errorf("%s: %w: more than %d bytes", name, errors.ErrUnsupported, maxInput)
	}
	return input{name, append([]byte{}, text...)}, nil
}

func (in input) load(l config.Loader) (*config.Config, config.Diagnostics, error) {
	if in.text == nil {
		return l.Load(in.name)
	}
	cfg, diags := l.Read(in.name, in.text)
	return cfg, diags, nil
}

// bytes is the text, wherever it is.
func (in input) bytes() ([]byte, error) {
	if in.text == nil {
		return os.ReadFile(in.name)
	}
	return in.text, nil
}
