package config

import (
	"slices"
	"strings"
	"testing"
)

// TestNoCascade: one mistake is one remark; a keyword that is there with a wrong value, or nearly spelt, is not said to be missing.
func TestNoCascade(t *testing.T) {
	const good = `vrrp_instance A {
    interface eth0
    virtual_router_id 5
    virtual_ipaddress {
        10.0.0.5
    }
}
virtual_server 10.0.0.5 80 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 10.0.0.6 80 {
        HTTP_GET {
            url {
                path /
            }
        }
    }
}
`
	_, before := Read("in.conf", []byte(good))
	for _, c := range []struct{ old, new, code string }{
		{"lb_algo rr", "lb_algo rrr", ""},
		{"lb_algo rr", "lb_alog rr", ""},
		{"lb_algo rr", "", "default"},
		{"lb_kind NAT", "lb_kind NATT", ""},
		{"protocol TCP", "protocol TPC", ""},
		{"interface eth0", "interfase eth0", ""},
		{"virtual_router_id 5", "virtual_router_id 300", ""},
		{"virtual_router_id 5", "", "missing-keyword"},
		{"        10.0.0.5\n", "        10.0.0.500\n", ""},
		{"        10.0.0.5\n", "", "no-address"},
		{"HTTP_GET", "HTTP_GETS", ""},
		{"real_server 10.0.0.6 ", "real_server 10.0.0.600 ", ""},
	} {
		_, after := Read("in.conf", []byte(strings.Replace(good, c.old, c.new, 1)))
		added := slices.DeleteFunc(slices.Clone(after), func(d Diagnostic) bool {
			return d.Severity == Note || slices.ContainsFunc(before, func(b Diagnostic) bool { return b.Code == d.Code && b.Line == d.Line })
		})
		if len(added) != 1 || c.code != "" && added[0].Code != c.code {
			t.Errorf("%s for %s:", c.new, c.old)
			for _, d := range added {
				t.Errorf("    %v", d)
			}
		}
	}
}

// TestFixOfTLS: where TLS is spoken the check to use is SSL_GET.
func TestFixOfTLS(t *testing.T) {
	for port, want := range map[string]string{"443": "use SSL_GET", "80": "use HTTP_GET"} {
		_, diags := Read("in.conf", []byte("virtual_server 10.0.0.5 "+port+" {\n protocol TCP\n real_server 10.0.0.6 "+port+" {\n TCP_CHECK {\n }\n }\n}\n"))
		i := slices.IndexFunc(diags, func(d Diagnostic) bool { return d.Code == "tcp-check-http" })
		if i < 0 || !strings.HasPrefix(diags[i].Hint, want) {
			t.Errorf("port %s: %v", port, diags)
		}
	}
}
