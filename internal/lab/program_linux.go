package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// kernelVar carries the answer to "which kernel" to where the scene runs.
const kernelVar = "HOLDFAST_LAB_KERNEL"

// Program is the main function of a program that plays a scene in the lab, on a kernel with ip_vs: this machine's if it has
// it, else User Mode Linux; kernel says which. Programs of the repository that the scene needs stand beside it, see [Bin].
// needs are programs of the system. Program does not return: it exits with status 0 when the scene does, and with 1 when
// the scene calls Fatalf, when ctx ends (Ctrl-C), or when something is missing. Nothing of the lab outlives it.
func Program(needs []string, scene func(ctx context.Context, t T, kernel string)) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	switch {
	case inside():
		exitOn(settle())
		os.Exit(play(ctx, func(t T) { scene(ctx, t, os.Getenv(kernelVar)) }))
	case os.Getenv(kernelVar) != "" || HasIPVS():
		if os.Getenv(kernelVar) == "" {
			exitOn(prepare(needs, "this machine's kernel"))
		}
		status, err := enter()
		exitOn(err)
		os.Exit(status)
	}
	exitOn(prepare(append(needs, "linux.uml"), "User Mode Linux, for this machine's kernel has no ip_vs"))
	self, err := os.Executable()
	exitOn(err)
	status, err := UML{Output: os.Stdout}.Run(ctx, append([]string{self}, os.Args[1:]...)...)
	if ctx.Err() != nil {
		fmt.Println(interrupted)
		os.Exit(1)
	}
	exitOn(err)
	os.Exit(status)
}

const interrupted = "interrupted; everything is cleaned up"

// prepare looks for what is needed, and says where it is.
func prepare(needs []string, kernel string) error {
	for _, name := range needs {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is not installed: as root, run internal/lab/install.sh", name)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if os.Getenv(binVar) == "" {
		if err := os.Setenv(binVar, filepath.Dir(self)); err != nil {
			return err
		}
	}
	return os.Setenv(kernelVar, kernel)
}

// player is the T of a program.
type player struct {
	cleanups []func()
}

// failed is what Fatalf panics with, to unwind to play.
type failed struct{ message string }

// play runs a scene to its end, whatever that is, and cleans up.
func play(ctx context.Context, scene func(T)) (status int) {
	p := &player{}
	defer func() {
		end := recover()
		p.clean()
		failure, expected := end.(failed)
		switch {
		case end != nil && !expected:
			panic(end)
		case ctx.Err() != nil:
			fmt.Println(interrupted)
			status = 1
		case expected:
			fmt.Fprintln(os.Stderr, failure.message)
			status = 1
		}
	}()
	scene(p)
	return 0
}

func (p *player) clean() {
	for i := len(p.cleanups) - 1; i >= 0; i-- {
		p.cleanups[i]()
	}
}

func (p *player) Helper()                    {}
func (p *player) Logf(f string, args ...any) { fmt.Printf(f+"\n", args...) }
func (p *player) Skipf(f string, args ...any) {
	p.Fatalf(f, args...)
}
func (p *player) Fatalf(f string, args ...any) { panic(failed{fmt.Sprintf(f, args...)}) }
func (p *player) Cleanup(f func())             { p.cleanups = append(p.cleanups, f) }
