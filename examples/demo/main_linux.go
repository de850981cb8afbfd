// Command demo shows Holdfast at work: two directors hold a virtual IP, balance three web servers for a client that asks all
// the time, and lose, one after the other, a web server and the active director.
package main

import (
	"context"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

func main() {
	lab.Program([]string{"ip", "nginx", "ipvsadm"}, func(ctx context.Context, t lab.T, kernel string) {
		t.Logf("Two directors, three web servers and a client on one switch. IPVS is that of %s.", kernel)
		play(ctx, t)
	})
}
