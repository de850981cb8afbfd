package ipvs_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/ipvs"
)

func pool(edit func(p *ipvs.Pool)) ipvs.Pool {
	p := ipvs.Pool{Service: service(80)}
	for _, d := range web(1, 2).Destinations {
		p.Servers = append(p.Servers, ipvs.RealServer{Destination: d})
	}
	if edit != nil {
		edit(&p)
	}
	return p
}

var sorry = &ipvs.RealServer{Destination: ipvs.Destination{Addr: netip.MustParseAddrPort("10.0.1.9:80"), Weight: 1}}

func TestPoolWant(t *testing.T) {
	inhibit := func(p *ipvs.Pool) { p.Servers[0].Inhibit = true }
	withSorry := func(p *ipvs.Pool) { p.Sorry = sorry }
	for name, c := range map[string]struct {
		edit func(p *ipvs.Pool)
		up   []bool
		had  bool
		want string // host:weight
		has  bool
	}{
		"all well":                     {nil, []bool{true, true}, true, "1:1 2:2", true},
		"one down":                     {nil, []bool{false, true}, true, "2:2", true},
		"one down, inhibited":          {inhibit, []bool{false, true}, true, "1:0 2:2", true},
		"all down":                     {nil, []bool{false, false}, true, "", false},
		"all down, sorry":              {withSorry, []bool{false, false}, true, "9:1", false},
		"back, sorry goes":             {withSorry, []bool{true, false}, false, "1:1", true},
		"quorum 3 lost, sorry":         {func(p *ipvs.Pool) { p.Quorum, p.Sorry = 3, sorry }, []bool{false, true}, true, "9:1", false},
		"quorum 3 lost, no sorry":      {func(p *ipvs.Pool) { p.Quorum = 3 }, []bool{false, true}, true, "2:2", false},
		"hysteresis keeps the quorum":  {func(p *ipvs.Pool) { p.Quorum, p.Hysteresis = 3, 1 }, []bool{false, true}, true, "2:2", true},
		"hysteresis denies the quorum": {func(p *ipvs.Pool) { p.Quorum, p.Hysteresis, p.Sorry = 3, 1, sorry }, []bool{true, true}, false, "9:1", false},
		"sorry server inhibited": {func(p *ipvs.Pool) { s := *sorry; s.Inhibit = true; p.Sorry = &s },
			[]bool{true, true}, true, "1:1 2:2 9:0", true},
	} {
		p := pool(c.edit)
		if err := p.Validate(); err != nil {
			t.Fatal(name, err)
		}
		s, has := p.Want(c.up, c.had)
		var got []string
		for _, d := range s.Destinations {
			b := d.Addr.Addr().As4()
			got = append(got, string('0'+b[3])+":"+string('0'+byte(d.Weight)))
		}
		if strings.Join(got, " ") != c.want || has != c.has {
			t.Errorf("%s: %v quorum %v, want %s quorum %v", name, got, has, c.want, c.has)
		}
	}
}

func TestPoolValidate(t *testing.T) {
	p := pool(func(p *ipvs.Pool) { p.Quorum, p.Hysteresis = 2, 2 })
	if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "hysteresis 2") {
		t.Fatal(err)
	}
}
