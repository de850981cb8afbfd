package check

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// open connects a socket, so that the kernel keeps the answers of others away and tells when the host is unreachable. It
// prefers the kind that needs no privilege.
func (c Ping) open(context.Context) (*os.File, error) {
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if c.Addr.Is6() {
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		if fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol); err != nil {
			return nil, notAllowed(err)
		}
	}
	if err := c.prepare(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "ping"), nil
}

func (c Ping) prepare(fd int) error {
	if err := (Target{Interface: c.Interface, Mark: c.Mark}).setOptions(fd); err != nil {
		return notRun{err}
	}
	if c.Source.IsValid() {
		if err := unix.Bind(fd, sockaddr(c.Source)); err != nil {
			return notRun{fmt.Errorf("from %v: %w", c.Source, err)}
		}
	}
	err := unix.Connect(fd, sockaddr(c.Addr))
	if errno, ok := err.(syscall.Errno); ok && !serversDoing(errno) {
		return notRun{err}
	}
	drain(fd)
	return err
}

// drain drops what a raw socket took before it was connected: the answers of all others, which may have left no room for ours.
func drain(fd int) {
	var b [1]byte
	for range 4096 { // no storm holds a check up
		if _, _, err := unix.Recvfrom(fd, b[:], unix.MSG_DONTWAIT); err != nil {
			return
		}
	}
}

func sockaddr(a netip.Addr) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	sa := &unix.SockaddrInet6{Addr: a.As16()}
	if a.Zone() != "" {
		sa.ZoneId = zone(a.Zone())
	}
	return sa
}

// zone is the index of an interface; 0, which the kernel refuses, where there is none.
func zone(name string) uint32 {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n)
	}
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return 0
	}
	return uint32(ifi.Index)
}
