package vrrp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// recording is a recorded IP packet, taken apart.
type recording struct {
	mode     string
	at       time.Time
	ip, ah   []byte
	message  []byte // with its trailer
	src, dst netip.Addr
	ttl      uint8
	base     Instance // of the settings that the recordings of a file share
}

// recordings are the packets of keepalived 2.4.3, and after them those of 2.2.7.
func recordings(t testing.TB) []recording {
	new := Instance{VRID: 51, Priority: 150, Password: "111111", Addrs: MustAddresses("10.55.0.100")}
	new6 := MustAddresses("fe80::100", "fd55::100")
	old := Instance{VRID: 7, Priority: 120, Password: "sesame", Addrs: MustAddresses("10.77.0.100", "10.77.0.101")}
	old6 := MustAddresses("fe80::77:100", "2001:db8::77:100")
	return append(read(t, "testdata/keepalived-2.4.3.txt", time.Date(2026, 11, 23, 16, 39, 0, 0, time.UTC), new, new6),
		read(t, "testdata/keepalived-2.2.7-packets.txt", time.Date(2026, 11, 25, 10, 22, 0, 0, time.UTC), old, old6)...)
}

func read(t testing.TB, file string, minute time.Time, base Instance, addrs6 []Address) (list []recording) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		second, err1 := strconv.ParseFloat(f[1], 64)
		b, err2 := hex.DecodeString(f[2])
		if err1 != nil || err2 != nil {
			t.Fatal(line, err1, err2)
		}
		r := takeApart(f[0], minute.Add(time.Duration(second*float64(time.Second))), b)
		r.base = base
		if r.src.Is6() {
			r.base.Addrs = addrs6[:b[43]] // as many as it says
		}
		list = append(list, r)
	}
	return list
}

func takeApart(mode string, at time.Time, b []byte) recording {
	addr := func(b []byte) netip.Addr { a, _ := netip.AddrFromSlice(b); return a }
	r := recording{mode: mode, at: at}
	if b[0]>>4 == 6 {
		r.ip, r.message, r.ttl, r.src, r.dst = b[:40], b[40:], b[7], addr(b[8:24]), addr(b[24:40])
		return r
	}
	r.ip, r.message, r.ttl, r.src, r.dst = b[:20], b[20:], b[8], addr(b[12:16]), addr(b[16:20])
	if b[9] == protocolAH {
		r.ah, r.message = r.message[:ahLen], r.message[ahLen:]
	}
	return r
}

// as is the instance that reads, and would write, what was recorded.
func (r *recording) as() Instance {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	in := r.base
	password := in.Password
	in.Name, in.Interface, in.Source, in.Password = r.mode, "eth0", r.src, ""
	for option := range strings.SplitSeq(r.mode, "-") {
		switch option {
		case "v2":
			in.Version = 2
		case "pass":
			in.AuthType, in.Password = AuthPass, password
		case "ah":
			in.AuthType, in.Password = AuthAH, password
		case "message":
			in.Checksum = ChecksumMessage
		case "unicast":
			in.Peers = []Peer{{Addr: r.src}, {Addr: r.dst}}
		case "old":
			in.Checksum = ChecksumGroup
		case "hmac":
			in.HMAC = HMAC{Keys: []HMACKey{{7, string(key)}}, Active: 7}
		}
	}
	return in
}

// TestRecordedAdverts reads what keepalived sent in each mode, accepts it, and writes the very same bytes.
func TestRecordedAdverts(t *testing.T) {
	list := recordings(t)
	if len(list) != 56 {
		t.Fatalf("%d packets", len(list))
	}
	for _, r := range list {
		in := r.as()
		if err := in.Validate(); err != nil {
			t.Fatal(err)
		}
		var a Advertisement
		auth := NewAuthenticator(in)
		if err := a.ParsePacket(r.message, r.src, r.dst); err != nil {
			t.Errorf("%s: %v", r.mode, err)
			continue
		}
		if err := a.Validate(&in, r.src, r.dst, r.ttl); err != nil {
			t.Errorf("%s: %v", r.mode, err)
		}
		if err := a.Compare(&in); err != nil {
			t.Errorf("%s: %v", r.mode, err)
		}
		if err := auth.Verify(r.at, &a, r.message, r.src); err != nil {
			t.Errorf("%s: %v", r.mode, err)
		}
		if (a.Trailer != nil) != in.HMAC.enabled() {
			t.Errorf("%s: trailer %x", r.mode, a.Trailer)
		}
		var w writer
		w.configure(in)
		if strings.HasSuffix(r.mode, "-leaves") {
			in.Priority = 0
		}
		w.begin(in.Priority)
		if a.Priority != in.Priority {
			t.Errorf("%s: priority %d", r.mode, a.Priority)
		}
		if in.HMAC.enabled() { // as if it had been sent at the time that it was signed
			w.auth.sent = binary.BigEndian.Uint64(a.Trailer[4:]) - 1
		}
		got, err := w.append(nil, r.at.Add(-time.Second), r.src, r.dst)
		if err != nil || !bytes.Equal(got, r.message) {
			t.Errorf("%s: wrote %x, %v; keepalived wrote %x", r.mode, got, err, r.message)
		}
		if in.AuthType == AuthAH {
			testRecordedAH(t, r, auth)
		}
	}
}

func testRecordedAH(t *testing.T, r recording, auth *Authenticator) {
	group := r.dst.IsMulticast()
	if err := auth.verifyAH(r.ip, r.ah, r.message, r.src, group); err != nil {
		t.Error(err)
	}
	if err := auth.verifyAH(r.ip, r.ah, r.message, r.src, group); err == nil {
		t.Error("AH: the same packet again was accepted")
	}
	packet := slices.Concat(r.ip, make([]byte, ahLen), r.message)
	auth.ahSeq--
	auth.sealAH(packet, r.src, group)
	if want := slices.Concat(r.ip, r.ah, r.message); !bytes.Equal(packet, want) {
		t.Errorf("AH: wrote %x, keepalived wrote %x", packet, want)
	}
	fixed, free := []int{9, 12, 31, 35, 40, 44, 62}, []int{1, 6, 10} // protocol, source, sequence, digest, message; TOS, fragment field, IP checksum
	if group {
		fixed = append(fixed, 8) // TTL
	} else {
		free = append(free, 8)
	}
	for _, i := range fixed {
		damaged := slices.Concat(r.ip, r.ah, r.message)
		damaged[i] ^= 1
		auth.ahSeq = 0
		if err := auth.verifyAH(damaged[:20], damaged[20:44], damaged[44:], r.src, group); err == nil {
			t.Errorf("AH: accepted with byte %d changed", i)
		}
	}
	for _, i := range free { // it may change on the way
		damaged := slices.Concat(r.ip, r.ah, r.message)
		damaged[i] ^= 1
		auth.ahSeq = 0
		if err := auth.verifyAH(damaged[:20], damaged[20:44], damaged[44:], r.src, group); err != nil {
			t.Errorf("AH: byte %d changed: %v", i, err)
		}
	}
}

// TestVectors has packets whose checksums were computed by another program: VRID 51, priority 200.
func TestVectors(t *testing.T) {
	v4, v6 := netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("fe80::10")
	base := Advertisement{Version: 3, VRID: 51, Priority: 200, Interval: time.Second, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.100")}}
	linkLocal, global := netip.MustParseAddr("fe80::100"), netip.MustParseAddr("2001:db8::100")
	for _, c := range []struct {
		name     string
		src, dst netip.Addr
		edit     func(a *Advertisement)
		want     string
	}{
		{"message alone", v4, GroupIPv4, func(a *Advertisement) { a.Checksum = ChecksumMessage }, "3133c80100644402c0000264"},
		{"pseudo-header", v4, GroupIPv4, func(a *Advertisement) { a.Checksum = ChecksumPseudo }, "3133c80100643935c0000264"},
		{"unicast, pseudo-header", v4, netip.MustParseAddr("198.51.100.20"), func(a *Advertisement) { a.Checksum = ChecksumPseudo }, "3133c8010064eeffc0000264"},
		{"unicast, old form", v4, netip.MustParseAddr("198.51.100.20"), func(a *Advertisement) { a.Checksum = ChecksumGroup }, "3133c80100643935c0000264"},
		{"priority 0, message alone", v4, GroupIPv4, func(a *Advertisement) { a.Priority, a.Checksum = 0, ChecksumMessage }, "3133000100640c03c0000264"},
		{"priority 0, pseudo-header", v4, GroupIPv4, func(a *Advertisement) { a.Priority, a.Checksum = 0, ChecksumPseudo }, "3133000100640136c0000264"},
		{"IPv6", v6, GroupIPv6, func(a *Advertisement) { a.Addrs, a.Checksum = []netip.Addr{linkLocal}, ChecksumPseudo }, "3133c801006408b8fe800000000000000000000000000100"},
		{"IPv6, two addresses", v6, GroupIPv6, func(a *Advertisement) { a.Addrs, a.Checksum = []netip.Addr{linkLocal, global}, ChecksumPseudo }, "3133c8020064d9edfe80000000000000000000000000010020010db8000000000000000000000100"},
		{"version 2", v4, GroupIPv4, func(a *Advertisement) { a.Version, a.Checksum = 2, ChecksumMessage }, "2133c80100015465c00002640000000000000000"},
		{"version 2, password", v4, GroupIPv4, func(a *Advertisement) {
			a.Version, a.Checksum, a.AuthType, a.AuthData = 2, ChecksumMessage, AuthPass, [8]byte([]byte("secret\x00\x00"))
		}, "2133c80101011719c00002647365637265740000"},
	} {
		a := base
		c.edit(&a)
		got, err := a.AppendPacket(nil, c.src, c.dst)
		if err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("%s: %x, %v, want %s", c.name, got, err, c.want)
		}
		var back Advertisement
		if err := back.ParsePacket(got, c.src, c.dst); err != nil || !reflect.DeepEqual(back, a) {
			t.Errorf("%s: read as %+v, %v", c.name, back, err)
		}
	}
}
