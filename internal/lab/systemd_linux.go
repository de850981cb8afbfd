package lab

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// systemdVar marks a process that runs in a guest whose first process is systemd.
const systemdVar = "HOLDFAST_LAB_SYSTEMD"

func underSystemd() bool { return os.Getenv(systemdVar) == "1" }

// Systemd is for tests named TestSystemd... that need a service manager. All such tests of the package are run once in User
// Mode Linux under systemd; there the answer is true and the test goes on: the machine is its own, and a [Net] is beside it. t
// gets the verdict and the output that its namesake had there, and the answer is false: the test returns. It may skip or fail
// t, see [Need].
func Systemd(t KernelT) bool {
	t.Helper()
	if underSystemd() {
		return true
	}
	Need(t, "linux.uml", "go", "systemd")
	results, err := systemdResults()
	judge(t, results, err, "TestSystemd")
	return false
}

var systemdResults = sync.OnceValues(func() (map[string]kernelResult, error) {
	return guestResults("^TestSystemd", UML{Systemd: true})
})

// systemdScript prepares what systemd begins with. Only units of the guest's own list are there, so that none of this
// machine's can touch the files that both share.
func systemdScript(box string) string {
	return strings.ReplaceAll(mountScript+`
mkdir -p /run/etc/systemd/system /run/units
cd /etc; cp -a passwd group shadow nsswitch.conf ld.so.cache hosts services protocols ssl alternatives /run/etc 2>/dev/null
echo 0123456789abcdef0123456789abcdef >/run/etc/machine-id
mount --bind /run/etc /etc
for d in /var /usr/local/sbin; do mount -t tmpfs -o mode=755 tmpfs $d; done
mkdir -p /var/log /var/lib /var/tmp; chmod 1777 /var/tmp
cd /lib/systemd/system; cp systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket /run/units
for u in sysinit basic sockets slices network network-online shutdown umount multi-user; do cp $u.target /run/units; done
cat >/run/units/lab.service <<'end'
[Unit]
DefaultDependencies=no
Requires=systemd-journald.socket
After=systemd-journald.socket
[Service]
Type=exec
Environment=`+systemdVar+`=1
ExecStart=BOX/command
ExecStopPost=systemctl poweroff -ff
end
export SYSTEMD_UNIT_PATH=/run/units:/etc/systemd/system SYSTEMD_GENERATOR_PATH=/run/none SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/run/none
exec /lib/systemd/systemd --system --unit=lab.service --log-target=journal --show-status=no </dev/null >BOX/console 2>&1
`, "BOX", filepath.Clean(box))
}
