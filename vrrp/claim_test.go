package vrrp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var (
	claimedAddr = netip.MustParseAddr("10.0.0.100")
	another     = [6]byte{2, 0, 0, 0, 0, 9}
)

const (
	conflictClaim = "conflict claim 10.0.0.100"
	defend        = "DefendAddr{Addr:10.0.0.100}"
)

func (mt *machineTest) claim(addr netip.Addr) {
	mt.t.Helper()
	mt.step(Claimed{Addr: addr, MAC: another})
}

// until lets timers fire until d has passed, and returns what was done at which time since now, adverts left out.
func (mt *machineTest) until(d time.Duration) (done []string) {
	mt.t.Helper()
	mt.want()
	end := mt.now.Add(d)
	begin := mt.now
	for {
		due, ok := mt.m.Deadline()
		if !ok || due.After(end) {
			mt.now = end
			return done
		}
		mt.now = due
		mt.step(Timeout{})
		for _, text := range mt.pending {
			if !strings.HasPrefix(text, "SendAdvert") {
				done = append(done, mt.now.Sub(begin).String()+" "+text)
			}
		}
		mt.pending = nil
	}
}

func (mt *machineTest) wantDone(d time.Duration, want ...string) {
	mt.t.Helper()
	if got := mt.until(d); strings.Join(got, "; ") != strings.Join(want, "; ") {
		mt.t.Fatalf("within %v it did %q, want %q", d, got, want)
	}
}

// settled is a MASTER for an hour that announces no more by itself.
func settledMaster(t *testing.T, edit func(in *Instance)) *machineTest {
	t.Helper()
	return master(t, func(in *Instance) {
		in.Announce.Delay = -1
		if edit != nil {
			edit(in)
		}
	})
}

// TestClaimIsToldAndDefended: after an interval and a half, once for many claims; defended again after ten seconds at the earliest, and
// told once a minute.
func TestClaimIsToldAndDefended(t *testing.T) {
	mt := settledMaster(t, nil)
	for range 1000 { // a flood
		mt.claim(claimedAddr)
		mt.want()
		mt.wait(time.Millisecond)
	}
	mt.wait(-time.Second)
	mt.wantDone(3*time.Second, "1.5s "+conflictClaim, "1.5s "+defend)
	if n := mt.m.conflicts.counts[ConflictClaim]; n != 1 {
		t.Errorf("counted %d times", n)
	}
	mt.wait(8499 * time.Millisecond) // 9.999 s after the defence
	mt.claim(claimedAddr)
	mt.wantDone(3 * time.Second)
	mt.claim(claimedAddr)
	mt.wantDone(2*time.Second, "1.5s "+defend)
	for range 6 {
		mt.wait(10 * time.Second)
		mt.claim(claimedAddr)
		mt.until(2 * time.Second)
	}
	if n, told := mt.m.conflicts.counts[ConflictClaim], mt.m.conflicts.told[ConflictClaim]; n != 8 || mt.now.Sub(told) > time.Minute {
		t.Errorf("counted %d times, told %v ago", n, mt.now.Sub(told))
	}
}

// TestClaimsThatAreNoNews: what is not told, and not defended.
func TestClaimsThatAreNoNews(t *testing.T) {
	t.Run("as-BACKUP", func(t *testing.T) {
		mt := backup(t, nil)
		mt.hear(higher, 200, time.Second)
		mt.wait(2 * time.Second)
		mt.claim(claimedAddr)
		mt.hear(higher, 200, time.Second)
		if len(mt.m.claims) > 0 {
			t.Error("it remembers")
		}
		mt.wantDone(3 * time.Second)
		mt.hear(higher, 200, time.Second)
	})
	t.Run("in-the-first-interval", func(t *testing.T) { // late answers of the former MASTER
		mt := backup(t, func(in *Instance) { in.Announce.Delay = -1 })
		mt.takeOver()
		mt.wait(999 * time.Millisecond)
		mt.claim(claimedAddr)
		mt.wantDone(5 * time.Second)
		mt.claim(claimedAddr)
		mt.wantDone(2*time.Second, "1.5s "+conflictClaim, "1.5s "+defend)
	})
	t.Run("of-addresses-that-are-not-ours", func(t *testing.T) {
		mt := settledMaster(t, nil)
		mt.claim(self)
		mt.wantDone(5 * time.Second)
	})
	t.Run("by-one-that-takes-over", func(t *testing.T) { // its first advert was lost
		mt := settledMaster(t, nil)
		mt.claim(claimedAddr)
		mt.wantDone(time.Second)
		mt.hear(higher, 200, time.Second)
		mt.want(remove, "MASTER -> BACKUP")
		mt.hear(higher, 200, time.Second)
		mt.wantDone(3 * time.Second)
	})
	t.Run("of-a-former-term", func(t *testing.T) {
		mt := settledMaster(t, nil)
		mt.claim(claimedAddr)
		mt.step(FaultBegin{"x"})
		mt.want("SendAdvert{Priority:0}", remove, "MASTER -> FAULT")
		mt.step(FaultEnd{Source: self})
		mt.want("FAULT -> BACKUP")
		mt.fireIn(down100)
		mt.want(becomesMaster...)
		mt.wantDone(5 * time.Second)
	})
	t.Run("by-a-lesser-MASTER", func(t *testing.T) { // that is told of, and answered, by its adverts
		for _, advertFirst := range []bool{true, false} {
			mt := settledMaster(t, nil)
			if advertFirst {
				mt.hear(lower, 50, time.Second)
				mt.want("conflict master 10.0.0.4", send100, announce5)
			}
			mt.claim(claimedAddr)
			mt.wait(time.Second)
			if !advertFirst {
				mt.hear(lower, 50, time.Second)
				mt.want("conflict master 10.0.0.4", send100, announce5)
			}
			mt.wantDone(3 * time.Second)
			mt.claim(claimedAddr) // it has been silent for 4 s: its addresses may have been left behind
			mt.wantDone(2*time.Second, "1.5s "+conflictClaim, "1.5s "+defend)
		}
	})
	t.Run("of-an-address-given-up-meanwhile", func(t *testing.T) {
		mt := settledMaster(t, nil)
		mt.claim(claimedAddr)
		in := mt.m.in.Clone()
		in.Addrs = MustAddresses("10.0.0.101")
		mt.step(Reconfigure{Instance: in})
		mt.want(send100)
		mt.wantDone(3 * time.Second)
	})
}

// TestClaimsOfManyAddresses: each is defended, and not more than a few at a time.
func TestClaimsOfManyAddresses(t *testing.T) {
	var literals []string
	for i := range 200 {
		literals = append(literals, netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}).String())
	}
	mt := settledMaster(t, func(in *Instance) { in.Excluded = MustAddresses(literals...) })
	defended := map[string]int{}
	for range 60 {
		for _, a := range literals {
			mt.claim(netip.MustParseAddr(a))
		}
		most := 0
		for _, did := range mt.until(time.Second) {
			if _, addr, ok := strings.Cut(did, defend[:len("DefendAddr{Addr:")]); ok {
				defended[addr]++
				most++
			}
		}
		if most > mostClaims {
			t.Fatalf("%d at once", most)
		}
	}
	for addr, n := range defended {
		if n > 6 {
			t.Errorf("%s was defended %d times in a minute", addr, n)
		}
	}
	if len(defended) < mostClaims || len(mt.m.claims) > mostClaims {
		t.Errorf("%d addresses were defended, %d are remembered", len(defended), len(mt.m.claims))
	}
}

// TestParseClaim: what is a claim, and what only looks like one.
func TestParseClaim(t *testing.T) {
	six := netip.MustParseAddr("2001:db8::100")
	source, option := [6]byte{2, 0, 0, 0, 0, 7}, [6]byte{2, 0, 0, 0, 0, 8}
	arp := func(edit func(b []byte)) []byte {
		b := make([]byte, 60) // padded, as on a wire
		copy(b, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x07\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x08\x0a\x00\x00\x64")
		edit(b)
		return b
	}
	na := func(options string, edit func(b []byte)) []byte {
		b := make([]byte, 78, 120)
		copy(b, "\x33\x33\x00\x00\x00\x01\x02\x00\x00\x00\x00\x07\x86\xdd\x60\x00\x00\x00\x00\x00\x3a\xff")
		b = append(b, options...)
		b[19] = byte(len(b) - 54)
		b[22], b[23], b[37] = 0xfe, 0x80, 9
		b[38], b[39], b[53] = 0xff, 2, 1
		b[54], b[58] = 136, 0x20
		copy(b[62:], six.AsSlice())
		edit(b)
		return b
	}
	sum := func(edit func(b []byte)) func(b []byte) {
		return func(b []byte) {
			edit(b)
			src, dst := netip.AddrFrom16([16]byte(b[22:38])), netip.AddrFrom16([16]byte(b[38:54]))
			binary.BigEndian.PutUint16(b[56:], ^fold(sumBytes(sumAddr(src)+sumAddr(dst)+uint32(len(b)-54)+58, b[54:])))
		}
	}
	as := func([]byte) {}
	set := func(i int, v byte) func([]byte) { return func(b []byte) { b[i] = v } }
	const link = "\x02\x01\x02\x00\x00\x00\x00\x08"
	for name, c := range map[string]struct {
		frame []byte
		mac   [6]byte // none: no claim
	}{
		"ARP request":               {arp(as), option},
		"ARP reply":                 {arp(set(21, 2)), option},
		"ARP, not padded":           {arp(as)[:42], option},
		"ARP, cut off":              {arp(as)[:41], [6]byte{}},
		"RARP":                      {arp(set(21, 3)), [6]byte{}},
		"ARP, another hardware":     {arp(set(15, 6)), [6]byte{}},
		"ARP, another protocol":     {arp(set(16, 9)), [6]byte{}},
		"ARP, longer addresses":     {arp(set(18, 8)), [6]byte{}},
		"ARP, group sender":         {arp(set(22, 3)), [6]byte{}},
		"ARP, zero sender":          {arp(func(b []byte) { clear(b[22:28]) }), [6]byte{}},
		"ARP probe":                 {arp(func(b []byte) { clear(b[28:32]) }), [6]byte{}},
		"ARP in another type":       {arp(set(13, 7)), [6]byte{}},
		"NA":                        {na(link, sum(as)), option},
		"NA, no option":             {na("", sum(as)), source},
		"NA, other options first":   {na("\x0e\x01\x00\x00\x00\x00\x00\x00"+link, sum(as)), option},
		"NA, source option":         {na("\x01"+link[1:], sum(as)), source},
		"NA, empty option":          {na("\x02\x00\x02\x00\x00\x00\x00\x08", sum(as)), [6]byte{}},
		"NA, cut off option":        {na("\x02\x02\x02\x00\x00\x00\x00\x08", sum(as)), [6]byte{}},
		"NA, half an option":        {na("\x02\x01", sum(as)), [6]byte{}},
		"NA through a router":       {na(link, sum(set(21, 254))), [6]byte{}},
		"NA, wrong checksum":        {na(link, func(b []byte) { sum(as)(b); b[57]++ }), [6]byte{}},
		"NA, code 1":                {na(link, sum(set(55, 1))), [6]byte{}},
		"NA, solicited to all":      {na(link, sum(set(58, 0x60))), [6]byte{}},
		"NA, solicited, to a host":  {na(link, sum(func(b []byte) { b[38], b[58] = 0xfe, 0x60 })), option},
		"NA of a group":             {na(link, sum(set(62, 0xff))), [6]byte{}},
		"NS":                        {na(link, sum(set(54, 135))), [6]byte{}},
		"NA behind an extension":    {na(link, sum(set(20, 0))), [6]byte{}},
		"NA in another version":     {na(link, sum(set(14, 0x40))), [6]byte{}},
		"NA, longer than its frame": {na(link, sum(set(18, 1))), [6]byte{}},
		"NA, shorter than an NA":    {na(link, sum(set(19, 23))), [6]byte{}},
		"NA, cut off":               {na("", sum(as))[:77], [6]byte{}},
		"nothing":                   {nil, [6]byte{}},
		"an Ethernet header":        {arp(as)[:14], [6]byte{}},
	} {
		before := bytes.Clone(c.frame)
		addr, mac, ok := parseClaim(c.frame)
		want := claimedAddr
		if strings.HasPrefix(name, "NA") {
			want = six
		}
		if ok != (c.mac != [6]byte{}) || ok && (mac != c.mac || addr != want) {
			t.Errorf("%s: %v at %x, %v", name, addr, mac, ok)
		}
		if !bytes.Equal(before, c.frame) {
			t.Errorf("%s: the frame was changed", name)
		}
		if n := testing.AllocsPerRun(100, func() { parseClaim(c.frame) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// FuzzParseClaim: no frame makes it panic, and what it takes for a claim is one of this many bytes at least, of a host.
func FuzzParseClaim(f *testing.F) {
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x07\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x08\x0a\x00\x00\x64\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x64"))
	f.Add([]byte("\x33\x33\x00\x00\x00\x01\x02\x00\x00\x00\x00\x07\x86\xdd\x60\x00\x00\x00\x00\x20\x3a\xff\xfe\x80" + strings.Repeat("\x00", 13) + "\x09\xff\x02" + strings.Repeat("\x00", 13) +
		"\x01\x88\x00\x00\x00\x20\x00\x00\x00\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x64\x02\x01\x02\x00\x00\x00\x00\x08"))
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, mac, ok := parseClaim(b)
		if ok && (len(b) < 42 || !addr.IsValid() || addr.IsMulticast() && addr.Is6() || mac[0]&1 != 0 || mac == [6]byte{}) {
			t.Errorf("%x: %v at %x", b, addr, mac)
		}
	})
}

// BenchmarkClaim reads a frame about an address that is none of ours, and tells a MASTER of a claim that it knows of.
func BenchmarkClaim(b *testing.B) {
	frame := []byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x07\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x08\x0a\x00\x00\x64\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x64")
	b.Run("frame", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			parseClaim(frame)
		}
	})
	b.Run("step", func(b *testing.B) {
		m, err := NewMachine(Instance{Name: "i", Interface: "eth0", VRID: 1, Priority: 255, Addrs: MustAddresses("10.0.0.100")})
		if err != nil {
			b.Fatal(err)
		}
		now := time.Now()
		m.Step(now, Startup{Source: self})
		now = now.Add(time.Hour)
		b.ReportAllocs()
		for b.Loop() {
			m.Step(now, Claimed{Addr: claimedAddr, MAC: another})
		}
	})
}
