package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// insideVar marks a process that already runs in the lab's namespaces.
const insideVar = "HOLDFAST_LAB_INSIDE"

// Main is for TestMain of a package whose tests use a [Net]: it runs the tests in the lab's namespaces.
func Main(m *testing.M) {
	if err := Enter(); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		if os.Getenv(requireVar) == "1" {
			os.Exit(1)
		}
		unavailable = err
	}
	os.Exit(m.Run())
}

// unavailable is why there are no namespaces here; [New] skips with it.
var unavailable error

// Enter puts the calling program into the lab: it runs the program again, with the same arguments, in fresh namespaces,
// passes signals on and exits with its status. It returns only inside, or with an error when this system allows no
// namespaces. Call it first thing in main.
func Enter() error {
	if os.Getenv(insideVar) == "1" {
		return settle()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVar+"=1")
	cmd.SysProcAttr = namespaces()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("new namespaces: %w: run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)", err)
	}
	os.Exit(relay(cmd))
	return nil
}

// namespaces asks for everything that a lab changes: links, mounts, processes. Death of the parent is death of the lab.
func namespaces() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

// relay passes signals to the lab and returns its exit status.
func relay(cmd *exec.Cmd) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP)
	go func() {
		for s := range signals {
			if s == syscall.SIGINT {
				continue // a terminal's Ctrl-C reaches the whole process group anyway
			}
			_ = cmd.Process.Signal(s)
		}
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal())
		}
		return exit.ExitCode()
	}
	return 0
}

// settle makes the fresh namespaces usable: a /proc of their own, room for named namespaces, loopback up.
func settle() error {
	if settled {
		return nil
	}
	settled = true
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	return ip("link", "set", "lo", "up")
}

var settled bool
