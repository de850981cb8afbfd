package integration

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/check/bfd"
	"github.com/holdfast-lb/holdfast/internal/lab"
)

const pathConf = `
bfd_instance gateway {
	source_ip 10.9.0.1
	neighbor_ip 10.9.0.2
	min_rx 50
	min_tx 50
	multiplier 3
}
vrrp_instance web {
	interface eth0
	virtual_router_id 51
	advert_int 0.1
	version 3
	virtual_ipaddress {
		10.9.0.100
	}
	track_bfd {
		gateway
	}
}
virtual_server 10.9.0.100 80 {
	protocol TCP
	lb_algo rr
	lb_kind DR
	real_server 10.9.0.2 80 {
		BFD_CHECK {
			name gateway
		}
	}
}
`

// statusOf asks a director in a host.
func statusOf(t *testing.T, h *lab.Host, address string) (s holdfast.Status) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: h.DialContext, DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := client.Get("http://" + address + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDirectorFollowsBFD: a path to FRR's bfdd decides over an instance and over a real server.
func TestDirectorFollowsBFD(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	h, gateway := n.Host("director", "10.9.0.1/24"), n.Host("gateway", "10.9.0.2/24")
	startDirector(t, h, write(t, "path.conf", pathConf), "--ipvs", "none", "--status", "10.9.0.1:8080")
	serverUp := func() bool { return statusOf(t, h, "10.9.0.1:8080").Services[0].Servers[0].Up }
	within(t, 10*time.Second, "the server is down while nobody answers", func() bool { return !serverUp() })
	if h.Has(vip) {
		t.Fatal("it holds the address without a path")
	}
	frr := gateway.FRR("bfd\n peer 10.9.0.1 local-address 10.9.0.2\n  receive-interval 50\n  transmit-interval 50\n  no shutdown\n !\n!\n", "bfdd")
	within(t, 15*time.Second, "the address is held once there is a path", func() bool { return h.Has(vip) })
	within(t, 5*time.Second, "the server is up", serverUp)
	frr.Kill()
	within(t, time.Second+slack, "the address is given up with the path", func() bool { return !h.Has(vip) })
	within(t, 5*time.Second, "the server is down", func() bool { return !serverUp() })
	if s := statusOf(t, h, "10.9.0.1:8080").Sessions; len(s) != 1 || s[0].State != bfd.Down || s[0].Diag != bfd.DiagExpired || s[0].Detection != 150*time.Millisecond {
		t.Errorf("%+v", s)
	}
}
