package sysctl_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/sysctl"
)

func TestKeeper(t *testing.T) {
	k := &sysctl.Keeper{Root: t.TempDir()}
	write := func(value string) {
		if err := os.WriteFile(filepath.Join(k.Root, "x"), []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := func(value string) {
		t.Helper()
		if b, _ := os.ReadFile(filepath.Join(k.Root, "x")); string(b) != value {
			t.Errorf("x is %q, want %q", b, value)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write("0")
	do(k.Set("x", "1"))
	do(k.Set("x", "1"))
	want("1")
	do(k.Release("x"))
	want("1")
	do(k.Release("x"))
	want("0")
	do(k.Release("x")) // once too often

	do(k.Set("x", "1"))
	write("2") // someone else
	do(k.Release("x"))
	want("2")

	if err := k.Set("none", "1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a parameter that there is not: %v", err)
	}
	do(k.Set("x", "3"))
	do(os.Remove(filepath.Join(k.Root, "x")))
	do(k.Release("x"))
}
