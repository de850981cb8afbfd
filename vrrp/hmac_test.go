package vrrp

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var signedAt = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// signer is an instance with HMAC.
func signer(edit func(in *Instance)) Instance {
	in := Instance{Name: "i", Interface: "eth0", VRID: 7, Addrs: MustAddresses("10.0.0.100"),
		HMAC: HMAC{Keys: []HMACKey{{1, strings.Repeat("a", 32)}, {2, strings.Repeat("b", 64)}}, Active: 1}}
	if edit != nil {
		edit(&in)
	}
	return in
}

// signed is an advert of an instance.
func signed(t testing.TB, w *writer, now time.Time, from netip.Addr) []byte {
	t.Helper()
	w.begin(100)
	b, err := w.append(nil, now, from, GroupIPv4)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func verify(t testing.TB, a *Authenticator, now time.Time, b []byte, from netip.Addr) error {
	t.Helper()
	var p Advertisement
	if err := p.ParsePacket(b, from, GroupIPv4); err != nil {
		t.Fatal(err)
	}
	return a.Verify(now, &p, b, from)
}

// TestHMACRefuses has one way for each counter.
func TestHMACRefuses(t *testing.T) {
	edit := func(f func(b []byte)) func(b []byte) []byte {
		return func(b []byte) []byte { f(b); return b }
	}
	same := func(b []byte) []byte { return b }
	for name, c := range map[string]struct {
		change func(b []byte) []byte
		late   time.Duration
		want   error
	}{
		"good":                {same, 0, nil},
		"5 s old":             {same, 5 * time.Second, nil},
		"too old":             {same, 7 * time.Second, ErrHMACStale},
		"too early":           {same, -7 * time.Second, ErrHMACStale},
		"unsigned":            {func(b []byte) []byte { return b[:12] }, 0, ErrHMACMissing},
		"27 bytes":            {func(b []byte) []byte { return b[:len(b)-1] }, 0, ErrHMACMalformed},
		"29 bytes":            {func(b []byte) []byte { return append(b, 0) }, 0, ErrHMACMalformed},
		"another type":        {edit(func(b []byte) { b[12] = 2 }), 0, ErrHMACMalformed},
		"reserved bits":       {edit(func(b []byte) { b[15] = 1 }), 0, ErrHMACMalformed},
		"unknown key":         {edit(func(b []byte) { b[13] = 3 }), 0, ErrHMACUnknownKey},
		"another key":         {edit(func(b []byte) { b[13] = 2 }), 0, ErrHMACInvalid},
		"priority":            {edit(func(b []byte) { b[2]++ }), 0, ErrHMACInvalid},
		"address":             {edit(func(b []byte) { b[11]++ }), 0, ErrHMACInvalid},
		"counter":             {edit(func(b []byte) { b[23]++ }), 0, ErrHMACInvalid},
		"signature":           {edit(func(b []byte) { b[39]++ }), 0, ErrHMACInvalid},
		"checksum is no part": {edit(func(b []byte) { b[6]++ }), 0, nil},
	} {
		var w writer
		w.configure(signer(nil))
		b := c.change(signed(t, &w, signedAt, lower))
		if err := verify(t, NewAuthenticator(signer(nil)), signedAt.Add(c.late), b, lower); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	var w writer
	w.configure(signer(nil))
	if err := verify(t, NewAuthenticator(signer(nil)), signedAt, signed(t, &w, signedAt, lower), higher); !errors.Is(err, ErrHMACInvalid) {
		t.Errorf("from another address: %v", err)
	}
}

// TestHMACRollOut: a group is moved mode by mode, and then to another key, without one advert refused.
func TestHMACRollOut(t *testing.T) {
	none := signer(func(in *Instance) { in.HMAC = HMAC{} })
	mode := func(m HMACMode, active uint8) Instance {
		return signer(func(in *Instance) { in.HMAC.Mode, in.HMAC.Active = m, active })
	}
	stages := []Instance{none, mode(HMACReceiveOnly, 1), mode(HMACPermissive, 1), mode(HMACEnforce, 1), mode(HMACEnforce, 2)}
	for i := range stages[1:] {
		for _, pair := range [][2]Instance{{stages[i], stages[i+1]}, {stages[i+1], stages[i]}} {
			var w writer
			w.configure(pair[0])
			if err := verify(t, NewAuthenticator(pair[1]), signedAt, signed(t, &w, signedAt, lower), lower); err != nil {
				t.Errorf("stage %d: %v", i, err)
			}
		}
	}
	var w writer
	w.configure(mode(HMACEnforce, 1))
	bad := signed(t, &w, signedAt, lower)
	bad[30]++
	for _, m := range []HMACMode{HMACReceiveOnly, HMACPermissive} {
		if err := verify(t, NewAuthenticator(mode(m, 1)), signedAt, bad, lower); !errors.Is(err, ErrHMACInvalid) {
			t.Errorf("%v: a bad trailer: %v", m, err)
		}
	}
}

// TestHMACReplay: what was accepted once, or is older, is not again; four multicast senders are remembered, by use.
func TestHMACReplay(t *testing.T) {
	var w writer
	w.configure(signer(nil))
	first, second := signed(t, &w, signedAt, lower), signed(t, &w, signedAt, lower)
	a := NewAuthenticator(signer(nil))
	for i, c := range []struct {
		b    []byte
		want error
	}{{second, nil}, {second, ErrHMACReplay}, {first, ErrHMACReplay}} {
		if err := verify(t, a, signedAt, c.b, lower); !errors.Is(err, c.want) {
			t.Errorf("%d: %v, want %v", i, err, c.want)
		}
	}
	a.Reconfigure(signer(func(in *Instance) { in.Priority = 5 }))
	if err := verify(t, a, signedAt, second, lower); !errors.Is(err, ErrHMACReplay) {
		t.Errorf("after a reconfiguration: %v", err)
	}
	for i := range 4 { // four others push the first one out
		from := netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})
		if err := verify(t, a, signedAt, signed(t, &w, signedAt, from), from); err != nil {
			t.Error(err)
		}
	}
	if len(a.marks) != 4 || slices.ContainsFunc(a.marks, func(m mark) bool { return m.from == lower }) {
		t.Errorf("marks: %v", a.marks)
	}
	forged := signed(t, &w, signedAt, higher)
	forged[39]++
	if err := verify(t, a, signedAt, forged, higher); !errors.Is(err, ErrHMACInvalid) || len(a.marks) != 4 || a.marks[3].from == higher {
		t.Errorf("a forged advert: %v, marks %v", err, a.marks)
	}
}

// TestHMACClockSteps: a sender whose clock goes back keeps counting, and comes back to the clock when it is too far ahead.
func TestHMACClockSteps(t *testing.T) {
	var w writer
	w.configure(signer(nil))
	a := NewAuthenticator(signer(nil))
	for i, now := range []time.Time{signedAt, signedAt.Add(-2 * time.Second), signedAt.Add(-2 * time.Second), signedAt.Add(time.Second)} {
		if err := verify(t, a, now, signed(t, &w, now, lower), lower); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	past := signedAt.Add(-time.Hour) // everyone's clock was an hour ahead, and was set right
	if err := verify(t, a, past, signed(t, &w, past, lower), lower); err != nil {
		t.Errorf("clocks set back: %v", err)
	}
	mono := signer(func(in *Instance) { in.HMAC.Monotonic = true })
	w.configure(mono)
	a = NewAuthenticator(mono)
	for i, late := range []time.Duration{0, time.Hour, -time.Hour} {
		if err := verify(t, a, signedAt, signed(t, &w, signedAt.Add(late), lower), lower); err != nil {
			t.Errorf("monotonic %d: %v", i, err)
		}
	}
}

// TestHMACDrift: clocks that part are told of before adverts are refused.
func TestHMACDrift(t *testing.T) {
	var w writer
	in := signer(func(in *Instance) { in.HMAC.Window = 20 * time.Second })
	w.configure(in)
	a := NewAuthenticator(in)
	for late, told := range map[time.Duration]bool{0: false, 10 * time.Second: false, 12 * time.Second: true, -12 * time.Second: true, 20 * time.Second: true} {
		from := netip.AddrFrom4([4]byte{10, 0, 0, byte(20 + late/time.Second)})
		if err := verify(t, a, signedAt.Add(late), signed(t, &w, signedAt, from), from); err != nil {
			t.Errorf("%v: %v", late, err)
		}
		if err := a.drifting(); (err != nil) != told {
			t.Errorf("%v: %v", late, err)
		}
	}
}

func TestHMACUnicastSendersArePeers(t *testing.T) {
	in := signer(func(in *Instance) { in.Peers = []Peer{{Addr: higher}} })
	var w writer
	w.configure(in)
	if err := verify(t, NewAuthenticator(in), signedAt, signed(t, &w, signedAt, higher), higher); err != nil {
		t.Error(err)
	}
	if err := verify(t, NewAuthenticator(in), signedAt, signed(t, &w, signedAt, lower), lower); !errors.Is(err, ErrPeer) {
		t.Error(err)
	}
}

func TestHMACIsValidated(t *testing.T) {
	for want, edit := range map[string]func(h *HMAC){
		"32 to 64":         func(h *HMAC) { h.Keys[0].Secret = "short" },
		"ids are 1 to 255": func(h *HMAC) { h.Keys[0].ID = 0 },
		"there twice":      func(h *HMAC) { h.Keys[0].ID = 2 },
		"none of that id":  func(h *HMAC) { h.Active = 9 },
		"at most 300 s":    func(h *HMAC) { h.Window = time.Hour },
	} {
		in := signer(nil)
		edit(&in.HMAC)
		if err := in.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

// TestAuthenticatedCodecDoesNotAllocate: both ways, with each kind of authentication and each family.
func TestAuthenticatedCodecDoesNotAllocate(t *testing.T) {
	for _, r := range recordings(t) {
		in := r.as()
		var w writer
		w.configure(in)
		reader, buf := NewAuthenticator(in), make([]byte, 0, 128)
		a, now := Advertisement{Addrs: make([]netip.Addr, 0, 8)}, signedAt
		packet := make([]byte, 0, 256)
		allocs := testing.AllocsPerRun(100, func() {
			now = now.Add(time.Second)
			w.begin(100)
			b, err := w.append(buf, now, r.src, r.dst)
			if err == nil {
				err = a.ParsePacket(b, r.src, r.dst)
			}
			if err == nil {
				err = a.Validate(&in, r.src, r.dst, 255)
			}
			if err == nil {
				err = reader.Verify(now, &a, b, r.src)
			}
			if err == nil {
				err = a.Compare(&in)
			}
			if in.AuthType == AuthAH {
				packet = append(append(append(packet[:0], r.ip...), make([]byte, ahLen)...), b...)
				w.auth.sealAH(packet, r.src, true)
				err = reader.verifyAH(packet[:20], packet[20:44], packet[44:], r.src, true)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations per advert", r.mode, allocs)
		}
	}
}
