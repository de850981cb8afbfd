package vrrp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/iproute"
	"github.com/holdfast-lb/holdfast/internal/rtnl"
	"github.com/holdfast-lb/holdfast/internal/sysctl"
)

type hostNetwork struct {
	mirror    *rtnl.Mirror
	sysctls   sysctl.Keeper
	firewall  firewall
	announcer announcer

	mu      sync.Mutex // guards the fields below
	command *rtnl.Conn
	routers map[string]forwarding
	vmacs   map[string]string // the links that were made, with their parents
	relaxed []string          // parameters that go back when the last of them has gone
}

func newHostNetwork() Network {
	return &hostNetwork{mirror: rtnl.NewMirror(), routers: make(map[string]forwarding), vmacs: make(map[string]string)}
}

// conn gives orders to the kernel. It is opened when it is first needed, in the namespace of whoever needs it.
func (h *hostNetwork) conn() (*rtnl.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var err error
	if h.command == nil {
		h.command, err = rtnl.Dial()
	}
	return h.command, err
}

// find looks an interface up. Before the kernel is watched it has to be asked.
func (h *hostNetwork) find(name string) (rtnl.Link, error) {
	if !h.mirror.Live() {
		c, err := h.conn()
		if err == nil {
			err = h.mirror.Fill(c)
		}
		if err != nil {
			return rtnl.Link{}, fmt.Errorf("list interfaces: %w", err)
		}
	}
	l, ok := h.mirror.Link(name)
	if !ok {
		return l, fmt.Errorf("interface %s: %w", name, fs.ErrNotExist)
	}
	return l, nil
}

func (h *hostNetwork) Link(name string) (Link, error) {
	if name == "" {
		return h.anywhere()
	}
	l, err := h.find(name)
	if err != nil {
		return Link{}, err
	}
	state := Link{
		Index: l.Index, Up: l.Flags&unix.IFF_UP != 0 && l.Flags&unix.IFF_LOWER_UP != 0,
		NoMulticast: l.Flags&unix.IFF_MULTICAST == 0, MTU: l.MTU, Addrs: l.Addrs, Gathered: l.Kind == "vrf",
	}
	if state.Gathered {
		state.Addrs = append(state.Addrs, h.inVRF(l.Index)...)
	}
	return state, nil
}

// inVRF are the addresses of a VRF's links.
func (h *hostNetwork) inVRF(index int) (addrs []netip.Prefix) {
	for _, name := range h.mirror.Links() {
		if l, ok := h.mirror.Link(name); ok && l.Master == index && l.Flags&unix.IFF_UP != 0 {
			addrs = append(addrs, l.Addrs...)
		}
	}
	return addrs
}

// anywhere is the host as a whole, for what is bound to no interface.
func (h *hostNetwork) anywhere() (Link, error) {
	all := Link{Up: true, Gathered: true}
	if _, err := h.find("lo"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return all, err
	}
	for _, name := range h.mirror.Links() {
		if l, ok := h.mirror.Link(name); ok && l.Flags&unix.IFF_LOOPBACK == 0 && l.Flags&unix.IFF_UP != 0 {
			all.Addrs = append(all.Addrs, l.Addrs...)
		}
	}
	return all, nil
}

// Watch reads everything afresh when the kernel had to drop notifications.
func (h *hostNetwork) Watch(ctx context.Context, changed func(Change)) error {
	c, err := h.conn()
	if err != nil {
		return err
	}
	return h.mirror.Watch(ctx, c, func(e rtnl.Event) {
		changed(Change{Interface: e.Link, Lost: e.Lost, Routes: e.Route || e.Rule})
	})
}

// Hold does addresses first: routes may need them.
func (h *hostNetwork) Hold(name string, what Holdings) error {
	return errors.Join(
		h.each(name, what.Addrs, (*rtnl.Address).Add, unix.EEXIST),
		h.texts(what, (*iproute.Route).Add, (*iproute.Rule).Add, unix.EEXIST))
}

// Release undoes Hold in reverse.
func (h *hostNetwork) Release(name string, what Holdings) error {
	return errors.Join(
		h.texts(what, (*iproute.Route).Remove, (*iproute.Rule).Remove, unix.ESRCH, unix.ENODEV, fs.ErrNotExist),
		h.each(name, what.Addrs, (*rtnl.Address).Remove, unix.EADDRNOTAVAIL))
}

// texts carries out routes and rules, each with what is harmless.
func (h *hostNetwork) texts(what Holdings, route func(*iproute.Route, *iproute.Env) (rtnl.Request, error),
	rule func(*iproute.Rule, *iproute.Env) (rtnl.Request, error), harmless ...error) error {
	if len(what.Routes)+len(what.Rules) == 0 {
		return nil
	}
	c, err := h.conn()
	if err != nil {
		return err
	}
	errs := []error{h.mirror.WatchRoutes()}
	env := &iproute.Env{Index: h.index, VRFTable: h.vrfTable}
	do := func(text string, q rtnl.Request, err error) {
		if err == nil {
			err = c.Do([]rtnl.Request{q})[0]
		}
		if err != nil && !slices.ContainsFunc(harmless, func(h error) bool { return errors.Is(err, h) }) {
			errs = append(errs, fmt.Errorf("%s: %w", text, err))
		}
	}
	for _, text := range what.Routes {
		r, err := iproute.ParseRoute(strings.Fields(text))
		if err != nil {
			return err
		}
		q, err := route(r, env)
		do(text, q, err)
	}
	for _, text := range what.Rules {
		r, err := iproute.ParseRule(strings.Fields(text))
		if err != nil {
			return err
		}
		q, err := rule(r, env)
		do(text, q, err)
	}
	return errors.Join(errs...)
}

func (h *hostNetwork) index(name string) (int, error) {
	l, err := h.find(name)
	return l.Index, err
}

func (h *hostNetwork) vrfTable(name string) (uint32, error) {
	l, err := h.find(name)
	if err == nil && l.VRFTable == 0 {
		err = fmt.Errorf("interface %s is no VRF", name)
	}
	return l.VRFTable, err
}

// each makes a request of every address and sends them together.
func (h *hostNetwork) each(name string, addrs []Address, request func(*rtnl.Address) rtnl.Request, harmless error) error {
	c, err := h.conn()
	if err != nil {
		return err
	}
	var errs []error
	var requests []rtnl.Request
	var about []netip.Prefix
	for i := range addrs {
		l, err := h.find(cmp.Or(addrs[i].Interface, name))
		if err != nil {
			errs = append(errs, fmt.Errorf("%v: %w", addrs[i].Prefix, err))
			continue
		}
		one := addrs[i].forKernel(l.Index)
		requests, about = append(requests, request(&one)), append(about, addrs[i].Prefix)
	}
	for i, err := range c.Do(requests) {
		if err != nil && !errors.Is(err, harmless) {
			errs = append(errs, fmt.Errorf("%v: %w", about[i], err))
		}
	}
	return errors.Join(errs...)
}

// forKernel is the address in the kernel's words.
func (a *Address) forKernel(index int) rtnl.Address {
	k := rtnl.Address{Index: index, Prefix: a.Prefix, Peer: a.Peer, Broadcast: a.Broadcast, Label: a.Label, Scope: a.Scope}
	for flag, set := range map[uint32]bool{
		unix.IFA_F_NODAD: a.Addr().Is6() && !a.DAD, unix.IFA_F_HOMEADDRESS: a.Home, unix.IFA_F_MANAGETEMPADDR: a.ManageTempAddr,
		unix.IFA_F_NOPREFIXROUTE: a.NoPrefixRoute, unix.IFA_F_MCAUTOJOIN: a.AutoJoin,
	} {
		if set {
			k.Flags |= flag
		}
	}
	switch {
	case a.Preferred == Forever:
	case a.Preferred != 0:
		k.Deprecated, k.Preferred = true, uint32(max(a.Preferred, 0)/time.Second)
	case a.Addr().Is6() && a.Prefix.IsSingleIP():
		k.Deprecated = true // not a source of what this host sends on its own behalf
	}
	return k
}

// QuietIGMP is about the whole network namespace.
func (h *hostNetwork) QuietIGMP(on bool) error {
	const key = "net/ipv4/igmp_link_local_mcast_reports"
	if !on {
		return h.sysctls.Release(key)
	}
	return h.sysctls.Set(key, "0")
}

var ethernetBroadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Announce tells the link by ARP, or by neighbour discovery. Links without either need not be told.
func (h *hostNetwork) Announce(name string, addrs []netip.Addr) error {
	l, err := h.find(name)
	if err != nil {
		return err
	}
	if !announces(&l) {
		return nil
	}
	router := slices.ContainsFunc(addrs, netip.Addr.Is6) && h.forwards6(l.Name)
	return h.announcer.announce(&l, addrs, router)
}

// announces says whether the link has ARP and neighbour discovery.
func announces(l *rtnl.Link) bool {
	return l.Flags&(unix.IFF_LOOPBACK|unix.IFF_NOARP) == 0 && len(l.MAC) == 6
}
