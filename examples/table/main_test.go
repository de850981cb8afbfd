package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
)

const held = "-A -t 192.0.2.10:80 -s wlc\n-a -t 192.0.2.10:80 -r 10.0.0.1:80 -m -w 1\n-a -t 192.0.2.10:80 -r 10.0.0.2:80 -m -w 3\n"

// TestKeep: the service is there, what somebody changes is put right, and at the end it is gone.
func TestKeep(t *testing.T) {
	want, err := describe("192.0.2.10:80", "wlc", []string{"10.0.0.1:80", "10.0.0.2:80=3"})
	if err != nil {
		t.Fatal(err)
	}
	if plan := ipvs.Diff(nil, []ipvs.Service{want}).String(); plan != held {
		t.Errorf("plan:\n%s", plan)
	}
	synctest.Test(t, func(t *testing.T) {
		var table ipvstest.Fake
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- keep(ctx, &table, want) }()
		synctest.Wait()
		stranger := want.Destinations[0]
		stranger.Weight = 9
		if err := table.Apply(ctx, ipvs.Plan{{Action: ipvs.EditDestination, Service: want, Destination: stranger}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if dump := table.Dump(); dump != held {
			t.Errorf("after another's change:\n%s", dump)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if dump := table.Dump(); dump != "" {
			t.Errorf("at the end:\n%s", dump)
		}
	})
}

func TestBadArguments(t *testing.T) {
	for _, c := range [][]string{{"nowhere", "wlc"}, {"192.0.2.10:80", "wlc", "nowhere"}, {"192.0.2.10:80", "wlc", "10.0.0.1:80=much"}, {"192.0.2.10:80", "wlc", "10.0.0.1:80=-1"}} {
		if _, err := describe(c[0], c[1], c[2:]); err == nil {
			t.Errorf("%v is accepted", c)
		}
	}
}
