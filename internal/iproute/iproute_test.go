package iproute

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func env() *Env {
	return &Env{Index: func(string) (int, error) { return 7, nil }, VRFTable: func(string) (uint32, error) { return 99, nil }}
}

// TestEncap holds light-weight tunnels to the layout of linux/lwtunnel.h, mpls_iptunnel.h and ila.h.
func TestEncap(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8 encap mpls 100/200 via 10.0.0.1":            "0c00010000064000000c8100",
		"10.0.0.0/8 encap ip id 5 dst 10.0.0.9 dev d":           "0c000100000000000000000508000200" + "0a000009",
		"10.0.0.0/8 encap ip6 dst 2001:db8::9 hoplimit 3 dev d": "1400020020010db8000000000000000000000009" + "0500040003000000",
		"10.0.0.0/8 encap ila 1:2:3:4 dev d":                    "0c0001000001000200030004",
	} {
		r, err := ParseRoute(strings.Fields(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if _, b := r.Hops[0].Encap.encode(); hex.EncodeToString(b) != want {
			t.Errorf("%s: %x, want %s", text, b, want)
		}
		if _, err := r.Add(env()); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestErrorsTellTheWord(t *testing.T) {
	for text, word := range map[string]int{
		"via 10.0.0.1":                                 -1,
		"10.0.0.0/8 via":                               1,
		"10.0.0.0/8 via nowhere":                       2,
		"10.0.0.0/8 metric -1":                         2,
		"10.0.0.0/33":                                  0,
		"10.0.0.0/8 src 2001:db8::1":                   -1,
		"10.0.0.0/8 nexthop weight 1":                  3,
		"10.0.0.0/8 nexthop via 10.0.0.1 weight 0":     5,
		"10.0.0.0/8 encap gre":                         2,
		"10.0.0.0/8 features fast":                     2,
		"10.0.0.0/8 dev an-interface-with-a-long-name": 2,
	} {
		_, err := ParseRoute(strings.Fields(text))
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Word != word {
			t.Errorf("%s: %v at word %v, want %d", text, err, e, word)
		}
	}
	for text, word := range map[string]int{
		"from 10.0.0.1":            -1,
		"table":                    0,
		"table 1 colour red":       2,
		"table 1 dport 9-8":        3,
		"goto 5 preference 9":      -1,
		"from 10.0.0.1 to ::1 nop": -1,
		"blackhole realms 1":       -1,
		"table 1 fwmark 1/x":       3,
	} {
		_, err := ParseRule(strings.Fields(text))
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Word != word {
			t.Errorf("%s: %v at word %v, want %d", text, err, e, word)
		}
	}
}

// FuzzParse: no text panics, and what can be read can be said.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"default via inet6 fe80::1 dev eth0 onlink table main encap ip id 1 ttl 3 nexthop via 1.2.3.4 weight 3 realms 1/2",
		"10.0.0.0/8 mtu lock 9 rtt 3s encap mpls 1/2 or 1.2.3.4", "from 1.2.3.4 fwmark 1/2 uidrange 1-2 sport 3 goto 9 preference 2 l3mdev",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := ParseRoute(strings.Fields(text)); err == nil {
			_, _ = r.Add(env())
			_ = r.Interfaces()
		}
		if r, err := ParseRule(strings.Fields(text)); err == nil {
			_, _ = r.Add(env())
			_ = r.Interfaces()
		}
	})
}
