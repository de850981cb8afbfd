package check

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// DNS asks a name server a question over UDP (DNS_CHECK) and is well when the answer has no error; it may be empty.
type DNS struct {
	Target
	// Name to ask for. Empty means the root.
	Name string
	// Type of record. 0 means SOA.
	Type dnsmessage.Type
}

// Check implements [Checker].
func (c DNS) Check(ctx context.Context) error {
	id := uint16(rand.Uint32())
	query, err := c.query(id)
	if err != nil {
		return fmt.Errorf("DNS %v: %s: %w", c.Addr, c.Name, err)
	}
	var header dnsmessage.Header
	answered, err := c.exchange(ctx, query, func(reply []byte) bool {
		var p dnsmessage.Parser
		var malformed error
		header, malformed = p.Start(reply)
		return malformed == nil && header.ID == id && header.Response // anything else is somebody else's answer
	})
	switch {
	case err != nil:
		return fmt.Errorf("DNS %v: %w", c.Addr, err)
	case !answered:
		return fmt.Errorf("DNS %v: no answer", c.Addr)
	case header.RCode != dnsmessage.RCodeSuccess:
		return fmt.Errorf("DNS %v: %v for %s", c.Addr, header.RCode, cmp.Or(c.Name, "."))
	}
	return nil
}

func (c DNS) query(id uint16) ([]byte, error) {
	name, err := dnsmessage.NewName(strings.TrimSuffix(c.Name, ".") + ".")
	if err != nil {
		return nil, err
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: cmp.Or(c.Type, dnsmessage.TypeSOA), Class: dnsmessage.ClassINET}},
	}
	return m.Pack()
}
