package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// TestScriptNotYetRunIsNoFault: until a script that takes to FAULT has ended for the first time its instance takes no part, and
// for a second nobody is told of a FAULT.
func TestScriptNotYetRunIsNoFault(t *testing.T) {
	lab.Need(t, "ip", "keepalived")
	const conf = `
global_defs {
    script_user root
}
vrrp_script slow {
    script "DIR/slow"
    interval 5
}
vrrp_instance A {
    interface eth0
    state BACKUP
    virtual_router_id 51
    version 3
    advert_int 0.5
    track_script {
        slow
    }
    virtual_ipaddress {
        10.9.0.100/24
    }
    notify "DIR/told A"
}
`
	for _, name := range []string{"director", "keepalived"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNarrator(t, name)
			n.script(t, "slow", "sleep 0.6")
			n.start(t, conf, "--ipvs", "none")
			time.Sleep(300 * time.Millisecond) // the real program: nothing may be told
			if n.host.Has(vip) {
				t.Error("it takes part before the script has ended")
			}
			n.hears(t, "told", "MASTER")
			var states []string
			for line := range strings.Lines(n.heard("told")) {
				states = append(states, strings.Fields(line)[3])
			}
			if got := strings.Join(states, " "); got != "BACKUP MASTER" {
				t.Errorf("told %s\n%s", got, n.heard("told"))
			}
		})
	}
}
