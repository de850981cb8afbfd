// Package iproute reads routes and policy rules in the words of ip-route(8) and ip-rule(8), as keepalived.conf has them, and says
// them to the kernel. Names of tables, protocols, scopes and realms may be those of iproute2's files: they are looked up when
// the kernel is told, so that a text reads the same on every machine.
package iproute

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Error is what is wrong with a text, and at which of its words; -1 is the text as a whole.
type Error struct {
	Word int
	Msg  string
}

func (e *Error) Error() string { return e.Msg }

// Name is a number, or the name of one in a file of iproute2.
type Name string

// words is a text being read.
type words struct {
	all  []string
	next int
}

func (w *words) more() bool { return w.next < len(w.all) }

func (w *words) take() string {
	w.next++
	return w.all[w.next-1]
}

func (w *words) skip(word string) bool {
	if w.more() && w.all[w.next] == word {
		w.next++
		return true
	}
	return false
}

// bad is an error at the word taken last.
func (w *words) bad(format string, args ...any) error {
	return &Error{w.next - 1, fmt.Sprintf(format, args...)}
}

// value is the word after an option.
func (w *words) value(option string) (string, error) {
	if !w.more() {
		return "", &Error{w.next - 1, option + " has no value"}
	}
	return w.take(), nil
}

func (w *words) number(option string, bits int) (uint64, error) {
	text, err := w.value(option)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(text, 0, bits)
	if err != nil {
		return 0, w.bad("%s: %s is not a number of %d bits", option, text, bits)
	}
	return n, nil
}

func (w *words) name(option string) (Name, error) {
	text, err := w.value(option)
	if err == nil && strings.Trim(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-/") != "" {
		err = w.bad("%s: %s is neither a name nor a number", option, text)
	}
	return Name(text), err
}

func (w *words) iface(option string) (string, error) {
	text, err := w.value(option)
	if err == nil && len(text) > 15 {
		err = w.bad("%s: %s is longer than the 15 bytes of an interface's name", option, text)
	}
	return text, err
}

func (w *words) addr(option string) (netip.Addr, error) {
	text, err := w.value(option)
	if err != nil {
		return netip.Addr{}, err
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return a, w.bad("%s: %s is no IP address", option, text)
	}
	return a, nil
}

// prefix reads ADDR[/LEN].
func (w *words) prefix(text string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, w.bad("%s is not an IP address, with or without a prefix length", text)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// time reads a time in milliseconds, or with a unit.
func (w *words) time(option string) (uint32, error) {
	text, err := w.value(option)
	if err != nil {
		return 0, err
	}
	scale := 1.0
	number := strings.TrimSuffix(text, "ms")
	if number == text && strings.HasSuffix(text, "s") {
		number, scale = strings.TrimSuffix(text, "s"), 1000
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v < 0 || v*scale > 1<<28 {
		return 0, w.bad("%s: %s is no time like 300ms or 2s", option, text)
	}
	return uint32(v * scale), nil
}
