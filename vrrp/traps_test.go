package vrrp

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

// What other implementations got wrong, as far as it is about packets.

func TestTrapTruncatedPacketThatClaims255Addresses(t *testing.T) {
	for _, r := range recordings(t) {
		for cut := range r.message {
			b := append([]byte(nil), r.message[:cut]...)
			if cut > 3 {
				b[3] = 255
			}
			var a Advertisement
			if err := a.ParsePacket(b, r.src, r.dst); !errors.Is(err, ErrLength) {
				t.Fatalf("%s cut at %d: %v", r.mode, cut, err)
			}
		}
	}
}

func TestTrapTrailingBytes(t *testing.T) {
	r := recordings(t)[6]
	in, b := r.as(), append(append([]byte(nil), r.message...), 1, 2, 3)
	var a Advertisement
	if err := a.ParsePacket(b, r.src, r.dst); err != nil || len(a.Trailer) != 3 || a.Checksum != ChecksumPseudo {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := a.Validate(&in, r.src, r.dst, 255); err != nil {
		t.Errorf("RFC 9568 forbids no trailing bytes: %v", err)
	}
	in.Strict = true
	if err := a.Validate(&in, r.src, r.dst, 255); !errors.Is(err, ErrLength) {
		t.Errorf("strict: %v", err)
	}
}

func TestTrapNoAddresses(t *testing.T) {
	a := Advertisement{Version: 3, VRID: 51, Priority: 1, Interval: time.Second}
	b, err := a.AppendPacket(nil, src4, GroupIPv4)
	if err != nil {
		t.Fatal(err)
	}
	in := recordings(t)[6].as()
	if err := a.ParsePacket(b, src4, GroupIPv4); err != nil {
		t.Fatal(err)
	}
	if err := a.Validate(&in, src4, GroupIPv4, 255); !errors.Is(err, ErrAddressList) {
		t.Error(err)
	}
	in.Addrs, in.NoAddrs = nil, true
	if err := in.Validate(); err != nil {
		t.Error(err)
	}
	if err := a.Validate(&in, src4, GroupIPv4, 255); err != nil {
		t.Errorf("an instance without addresses: %v", err)
	}
}

// An advert of interval 0 would make every BACKUP the MASTER at once (erratum 8301).
func TestTrapIntervalZero(t *testing.T) {
	r := recordings(t)[6]
	in, b := r.as(), append([]byte(nil), r.message...)
	var a Advertisement
	a.Interval, b[4], b[5] = time.Second, 0xf0, 0
	if err := a.ParsePacket(b, r.src, r.dst); err != nil || a.Interval != 0 {
		t.Fatal(a, err)
	}
	a.Checksum = ChecksumPseudo
	if err := a.Validate(&in, r.src, r.dst, 255); !errors.Is(err, ErrInterval) {
		t.Error(err)
	}
}

func TestTrapSixteenByteIPv4(t *testing.T) {
	a := Advertisement{Version: 3, VRID: 1, Interval: time.Second, Addrs: []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.1")}}
	if _, err := a.AppendPacket(nil, src4, GroupIPv4); !errors.Is(err, ErrAddressFamily) {
		t.Error(err)
	}
	in := Instance{Interface: "eth0", VRID: 1, Addrs: MustAddresses(src4.String(), a.Addrs[0].String())}
	if err := in.Validate(); !errors.Is(err, ErrAddressFamily) {
		t.Error(err)
	}
}

func TestTrapPacketOfAnotherKind(t *testing.T) {
	r := recordings(t)[6]
	in := r.as()
	var a Advertisement
	if err := a.ParsePacket(r.message, r.src, r.dst); err != nil {
		t.Fatal(err)
	}
	if err := a.Validate(&in, r.src, netip.MustParseAddr("10.55.0.2"), 255); !errors.Is(err, ErrAddressFamily) {
		t.Errorf("unicast for a multicast instance: %v", err)
	}
	in.Peers = []Peer{{Addr: r.src, MinTTL: 200, MaxTTL: 250}}
	to := netip.MustParseAddr("10.55.0.2")
	for name, c := range map[string]struct {
		src  netip.Addr
		dst  netip.Addr
		ttl  uint8
		want error
	}{
		"good":      {r.src, to, 225, nil},
		"stranger":  {lower, to, 225, ErrPeer},
		"TTL low":   {r.src, to, 199, ErrTTL},
		"TTL high":  {r.src, to, 251, ErrTTL},
		"multicast": {r.src, GroupIPv4, 225, ErrAddressFamily},
	} {
		if err := a.Validate(&in, c.src, c.dst, c.ttl); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	in.Peers, in.CheckSource = []Peer{{Addr: to}}, false
	if err := a.Validate(&in, lower, to, 3); err != nil {
		t.Errorf("without source check: %v", err)
	}
}

// Strict mode takes one form of checksum; others are lenient.
func TestTrapChecksumForms(t *testing.T) {
	for _, r := range recordings(t) {
		in := r.as()
		var a Advertisement
		if err := a.ParsePacket(r.message, r.src, r.dst); err != nil {
			t.Fatal(err)
		}
		if a.Version == 2 || r.src.Is6() || in.unicast() {
			continue
		}
		for _, own := range []Checksum{ChecksumDefault, ChecksumMessage, ChecksumPseudo} {
			in.Checksum, in.Strict = own, false
			if err := a.Validate(&in, r.src, r.dst, 255); err != nil {
				t.Errorf("%s, own form %v: %v", r.mode, own, err)
			}
			in.Strict = true
			if err := a.Validate(&in, r.src, r.dst, 255); (err == nil) != (a.Checksum == in.checksumSent(r.dst)) {
				t.Errorf("%s, strict, own form %v: %v", r.mode, own, err)
			}
		}
	}
}

// A peer of before 1.3.6 sums a packet to us as if it were for the group, and reads no other form.
func TestTrapOldUnicastChecksum(t *testing.T) {
	to := netip.MustParseAddr("198.51.100.20")
	in := Instance{Interface: "eth0", VRID: 51, Peers: []Peer{{Addr: to}}, Addrs: MustAddresses("192.0.2.100")}
	for form, want := range map[Checksum]Checksum{ChecksumDefault: ChecksumGroup, ChecksumPseudo: ChecksumPseudo, ChecksumMessage: ChecksumMessage} {
		var w writer
		in.Checksum = form
		w.configure(in)
		before, _ := w.append(nil, signedAt, src4, to)
		w.heard(ChecksumGroup)
		after, _ := w.append(nil, signedAt, src4, to)
		var a, b Advertisement
		if a.ParsePacket(before, src4, to) != nil || b.ParsePacket(after, src4, to) != nil {
			t.Fatal("not read")
		}
		if a.Checksum == ChecksumGroup || b.Checksum != want {
			t.Errorf("%v: sent %v, and after one of the old form %v", form, a.Checksum, b.Checksum)
		}
	}
}

// As many addresses as fit: the MTU is that of the IP packet.
func TestTrapMTU(t *testing.T) {
	four, six := Instance{}, Instance{Addrs: MustAddresses(src6.String())}
	hmac := signer(nil)
	for _, c := range []struct {
		in   Instance
		mtu  int
		want int
	}{{four, 1500, 255}, {four, 0, 255}, {four, 68, 10}, {Instance{Version: 2}, 68, 8}, {Instance{Version: 2, AuthType: AuthAH}, 68, 2}, {hmac, 68, 3}, {six, 1500, 90}, {six, 1280, 77}, {six, 40, 0}} {
		if got := c.in.maxAddrs(c.mtu); got != c.want {
			t.Errorf("MTU %d: %d addresses, want %d", c.mtu, got, c.want)
		}
	}
}

func TestCompare(t *testing.T) {
	r := recordings(t)[12] // IPv6, two addresses
	in := r.as()
	var a Advertisement
	if err := a.ParsePacket(r.message, r.src, r.dst); err != nil {
		t.Fatal(err)
	}
	a.Addrs[0], a.Addrs[1] = a.Addrs[1], a.Addrs[0]
	if err := a.Compare(&in); err != nil {
		t.Errorf("another order: %v", err)
	}
	a.Interval = 2 * time.Second
	if err := a.Compare(&in); !errors.Is(err, ErrInterval) {
		t.Error(err)
	}
	a.Addrs[0] = src6
	if err := a.Compare(&in); !errors.Is(err, ErrAddressList) {
		t.Error(err)
	}
	a.Addrs = a.Addrs[:1]
	if err := a.Compare(&in); !errors.Is(err, ErrAddressList) {
		t.Error(err)
	}
}

// VRIDs below 16 are two digits of a MAC address all the same (RFC 9568, Section 7.3).
func TestTrapVRIDInTheMAC(t *testing.T) {
	four, six := Instance{VRID: 5}, Instance{VRID: 15, Addrs: MustAddresses("fe80::100")}
	if four.mac() != [6]byte{0, 0, 0x5e, 0, 1, 5} || six.mac() != [6]byte{0, 0, 0x5e, 0, 2, 15} {
		t.Errorf("%x, %x", four.mac(), six.mac())
	}
}
