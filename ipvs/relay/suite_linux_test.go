package relay

import (
	"testing"

	"github.com/holdfast-lb/holdfast/internal/lab"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/ipvstest"
)

// TestRelayKeepsTheSuite: for what can be relayed, the relay is a table like the kernel's.
func TestRelayKeepsTheSuite(t *testing.T) {
	lab.NeedRoot(t) // for ports below 1024; the lab's namespaces make it so
	ipvstest.Suite(t, func(t *testing.T) ipvs.Table { return New(Options{}) }, func(s ipvs.Service) bool {
		kind, err := check(&s)
		return kind == nil && err == nil
	})
}
