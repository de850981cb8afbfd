package lab

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// FRR is a daemon of FRR in a host.
type FRR struct {
	*Process
	host        *Host
	dir, daemon string
}

// FRR runs daemons of FRR ("zebra", "bfdd") in the host, each with the whole configuration; the last is the one to talk to.
func (h *Host) FRR(config string, daemons ...string) *FRR {
	h.net.t.Helper()
	NeedRoot(h.net.t) // they give their privileges up, to a user of their own
	Need(h.net.t, "vtysh")
	dir, err := os.MkdirTemp("", "holdfast-frr-")
	h.net.must(err)
	h.net.t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "frr.conf")
	h.net.must(os.WriteFile(file, []byte(config), 0o644))
	h.net.must(exec.Command("chown", "-R", "frr:frr", dir).Run())
	f := &FRR{host: h, dir: dir}
	for _, daemon := range daemons {
		args := []string{"-u", "frr", "-g", "frr", "-i", dir + "/" + daemon + ".pid", "-f", file, "--vty_socket", dir, "-P", "0", "-z", dir + "/zserv", "--log", "stdout"}
		if daemon == "bfdd" {
			args = append(args, "--bfdctl", dir+"/bfdd.sock")
		}
		f.Process, f.daemon = h.Start(context.Background(), "/usr/lib/frr/"+daemon, args...), daemon
		h.net.must(f.started())
	}
	return f
}

// started waits until the daemon has its sockets: one that finds no zebra tries again 10 s later.
func (f *FRR) started() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return f.WaitFor(ctx, "starting: vty")
}

// Tell gives commands to the daemon, each as if typed, and returns what it answers.
func (f *FRR) Tell(commands ...string) (string, error) {
	args := []string{"--vty_socket", f.dir, "-d", f.daemon}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	return f.host.Run(context.Background(), "vtysh", args...)
}
