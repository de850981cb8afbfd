package vrrptest

import (
	"io"
	"net/netip"
	"slices"
	"time"
)

// Claim tells the LAN, as a stranger on it might, that an address is at a MAC address: by gratuitous ARP, or a neighbour
// advertisement. It arrives after [LAN.Delay].
func (l *LAN) Claim(addr netip.Addr, mac [6]byte) { l.claim(nil, mac, addr) }

// MAC is the MAC address of the host's interface: 02:00:00:00 and the number of the host on its LAN, counted from 1.
func (h *Host) MAC() [6]byte {
	h.lan.mu.Lock()
	defer h.lan.mu.Unlock()
	n := 1 + slices.Index(h.lan.hosts, h)
	return [6]byte{2, 0, 0, 0, byte(n >> 8), byte(n)}
}

// listener is a host that hears claims of some addresses.
type listener struct {
	host  *Host
	addrs []netip.Addr
	heard func(addr netip.Addr, mac [6]byte)
}

// HearClaims implements [vrrp.Network].
func (h *Host) HearClaims(_ string, addrs []netip.Addr, heard func(addr netip.Addr, mac [6]byte)) (io.Closer, error) {
	l := &listener{host: h, addrs: slices.Clone(addrs), heard: heard}
	h.set(func() { h.listeners = append(h.listeners, l) })
	return l, nil
}

// Close implements [io.Closer].
func (l *listener) Close() error {
	l.host.set(func() {
		l.host.listeners = slices.DeleteFunc(l.host.listeners, func(o *listener) bool { return o == l })
	})
	return nil
}

// claim delivers what a host, or a stranger, says of addresses to all others that listen.
func (l *LAN) claim(sender *Host, mac [6]byte, addrs ...netip.Addr) {
	delay := l.Delay
	if delay == 0 {
		delay = 100 * time.Microsecond
	}
	time.AfterFunc(delay, func() {
		for _, to := range l.listeners(sender) {
			for _, a := range addrs {
				if slices.Contains(to.addrs, a) && mac != to.host.MAC() {
					to.heard(a, mac)
				}
			}
		}
	})
}

// listeners are those who hear a host.
func (l *LAN) listeners(sender *Host) (list []*listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sender != nil && !sender.connected() {
		return nil
	}
	for _, h := range l.hosts {
		if h != sender && h.connected() && (sender == nil || l.Drop == nil || !l.Drop(sender.addr, h.addr)) {
			list = append(list, h.listeners...)
		}
	}
	return list
}

func (h *Host) connected() bool { return !h.cut && h.up && !h.missing }
