package ipvs

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
)

func TestLedgerLines(t *testing.T) {
	web := ServiceKey{Protocol: TCP, Addr: netip.MustParseAddrPort("[2001:db8::1]:80")}
	for text, want := range map[string][]ServiceKey{
		"":                                     nil,
		"+TCP [2001:db8::1]:80\n+FWM 7 IPv6\n": {web, {FWMark: 7, IPv6: true}},
		"+TCP [2001:db8::1]:80\n-TCP [2001:db8::1]:80\n": nil,
		"+FWM 7\n+TCP [2001:db8::1]:8":                   {{FWMark: 7}}, // cut off by a crash
		"+FWM 0\n":                                       nil,
		"nonsense\n+FWM 7\n\n":                           {{FWMark: 7}},
	} {
		owned, err := parseLedger([]byte(text))
		if len(owned) != len(want) {
			t.Errorf("%q: %v, %v", text, owned, err)
		}
		for _, k := range want {
			if !owned[k] {
				t.Errorf("%q has no %v", text, k)
			}
		}
	}
	if _, err := parseLedger([]byte("nonsense\n")); err == nil {
		t.Error("nonsense is not told")
	}
}

// FuzzLedger: whatever a file holds, what is read from it can be written and read again.
func FuzzLedger(f *testing.F) {
	f.Add([]byte("+TCP 10.0.0.1:80\n+FWM 7 IPv6\n-UDP [::1]:53\n"))
	f.Add([]byte("+\n\n-"))
	f.Fuzz(func(t *testing.T, text []byte) {
		owned, _ := parseLedger(text)
		var b bytes.Buffer
		for k := range owned {
			fmt.Fprintf(&b, "+%v\n", k)
		}
		again, err := parseLedger(b.Bytes())
		if err != nil || len(again) != len(owned) {
			t.Errorf("%q became %q: %v", text, &b, err)
		}
	})
}
