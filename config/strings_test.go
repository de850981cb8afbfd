package config

import (
	"fmt"
	"testing"
)

// TestStrings: what is decoded prints as what it is, not as its place.
func TestStrings(t *testing.T) {
	c, diags := Read("in.conf", []byte(`vrrp_script S {
    script "/bin/true"
}
vrrp_instance A {
    interface eth0
    virtual_router_id 5
    virtual_ipaddress {
        10.0.0.5/24
    }
    track_script {
        S
    }
}
vrrp_sync_group G {
    group {
        A
    }
}
virtual_server 10.0.0.5 80 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 10.0.0.6 81 {
        HTTP_GET {
            url {
                path /up
            }
        }
        MISC_CHECK {
            misc_path "/bin/true"
        }
    }
}
`))
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	a, v := c.Instances[0], c.VirtualServers[0]
	r := v.RealServers[0]
	got := fmt.Sprint(a, "|", a.Addresses, a.Tracks, c.Scripts, c.SyncGroups, c.SyncGroups[0].Members, v, "|", r, "|", r.Checks, r.Checks[0].URLs)
	if want := "A|[10.0.0.5/24] [script S] [S] [G] [A] 10.0.0.5:80|10.0.0.6:81|[HTTP_GET 10.0.0.6:81 MISC_CHECK] [/up]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
