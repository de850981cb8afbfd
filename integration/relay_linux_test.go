package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/lab"
)

const relayed = `vrrp_instance web {
    interface eth0
    virtual_router_id 52
    version 3
    priority %d
    advert_int 0.2
    virtual_ipaddress {
        10.9.0.100/24
    }
}
virtual_server 10.9.0.100 80 {
    lb_algo rr
    lb_kind DR
    protocol TCP
    delay_loop 0.3
    warmup 0
    real_server 10.9.0.11 80 {
        HTTP_GET {
            connect_timeout 1
            retry 0
            url {
                path /
                status_code 200
            }
        }
    }
    real_server 10.9.0.12 80 {
        HTTP_GET {
            connect_timeout 1
            retry 0
            url {
                path /
                status_code 200
            }
        }
    }
}
`

// TestDirectorRelays does the main job where no kernel has ip_vs: two directors hold an address and balance two web servers in
// user space; a sick server leaves, a dead director is replaced.
func TestDirectorRelays(t *testing.T) {
	n := lab.New(t)
	a, b, client := n.Host("a", "10.9.0.1/24"), n.Host("b", "10.9.0.2/24"), n.Host("client", "10.9.0.50/24")
	sick := make(chan bool)
	for i, name := range []string{"web1", "web2"} {
		web(t, n.Host(name, fmt.Sprintf("10.9.0.1%d/24", i+1)), func(w http.ResponseWriter) {
			select {
			case <-sick:
				if name == "web2" { // nginx answers, the application behind it is gone
					http.Error(w, "bad gateway", http.StatusBadGateway)
					return
				}
			default:
			}
			fmt.Fprint(w, name)
		})
	}
	first := startDirector(t, a, write(t, "a.conf", fmt.Sprintf(relayed, 150)), "--ipvs", "relay")
	second := startDirector(t, b, write(t, "b.conf", fmt.Sprintf(relayed, 100)), "--ipvs", "relay")
	says(t, first, "THE RELAY IN USER SPACE BALANCES")
	get := func() string { return fetch(client) }
	within(t, 10*time.Second, "both answer in turn", func() bool { x, y := get(), get(); return x+y == "web1web2" || x+y == "web2web1" })

	close(sick)
	within(t, 5*time.Second, "web2 is out", func() bool { return strings.Contains(first.Output(), "502") })
	within(t, 2*time.Second, "web1 alone answers", func() bool { return get()+get() == "web1web1" })
	for range 50 {
		if got := get(); got != "web1" {
			t.Fatalf("after web2 was out, a client got %q", got)
		}
	}
	first.Kill()
	a.Cut()
	within(t, 5*time.Second, "the other director serves", func() bool { return b.Has(vip) && get() == "web1" })
	if status := second.Stop(); status != 0 {
		t.Errorf("left with status %d", status)
	}
}

// web runs a web server in a host until the test ends.
func web(t *testing.T, h *lab.Host, answer func(w http.ResponseWriter)) {
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) })}
	l := h.Listen(":80")
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

// fetch asks the virtual address once, on a connection of its own, and returns the body or the error's text.
func fetch(h *lab.Host) string {
	c := http.Client{Transport: &http.Transport{DialContext: h.DialContext, DisableKeepAlives: true}}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://10.9.0.100/", nil)
	if err != nil {
		return err.Error()
	}
	res, err := c.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}
