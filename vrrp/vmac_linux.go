package vrrp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/rtnl"
)

// MakeLink makes a macvlan or ipvlan link, or takes the one that is there.
func (h *hostNetwork) MakeLink(v VirtualLink) error {
	parent, err := h.find(v.Parent)
	if err != nil {
		return err
	}
	if parent.Kind == v.kind() && parent.Parent != 0 { // a virtual MAC on a virtual MAC goes to its base
		if base, ok := h.mirror.Index(parent.Parent); ok {
			parent = base
		}
	}
	if parent.Type != unix.ARPHRD_ETHER {
		return fmt.Errorf("interface %s is no Ethernet: it can carry no %s", v.Parent, v.kind())
	}
	if err := h.virtualLink(v, parent); err != nil {
		return fmt.Errorf("%s interface %s on %s: %w", v.kind(), v.Name, v.Parent, err)
	}
	return nil
}

func (h *hostNetwork) virtualLink(v VirtualLink, parent rtnl.Link) error {
	index, err := h.child(v, parent)
	if err != nil {
		return err
	}
	if err := h.tuneLink(v, parent.Name); err != nil {
		return err
	}
	requests := []rtnl.Request{rtnl.NoLinkLocal(index)}
	if v.Group != 0 {
		requests = append(requests, rtnl.SetGroup(index, v.Group))
	}
	if vrf, ok := h.mirror.Index(parent.Master); ok && vrf.Kind == "vrf" { // else its addresses would be outside
		requests = append(requests, rtnl.SetMaster(index, vrf.Index))
	}
	if err := h.orders(append(requests, rtnl.SetUp(index))...); err != nil || !v.IPVLAN.Addr.IsValid() {
		return err
	}
	own := Address{Prefix: v.IPVLAN.Addr, Preferred: Forever}
	k := own.forKernel(index)
	return ignore(h.orders(k.Add()), unix.EEXIST)
}

// kind is what the kernel calls the link.
func (v *VirtualLink) kind() string {
	if v.MAC == [6]byte{} {
		return "ipvlan"
	}
	return "macvlan"
}

// add is the request that makes it.
func (v *VirtualLink) add(parent int) rtnl.Request {
	if v.kind() == "macvlan" {
		return rtnl.AddMacvlan(v.Name, parent, v.MAC[:], rtnl.MacvlanPrivate)
	}
	return rtnl.AddIPVLAN(v.Name, parent, v.flags())
}

func (v *VirtualLink) flags() (flags uint16) {
	if v.IPVLAN.Private {
		flags |= rtnl.IPVLANPrivate
	}
	if v.IPVLAN.VEPA {
		flags |= rtnl.IPVLANVEPA
	}
	return flags
}

// orders carries out requests and joins what went wrong.
func (h *hostNetwork) orders(requests ...rtnl.Request) error {
	c, err := h.conn()
	if err != nil {
		return err
	}
	return errors.Join(c.Do(requests)...)
}

// child finds or makes the link. One of the name that is virtual and does not fit is made anew, anything else is left alone.
func (h *hostNetwork) child(v VirtualLink, parent rtnl.Link) (index int, err error) {
	old, err := h.find(v.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return 0, err
	case v.fits(old, parent.Index):
		return old.Index, h.refit(v, old.Index)
	case old.Kind != "macvlan" && old.Kind != "ipvlan":
		return 0, fmt.Errorf("an interface of that name is there, and of another kind: choose another name: %w", fs.ErrExist)
	default:
		if err := ignore(h.orders(rtnl.DeleteLink(old.Index)), unix.ENODEV); err != nil {
			return 0, err
		}
	}
	switch err := h.orders(v.add(parent.Index)); {
	case errors.Is(err, unix.EEXIST): // it came since
		if old, err = h.fresh(v.Name); err == nil && v.fits(old, parent.Index) {
			return old.Index, h.refit(v, old.Index)
		}
		return 0, errors.Join(unix.EEXIST, err)
	case errors.Is(err, unix.EBUSY):
		return 0, fmt.Errorf("%w: it carries links of another kind, or is in a bridge or bond", err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return 0, fmt.Errorf("%w: the kernel has no %s", err, v.kind())
	case err != nil:
		return 0, err
	}
	fresh, err := h.fresh(v.Name)
	return fresh.Index, err
}

// refit makes a link that is there what it should be.
func (h *hostNetwork) refit(v VirtualLink, index int) error {
	if v.kind() != "ipvlan" {
		return nil
	}
	return h.orders(rtnl.SetIPVLAN(index, v.flags()))
}

func (v *VirtualLink) fits(old rtnl.Link, parent int) bool {
	return old.Kind == v.kind() && old.Parent == parent && (old.Kind == "ipvlan" || slices.Equal(old.MAC, v.MAC[:]))
}

// fresh asks the kernel: the mirror may not know yet.
func (h *hostNetwork) fresh(name string) (rtnl.Link, error) {
	c, err := h.conn()
	if err != nil {
		return rtnl.Link{}, err
	}
	fresh := rtnl.NewMirror()
	if err := fresh.Fill(c); err != nil {
		return rtnl.Link{}, err
	}
	l, ok := fresh.Link(name)
	if !ok {
		return l, fmt.Errorf("interface %s: %w", name, fs.ErrNotExist)
	}
	return l, nil
}

func conf(family, iface, key string) string { return "net/" + family + "/conf/" + iface + "/" + key }

// tuneLink lets the link hear adverts from addresses that are the parent's. It keeps either from answering for the other's
// addresses, unless both have the same MAC address.
func (h *hostNetwork) tuneLink(v VirtualLink, parent string) error {
	if err := h.relaxReversePath(); err != nil {
		return err
	}
	h.sysctls.Forget(conf("ipv4", v.Name, "")) // those of a link of that name that has gone
	h.sysctls.Forget(conf("ipv6", v.Name, ""))
	for key, value := range map[string]string{"arp_ignore": "1", "accept_local": "1", "rp_filter": "0", "promote_secondaries": "1"} {
		if err := h.sysctls.Set(conf("ipv4", v.Name, key), value); err != nil {
			return err
		}
	}
	h.mu.Lock()
	_, known := h.vmacs[v.Name]
	h.vmacs[v.Name] = parent
	h.mu.Unlock()
	for _, key := range []string{"arp_ignore", "arp_filter"} {
		if known || v.kind() == "ipvlan" {
			break
		}
		if err := h.sysctls.Set(conf("ipv4", parent, key), "1"); err != nil {
			return err
		}
	}
	if v.IPv6 {
		return h.sysctls.Set(conf("ipv6", v.Name, "accept_ra"), "0")
	}
	err := h.sysctls.Set(conf("ipv6", v.Name, "disable_ipv6"), "1")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no IPv6 in this kernel
	}
	return err
}

// relaxReversePath makes each interface's own reverse path filter count: the one of all is the least that any has.
func (h *hostNetwork) relaxReversePath() error {
	all := conf("ipv4", "all", "rp_filter")
	text, err := os.ReadFile("/proc/sys/" + all)
	if err != nil {
		return err
	}
	value := strings.TrimSpace(string(text))
	if value == "0" {
		return nil
	}
	for _, name := range append(h.mirror.Links(), "default") {
		own, err := os.ReadFile("/proc/sys/" + conf("ipv4", name, "rp_filter"))
		if err == nil && strings.TrimSpace(string(own)) == "0" {
			if err := h.sysctls.Set(conf("ipv4", name, "rp_filter"), value); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			h.note(conf("ipv4", name, "rp_filter"))
		}
	}
	h.note(all)
	return h.sysctls.Set(all, "0")
}

// note remembers a parameter that goes back when the last virtual MAC has gone.
func (h *hostNetwork) note(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.relaxed = append(h.relaxed, name)
}

// RemoveLink deletes the link and puts back what was changed for it.
func (h *hostNetwork) RemoveLink(name string) error {
	h.mu.Lock()
	parent, ours := h.vmacs[name]
	delete(h.vmacs, name)
	var relaxed []string
	if len(h.vmacs) == 0 {
		relaxed, h.relaxed = h.relaxed, nil
	}
	h.mu.Unlock()
	if !ours {
		return nil
	}
	var errs []error
	if l, err := h.find(name); err == nil {
		if err := h.orders(rtnl.DeleteLink(l.Index)); !errors.Is(err, unix.ENODEV) {
			errs = append(errs, err)
		}
	}
	h.sysctls.Forget(conf("ipv4", name, ""))
	h.sysctls.Forget(conf("ipv6", name, ""))
	for _, key := range append(relaxed, conf("ipv4", parent, "arp_ignore"), conf("ipv4", parent, "arp_filter")) {
		errs = append(errs, h.sysctls.Release(key))
	}
	return errors.Join(errs...)
}

// Promote has the kernel keep the other addresses of a network when the first one is removed.
func (h *hostNetwork) Promote(name string, on bool) error {
	key := conf("ipv4", name, "promote_secondaries")
	if !on {
		return h.sysctls.Release(key)
	}
	return h.sysctls.Set(key, "1")
}
