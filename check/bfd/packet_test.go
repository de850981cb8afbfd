package bfd

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const fast = 300 * time.Millisecond

// upPacket is a session between 0x11223344 and 0x55667788 that is Up at 300 ms.
func upPacket() Packet {
	return Packet{State: Up, Multiplier: 3, Mine: 0x11223344, Yours: 0x55667788, MinTx: fast, MinRx: fast}
}

func TestPacketsReadAsWritten(t *testing.T) {
	poll, final := upPacket(), upPacket()
	poll.Poll, final.Final = true, true
	for _, c := range []struct {
		name, wire string
		packet     Packet
	}{
		{"the first packet", "20400318 11223344 00000000 000f4240 000493e0 00000000",
			Packet{State: Down, Multiplier: 3, Mine: 0x11223344, MinTx: time.Second, MinRx: fast}},
		{"poll", "20e00318 11223344 55667788 000493e0 000493e0 00000000", poll},
		{"final", "20d00318 11223344 55667788 000493e0 000493e0 00000000", final},
		{"administratively down", "27000318 11223344 55667788 000f4240 000493e0 00000000",
			Packet{State: AdminDown, Diag: DiagAdminDown, Multiplier: 3, Mine: 0x11223344, Yours: 0x55667788, MinTx: time.Second, MinRx: fast}},
	} {
		want := unhex(t, c.wire)
		if got, err := c.packet.AppendBinary(nil); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: wrote %x, %v; want %x", c.name, got, err, want)
		}
		var read Packet
		if err := read.Parse(append(want, 1, 2, 3)); err != nil || read != c.packet {
			t.Errorf("%s: read %+v, %v", c.name, read, err)
		}
		if err := read.Validate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestSignaturesAreThoseOfTheRFC(t *testing.T) {
	tail := " 11223344 55667788 000493e0 000493e0 00000000 "
	for _, c := range []struct {
		auth Auth
		wire string
	}{
		{Auth{KeyedSHA1, 1, "secret"}, "20c40334" + tail + "041c0100 01020304 f60f81bc988ceac0585fcd4887d74bdb0d665d64"},
		{Auth{KeyedMD5, 1, "secret"}, "20c40330" + tail + "02180100 01020304 d0a9d6710933839a6954603438b7e1ae"},
		{Auth{SimplePassword, 1, "secret"}, "20c40321" + tail + "010901 736563726574"},
	} {
		want, packet := unhex(t, c.wire), upPacket()
		got, err := c.auth.Sign(nil, &packet, 0x01020304)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: signed %x, %v; want %x", c.auth.Type, got, err, want)
		}
		var read Packet
		if err := read.Parse(want); err != nil {
			t.Fatalf("%v: %v", c.auth.Type, err)
		}
		if err := c.auth.Verify(want, &read); err != nil {
			t.Errorf("%v: own signature: %v", c.auth.Type, err)
		}
		for _, wrong := range []Auth{{c.auth.Type, 2, "secret"}, {c.auth.Type, 1, "secreT"}, {c.auth.Type, 1, "secret1"}, {MeticulousSHA1, 1, "secret"}} {
			if err := wrong.Verify(want, &read); !errors.Is(err, ErrAuth) {
				t.Errorf("%v: key %+v passes: %v", c.auth.Type, wrong, err)
			}
		}
		if c.auth.Type == SimplePassword {
			continue
		}
		bent := bytes.Clone(want)
		bent[7]++
		if read.Parse(bent) != nil || !errors.Is(c.auth.Verify(bent, &read), ErrAuth) {
			t.Errorf("%v: a changed packet passes", c.auth.Type)
		}
	}
}

func TestSequenceWindow(t *testing.T) {
	for _, c := range []struct {
		kind     AuthType
		sequence uint32
		ok       bool
	}{
		{KeyedSHA1, 100, true}, {KeyedSHA1, 99, false}, {KeyedSHA1, 109, true}, {KeyedSHA1, 110, false},
		{MeticulousSHA1, 100, false}, {MeticulousSHA1, 101, true}, {MeticulousSHA1, 109, true}, {MeticulousSHA1, 110, false},
	} {
		w := window{known: true, last: 100}
		if err := w.accepts(c.kind, c.sequence, 3); (err == nil) != c.ok {
			t.Errorf("%v: %d after 100: %v", c.kind, c.sequence, err)
		}
	}
	around := window{known: true, last: 1<<32 - 1}
	if err := around.accepts(MeticulousSHA1, 0, 3); err != nil {
		t.Errorf("the sequence wraps: %v", err)
	}
}

func TestWhatIsNotAPacket(t *testing.T) {
	good := unhex(t, "20c00318 11223344 55667788 000493e0 000493e0 00000000")
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	for _, c := range []struct {
		name string
		wire []byte
		want error
	}{
		{"empty", nil, io.ErrUnexpectedEOF},
		{"cut", good[:23], io.ErrUnexpectedEOF},
		{"version 0", change(0, 0x00), ErrVersion},
		{"version 2", change(0, 0x40), ErrVersion},
		{"length below the header", change(3, 23), ErrLength},
		{"length beyond the datagram", change(3, 25), io.ErrUnexpectedEOF},
		{"authentication announced and absent", change(1, 0xc4), ErrLength},
	} {
		untouched := upPacket()
		if err := untouched.Parse(c.wire); !errors.Is(err, c.want) || untouched != upPacket() {
			t.Errorf("%s: %v, packet %+v", c.name, err, untouched)
		}
	}
	for _, c := range []struct {
		name string
		wire []byte
		want error
	}{
		{"multiplier 0", change(2, 0), ErrMultiplier},
		{"multipoint", change(1, 0xc1), ErrMultipoint},
		{"sender without discriminator", unhex(t, "20c00318 00000000 55667788 000493e0 000493e0 00000000"), ErrDiscriminator},
		{"Up without ours", unhex(t, "20c00318 11223344 00000000 000493e0 000493e0 00000000"), ErrDiscriminator},
		{"Init without ours", unhex(t, "20800318 11223344 00000000 000493e0 000493e0 00000000"), ErrDiscriminator},
	} {
		var p Packet
		if err := p.Parse(c.wire); err != nil {
			t.Errorf("%s: parsing judges: %v", c.name, err)
		}
		if err := p.Validate(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	var p Packet
	if err := p.Parse(change(1, 0xf0)); err != nil || p.Validate() != nil {
		t.Errorf("poll and final together are not forbidden to a receiver: %v", err)
	}
}

func TestWhatDoesNotFitAPacket(t *testing.T) {
	for _, p := range []Packet{
		{State: 4}, {Diag: 32}, {MinTx: -1}, {MinRx: 4295 * time.Second}, {Auth: AuthSection{Type: 6}}, {Auth: AuthSection{Type: SimplePassword, Len: 17}},
	} {
		if b, err := p.AppendBinary(nil); err == nil || len(b) != 0 {
			t.Errorf("%+v was written: %x", p, b)
		}
	}
}

func TestCodecDoesNotAllocate(t *testing.T) {
	p, wire, buf := upPacket(), unhex(t, "20c00318 11223344 55667788 000493e0 000493e0 00000000"), make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		var read Packet
		if read.Parse(wire) != nil || read.Validate() != nil {
			t.Fatal("not read")
		}
		if _, err := p.AppendBinary(buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(unhex(f, "20c00318 11223344 55667788 000493e0 000493e0 00000000"))
	f.Add(unhex(f, "20c40334 11223344 55667788 000493e0 000493e0 00000000 041c0100 01020304 f60f81bc988ceac0585fcd4887d74bdb0d665d64"))
	f.Add(unhex(f, "20c40321 11223344 55667788 000493e0 000493e0 00000000 010901 736563726574"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p, again Packet
		if p.Parse(b) != nil {
			return
		}
		wire, err := p.AppendBinary(nil)
		if err != nil {
			t.Fatalf("%+v was read and cannot be written: %v", p, err)
		}
		if err := again.Parse(wire); err != nil || again != p {
			t.Fatalf("%+v became %+v, %v", p, again, err)
		}
		auth := Auth{Type: p.Auth.Type, KeyID: p.Auth.KeyID, Key: "k"}
		_ = auth.Verify(b, &p)
	})
}
