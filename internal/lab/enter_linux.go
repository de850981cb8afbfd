package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// insideVar marks a process that already runs in the lab's namespaces.
const insideVar = "HOLDFAST_LAB_INSIDE"

// binVar names the directory of the programs that a lab runs, see [Bin].
const binVar = "HOLDFAST_LAB_BIN"

// Main is for TestMain of a package whose tests use a [Net]: it builds the given programs, which are Go packages (see [Bin]),
// and runs the tests in the lab's namespaces.
func Main(m *testing.M, programs ...string) {
	switch {
	case underSystemd():
		os.Exit(m.Run())
	case inside():
		exitOn(settle())
		os.Exit(m.Run())
	}
	remove, err := build(programs)
	exitOn(err)
	status, err := enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		unavailable = err
		if status = 1; os.Getenv(requireVar) != "1" {
			status = m.Run()
		}
	}
	remove()
	os.Exit(status)
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// build compiles programs into a directory of their own. Those that run the tests again, in other namespaces or in another
// kernel, find it there.
func build(programs []string) (remove func(), err error) {
	if len(programs) == 0 || os.Getenv(binVar) != "" {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "holdfast-bin-")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", append([]string{"build", "-o", dir + "/"}, programs...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %v: %w: %s", programs, err, out)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // for tests that drop their privileges
		return nil, err
	}
	return func() { os.RemoveAll(dir) }, os.Setenv(binVar, dir)
}

// Bin is the path of a program that [Main] has built, or that stands beside the program that called [Program].
func Bin(name string) string { return filepath.Join(os.Getenv(binVar), name) }

// unavailable is why there are no namespaces here; [New] skips with it.
var unavailable error

func inside() bool { return os.Getenv(insideVar) == "1" }

// enter runs this program again, with the same arguments, in fresh namespaces, passes signals on and returns its exit
// status, or an error when this system allows no namespaces.
func enter() (int, error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVar+"=1")
	cmd.SysProcAttr = namespaces()
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("new namespaces: %w: run as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)", err)
	}
	return relay(cmd), nil
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
