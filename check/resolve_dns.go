package check

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// answers is what name servers say of a name.
type answers struct {
	addrs []netip.Addr
	ttl   time.Duration
	err   error
}

// askServers asks for each family at once.
func (r *Resolver) askServers(ctx context.Context, name string) ([]netip.Addr, time.Duration, error) {
	servers, types, err := r.plan()
	if err != nil {
		return nil, 0, &net.DNSError{UnwrapErr: err, Err: err.Error(), Name: name}
	}
	all := make(chan answers, len(types))
	for _, t := range types {
		go func() { all <- lookup(ctx, servers, name, t) }()
	}
	sum := answers{ttl: math.MaxInt64}
	for range types {
		a := <-all
		sum.addrs = append(sum.addrs, a.addrs...)
		sum.ttl = min(sum.ttl, a.ttl)
		sum.err = errors.Join(sum.err, a.err)
	}
	if sum.err != nil {
		err := firstLine(sum.err)
		return nil, 0, &net.DNSError{UnwrapErr: err, Err: err.Error(), Name: name, IsTimeout: errors.Is(err, errNoAnswer)}
	}
	return sum.addrs, sum.ttl, nil
}

// firstLine is the first of joined errors: both questions mostly fail alike.
func firstLine(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()[0]
	}
	return err
}

// plan is whom to ask for what.
func (r *Resolver) plan() (servers []netip.AddrPort, types []dnsmessage.Type, err error) {
	switch r.Network {
	case "":
		types = []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA}
	case "ip4":
		types = []dnsmessage.Type{dnsmessage.TypeA}
	case "ip6":
		types = []dnsmessage.Type{dnsmessage.TypeAAAA}
	default:
		return nil, nil, fmt.Errorf("network %q is neither ip4 nor ip6", r.Network)
	}
	if len(r.Servers) > 0 {
		return r.Servers, types, nil
	}
	text, err := os.ReadFile(resolvConf)
	if err != nil {
		return nil, nil, err
	}
	if servers = nameServers(string(text)); len(servers) == 0 {
		return nil, nil, fmt.Errorf("%s names no server", resolvConf)
	}
	return servers, types, nil
}

const resolvConf = "/etc/resolv.conf"

// nameServers reads those of a resolv.conf(5). There count no more than three.
func nameServers(text string) (list []netip.AddrPort) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" || len(list) == 3 {
			continue
		}
		if addr, err := netip.ParseAddr(f[1]); err == nil {
			list = append(list, netip.AddrPortFrom(addr, 53))
		}
	}
	return list
}

// rounds is how often each server is asked: a datagram may be lost.
const rounds = 2

// lookup asks one server after the other, each for its share of the time that is left.
func lookup(ctx context.Context, servers []netip.AddrPort, name string, of dnsmessage.Type) (a answers) {
	deadline, _ := ctx.Deadline()
	for left := rounds * len(servers); left > 0 && ctx.Err() == nil; left-- {
		server := servers[(rounds*len(servers)-left)%len(servers)]
		try, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		a = question(try, server, name, of)
		cancel()
		if a.err == nil {
			return a
		}
		a.err = fmt.Errorf("name server %v: %w", server, a.err)
	}
	if a.err == nil {
		a.err = ctx.Err()
	}
	return a
}

// question asks one server once, over TCP when the answer is too long for a datagram.
func question(ctx context.Context, server netip.AddrPort, name string, of dnsmessage.Type) answers {
	q := DNS{Target: Target{Addr: server}, Name: name, Type: of}
	id := uint16(rand.Uint32())
	query, err := q.query(id)
	if err != nil {
		return answers{err: err}
	}
	var reply dnsReply
	fits := func(b []byte) (ok bool) {
		reply, ok = readReply(b, id, name, of)
		return ok
	}
	answered, err := q.exchange(ctx, query, fits)
	if err == nil && answered && reply.Truncated {
		answered, err = q.exchangeTCP(ctx, query, fits)
	}
	switch {
	case err != nil:
		return answers{err: err}
	case !answered:
		return answers{err: errNoAnswer}
	case reply.RCode == dnsmessage.RCodeNameError:
		return answers{ttl: math.MaxInt64}
	case reply.RCode != dnsmessage.RCodeSuccess:
		return answers{err: errors.New(strings.TrimPrefix(reply.RCode.String(), "RCode"))}
	}
	return addresses(reply.answers, name)
}

// dnsReply is as much of a message as matters.
type dnsReply struct {
	dnsmessage.Header
	answers []dnsmessage.Resource
}

var errNoAnswer = errors.New("no answer")

// readReply reads the answer to a question. Not ok is what somebody else asked for, and what is no message. One that was truncated
// for a datagram need not be whole.
func readReply(b []byte, id uint16, name string, of dnsmessage.Type) (r dnsReply, ok bool) {
	var p dnsmessage.Parser
	var err error
	if r.Header, err = p.Start(b); err != nil || r.ID != id || !r.Response {
		return r, false
	}
	q, err := p.AllQuestions()
	if err != nil || len(q) != 1 || q[0].Type != of || q[0].Class != dnsmessage.ClassINET || !sameName(q[0].Name.String(), name) {
		return r, false
	}
	if r.answers, err = p.AllAnswers(); err != nil {
		return r, r.Truncated
	}
	return r, true
}

func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// exchangeTCP asks over TCP, where a length goes before each message (RFC 1035, section 4.2.2).
func (t Target) exchangeTCP(ctx context.Context, query []byte, fits func([]byte) bool) (answered bool, err error) {
	conn, err := t.Dial(ctx, nil, "")
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)); err != nil {
		return false, cause(err)
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return false, cause(err)
	}
	reply := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(conn, reply); err != nil {
		return false, cause(err)
	}
	return fits(reply), nil
}

// mostAliases is how many names may lead to one another.
const mostAliases = 16

// addresses are those of a name and of what it is an alias for. What else a server sends along is not.
func addresses(all []dnsmessage.Resource, name string) (a answers) {
	a.ttl = math.MaxInt64
	for range mostAliases {
		alias := ""
		for _, rr := range all {
			if rr.Header.Class != dnsmessage.ClassINET || !sameName(rr.Header.Name.String(), name) {
				continue
			}
			switch body := rr.Body.(type) {
			case *dnsmessage.AResource:
				a.addrs = append(a.addrs, netip.AddrFrom4(body.A))
			case *dnsmessage.AAAAResource:
				a.addrs = append(a.addrs, netip.AddrFrom16(body.AAAA))
			case *dnsmessage.CNAMEResource:
				alias = body.CNAME.String()
			default:
				continue
			}
			a.ttl = min(a.ttl, timeToLive(rr.Header.TTL))
		}
		if alias == "" || len(a.addrs) > 0 {
			return a
		}
		name = alias
	}
	return answers{err: errors.New("its aliases go in a circle")}
}

// timeToLive takes one with its first bit set for 0 (RFC 2181, section 8).
func timeToLive(seconds uint32) time.Duration {
	if seconds > math.MaxInt32 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
