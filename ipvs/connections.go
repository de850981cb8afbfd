package ipvs

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// parseConnections reads /proc/net/ip_vs_conn:
//
//	Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
//	TCP 0A630001 D2C4 0A630064 0050 0A63010A 0050 ESTABLISHED     892
//
// Addresses and ports are hexadecimal; those of IPv6 have colons. A line that does not read so ends it with an error.
func parseConnections(r io.Reader) iter.Seq2[Connection, error] {
	return func(yield func(Connection, error) bool) {
		lines := bufio.NewScanner(r)
		for n := 1; lines.Scan(); n++ {
			if n == 1 {
				continue // the headings
			}
			c, err := parseConnection(lines.Text())
			if err != nil {
				yield(Connection{}, fmt.Errorf("line %d: %w", n, err))
				return
			}
			if !yield(c, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(Connection{}, err)
		}
	}
}

func parseConnection(line string) (c Connection, err error) {
	fields := strings.Fields(line)
	if len(fields) < 9 {
		return Connection{}, fmt.Errorf("connection %q: %d words where there should be 9", line, len(fields))
	}
	c.Protocol = protocolNamed(fields[0])
	for i, end := range []*netip.AddrPort{&c.Client, &c.Virtual, &c.Destination} {
		if *end, err = parseEnd(fields[1+2*i], fields[2+2*i]); err != nil {
			return Connection{}, fmt.Errorf("connection %q: %w", line, err)
		}
	}
	c.State = fields[7]
	seconds, err := strconv.ParseUint(fields[8], 10, 32)
	if err != nil {
		return Connection{}, fmt.Errorf("connection %q: %w", line, err)
	}
	c.Expires = time.Duration(seconds) * time.Second
	if len(fields) > 9 {
		c.Engine, c.EngineData = fields[9], strings.Join(fields[10:], " ")
	}
	return c, nil
}

// protocolNamed is 0 for IP, which is what templates of services by mark are of.
func protocolNamed(name string) Protocol {
	for _, p := range [...]Protocol{TCP, UDP, SCTP} {
		if p.String() == name {
			return p
		}
	}
	return 0
}

func parseEnd(addr, port string) (netip.AddrPort, error) {
	p, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if strings.Contains(addr, ":") {
		ip, err := netip.ParseAddr(strings.Trim(addr, "[]"))
		return netip.AddrPortFrom(ip, uint16(p)), err
	}
	raw, err := hex.DecodeString(addr)
	if err != nil || len(raw) != 4 {
		return netip.AddrPort{}, fmt.Errorf("address %q", addr)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw)), uint16(p)), nil
}
