// Command incident tells an outage with real parts: nginx answers on its port while the application behind it is gone. It is
// told twice, with a check that cannot see this and with one that can.
//
// nginx and the application server run on two hosts of a lab; in front of them is the kernel's IPVS, filled by director from
// a keepalived.conf. A client asks through the virtual IP all the time.
package main

import (
	"context"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

func main() {
	lab.Program([]string{"ip", "nginx", "ipvsadm"}, func(ctx context.Context, t lab.T, kernel string) {
		t.Logf("IPVS is that of %s.", kernel)
		for _, check := range []string{tcpCheck, httpCheck} {
			t.Logf("")
			o := tell(ctx, t, check)
			t.Logf("        %s", o.moral())
		}
	})
}
