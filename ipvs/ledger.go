package ipvs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ledger remembers in a file which services a Reconciler owns, so that one that is started after a crash knows which entries of
// the table to remove. A key is written before its service is added and crossed out after it is removed: what is in the table
// and ours is always in the file. Without a path it remembers nothing. It is not for several goroutines.
type ledger struct {
	path   string
	file   *os.File
	owned  map[ServiceKey]bool
	length int // lines in the file
}

// slack is how many lines more than needed a ledger has before it is written anew.
const slack = 1024

// open reads what the file says and gets ready to write. A file that is not there is empty; lines that are no keys are told,
// and left out.
func (l *ledger) open() error {
	l.owned = make(map[ServiceKey]bool)
	if l.path == "" {
		return nil
	}
	text, err := os.ReadFile(l.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ipvs: ledger: %w", err)
	}
	owned, bad := parseLedger(text)
	l.owned = owned
	return errors.Join(bad, l.rewrite())
}

// parseLedger reads lines of + or - and a key. The last line may have been cut off by a crash; whatever was to follow it was not
// done yet.
func parseLedger(text []byte) (owned map[ServiceKey]bool, err error) {
	owned = make(map[ServiceKey]bool)
	var errs []error
	for len(text) > 0 {
		line, rest, complete := bytes.Cut(text, []byte("\n"))
		if text = rest; !complete {
			break
		}
		key, err := parseLedgerKey(string(line[min(1, len(line)):]))
		switch {
		case err != nil || line[0] != '+' && line[0] != '-':
			errs = append(errs, fmt.Errorf("ipvs: ledger: line %q is no entry", line))
		case line[0] == '+':
			owned[key] = true
		default:
			delete(owned, key)
		}
	}
	return owned, errors.Join(errs...)
}

// parseLedgerKey reads what [ServiceKey.String] writes.
func parseLedgerKey(text string) (k ServiceKey, err error) {
	kind, rest, _ := strings.Cut(text, " ")
	if kind == "FWM" {
		mark, six := strings.CutSuffix(rest, " IPv6")
		v, err := strconv.ParseUint(mark, 10, 32)
		if err == nil && v == 0 {
			err = errors.New("mark 0")
		}
		return ServiceKey{FWMark: uint32(v), IPv6: six}, err
	}
	for _, p := range []Protocol{TCP, UDP, SCTP} {
		if kind == p.String() {
			k.Protocol = p
		}
	}
	if k.Protocol == 0 {
		return k, fmt.Errorf("no protocol %q", kind)
	}
	k.Addr, err = netip.ParseAddrPort(rest)
	return k, err
}

// add writes down what is about to be ours.
func (l *ledger) add(entries []*entry) error { return l.note('+', entries) }

// remove crosses out what is no longer ours.
func (l *ledger) remove(entries []*entry) error { return l.note('-', entries) }

func (l *ledger) note(sign byte, entries []*entry) error {
	var b []byte
	for _, e := range entries {
		k := e.key
		if l.owned[k] == (sign == '+') {
			continue
		}
		if sign == '+' {
			l.owned[k] = true
		} else {
			delete(l.owned, k)
		}
		b = fmt.Appendf(b, "%c%v\n", sign, k)
		l.length++
	}
	switch {
	case l.path == "" || len(b) == 0:
		return nil
	case l.file == nil || l.length > 2*len(l.owned)+slack:
		return l.rewrite()
	}
	if _, err := l.file.Write(b); err != nil {
		return fmt.Errorf("ipvs: ledger: %w", err)
	}
	return nil
}

// rewrite puts a file of just what is owned into the place of the old one.
func (l *ledger) rewrite() error {
	l.close()
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return fmt.Errorf("ipvs: ledger: %w", err)
	}
	var b []byte
	for k := range l.owned {
		b = fmt.Appendf(b, "+%v\n", k)
	}
	l.length = len(l.owned)
	next := l.path + ".new"
	if err := os.WriteFile(next, b, 0o644); err != nil {
		return fmt.Errorf("ipvs: ledger: %w", err)
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		if err = os.Rename(next, l.path); err == nil {
			l.file = f
			return nil
		}
		f.Close()
	}
	return fmt.Errorf("ipvs: ledger: %w", err)
}

func (l *ledger) close() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}
