package vrrp

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// carriers are the ways to ask a driver, in the order in which they are tried.
var carriers = []struct {
	how string
	ask func(fd int, name string) (up bool, err error)
}{{"MII", miiCarrier}, {"ETHTOOL", ethtoolCarrier}, {"IOCTL", flagsCarrier}}

// Carrier implements Network.
func (h *hostNetwork) Carrier(name, how string) (bool, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	for _, c := range carriers {
		if how != "" && how != c.how {
			continue
		}
		up, err := c.ask(fd, name)
		switch unknown := errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTTY); {
		case unknown && how == "":
			continue
		case unknown:
			return false, fmt.Errorf("interface %s: its driver does not know %s: %w: %w", name, how, errors.ErrUnsupported, err)
		case errors.Is(err, unix.ENODEV):
			return false, missing("interface " + name + " does not exist")
		case err != nil:
			return false, fmt.Errorf("interface %s: ask for carrier by %s: %w", name, c.how, err)
		default:
			return up, nil
		}
	}
	return false, fmt.Errorf("interface %s: its driver knows no %s: %w", name, how, errors.ErrUnsupported)
}

// ifreq is struct ifreq of netdevice(7).
type ifreq[T any] struct {
	name [unix.IFNAMSIZ]byte
	data T
	_    [24]byte // it is at least that long
}

func interfaceIoctl[T any](fd int, request uintptr, name string, data *T) error {
	r := ifreq[T]{data: *data}
	copy(r.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&r)))
	runtime.KeepAlive(data)
	*data = r.data
	if errno != 0 {
		return errno
	}
	return nil
}

// miiData is struct mii_ioctl_data of linux/mii.h: the transceiver, its register, what is written and what is read.
type miiData [4]uint16

// Of linux/mii.h: the status register, and that it has a link.
const (
	miiStatus = 1
	miiLink   = 0x0004
)

// miiCarrier reads the status twice: a link that was lost since the last time shows as lost once.
func miiCarrier(fd int, name string) (bool, error) {
	var d miiData
	if err := interfaceIoctl(fd, unix.SIOCGMIIPHY, name, &d); err != nil {
		return false, err
	}
	for range 2 {
		d[1] = miiStatus
		if err := interfaceIoctl(fd, unix.SIOCGMIIREG, name, &d); err != nil {
			return false, err
		}
	}
	return d[3]&miiLink != 0, nil
}

// ethtoolCarrier is what ethtool(8) calls link detected. The argument is struct ethtool_value of linux/ethtool.h.
func ethtoolCarrier(fd int, name string) (bool, error) {
	value := struct{ command, data uint32 }{command: unix.ETHTOOL_GLINK}
	pointer := unsafe.Pointer(&value)
	err := interfaceIoctl(fd, unix.SIOCETHTOOL, name, &pointer)
	return value.data != 0, err
}

// flagsCarrier is what the kernel says when it is asked.
func flagsCarrier(fd int, name string) (bool, error) {
	var flags uint16
	err := interfaceIoctl(fd, unix.SIOCGIFFLAGS, name, &flags)
	return flags&unix.IFF_UP != 0 && flags&unix.IFF_RUNNING != 0, err
}
