package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
)

// HasIPVS says whether the running kernel has ip_vs.
func HasIPVS() bool {
	_, _ = netlink.GenlFamilyGet("IPVS") // lets the kernel load the module when it has it
	_, err := os.Stat("/proc/net/ip_vs")
	return err == nil
}

// UML is how to run a command in User Mode Linux: Debian's kernel as an ordinary program, which has ip_vs with every
// scheduler, veth, bridge and netem. It needs no privilege, boots in a few seconds and has the host's files as its root.
type UML struct {
	// Memory of the kernel, such as "2G". Empty means 1G.
	Memory string
	// Output receives what the command prints, while it runs. Nil discards it.
	Output io.Writer
}

// Run boots a kernel, runs the command in it as root, in this process's working directory and with its environment, and
// returns the command's exit status. When ctx ends the kernel is killed, and all that ran in it is gone.
func (u UML) Run(ctx context.Context, argv ...string) (int, error) {
	if _, err := exec.LookPath("linux.uml"); err != nil {
		return 0, fmt.Errorf("%w: this kernel has no ip_vs and user-mode-linux is not installed: run internal/lab/install.sh", errors.ErrUnsupported)
	}
	box, err := os.MkdirTemp("", "holdfast-uml-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(box)
	script, err := initScript(box, argv)
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(box, "init"), []byte(script), 0o755); err != nil {
		return 0, err
	}
	return u.boot(ctx, box)
}

func (u UML) boot(ctx context.Context, box string) (int, error) {
	memory := u.Memory
	if memory == "" {
		memory = "1G"
	}
	cmd := exec.CommandContext(ctx, "linux.uml", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw",
		"mem="+memory, "init="+filepath.Join(box, "init"), "con=null", "con0=null", "quiet")
	console := newTranscript()
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("boot User Mode Linux: %w", err)
	}
	stop := u.follow(filepath.Join(box, "out"))
	err := cmd.Wait()
	stop()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return exitStatus(box, console.String(), err)
}

func exitStatus(box, console string, halted error) (int, error) {
	text, err := os.ReadFile(filepath.Join(box, "status"))
	if err != nil {
		return 0, fmt.Errorf("lab: User Mode Linux ended before the command did (%v); its console:\n%s", halted, tail(console, 20))
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

func tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// follow copies what the guest appends to a file, until the returned function is called, which copies the rest.
func (u UML) follow(path string) (stop func()) {
	if u.Output == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		var offset int64
		for last := false; !last; {
			select {
			case <-end:
				last = true
			case <-time.After(30 * time.Millisecond):
			}
			offset += u.copyFrom(path, offset)
		}
	}()
	return func() { close(end); <-ended }
}

func (u UML) copyFrom(path string, offset int64) int64 {
	f, err := os.Open(path)
	if err != nil {
		return 0 // not there yet
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return 0
	}
	n, _ := io.Copy(u.Output, f)
	return n
}

// modules are loaded before the command runs: on the guest's root the kernel cannot load them by itself.
const modules = `ip_vs ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc ip_vs_sh ip_vs_mh ip_vs_dh ip_vs_sed ip_vs_nq ip_vs_lblc ip_vs_lblcr
ip_vs_fo ip_vs_ovf ip_vs_pe_sip veth dummy macvlan ipvlan vrf bridge sch_netem nf_tables`

// initScript is the guest's first process. lo must be up, else ip_vs refuses every destination with EINVAL.
func initScript(box string, argv []string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("#!/bin/sh\n")
	for _, kv := range os.Environ() {
		if k, v, ok := strings.Cut(kv, "="); ok && shellName(k) && k != insideVar {
			fmt.Fprintf(&b, "export %s=%s\n", k, quote(v))
		}
	}
	b.WriteString("export PATH=$PATH:/usr/local/go/bin:/usr/sbin:/sbin:/usr/bin:/bin\n")
	b.WriteString("mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmpfs /run; mount -t devtmpfs dev /dev 2>/dev/null\n")
	b.WriteString("mkdir -p /dev/shm /run/netns; mount -t tmpfs shm /dev/shm\n")
	b.WriteString("mkdir -p /lib/modules; mount --bind /usr/lib/uml/modules /lib/modules\n")
	b.WriteString("ip link set lo up\nfor m in " + strings.ReplaceAll(modules, "\n", " ") + "; do modprobe -q $m; done\n")
	fmt.Fprintf(&b, "cd %s\n", quote(dir))
	for _, arg := range argv {
		b.WriteString(quote(arg) + " ")
	}
	fmt.Fprintf(&b, "</dev/null >%s 2>&1\necho $? >%s\n", quote(filepath.Join(box, "out")), quote(filepath.Join(box, "status")))
	b.WriteString("sync; halt -f -p\n")
	return b.String(), nil
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func shellName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}
