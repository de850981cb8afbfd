package vrrp_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/vrrp"
	"github.com/holdfast-lb/holdfast/vrrp/vrrptest"
)

// masterWithin is when a lone router of priority 100 becomes MASTER after its start delay.
const masterWithin = 3*time.Second + 609375*time.Microsecond

// TestStartDelayMoves: what is said of a start delay while it runs counts from the Router's start, and one that is over is over.
func TestStartDelayMoves(t *testing.T) {
	for name, c := range map[string]struct {
		first, second time.Duration
		at            time.Duration // when the second is said
		master        time.Duration
		edit          func(in *vrrp.Instance)
	}{
		"longer":          {10 * time.Second, 20 * time.Second, 4 * time.Second, 20*time.Second + masterWithin, nil},
		"shorter":         {10 * time.Second, 6 * time.Second, 4 * time.Second, 6*time.Second + masterWithin, nil},
		"over already":    {10 * time.Second, 3 * time.Second, 4 * time.Second, 4*time.Second + masterWithin, nil},
		"none":            {10 * time.Second, 0, 4 * time.Second, 4*time.Second + masterWithin, nil},
		"not anew":        {time.Second, 20 * time.Second, 4 * time.Second, time.Second + masterWithin, nil},
		"of an owner":     {10 * time.Second, 6 * time.Second, 4 * time.Second, 6 * time.Second, func(in *vrrp.Instance) { in.Priority = 255 }},
		"of a late owner": {10 * time.Second, 3 * time.Second, 4 * time.Second, 4 * time.Second, func(in *vrrp.Instance) { in.Priority = 255 }},
		"since the boot":  {10 * time.Second, 10 * time.Second, 4 * time.Second, 10*time.Second + masterWithin, func(in *vrrp.Instance) { in.BootDelay = time.Nanosecond }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := instance(100)
				if c.edit != nil {
					c.edit(&in)
				}
				in.StartDelay = c.first
				start := time.Now()
				a := boot(t, vrrptest.NewLAN().Host("10.0.0.1"), in)
				time.Sleep(c.at)
				in.StartDelay = c.second
				if err := a.Set([]vrrp.Instance{in}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				s := a.Status()[0]
				if took := s.Since.Sub(start); s.State != vrrp.Master || took < c.master || took > c.master+5*time.Millisecond {
					t.Errorf("%v after %v, want MASTER after %v", s.State, took, c.master)
				}
			})
		})
	}
}

// TestStartDelayOfALateInterface: an instance whose interface is not there at the start is held still as well, and only once.
func TestStartDelayOfALateInterface(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := vrrptest.NewLAN().Host("10.0.0.1")
		host.Down()
		in := instance(100)
		in.StartDelay = 10 * time.Second
		start := time.Now()
		a := boot(t, host, in)
		time.Sleep(2 * time.Second)
		host.Up()
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := a.Status()[0]; s.State != vrrp.Master || s.Since.Sub(start).Round(time.Second) != (10*time.Second+masterWithin).Round(time.Second) {
			t.Errorf("%v after %v", s.State, s.Since.Sub(start))
		}
		host.Down()
		time.Sleep(time.Second)
		again := time.Now()
		host.Up()
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := a.Status()[0]; s.State != vrrp.Master || s.Since.Sub(again) > 4*time.Second {
			t.Errorf("back from FAULT: %v after %v", s.State, s.Since.Sub(again))
		}
	})
}
