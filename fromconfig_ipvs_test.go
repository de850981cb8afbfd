package holdfast_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/config"
)

const grouped = `
virtual_server_group WEB {
    10.0.2.254-10.0.3.0 80
    10.0.3.0 80
    10.0.2.1 443
    fwmark 5
}
virtual_server group WEB {
    protocol TCP
    lb_algo rr
    lb_kind DR
    persistence_granularity 255.255.255.0
    quorum 2
    sorry_server 10.0.9.9 1
    real_server 10.0.1.1 80 {
    }
    real_server 10.0.1.2 80 {
        weight 2
    }
}
virtual_server group WEB {
    protocol UDP
    lb_algo rr
    lb_kind DR
    real_server 10.0.1.2 {
        weight 7
    }
    real_server 10.0.1.3 {
    }
}
virtual_server 10.0.2.5 5060 {
    protocol UDP
    lb_algo wlc
    lb_kind NAT
    ops
    persistence_timeout 60
    persistence_engine sip
    sorry_server 10.0.9.9
    sorry_server_inhibit
    sorry_server_lvs_method DR
    real_server 10.0.1.5 5061 {
        weight 100000
    }
}
virtual_server fwmark 9 {
    lb_algo rr
    lb_kind TUN type gue port 6080 remcsum
    ip_family inet6
    real_server 10.0.1.4 {
    }
}`

// TestFromConfigServesGroups: each address of each entry is a service, a mark that two protocols share has the servers of both.
func TestFromConfigServesGroups(t *testing.T) {
	spec := parse(grouped)
	want := `-A -t 10.0.2.1:443 -s rr -p 360 -M 255.255.255.0
-a -t 10.0.2.1:443 -r 10.0.1.1:443 -g -w 1
-a -t 10.0.2.1:443 -r 10.0.1.2:443 -g -w 2
-A -t 10.0.2.254:80 -s rr -p 360 -M 255.255.255.0
-a -t 10.0.2.254:80 -r 10.0.1.1:80 -g -w 1
-a -t 10.0.2.254:80 -r 10.0.1.2:80 -g -w 2
-A -t 10.0.2.255:80 -s rr -p 360 -M 255.255.255.0
-a -t 10.0.2.255:80 -r 10.0.1.1:80 -g -w 1
-a -t 10.0.2.255:80 -r 10.0.1.2:80 -g -w 2
-A -t 10.0.3.0:80 -s rr -p 360 -M 255.255.255.0
-a -t 10.0.3.0:80 -r 10.0.1.1:80 -g -w 1
-a -t 10.0.3.0:80 -r 10.0.1.2:80 -g -w 2
-A -u 10.0.2.1:443 -s rr
-a -u 10.0.2.1:443 -r 10.0.1.2:443 -g -w 7
-a -u 10.0.2.1:443 -r 10.0.1.3:443 -g -w 1
-A -u 10.0.2.5:5060 -s wlc -p 60 --pe sip -o
-a -u 10.0.2.5:5060 -r 10.0.1.5:5061 -m -w 100000
-a -u 10.0.2.5:5060 -r 10.0.9.9:5060 -g -w 0
-A -u 10.0.2.254:80 -s rr
-a -u 10.0.2.254:80 -r 10.0.1.2:80 -g -w 7
-a -u 10.0.2.254:80 -r 10.0.1.3:80 -g -w 1
-A -u 10.0.2.255:80 -s rr
-a -u 10.0.2.255:80 -r 10.0.1.2:80 -g -w 7
-a -u 10.0.2.255:80 -r 10.0.1.3:80 -g -w 1
-A -u 10.0.3.0:80 -s rr
-a -u 10.0.3.0:80 -r 10.0.1.2:80 -g -w 7
-a -u 10.0.3.0:80 -r 10.0.1.3:80 -g -w 1
-A -f 5 -s rr -p 360 -M 255.255.255.0
-a -f 5 -r 10.0.1.1:0 -g -w 1
-a -f 5 -r 10.0.1.2:0 -g -w 7
-a -f 5 -r 10.0.1.3:0 -g -w 1
-A -f 9 -6 -s rr
-a -f 9 -6 -r 10.0.1.4:0 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum
`
	if got := holdfast.Diff(holdfast.Spec{}, spec).Table.String(); got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
	if spec.Services[0].String() != "group WEB" || spec.Services[1].String() != "group WEB 2" {
		t.Errorf("names: %v, %v", &spec.Services[0], &spec.Services[1])
	}
}

// TestPool13_14_AMarkGoesWithItsLastUser: entries that two services share are used until none wants them.
func TestPool13_14_AMarkGoesWithItsLastUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		spec := parse(grouped)
		w.start(t, spec)
		first := spec
		first.Services = spec.Services[:1]
		if err := w.c.Apply(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if got := w.table.Dump(); !strings.HasSuffix(got, "-a -f 5 -r 10.0.1.2:0 -g -w 2\n") || strings.Contains(got, "-u ") {
			t.Errorf("with one user left:\n%s", got)
		}
		first.Services = spec.Services[3:]
		if err := w.c.Apply(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		w.wantTable(t, "-A -f 9 -6 -s rr\n-a -f 9 -6 -r 10.0.1.4:0 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum")
		w.stop(t)
	})
}

// TestGroupMovesAsOne: one verdict moves every entry, and each at once.
func TestGroupMovesAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.service("10.0.0.100:80")
		s.Name, s.Keys = "group G", append(s.Keys, s.ServiceKey, key("10.0.0.101:80"))
		w.start(t, holdfast.Spec{Services: []holdfast.Service{s}})
		time.Sleep(10 * time.Second)
		w.servers[1].Down()
		time.Sleep(10 * time.Second)
		w.wantTable(t, onlyFirst+"\n"+strings.ReplaceAll(onlyFirst, "10.0.0.100", "10.0.0.101"))
		if got := strings.Join(w.seen(t), "\n"); !strings.Contains(got, "server group G 10.0.0.12:80 DOWN") {
			t.Errorf("events:\n%s", got)
		}
		w.stop(t)
	})
}

// TestPool13_16_SameEntryTwice: the error names both.
func TestPool13_16_SameEntryTwice(t *testing.T) {
	cfg, _ := config.Read("k.conf", []byte(grouped+"virtual_server 10.0.2.255 80 {\n protocol TCP\n real_server 10.0.1.1 80 {\n }\n}"))
	_, err := holdfast.FromConfig(cfg)
	if err == nil || !strings.Contains(err.Error(), "services group WEB and TCP 10.0.2.255:80 both have the entry TCP 10.0.2.255:80") {
		t.Errorf("error: %v", err)
	}
}
