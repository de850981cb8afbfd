package ipvs

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

const connectionLines = `Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 0A630001 D2C4 0A630064 0050 0A63010A 1F90 ESTABLISHED     892
UDP 20010db8000000000000000000000001 13C4 20010db8000000000000000000000010 13C4 20010db8000000000000000000000020 13C4 UDP             299 sip 1-2345@192.0.2.1
UDP fd99:0000:0000:0000:0000:0000:0000:0001 13C4 fd99:0000:0000:0000:0000:0000:0000:0010 13C4 0A63010A 13C4 UDP             299
IP  0A630001 0000 00000007 0000 0A63010A 0000 NONE             59
`

func TestConnections(t *testing.T) {
	lines := slices.Collect(strings.Lines(connectionLines))
	readable := strings.Join(slices.Delete(slices.Clone(lines), 2, 3), "")
	want := []Connection{
		{Protocol: TCP, Client: netip.MustParseAddrPort("10.99.0.1:53956"), Virtual: netip.MustParseAddrPort("10.99.0.100:80"),
			Destination: netip.MustParseAddrPort("10.99.1.10:8080"), State: "ESTABLISHED", Expires: 892 * time.Second},
		{Protocol: UDP, Client: netip.MustParseAddrPort("[fd99::1]:5060"), Virtual: netip.MustParseAddrPort("[fd99::10]:5060"),
			Destination: netip.MustParseAddrPort("10.99.1.10:5060"), State: "UDP", Expires: 299 * time.Second},
		{Client: netip.MustParseAddrPort("10.99.0.1:0"), Virtual: netip.MustParseAddrPort("0.0.0.7:0"),
			Destination: netip.MustParseAddrPort("10.99.1.10:0"), State: "NONE", Expires: 59 * time.Second},
	}
	got, err := collect(readable)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\n%+v, want\n%+v", err, got, want)
	}
	got, err = collect(lines[0] + lines[3][:len(lines[3])-1] + " sip 1-2345@192.0.2.1 more\n")
	if err != nil || len(got) != 1 || got[0].Engine != "sip" || got[0].EngineData != "1-2345@192.0.2.1 more" {
		t.Errorf("%+v %v", got, err)
	}
}

func collect(text string) (all []Connection, err error) {
	for c, err := range parseConnections(strings.NewReader(text)) {
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
	return all, nil
}

// TestConnectionsThatDoNotRead: the line and what is on it are told, and what came before is given.
func TestConnectionsThatDoNotRead(t *testing.T) {
	lines := slices.Collect(strings.Lines(connectionLines))
	for name, line := range map[string]string{
		"few words":      "TCP 0A630001 D2C4\n",
		"address":        lines[2],
		"port":           "TCP 0A630001 XXXX 0A630064 0050 0A63010A 1F90 ESTABLISHED     892\n",
		"time":           "TCP 0A630001 D2C4 0A630064 0050 0A63010A 1F90 ESTABLISHED     soon\n",
		"short address":  "TCP 0A63 D2C4 0A630064 0050 0A63010A 1F90 ESTABLISHED     892\n",
		"line too long":  strings.Repeat("x", 1<<17),
		"IPv6 of a kind": "TCP fd99:xyz D2C4 0A630064 0050 0A63010A 1F90 ESTABLISHED     892\n",
	} {
		got, err := collect(lines[0] + lines[1] + line)
		if err == nil || len(got) != 1 {
			t.Errorf("%s: %d connections, %v", name, len(got), err)
		}
	}
	broken := errors.New("broken")
	for _, err := range parseConnections(iotest.ErrReader(broken)) {
		if !errors.Is(err, broken) {
			t.Error(err)
		}
	}
}

func FuzzConnections(f *testing.F) {
	f.Add(connectionLines)
	f.Fuzz(func(t *testing.T, text string) {
		for c, err := range parseConnections(strings.NewReader(text)) {
			if err == nil && (c.State == "" || !c.Client.IsValid()) {
				t.Fatalf("%+v out of %q", c, text)
			}
		}
	})
}
