package holdfast_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/ipvs"
)

// TestChecksRestWithoutTheAddress: nobody is asked while another host has the service's address, and what was known stays.
func TestChecksRestWithoutTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		host := w.lan.Host("10.0.0.7")
		w.c = holdfast.New(holdfast.Options{Network: host, Table: w.table})
		spec := w.spec()
		spec.Services[0].HASuspend = true
		marked := w.service("10.0.0.100:443")
		marked.ServiceKey, marked.HASuspend = ipvs.ServiceKey{FWMark: 7}, true
		spec.Services = append(spec.Services, marked)
		w.start(t, spec)
		defer w.stop(t)
		checks := func(service int) uint64 { return w.c.Status().Services[service].Servers[1].Checks[0].Checks }
		time.Sleep(3 * time.Second)
		if checks(0) != 0 || checks(1) == 0 {
			t.Errorf("as BACKUP %d checks were made, and %d by mark", checks(0), checks(1))
		}
		time.Sleep(20 * time.Second)
		w.servers[1].Down()
		time.Sleep(20 * time.Second)
		if n := checks(0); n == 0 || w.c.Status().Services[0].Servers[1].Up {
			t.Errorf("as MASTER %d checks were made, and the dead server is up: %v", n, w.c.Status().Services[0].Servers[1].Up)
		}
		host.Down()
		time.Sleep(5 * time.Second)
		w.servers[1].Up()
		rested := checks(0)
		time.Sleep(20 * time.Second)
		if n := checks(0); n != rested || w.c.Status().Services[0].Servers[1].Up {
			t.Errorf("in FAULT %d checks were made, or the server is back", n-rested)
		}
		host.Up()
		time.Sleep(20 * time.Second)
		if !w.c.Status().Services[0].Servers[1].Up {
			t.Error("the server is not back")
		}
	})
}
