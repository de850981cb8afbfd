package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

// TestSplitWithKeepalived: a director and a keepalived that do not hear each other's adverts are both MASTER. The director tells why, as
// far as its link lets it know: by the authentication that the other has, or by its announcements alone.
func TestSplitWithKeepalived(t *testing.T) {
	lab.Need(t, "ip", "keepalived", "nft")
	auth := func(kind string) string {
		return "\n authentication {\n auth_type " + kind + "\n auth_pass s3cret\n }"
	}
	for name, c := range map[string]struct {
		d            dialect
		ours, theirs string // further lines of the director's and of keepalived's configuration
		filter       string // what nobody hears
		kind         string // of conflict
	}{
		"AH, the other has PASS":         {dialects[0], auth("AH"), auth("PASS"), "", "auth"},
		"PASS, the other has AH":         {dialects[0], auth("PASS"), auth("AH"), "", "auth"},
		"none, the other has AH":         {dialects[0], "", auth("AH"), "", "auth"},
		"adverts are filtered":           {dialects[3], "", "", "meta l4proto 112 drop", "claim"},
		"adverts over IPv6 are filtered": {dialects[4], "", "", "meta l4proto 112 drop", "claim"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := lab.New(t)
			with := func(more string) dialect { d := c.d; d.lines += more; return d }
			ours := with(c.ours).router(t, n, "director", "10.9.0.1", "10.9.0.2", 200)
			theirs := with(c.theirs).router(t, n, "keepalived", "10.9.0.2", "10.9.0.1", 100)
			for _, r := range []*router{ours, theirs} {
				if c.filter != "" {
					r.host.MustRun("nft", "add", "table", "inet", "cut")
					r.host.MustRun("nft", "add", "chain", "inet", "cut", "in", "{ type filter hook input priority 0; }")
					r.host.MustRun("nft", append([]string{"add", "rule", "inet", "cut", "in"}, strings.Fields(c.filter)...)...)
				}
				r.start(t)
				within(t, 15*time.Second, r.name+" is MASTER", r.holds)
			}
			says(t, ours.process, "kind="+c.kind)
			if !ours.holds() || !theirs.holds() {
				t.Error("they are not both MASTER any more")
			}
		})
	}
}
