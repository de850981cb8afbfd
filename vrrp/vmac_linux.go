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

// MakeVMAC makes a macvlan link, or takes the one that is there.
func (h *hostNetwork) MakeVMAC(v VirtualLink) error {
	parent, err := h.find(v.Parent)
	if err != nil {
		return err
	}
	if parent.Kind == "macvlan" && parent.Parent != 0 { // a virtual MAC on a virtual MAC goes to its base
		if base, ok := h.mirror.Index(parent.Parent); ok {
			parent = base
		}
	}
	if parent.Type != unix.ARPHRD_ETHER {
		return fmt.Errorf("interface %s is no Ethernet: it can carry no virtual MAC address", v.Parent)
	}
	index, err := h.macvlan(v, parent)
	if err != nil {
		return fmt.Errorf("virtual MAC interface %s on %s: %w", v.Name, v.Parent, err)
	}
	if err := h.tuneVMAC(v, parent.Name); err != nil {
		return fmt.Errorf("virtual MAC interface %s on %s: %w", v.Name, v.Parent, err)
	}
	requests := []rtnl.Request{rtnl.NoLinkLocal(index)}
	if v.Group != 0 {
		requests = append(requests, rtnl.SetGroup(index, v.Group))
	}
	return h.orders(append(requests, rtnl.SetUp(index))...)
}

// orders carries out requests and joins what went wrong.
func (h *hostNetwork) orders(requests ...rtnl.Request) error {
	c, err := h.conn()
	if err != nil {
		return err
	}
	return errors.Join(c.Do(requests)...)
}

// macvlan finds or makes the link. One of the name that is a macvlan of another kind is made anew, anything else is left alone.
func (h *hostNetwork) macvlan(v VirtualLink, parent rtnl.Link) (index int, err error) {
	old, err := h.find(v.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return 0, err
	case old.Kind == "macvlan" && old.Parent == parent.Index && slices.Equal(old.MAC, v.MAC[:]):
		return old.Index, nil
	case old.Kind != "macvlan":
		return 0, fmt.Errorf("there is an interface of that name that is no macvlan: %w", fs.ErrExist)
	default:
		if err := h.orders(rtnl.DeleteLink(old.Index)); err != nil {
			return 0, err
		}
	}
	if err := h.orders(rtnl.AddMacvlan(v.Name, parent.Index, v.MAC[:], rtnl.MacvlanPrivate)); err != nil {
		return 0, err
	}
	return h.indexOf(v.Name)
}

// indexOf asks the kernel: the mirror may not know yet.
func (h *hostNetwork) indexOf(name string) (int, error) {
	c, err := h.conn()
	if err != nil {
		return 0, err
	}
	fresh := rtnl.NewMirror()
	if err := fresh.Fill(c); err != nil {
		return 0, err
	}
	l, ok := fresh.Link(name)
	if !ok {
		return 0, fmt.Errorf("interface %s: %w", name, fs.ErrNotExist)
	}
	return l.Index, nil
}

func conf(family, iface, key string) string { return "net/" + family + "/conf/" + iface + "/" + key }

// tuneVMAC lets the link hear adverts from addresses that are the parent's, and keeps either from answering for the other's
// addresses.
func (h *hostNetwork) tuneVMAC(v VirtualLink, parent string) error {
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
		if known {
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

// RemoveVMAC deletes the link and puts back what was changed for it.
func (h *hostNetwork) RemoveVMAC(name string) error {
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
