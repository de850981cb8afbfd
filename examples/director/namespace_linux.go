package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// enterNamespace puts the process into a network namespace, unless it is there, by starting itself anew: a namespace is a thread's,
// and only a program that begins in it has all of its threads there.
func enterNamespace(name string) error {
	if name == "" || name == os.Getenv(namespaceVar) {
		return keepFirst()
	}
	first, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY, 0) // it is there in the program that begins anew
	if err != nil {
		return fmt.Errorf("net_namespace: %w", err)
	}
	if err := os.Setenv(firstVar, fmt.Sprintf("/proc/self/fd/%d", first)); err != nil {
		return err
	}
	runtime.LockOSThread()
	ns, err := os.Open(filepath.Join(namedNamespaces, name))
	if err != nil {
		return fmt.Errorf("net_namespace: %w: make it with ip netns add %s", err, name)
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("net_namespace %s: %w", name, err)
	}
	if err := os.Setenv(namespaceVar, name); err != nil {
		return err
	}
	return fmt.Errorf("net_namespace %s: %w", name, syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}

// keepFirst keeps the first namespace from the programs that this one starts.
func keepFirst() error {
	var fd int
	if _, err := fmt.Sscanf(os.Getenv(firstVar), "/proc/self/fd/%d", &fd); err == nil {
		unix.CloseOnExec(fd)
	}
	return nil
}
