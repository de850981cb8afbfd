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
	// Systemd makes systemd the first process, and the command a service of it. /etc, /var and /usr/local/sbin are the
	// guest's own then; of the units that this machine has there are the journal's and empty targets.
	Systemd bool
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
	command, err := commandScript(box, argv)
	if err != nil {
		return 0, err
	}
	first := initScript(box)
	if u.Systemd {
		first = systemdScript(box)
	}
	for name, script := range map[string]string{"init": first, "command": command} {
		if err := os.WriteFile(filepath.Join(box, name), []byte(script), 0o755); err != nil {
			return 0, err
		}
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
		said, _ := os.ReadFile(filepath.Join(box, "console")) // systemd's
		return 0, fmt.Errorf("lab: User Mode Linux ended before the command did (%v); its console:\n%s", halted, tail(console+string(said), 20))
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
const modules = `ip_vs ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc ip_vs_sh ip_vs_mh ip_vs_dh ip_vs_sed ip_vs_nq ip_vs_lblc ip_vs_lblcr \
ip_vs_fo ip_vs_ovf ip_vs_pe_sip veth dummy macvlan ipvlan vrf bridge sch_netem nf_tables`

// mountScript makes a bare kernel usable. lo must be up, else ip_vs refuses every destination with EINVAL.
const mountScript = `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs -o mode=755 tmpfs /run; mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/shm /run/netns; mount -t tmpfs shm /dev/shm
mkdir -p /lib/modules; mount --bind /usr/lib/uml/modules /lib/modules
ip link set lo up
for m in ` + modules + `; do modprobe -q $m; done
`

// initScript is the guest's first process.
func initScript(box string) string {
	return mountScript + quote(filepath.Join(box, "command")) + "\nsync; halt -f -p\n"
}

// commandScript runs the command where this process is, with its environment.
func commandScript(box string, argv []string) (string, error) {
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
	fmt.Fprintf(&b, "cd %s\n", quote(dir))
	for _, arg := range argv {
		b.WriteString(quote(arg) + " ")
	}
	fmt.Fprintf(&b, "</dev/null >%s 2>&1\necho $? >%s\n", quote(filepath.Join(box, "out")), quote(filepath.Join(box, "status")))
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
