package ipvs

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// littleEndian is what the goldens are written on.
func littleEndian(t testing.TB) {
	if native.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the goldens are little endian")
	}
}

// unhex reads hexadecimal with blanks and comments.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "//")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	keyIPv4 = ServiceKey{Protocol: TCP, Addr: netip.MustParseAddrPort("192.0.2.10:80")}
	keyIPv6 = ServiceKey{Protocol: UDP, Addr: netip.MustParseAddrPort("[2001:db8::10]:5060")}
	keyMark = ServiceKey{FWMark: 7, IPv6: true}
)

func gue() Destination {
	return Destination{
		Addr: netip.MustParseAddrPort("10.0.0.1:80"), Forward: Tunnel, Weight: 70000, UpperThreshold: 100, LowerThreshold: 50,
		Tunnel: TunnelOptions{Type: GUE, Port: 6080, Checksum: RemoteChecksum},
	}
}

// TestMessages: the bytes of messages, attribute by attribute as include/uapi/linux/ip_vs.h numbers them.
func TestMessages(t *testing.T) {
	littleEndian(t)
	for _, c := range []struct {
		name string
		op   Op
		want string
	}{
		{"add service", Op{Action: AddService, Service: Service{ServiceKey: keyIPv4, Scheduler: "wrr"}}, `
			5c000000 1a00 0100 05000000 00000000  01 01 0000 // length, family, REQUEST, number; NEW_SERVICE, version 1
			4800 0100                                       // SERVICE
			  0600 0100 0200 0000                           // AF: AF_INET
			  0600 0200 0600 0000                           // PROTOCOL: TCP
			  0800 0300 c000020a                            // ADDR
			  0600 0400 0050 0000                           // PORT, network order
			  0800 0600 77727200                            // SCHED_NAME: wrr
			  0c00 0700 00000000 ffffffff                   // FLAGS, all of them
			  0800 0800 00000000                            // TIMEOUT
			  0800 0900 ffffffff                            // NETMASK`},
		{"edit service", Op{Action: EditService, Service: Service{ServiceKey: keyIPv6, Scheduler: "mh", Flags: MHPort | OnePacket,
			Persistence: time.Minute, Granularity: 64, Engine: "sip"}}, `
			70000000 1a00 0100 05000000 00000000  02 01 0000
			5c00 0100
			  0600 0100 0a00 0000
			  0600 0200 1100 0000
			  1400 0300 20010db8 00000000 00000000 00000010
			  0600 0400 13c4 0000
			  0700 0600 6d680000                            // mh, and padding
			  0800 0b00 73697000                            // PE_NAME
			  0c00 0700 15000000 ffffffff                   // persistent, one packet, scheduler 2
			  0800 0800 3c000000
			  0800 0900 40000000                            // a length, in the machine's order`},
		{"delete service", Op{Action: DeleteService, Service: Service{ServiceKey: keyMark}}, `
			28000000 1a00 0100 05000000 00000000  03 01 0000
			1400 0100
			  0600 0100 0a00 0000
			  0800 0500 07000000                            // FWMARK`},
		{"add destination", Op{Action: AddDestination, Service: Service{ServiceKey: keyIPv4}, Destination: gue()}, `
			8c000000 1a00 0100 05000000 00000000  05 01 0000
			2400 0100
			  0600 0100 0200 0000  0600 0200 0600 0000  0800 0300 c000020a  0600 0400 0050 0000
			5400 0200                                       // DEST
			  0800 0100 0a000001                            // ADDR
			  0600 0200 0050 0000                           // PORT
			  0600 0b00 0200 0000                           // ADDR_FAMILY
			  0800 0300 02000000                            // FWD_METHOD: TUN
			  0800 0400 70110100                            // WEIGHT
			  0800 0500 64000000  0800 0600 32000000        // U_THRESH, L_THRESH
			  0500 0d00 01000000                            // TUN_TYPE: GUE
			  0600 0e00 17c0 0000                           // TUN_PORT, network order
			  0600 0f00 0200 0000                           // TUN_FLAGS: REMCSUM`},
		{"edit destination", Op{Action: EditDestination, Service: Service{ServiceKey: keyIPv4},
			Destination: Destination{Addr: netip.MustParseAddrPort("[fd00::1]:80"), Forward: Tunnel, Weight: 1}}, `
			80000000 1a00 0100 05000000 00000000  06 01 0000
			2400 0100
			  0600 0100 0200 0000  0600 0200 0600 0000  0800 0300 c000020a  0600 0400 0050 0000
			4800 0200
			  1400 0100 fd000000 00000000 00000000 00000001  0600 0200 0050 0000  0600 0b00 0a00 0000
			  0800 0300 02000000  0800 0400 01000000  0800 0500 00000000  0800 0600 00000000`},
		{"delete destination", Op{Action: DeleteDestination, Service: Service{ServiceKey: keyMark}, Destination: gue()}, `
			44000000 1a00 0100 05000000 00000000  07 01 0000
			1400 0100  0600 0100 0a00 0000  0800 0500 07000000
			1c00 0200  0800 0100 0a000001  0600 0200 0050 0000  0600 0b00 0200 0000`},
	} {
		got, err := appendOp(nil, 26, flagRequest, 5, &c.op)
		if want := unhex(t, c.want); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n%x, want\n%x", c.name, err, got, want)
		}
	}
}

func TestDaemonMessage(t *testing.T) {
	littleEndian(t)
	d := SyncDaemon{Role: SyncBackup, Interface: "eth0", ID: 9, MaxLen: 1400, Group: netip.MustParseAddr("224.0.0.82"), Port: 8849, TTL: 3}
	want := unhex(t, `
		4000 0300
		  0800 0100 02000000
		  0900 0200 65746830 00000000
		  0800 0300 09000000
		  0600 0400 7805 0000
		  0800 0500 e0000052
		  0600 0700 9122 0000
		  0500 0800 03000000`)
	if got := appendDaemon(nil, &d, true); !bytes.Equal(got, want) {
		t.Errorf("%x, want\n%x", got, want)
	}
	back, err := decodeDaemon(&answer{body: append([]byte{9, 1, 0, 0}, want...)})
	if err != nil || back != d {
		t.Errorf("read back as %+v, %v", back, err)
	}
}

// TestCannotBeSaid: what would be cut on its way is refused before it is sent.
func TestCannotBeSaid(t *testing.T) {
	d := gue()
	d.Weight = 1 << 31
	for want, op := range map[string]Op{
		"at most 15 letters": {Action: AddService, Service: Service{ServiceKey: keyIPv4, Scheduler: "sixteen-letters!"}},
		"whole seconds":      {Action: EditService, Service: Service{ServiceKey: keyIPv4, Persistence: time.Millisecond}},
		"TCP, UDP and SCTP":  {Action: DeleteService},
		"weight 2147483648":  {Action: EditDestination, Service: Service{ServiceKey: keyIPv4}, Destination: d},
		"no address, or":     {Action: DeleteDestination, Service: Service{ServiceKey: keyIPv4}},
		"action 99":          {Action: 99},
	} {
		b, err := appendOp([]byte("before"), 26, 0, 1, &op)
		if err == nil || !strings.Contains(err.Error(), want) || string(b) != "before" {
			t.Errorf("%v: %v, want %q; appended %x", op.Action, err, want, b[6:])
		}
	}
}

func TestVerdict(t *testing.T) {
	littleEndian(t)
	for name, c := range map[string]struct {
		hex     string
		number  int
		message string
		short   bool
	}{
		"acknowledgement": {hex: `24000000 0200 0001 05000000 00000000  00000000 14000000 1a00 0500 05000000 00000000`},
		"capped":          {hex: `24000000 0200 0001 05000000 00000000  fdffffff 14000000 1a00 0500 05000000 00000000`, number: 3},
		"with words": {hex: `34000000 0200 0003 05000000 00000000  eaffffff 70000000 1a00 0500 05000000 00000000
			0d00 0100 62616420 76616c75 00000000`, number: 22, message: "bad valu"},
		"whole, with words": {hex: `38000000 0200 0002 05000000 00000000  eaffffff 14000000 1a00 0500 05000000 00000000
			01010000  0d00 0100 62616420 76616c75 00000000`, number: 22, message: "bad valu"},
		"end of a dump":      {hex: `14000000 0300 0200 05000000 00000000  00000000`},
		"end without errno":  {hex: `10000000 0300 0200 05000000 00000000`},
		"verdict of nothing": {hex: `10000000 0200 0000 05000000 00000000`, short: true},
	} {
		a, rest, err := nextAnswer(unhex(t, c.hex))
		if err != nil || len(rest) != 0 || a.seq != 5 {
			t.Errorf("%s: %+v, %d bytes more, %v", name, a, len(rest), err)
			continue
		}
		number, message, err := a.errno()
		if number != c.number || message != c.message || errors.Is(err, io.ErrUnexpectedEOF) != c.short {
			t.Errorf("%s: %d %q %v", name, number, message, err)
		}
	}
}

// FuzzAnswers: whatever comes from the kernel, nothing panics, and a service that can be read is one whose message reads the
// same.
func FuzzAnswers(f *testing.F) {
	for _, text := range []string{serviceAnswer, destinationAnswer, `24000000 0200 0003 05000000 00000000  eaffffff 14000000 1a00 0500 05000000 00000000`} {
		f.Add(unhex(f, text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			a, rest, err := nextAnswer(b)
			if err != nil {
				return
			}
			if len(rest) >= len(b) {
				t.Fatalf("no way forward in %x", b)
			}
			b = rest
			readEverything(t, &a)
		}
	})
}

func readEverything(t *testing.T, a *answer) {
	_, _, _ = a.errno()
	_, _ = decodeDaemon(a)
	_, _ = decodeInfo(a)
	_, _ = decodeFamily(a)
	for _, family := range []uint16{0, familyIPv4, familyIPv6} {
		_, _ = decodeDestination(a, family)
	}
	s, err := decodeService(a)
	if err != nil {
		return
	}
	msg, err := appendOp(nil, 26, 0, 1, &Op{Action: AddService, Service: s.Service})
	if err != nil {
		return // nothing that one could wish for
	}
	again, _, err := nextAnswer(msg)
	if err != nil {
		t.Fatal(err)
	}
	back, err := decodeService(&again)
	want := Service{ServiceKey: s.ServiceKey, Scheduler: s.scheduler(), Flags: s.Flags, Persistence: s.Persistence, Granularity: s.Granularity, Engine: s.Engine}
	if err != nil || !sameService(&back.Service, &want) {
		t.Fatalf("%+v reads back as %+v, %v", want, back.Service, err)
	}
}

func sameService(a, b *Service) bool { return a.ServiceKey == b.ServiceKey && a.sameEntry(b) }

// What Linux 6.1.176 answered about this, but for the counters, which are set by hand so that each is another:
//
//	ipvsadm -A -u 10.99.0.1:5060 -s sh -p 60 -M 255.255.0.0 --pe sip -b sh-port
//	ipvsadm -a -u 10.99.0.1:5060 -r [fd99::9]:5060 -i -w 70000 -x 9 -y 3 --tun-type gue --tun-port 6080 --tun-csum
const (
	serviceAnswer = `
	700100001c0002000300000001000000010100005c01010006000100020000000600020011000000140003000a630001
	0000000000000000000000000600040013c40000070006007368000008000b00736970000c00070013000000ffffffff
	080008003c00000008000900ffff000060000a000800010000000000080002000000000008000300000000000c000400
	000000000000000004000b000c0005000000000000000000080006000000000008000700000000000800080000000000
	080009000000000008000a0000000000a0000c000c000100650000000001000004000b000c0002006600000000000000
	04000b000c000300670000000000000004000b000c000400680000000000000004000b000c0005006900000000000000
	04000b000c0006006a0000000000000004000b000c0007006b0000000000000004000b000c0008006c00000000000000
	04000b000c0009006d0000000000000004000b000c000a006e00000000000000`
	destinationAnswer = `
	900100001c0002000400000001000000050100007c01020014000100fd99000000000000000000000000000906000200
	13c400000800030002000000080004007011010005000d000100000006000e0017c0000006000f000100000008000500
	090000000800060003000000080007000b000000080008000c000000080009000d00000006000b000a00000064000a00
	08000100000000000800020000000000080003000000000004000b000c000400000000000000000004000b000c000500
	0000000000000000080006000000000008000700000000000800080000000000080009000000000008000a0000000000
	a0000c000c000100c90000000001000004000b000c000200ca0000000000000004000b000c000300cb00000000000000
	04000b000c000400cc0000000000000004000b000c000500cd0000000000000004000b000c000600ce00000000000000
	04000b000c000700cf0000000000000004000b000c000800d00000000000000004000b000c000900d100000000000000
	04000b000c000a00d200000000000000`
)

func statsFrom(n uint64) Stats {
	return Stats{1<<40 + n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7, n + 8, n + 9, n + 10}
}

func TestAnswers(t *testing.T) {
	littleEndian(t)
	a, rest, err := nextAnswer(unhex(t, serviceAnswer))
	if err != nil || len(rest) != 0 {
		t.Fatalf("%d bytes more, %v", len(rest), err)
	}
	s, err := decodeService(&a)
	want := ServiceStatus{Stats: statsFrom(100), Service: Service{
		ServiceKey: ServiceKey{Protocol: UDP, Addr: netip.MustParseAddrPort("10.99.0.1:5060")},
		Scheduler:  "sh", Flags: SHPort, Persistence: time.Minute, Granularity: 16, Engine: "sip",
	}}
	if err != nil || !reflect.DeepEqual(s, want) {
		t.Errorf("%+v %v, want\n%+v", s, err, want)
	}
	if a, _, err = nextAnswer(unhex(t, destinationAnswer)); err != nil {
		t.Fatal(err)
	}
	d, err := decodeDestination(&a, familyIPv4)
	wantDestination := DestinationStatus{ActiveConnections: 11, InactiveConnections: 12, PersistentConnections: 13, Stats: statsFrom(200), Destination: Destination{
		Addr: netip.MustParseAddrPort("[fd99::9]:5060"), Forward: Tunnel, Weight: 70000, UpperThreshold: 9, LowerThreshold: 3,
		Tunnel: TunnelOptions{Type: GUE, Port: 6080, Checksum: Checksum},
	}}
	if err != nil || d != wantDestination {
		t.Errorf("%+v %v, want\n%+v", d, err, wantDestination)
	}
}

// TestOldAnswers: a kernel before 3.18 tells of no family of a destination, one before 4.1 counts in 32 bits.
func TestOldAnswers(t *testing.T) {
	littleEndian(t)
	body := unhex(t, `05 01 0000  4400 0200
		1400 0100 0a000001 00000000 00000000 00000000
		0600 0200 0050 0000  0800 0400 05000000
		1c00 0a00  0800 0100 2a000000  0c00 0400 01000000 01000000  0400 0b00`)
	d, err := decodeDestination(&answer{body: body}, familyIPv4)
	if err != nil || d.Addr != netip.MustParseAddrPort("10.0.0.1:80") || d.Weight != 5 || d.Stats != (Stats{Connections: 42, BytesIn: 1<<32 + 1}) {
		t.Errorf("%+v %v", d, err)
	}
}

// TestTunnelOptionsOfNoTunnel: the kernel keeps what it was told, but it means nothing.
func TestTunnelOptionsOfNoTunnel(t *testing.T) {
	littleEndian(t)
	body := unhex(t, `05 01 0000  2c00 0200
		0800 0100 0a000001  0600 0200 0050 0000
		0800 0300 03000000
		0500 0d00 01000000  0600 0e00 17c0 0000`)
	if d, err := decodeDestination(&answer{body: body}, familyIPv4); err != nil || d.Forward != Direct || d.Tunnel != (TunnelOptions{}) {
		t.Errorf("%+v %v", d, err)
	}
}

// TestTornAnswers: an answer that is cut anywhere is an error, or says nothing wrong.
func TestTornAnswers(t *testing.T) {
	littleEndian(t)
	whole := unhex(t, destinationAnswer)
	for n := range whole {
		if _, _, err := nextAnswer(whole[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	for n := headerLen; n < len(whole)-1; n++ {
		if _, err := decodeDestination(&answer{body: whole[headerLen:n]}, familyIPv4); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("body cut at %d: %v", n, err)
		}
	}
}
