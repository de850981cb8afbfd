package vrrp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var (
	src4 = netip.MustParseAddr("10.77.0.1")
	src6 = netip.MustParseAddr("fe80::1")
)

func recorded(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/keepalived-2.2.7.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			b, err := hex.DecodeString(strings.Join(strings.Fields(rest), ""))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatalf("no packet %s", name)
	return nil
}

// TestKeepalivedPackets reads what keepalived sent, and writes the very same bytes.
func TestKeepalivedPackets(t *testing.T) {
	base := Advertisement{VRID: 7, Priority: 120, Interval: time.Second,
		Addrs: []netip.Addr{netip.MustParseAddr("10.77.0.100"), netip.MustParseAddr("10.77.0.101")}}
	none, pass, v3 := base, base, base
	none.Version, none.Checksum = 2, ChecksumMessage
	pass.Version, pass.Checksum, pass.AuthType, pass.AuthData = 2, ChecksumMessage, AuthPass, [8]byte([]byte("sesame\x00\x00"))
	v3.Version, v3.Checksum = 3, ChecksumPseudo
	for name, want := range map[string]Advertisement{"v2-none": none, "v2-pass-sesame": pass, "v3": v3} {
		wire := recorded(t, name)
		var got Advertisement
		if err := got.ParsePacket(wire, src4, GroupIPv4); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: parsed %+v, want %+v", name, got, want)
		}
		want.Checksum = ChecksumDefault
		if again, err := want.AppendPacket(nil, src4, GroupIPv4); err != nil || !bytes.Equal(again, wire) {
			t.Errorf("%s: wrote %x, %v; keepalived wrote %x", name, again, err, wire)
		}
	}
}

func TestChecksumForms(t *testing.T) {
	a := Advertisement{Version: 3, VRID: 1, Priority: 100, Interval: time.Second, Addrs: []netip.Addr{src4}, Checksum: ChecksumMessage}
	b, err := a.AppendPacket(nil, src4, GroupIPv4)
	if err != nil {
		t.Fatal(err)
	}
	var got Advertisement
	if err := got.ParsePacket(b, src4, GroupIPv4); err != nil || got.Checksum != ChecksumMessage {
		t.Fatalf("RFC 9568 form: %v, %v", got.Checksum, err)
	}
	b[2]++
	if err := got.ParsePacket(b, src4, GroupIPv4); err != nil || got.Checksum != ChecksumBad {
		t.Fatalf("damaged: %v, %v", got.Checksum, err)
	}
	if err := got.Validate(&Instance{VRID: 1}, src4, GroupIPv4, 255); !errors.Is(err, ErrChecksum) {
		t.Fatalf("a damaged packet is judged %v", err)
	}
}

func TestIPv6NeedsThePseudoHeader(t *testing.T) {
	a := Advertisement{Version: 3, VRID: 9, Priority: 1, Interval: 10 * time.Millisecond, Addrs: []netip.Addr{src6}}
	b, err := a.AppendPacket([]byte{0xaa}, src6, GroupIPv6)
	if err != nil || len(b) != 1+8+16 {
		t.Fatalf("%x, %v", b, err)
	}
	var got Advertisement
	if err := got.ParsePacket(b[1:], src6, GroupIPv6); err != nil || got.Checksum != ChecksumPseudo || got.Addrs[0] != src6 {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := got.ParsePacket(b[1:], netip.MustParseAddr("fe80::2"), GroupIPv6); err != nil || got.Checksum != ChecksumBad {
		t.Fatalf("another source: %v, %v", got.Checksum, err)
	}
}

func TestParsePacketRefuses(t *testing.T) {
	good := recorded(t, "v3")
	edit := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	for name, c := range map[string]struct {
		packet []byte
		want   error
	}{
		"empty":                  {nil, ErrLength},
		"seven bytes":            {good[:7], ErrLength},
		"one address short":      {good[:12], ErrLength},
		"255 addresses claimed":  {edit(func(b []byte) []byte { b[3] = 255; return b }), ErrLength},
		"version 2 without auth": {edit(func(b []byte) []byte { b[0] = 0x21; return b }), ErrLength},
		"version 4":              {edit(func(b []byte) []byte { b[0] = 0x41; return b }), ErrVersion},
		"type 2":                 {edit(func(b []byte) []byte { b[0] = 0x32; return b }), ErrType},
	} {
		got := Advertisement{VRID: 77}
		err := got.ParsePacket(c.packet, src4, GroupIPv4)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if c.want == ErrLength && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v is not an unexpected end", name, err)
		}
		if !reflect.DeepEqual(got, Advertisement{VRID: 77}) {
			t.Errorf("%s: the receiver changed: %+v", name, got)
		}
	}
}

func TestAppendPacketRefusesWhatDoesNotFit(t *testing.T) {
	good := Advertisement{Version: 3, VRID: 1, Priority: 1, Interval: time.Second, Addrs: []netip.Addr{src4}}
	for name, c := range map[string]struct {
		edit func(a *Advertisement)
		want error
	}{
		"version":          {func(a *Advertisement) { a.Version = 1 }, ErrVersion},
		"VRID":             {func(a *Advertisement) { a.VRID = 0 }, ErrVRID},
		"256 addresses":    {func(a *Advertisement) { a.Addrs = make([]netip.Addr, 256) }, ErrLength},
		"40.96 s":          {func(a *Advertisement) { a.Interval = 40960 * time.Millisecond }, ErrInterval},
		"15 ms":            {func(a *Advertisement) { a.Interval = 15 * time.Millisecond }, ErrInterval},
		"v2 half a second": {func(a *Advertisement) { a.Version, a.Interval = 2, time.Second/2 }, ErrInterval},
		"v3 password":      {func(a *Advertisement) { a.AuthType = AuthPass }, ErrAuthType},
		"IPv6 VIP":         {func(a *Advertisement) { a.Addrs = []netip.Addr{src6} }, ErrAddressFamily},
		"mapped VIP":       {func(a *Advertisement) { a.Addrs = []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.1")} }, ErrAddressFamily},
	} {
		a := good
		c.edit(&a)
		if b, err := a.AppendPacket([]byte("x"), src4, GroupIPv4); !errors.Is(err, c.want) || string(b) != "x" {
			t.Errorf("%s: %q, %v; want %v", name, b, err, c.want)
		}
	}
}

func TestLongestIntervalSurvives(t *testing.T) {
	a := Advertisement{Version: 3, VRID: 1, Interval: 40950 * time.Millisecond, Addrs: []netip.Addr{src4}}
	b, err := a.AppendPacket(nil, src4, GroupIPv4)
	if err != nil {
		t.Fatal(err)
	}
	b[4] |= 0xf0 // reserved bits are ignored when received (RFC 9568, Section 5.2.6)
	var got Advertisement
	if err := got.ParsePacket(b, src4, GroupIPv4); err != nil || got.Interval != a.Interval {
		t.Fatalf("%v, %v", got.Interval, err)
	}
}

func TestValidateJudges(t *testing.T) {
	v2 := Instance{VRID: 7, Version: 2, AuthType: AuthPass, Password: "sesame"}
	vips := MustAddresses("10.77.0.100", "10.77.0.101")
	v3 := Instance{VRID: 7, Addrs: vips}
	for name, c := range map[string]struct {
		packet string
		in     Instance
		ttl    uint8
		edit   func(a *Advertisement)
		want   error
	}{
		"good v2":         {"v2-pass-sesame", v2, 255, nil, nil},
		"good v3":         {"v3", v3, 255, nil, nil},
		"TTL":             {"v3", v3, 254, nil, ErrTTL},
		"version":         {"v3", v2, 255, nil, ErrVersion},
		"VRID":            {"v3", Instance{VRID: 8, Addrs: vips}, 255, nil, ErrVRID},
		"no addresses":    {"v3", v3, 255, func(a *Advertisement) { a.Addrs = nil }, ErrAddressList},
		"interval 0":      {"v3", v3, 255, func(a *Advertisement) { a.Interval = 0 }, ErrInterval},
		"v3 other pace":   {"v3", v3, 255, func(a *Advertisement) { a.Interval = 5 * time.Second }, nil},
		"v2 other pace":   {"v2-pass-sesame", v2, 255, func(a *Advertisement) { a.Interval = 5 * time.Second }, ErrInterval},
		"password":        {"v2-pass-sesame", Instance{VRID: 7, Version: 2, AuthType: AuthPass, Password: "other"}, 255, nil, ErrAuthFailure},
		"no password":     {"v2-none", v2, 255, nil, ErrAuthMismatch},
		"type of no kind": {"v2-none", v2, 255, func(a *Advertisement) { a.AuthType = 3 }, ErrAuthType},
	} {
		var a Advertisement
		if err := a.ParsePacket(recorded(t, c.packet), src4, GroupIPv4); err != nil {
			t.Fatal(err)
		}
		if c.edit != nil {
			c.edit(&a)
		}
		if err := a.Validate(&c.in, src4, GroupIPv4, c.ttl); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestCodecDoesNotAllocate(t *testing.T) {
	wire, buf := recorded(t, "v2-pass-sesame"), make([]byte, 0, 64)
	in := Instance{VRID: 7, Version: 2, AuthType: AuthPass, Password: "sesame"}
	a := Advertisement{Addrs: make([]netip.Addr, 0, 8)}
	allocs := testing.AllocsPerRun(100, func() {
		if a.ParsePacket(wire, src4, GroupIPv4) != nil || a.Validate(&in, src4, GroupIPv4, 255) != nil {
			t.Fatal("not accepted")
		}
		if _, err := a.AppendPacket(buf, src4, GroupIPv4); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations per packet", allocs)
	}
}

func FuzzParsePacket(f *testing.F) {
	for _, name := range []string{"2107780200015192" + "0a4d00640a4d0065" + "0000000000000000", "310778020064564e" + "0a4d00640a4d0065", "31ff"} {
		b, _ := hex.DecodeString(name)
		f.Add(b, false)
		f.Add(b, true)
	}
	for _, r := range recordings(f) {
		f.Add(r.message, r.src.Is6())
	}
	f.Fuzz(func(t *testing.T, b []byte, six bool) {
		src, dst := src4, GroupIPv4
		if six {
			src, dst = src6, GroupIPv6
		}
		var a, again Advertisement
		if a.ParsePacket(b, src, dst) != nil || a.Checksum == ChecksumBad {
			return
		}
		_ = a.Validate(&Instance{VRID: 1, Addrs: MustAddresses(src.String()), Strict: true}, src, dst, 255)
		a.Trailer = nil
		wire, err := a.AppendPacket(nil, src, dst)
		if err != nil {
			return // well-formed, and yet nothing one may send: VRID 0, interval 0
		}
		if err := again.ParsePacket(wire, src, dst); err != nil || !reflect.DeepEqual(a, again) {
			t.Fatalf("%+v became %+v, %v", a, again, err)
		}
	})
}
