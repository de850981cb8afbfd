package main

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/holdfast-lb/holdfast/config"
)

// Files come from anywhere that is an fs.FS, and what is included is listed at its own place.
func Example() {
	cfg, diags, err := config.Load(fstest.MapFS{
		"main.conf": {Data: []byte("vrrp_instance web {\n  interface eth0\n  virtual_router_id 50\n  virtual_ipaddress { 192.0.2.10/24 }\n}\ninclude web/*.conf\n")},
		"web/a.conf": {Data: []byte("virtual_server 192.0.2.10 80 {\n  lb_algo rr\n  protocol TCP\n" +
			"  real_server 10.0.0.1 80 { TCP_CHECK { } }\n  real_server 10.0.0.2 80 { weight 3 }\n}\n")},
	}, "main.conf")
	if err != nil || diags.Err() != nil {
		panic(err)
	}
	list(os.Stdout, cfg)
	// Output:
	// main.conf:4:23: address 192.0.2.10/24 on eth0, priority 100
	// web/a.conf:1:1: service 192.0.2.10:80 rr
	// web/a.conf:4:3: server 10.0.0.1:80 weight 1, 1 checks
	// web/a.conf:5:3: server 10.0.0.2:80 weight 3, 0 checks
}

// TestBrokenFile: what could be understood is listed, beside the errors.
func TestBrokenFile(t *testing.T) {
	cfg, diags := config.Read("k.conf", []byte("vrrp_instanse x {\n}\nvirtual_server 192.0.2.10 80 {\n protocol TCP\n real_server 10.0.0.1 80 { }\n}\n"))
	var out strings.Builder
	list(&out, cfg)
	if err := diags.Err(); err == nil || !strings.Contains(err.Error(), "vrrp_instance") || !strings.Contains(out.String(), "server 10.0.0.1:80") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
