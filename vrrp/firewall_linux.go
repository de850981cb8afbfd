package vrrp

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// firewall is the table in which addresses are refused. It is there while any is.
type firewall struct {
	mu      sync.Mutex // guards the fields below
	cleaned bool       // a table that a crash left has been removed
	table   *nftables.Table
	sets    [2]*nftables.Set // IPv4's and IPv6's
	users   map[netip.Addr]int
}

// Refuse drops what comes for the addresses and what leaves from them. Neighbour discovery goes on.
func (h *hostNetwork) Refuse(f Firewall, addrs []netip.Addr, on bool) error {
	w := &h.firewall
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	if on {
		err = w.add(f, addrs)
	} else {
		err = w.remove(f, addrs)
	}
	if err != nil {
		return fmt.Errorf("nftables table %s: %w", f.table(), err)
	}
	return nil
}

func (f *Firewall) table() string { return cmp.Or(f.Table, "keepalived") }

func (f *Firewall) priority() *nftables.ChainPriority {
	if f.Priority == nil {
		return nftables.ChainPriorityRef(-1)
	}
	return nftables.ChainPriorityRef(nftables.ChainPriority(*f.Priority))
}

// clean removes a table that a crash left.
func (w *firewall) clean(f Firewall) error {
	if w.cleaned || w.table != nil {
		return nil
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.DelTable(&nftables.Table{Name: f.table(), Family: nftables.TableFamilyINet})
	if err := c.Flush(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w.cleaned = true
	return nil
}

func (w *firewall) add(f Firewall, addrs []netip.Addr) error {
	if err := w.clean(f); err != nil {
		return err
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	build := w.table == nil
	if build {
		if err := w.build(c, f); err != nil {
			w.table = nil
			return err
		}
	}
	for i, elements := range elementsOf(addrs, func(a netip.Addr) bool { return w.users[a] == 0 }) {
		if len(elements) > 0 {
			if err := c.SetAddElements(w.sets[i], elements); err != nil {
				return err
			}
		}
	}
	if err := c.Flush(); err != nil {
		if build {
			w.table = nil
		}
		return err
	}
	for _, a := range addrs {
		w.users[a]++
	}
	return nil
}

// remove removes the table with the last address.
func (w *firewall) remove(f Firewall, addrs []netip.Addr) error {
	if err := w.clean(f); err != nil || w.table == nil {
		return err
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	lists := elementsOf(addrs, func(a netip.Addr) bool { return w.users[a] == 1 })
	for _, a := range addrs {
		if w.users[a]--; w.users[a] <= 0 {
			delete(w.users, a)
		}
	}
	if len(w.users) == 0 {
		c.DelTable(w.table)
		w.table = nil
		return ignore(c.Flush(), fs.ErrNotExist)
	}
	for i, elements := range lists {
		if len(elements) > 0 {
			if err := c.SetDeleteElements(w.sets[i], elements); err != nil {
				return err
			}
		}
	}
	return ignore(c.Flush(), fs.ErrNotExist)
}

func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}

func elementsOf(addrs []netip.Addr, wanted func(netip.Addr) bool) (lists [2][]nftables.SetElement) {
	for _, a := range addrs {
		i := 0
		if a.Is6() {
			i = 1
		}
		if wanted(a) {
			lists[i] = append(lists[i], nftables.SetElement{Key: a.AsSlice()})
		}
	}
	return lists
}

func (w *firewall) build(c *nftables.Conn, f Firewall) error {
	w.users = make(map[netip.Addr]int)
	w.table = c.AddTable(&nftables.Table{Name: f.table(), Family: nftables.TableFamilyINet})
	w.sets[0] = &nftables.Set{Table: w.table, Name: "vips", KeyType: nftables.TypeIPAddr}
	w.sets[1] = &nftables.Set{Table: w.table, Name: "vips6", KeyType: nftables.TypeIP6Addr}
	for _, s := range w.sets {
		if err := c.AddSet(s, nil); err != nil {
			return err
		}
	}
	accept := nftables.ChainPolicyAccept
	for name, hook := range map[string]*nftables.ChainHook{"in": nftables.ChainHookInput, "out": nftables.ChainHookOutput} {
		chain := c.AddChain(&nftables.Chain{Name: name, Table: w.table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: f.priority(), Policy: &accept})
		for _, solicitation := range []byte{135, 136} {
			c.AddRule(&nftables.Rule{Table: w.table, Chain: chain, Exprs: neighbourDiscovery(solicitation)})
		}
		for i := range w.sets {
			c.AddRule(&nftables.Rule{Table: w.table, Chain: chain, Exprs: w.drop(i, name == "in", f.Counters)})
		}
	}
	return nil
}

// neighbourDiscovery accepts ICMPv6 of a type.
func neighbourDiscovery(kind byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_ICMPV6}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{kind}},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

// drop drops what is for an address of the set, or from it.
func (w *firewall) drop(i int, destination, counted bool) []expr.Any {
	family, offset, size := byte(unix.NFPROTO_IPV4), uint32(12), uint32(4)
	if i == 1 {
		family, offset, size = unix.NFPROTO_IPV6, 8, 16
	}
	if destination {
		offset += size
	}
	e := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Lookup{SourceRegister: 1, SetName: w.sets[i].Name, SetID: w.sets[i].ID},
	}
	if counted {
		e = append(e, &expr.Counter{})
	}
	return append(e, &expr.Verdict{Kind: expr.VerdictDrop})
}
