package config_test

import (
	"slices"
	"testing"
)

// TestTheRightOneCounts: of what is given twice, the one counts that keepalived takes.
func TestTheRightOneCounts(t *testing.T) {
	cfg, _ := read(`
vrrp_track_process web {
    process nginx -g
    process apache
    weight 5
    weight 6
}
vrrp_track_file load {
    file /run/a
    file /run/b
}
` + inst("advert_int 2\n advert_int 3\n notify /bin/first\n notify /bin/second"))
	if p := cfg.Processes[0]; !slices.Equal(p.Command, []string{"nginx", "-g"}) || p.Weight != 5 {
		t.Errorf("process %v, weight %d", p.Command, p.Weight)
	}
	if path := cfg.Files[0].Path; path != "/run/a" {
		t.Errorf("file %s", path)
	}
	v := cfg.Instances[0]
	if v.AdvertInt.Seconds() != 3 {
		t.Errorf("advert_int %v", v.AdvertInt)
	}
	if args := v.Programs["notify"].Args; !slices.Equal(args, []string{"/bin/first"}) {
		t.Errorf("notify %v", args)
	}
}
