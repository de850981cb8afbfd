// Package sysctl sets kernel parameters for as long as they are needed, and puts back what was there before.
package sysctl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Keeper remembers what parameters were before it set them. The zero value is ready. Its methods may be called from any
// goroutine.
type Keeper struct {
	// Root is the directory of parameters, /proc/sys if empty.
	Root string

	mu   sync.Mutex // guards kept
	kept map[string]*kept
}

type kept struct {
	before, value string
	users         int
}

// Set sets a parameter ("net/ipv4/conf/eth0/arp_ignore"). It is counted: so many times Set, so many times Release.
func (k *Keeper) Set(name, value string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	before, err := k.read(name)
	if err == nil && before != value {
		err = k.write(name, value)
	}
	if err != nil {
		return fmt.Errorf("sysctl %s = %s: %w", name, value, err)
	}
	if one := k.kept[name]; one != nil && one.value == value {
		one.users++
		return nil
	}
	if k.kept == nil {
		k.kept = make(map[string]*kept)
	}
	k.kept[name] = &kept{before, value, 1}
	return nil
}

// Release puts the parameter back when its last user has gone, unless someone else has changed it since. One that does not exist
// any more is no error.
func (k *Keeper) Release(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	one := k.kept[name]
	if one == nil {
		return nil
	}
	if one.users--; one.users > 0 {
		return nil
	}
	delete(k.kept, name)
	now, err := k.read(name)
	if err == nil && now == one.value && now != one.before {
		err = k.write(name, one.before)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sysctl %s = %s: %w", name, one.before, err)
	}
	return nil
}

// Forget drops what is remembered of parameters whose name begins with prefix: what they are about has gone.
func (k *Keeper) Forget(prefix string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name := range k.kept {
		if strings.HasPrefix(name, prefix) {
			delete(k.kept, name)
		}
	}
}

func (k *Keeper) path(name string) string {
	root := k.Root
	if root == "" {
		root = "/proc/sys"
	}
	return filepath.Join(root, name)
}

func (k *Keeper) read(name string) (string, error) {
	text, err := os.ReadFile(k.path(name))
	return strings.TrimSpace(string(text)), err
}

func (k *Keeper) write(name, value string) error {
	return os.WriteFile(k.path(name), []byte(value), 0o644)
}
