package vrrp

import (
	"cmp"
	"encoding/binary"
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
	sets    [3]*nftables.Set // of IPv4, of IPv6, and of IPv6 on an interface
	users   map[netip.Addr]int
	keys    map[netip.Addr][]byte // in the sets, as they were when they were put there
}

// Refuse drops what comes for the addresses and what leaves from them. Neighbour discovery goes on.
func (h *hostNetwork) Refuse(f Firewall, addrs []netip.Addr, on bool) error {
	w := &h.firewall
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	if on {
		err = w.add(f, addrs, h.index)
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

func (w *firewall) add(f Firewall, addrs []netip.Addr, index func(string) (int, error)) error {
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
	for _, a := range addrs {
		if w.keys[a] == nil {
			if w.keys[a], err = f.key(a, index); err != nil {
				return err
			}
		}
	}
	for i, elements := range w.elementsOf(addrs, func(a netip.Addr) bool { return w.users[a] == 0 }) {
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
	lists := w.elementsOf(addrs, func(a netip.Addr) bool { return w.users[a] == 1 })
	for _, a := range addrs {
		if w.users[a]--; w.users[a] <= 0 {
			delete(w.users, a)
			delete(w.keys, a)
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

// elementsOf are those of each set.
func (w *firewall) elementsOf(addrs []netip.Addr, wanted func(netip.Addr) bool) (lists [3][]nftables.SetElement) {
	for _, a := range addrs {
		i := 0
		switch {
		case a.Zone() != "":
			i = 2
		case a.Is6():
			i = 1
		}
		if wanted(a) {
			lists[i] = append(lists[i], nftables.SetElement{Key: w.keys[a]})
		}
	}
	return lists
}

// key is an address in its set: with a zone, the interface follows.
func (f *Firewall) key(a netip.Addr, index func(string) (int, error)) ([]byte, error) {
	switch {
	case a.Zone() == "":
		return a.AsSlice(), nil
	case f.ByIndex:
		i, err := index(a.Zone())
		return binary.NativeEndian.AppendUint32(a.AsSlice(), uint32(i)), err
	}
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, a.Zone())
	return append(a.AsSlice(), name...), nil
}

func (w *firewall) build(c *nftables.Conn, f Firewall) error {
	w.users, w.keys = make(map[netip.Addr]int), make(map[netip.Addr][]byte)
	w.table = c.AddTable(&nftables.Table{Name: f.table(), Family: nftables.TableFamilyINet})
	w.sets[0] = &nftables.Set{Table: w.table, Name: "vips", KeyType: nftables.TypeIPAddr}
	w.sets[1] = &nftables.Set{Table: w.table, Name: "vips6", KeyType: nftables.TypeIP6Addr}
	place := nftables.TypeIFName
	if f.ByIndex {
		place = nftables.TypeIFIndex
	}
	w.sets[2] = &nftables.Set{Table: w.table, Name: "vips_link_local", Concatenation: true, KeyType: nftables.MustConcatSetType(nftables.TypeIP6Addr, place)}
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
			c.AddRule(&nftables.Rule{Table: w.table, Chain: chain, Exprs: w.drop(f, i, name == "in")})
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
func (w *firewall) drop(f Firewall, i int, destination bool) []expr.Any {
	family, offset, size := byte(unix.NFPROTO_IPV4), uint32(12), uint32(4)
	if i > 0 {
		family, offset, size = unix.NFPROTO_IPV6, 8, 16
	}
	if destination {
		offset += size
	}
	e := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
	}
	if i == 2 {
		e = append(e, &expr.Meta{Key: f.interfaceKey(destination), Register: 2})
	}
	e = append(e, &expr.Lookup{SourceRegister: 1, SetName: w.sets[i].Name, SetID: w.sets[i].ID})
	if f.Counters {
		e = append(e, &expr.Counter{})
	}
	return append(e, &expr.Verdict{Kind: expr.VerdictDrop})
}

// interfaceKey is what a packet's interface goes by.
func (f *Firewall) interfaceKey(in bool) expr.MetaKey {
	switch {
	case f.ByIndex && in:
		return expr.MetaKeyIIF
	case f.ByIndex:
		return expr.MetaKeyOIF
	case in:
		return expr.MetaKeyIIFNAME
	}
	return expr.MetaKeyOIFNAME
}
