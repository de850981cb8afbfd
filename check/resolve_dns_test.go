package check

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers as a test says, over UDP and TCP at one port: by a list of messages for each question. Over TCP the
// second list counts.
func nameServer(t *testing.T, udp, tcp func(q dnsmessage.Message) []dnsmessage.Message) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, b := range replied(buf[:n], udp) {
				_, _ = c.WriteTo(b, from)
			}
		}
	}()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			head := make([]byte, 2)
			_, _ = io.ReadFull(conn, head)
			buf := make([]byte, binary.BigEndian.Uint16(head))
			_, _ = io.ReadFull(conn, buf)
			for _, b := range replied(buf, tcp) {
				_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
			}
			conn.Close()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

func replied(query []byte, say func(q dnsmessage.Message) []dnsmessage.Message) (all [][]byte) {
	var q dnsmessage.Message
	if q.Unpack(query) != nil || say == nil {
		return nil
	}
	for _, m := range say(q) {
		if b, err := m.Pack(); err == nil {
			all = append(all, b)
		}
	}
	return all
}

// answer is an answer to q with records such as "web A 192.0.2.1 60".
func answer(q dnsmessage.Message, records ...string) dnsmessage.Message {
	q.Response = true
	for _, r := range records {
		f := strings.Fields(r)
		var ttl uint32
		_, _ = fmt.Sscan(f[3], &ttl)
		h := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(f[0] + "."), Class: dnsmessage.ClassINET, TTL: ttl}
		switch f[1] {
		case "A":
			q.Answers = append(q.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: netip.MustParseAddr(f[2]).As4()}})
		case "CNAME":
			q.Answers = append(q.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(f[2] + ".")}})
		}
	}
	return q
}

// TestLookupOfHostileServers: what is told is the answer, the whole answer, and nothing but the answer.
func TestLookupOfHostileServers(t *testing.T) {
	type says = func(q dnsmessage.Message) []dnsmessage.Message
	one := func(records ...string) says {
		return func(q dnsmessage.Message) []dnsmessage.Message { return []dnsmessage.Message{answer(q, records...)} }
	}
	code := func(c dnsmessage.RCode) says {
		return func(q dnsmessage.Message) []dnsmessage.Message {
			q = answer(q)
			q.RCode = c
			return []dnsmessage.Message{q}
		}
	}
	truncated := func(q dnsmessage.Message) []dnsmessage.Message {
		q = answer(q, "web A 192.0.2.1 60")
		q.Truncated = true
		return []dnsmessage.Message{q}
	}
	for name, c := range map[string]struct {
		udp, tcp says
		want     string
	}{
		"an answer":               {one("web A 192.0.2.1 60", "WEB A 192.0.2.2 30"), nil, "[192.0.2.1 192.0.2.2] 30s"},
		"aliases, in any order":   {one("c A 192.0.2.1 60", "b CNAME c 5", "web CNAME b 60"), nil, "[192.0.2.1] 5s"},
		"what nobody asked for":   {one("web A 192.0.2.1 60", "other A 192.0.2.66 60"), nil, "[192.0.2.1] 1m0s"},
		"an alias for nothing":    {one("web CNAME b 60", "other A 192.0.2.66 60"), nil, "lookup web: no such host"},
		"a circle":                {one("web CNAME b 60", "b CNAME web 60"), nil, "its aliases go in a circle"},
		"none":                    {one(), nil, "lookup web: no such host"},
		"no such name":            {code(dnsmessage.RCodeNameError), nil, "lookup web: no such host"},
		"refused":                 {code(dnsmessage.RCodeRefused), nil, "lookup web: name server 127.0.0.1:0: Refused"},
		"out of order":            {code(dnsmessage.RCodeServerFailure), nil, "lookup web: name server 127.0.0.1:0: ServerFailure"},
		"silence":                 {nil, nil, "lookup web: name server 127.0.0.1:0: no answer"},
		"truncated, over TCP":     {truncated, one("web A 192.0.2.1 60", "web A 192.0.2.2 60"), "[192.0.2.1 192.0.2.2] 1m0s"},
		"truncated, and no more":  {truncated, nil, "EOF"},
		"a time that is negative": {one("web A 192.0.2.1 4294967295"), nil, "[192.0.2.1] 1s"},
		"answers to others first": {func(q dnsmessage.Message) []dnsmessage.Message {
			forged := answer(q, "web A 192.0.2.66 60")
			otherID, otherName, query := forged, forged, forged
			otherID.ID++
			otherName.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("x."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}
			query.Response = false
			return []dnsmessage.Message{otherID, otherName, query, answer(q, "web A 192.0.2.1 60")}
		}, nil, "[192.0.2.1] 1m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := nameServer(t, c.udp, c.tcp)
			r := &Resolver{Servers: []netip.AddrPort{server}, Network: "ip4", Timeout: 300 * time.Millisecond}
			if c.want[0] == '[' {
				r.Timeout = 5 * time.Second
			}
			now := time.Now()
			a, err := r.Lookup(t.Context(), "web")
			got := fmt.Sprint(a.Addrs, " ", a.Until.Sub(now).Truncate(time.Second))
			if err != nil {
				got = err.Error()
			}
			want := strings.ReplaceAll(c.want, "127.0.0.1:0", server.String())
			if got != want && (err == nil || !strings.HasSuffix(got, want)) {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}

// TestLookupAsksTheNextServer when one is silent, and once more one that lost a datagram.
func TestLookupAsksTheNextServer(t *testing.T) {
	silent := nameServer(t, nil, nil)
	var asked atomic.Int32
	forgetful := nameServer(t, func(q dnsmessage.Message) []dnsmessage.Message {
		if asked.Add(1) == 1 {
			return nil
		}
		return []dnsmessage.Message{answer(q, "web A 192.0.2.1 60")}
	}, nil)
	r := &Resolver{Servers: []netip.AddrPort{silent, forgetful}, Network: "ip4", Timeout: time.Second}
	if a, err := r.Lookup(t.Context(), "web"); err != nil || len(a.Addrs) != 1 || asked.Load() != 2 {
		t.Errorf("%+v, %v, asked %d times", a, err, asked.Load())
	}
}

func TestNameServersOfAFile(t *testing.T) {
	got := nameServers("# nameserver 192.0.2.9\nsearch a b\nnameserver 192.0.2.1 # ours\n  nameserver\tfe80::1%eth0\nnameserver x\nnameserver\nnameserver ::1\nnameserver 192.0.2.4\n")
	if want := "[192.0.2.1:53 [fe80::1%eth0]:53 [::1]:53]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func FuzzNameServerReply(f *testing.F) {
	q := dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("web."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	for _, m := range []dnsmessage.Message{answer(q), answer(q, "web CNAME b 9", "b A 192.0.2.1 60")} {
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		reply, ok := readReply(said, 7, "web", dnsmessage.TypeA)
		if !ok {
			return
		}
		if a := addresses(reply.answers, "web"); a.err == nil && a.ttl < 0 {
			t.Errorf("%+v", a)
		}
	})
}
