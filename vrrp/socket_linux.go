package vrrp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/ipheader"
)

// batch is how many packets one system call sends or receives at most.
const batch = 64

// Open makes a raw socket that is bound to the interface, hears one group alone or unicast alone, and hears not itself.
func (s *hostSockets) Open(socket Socket, ready func()) (Conn, error) {
	c := &rawConn{sockets: s, socket: socket, ready: ready}
	if socket.Interface != "" {
		ifi, err := net.InterfaceByName(socket.Interface)
		if err != nil {
			return nil, err
		}
		c.index = ifi.Index
	}
	var err error
	if c.in, err = c.rawSocket(int(socket.Protocol), c.hear); err != nil {
		return nil, err
	}
	if c.out, err = c.rawSocket(unix.IPPROTO_RAW, nil); err != nil {
		unix.Close(c.in)
		return nil, err
	}
	if err = s.add(c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// rawSocket makes one of the two sockets: one to receive, and one to send, which nobody waits for, for that would be woken
// whenever a packet has left.
func (c *rawConn) rawSocket(protocol int, more func(fd int) error) (int, error) {
	fd, err := unix.Socket(c.socket.family(), unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if errors.Is(err, os.ErrPermission) {
		return 0, fmt.Errorf("vrrp: raw socket: %w: run as root or with CAP_NET_RAW and CAP_NET_ADMIN", err)
	}
	if err != nil {
		return 0, fmt.Errorf("vrrp: raw socket: %w", err)
	}
	if err = c.configure(fd); err == nil && more != nil {
		err = more(fd)
	}
	if err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("vrrp: socket on %s: %w", c.socket.Interface, err)
	}
	return fd, nil
}

func (s *Socket) family() int {
	if s.IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// configure is for both sockets: bound to the link, sending multicast there only.
func (c *rawConn) configure(fd int) error {
	set := func(level, option, value int) error { return unix.SetsockoptInt(fd, level, option, value) }
	errs := []error{set(unix.SOL_SOCKET, unix.SO_PRIORITY, 6)} // ahead of bulk traffic in the queues
	_ = set(unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 1<<20)       // for a burst of adverts of many instances
	if c.socket.Interface != "" {
		errs = append(errs, unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, c.socket.Interface))
	}
	if c.socket.IPv6 {
		errs = append(errs,
			set(unix.IPPROTO_IPV6, unix.IPV6_HDRINCL, 1),
			set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0))
		if c.index != 0 {
			errs = append(errs, set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, c.index))
		}
	} else {
		errs = append(errs,
			set(unix.IPPROTO_IP, unix.IP_HDRINCL, 1),
			set(unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0))
		if c.index != 0 {
			errs = append(errs, unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(c.index)}))
		}
	}
	if c.socket.Group.IsValid() {
		c.flags = unix.MSG_DONTROUTE // never through a gateway
	}
	return errors.Join(errs...)
}

// hear makes the receiving socket one of the group, bound to it so that nothing else is heard; or of none, so that no group is.
func (c *rawConn) hear(fd int) error {
	set := func(level, option, value int) error { return unix.SetsockoptInt(fd, level, option, value) }
	_ = set(unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) // Packet.Age; it can do without
	if !c.socket.IPv6 {
		errs := []error{set(unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)}
		if c.socket.Group.IsValid() {
			group := &unix.IPMreqn{Multiaddr: c.socket.Group.As4(), Ifindex: int32(c.index)}
			errs = append(errs, unix.Bind(fd, &unix.SockaddrInet4{Addr: group.Multiaddr}),
				unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, group))
		}
		return errors.Join(errs...)
	}
	errs := []error{
		set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0),
		set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1),
		set(unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1),
	}
	if c.socket.Group.IsValid() {
		group := c.socket.Group.As16()
		errs = append(errs, unix.Bind(fd, &unix.SockaddrInet6{Addr: group, ZoneId: uint32(c.index)}),
			unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: group, Interface: uint32(c.index)}))
	}
	return errors.Join(errs...)
}

// mmsghdr is what sendmmsg(2) and recvmmsg(2) take an array of.
type mmsghdr struct {
	unix.Msghdr
	length uint32
}

// vectors is the memory of one batch of system calls.
type vectors struct {
	headers [batch]mmsghdr
	iovecs  [batch]unix.Iovec
	names   [batch]unix.RawSockaddrInet6 // IPv4 ones are shorter
	control [batch][128]byte             // when it came; IPv6: hop limit and destination
}

// rawConn is a pair of raw sockets.
type rawConn struct {
	sockets *hostSockets
	socket  Socket
	ready   func()
	in, out int // to receive and to send
	index   int
	flags   int // of multicast packets

	vectors     vectors // of the present call
	count, done int     // of a batch: what to do, what was done
	errno       syscall.Errno
}

func (c *rawConn) Listen(on bool) error {
	var events uint32
	if on {
		events = unix.EPOLLIN
	}
	return c.sockets.control(unix.EPOLL_CTL_MOD, c.in, events)
}

func (c *rawConn) Recv(packets []Packet) (int, error) {
	c.count = min(len(packets), batch)
	for i := range c.count {
		c.prepare(i, packets[i].Buf)
	}
	c.recvBatch()
	switch c.errno {
	case 0:
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	default:
		return 0, os.NewSyscallError("recvmmsg", c.errno)
	}
	now := time.Now().UnixNano() // the clock of stamps
	for i := range c.done {
		c.received(now, i, &packets[i])
	}
	return c.done, nil
}

func (c *rawConn) prepare(i int, buf []byte) {
	v := &c.vectors
	v.iovecs[i].Base = unsafe.SliceData(buf)
	v.iovecs[i].SetLen(len(buf))
	h := &v.headers[i].Msghdr
	*h = unix.Msghdr{Iov: &v.iovecs[i]}
	h.SetIovlen(1)
	h.Control = &v.control[i][0]
	h.SetControllen(len(v.control[i]))
	if c.socket.IPv6 {
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&v.names[i])), unix.SizeofSockaddrInet6
	}
}

func (c *rawConn) recvBatch() {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(c.in), uintptr(unsafe.Pointer(&c.vectors.headers)), uintptr(c.count), unix.MSG_DONTWAIT, 0, 0)
	c.done, c.errno = int(n), errno
}

func (c *rawConn) received(now int64, i int, p *Packet) {
	h := &c.vectors.headers[i]
	data := p.Buf[:h.length]
	*p = Packet{Buf: p.Buf, Message: data, Protocol: c.socket.Protocol}
	p.readControl(now, c.vectors.control[i][:h.Controllen])
	if c.socket.IPv6 {
		p.Src = netip.AddrFrom16(c.vectors.names[i].Addr)
		return
	}
	header, message, ok := ipheader.Split4(data)
	if !ok {
		p.Message = nil
		return
	}
	ip := ipheader.Parse(header)
	p.Header, p.Message, p.Src, p.Dst, p.TTL, p.Protocol = header, message, ip.Src, ip.Dst, ip.TTL, ip.Protocol
}

// readControl takes age, destination and hop limit from control messages.
func (p *Packet) readControl(now int64, b []byte) {
	for len(b) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			return // TTL 0 is rejected
		}
		switch {
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SCM_TIMESTAMPNS && len(data) == 16: // where a long has 64 bits
			stamp := int64(binary.NativeEndian.Uint64(data))*1e9 + int64(binary.NativeEndian.Uint64(data[8:]))
			p.Age = time.Duration(max(now-stamp, 0))
		case h.Level != unix.IPPROTO_IPV6:
		case h.Type == unix.IPV6_PKTINFO && len(data) >= 16:
			p.Dst = netip.AddrFrom16([16]byte(data[:16]))
		case h.Type == unix.IPV6_HOPLIMIT && len(data) >= 4:
			p.TTL = uint8(binary.NativeEndian.Uint32(data))
		}
		b = rest
	}
}

func (c *rawConn) Send(datagrams []Datagram) {
	for len(datagrams) > 0 {
		c.count = min(len(datagrams), batch)
		for i := range c.count {
			c.address(i, &datagrams[i])
		}
		if c.sendBatch(); c.errno != 0 { // the first one failed
			datagrams[0].Err, c.done = c.errno, 1
		} else {
			for i := range c.done {
				datagrams[i].Err = nil
			}
		}
		runtime.KeepAlive(datagrams)
		datagrams = datagrams[c.done:]
	}
}

func (c *rawConn) address(i int, d *Datagram) {
	v := &c.vectors
	v.iovecs[i].Base = unsafe.SliceData(d.Data)
	v.iovecs[i].SetLen(len(d.Data))
	name := &v.names[i]
	h := &v.headers[i].Msghdr
	*h = unix.Msghdr{Iov: &v.iovecs[i], Name: (*byte)(unsafe.Pointer(name))}
	h.SetIovlen(1)
	if c.socket.IPv6 {
		h.Namelen = unix.SizeofSockaddrInet6
		*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: d.Dst.As16(), Scope_id: uint32(c.index)}
		return
	}
	h.Namelen = unix.SizeofSockaddrInet4
	*(*unix.RawSockaddrInet4)(unsafe.Pointer(name)) = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: d.Dst.As4()}
}

func (c *rawConn) sendBatch() {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(c.out), uintptr(unsafe.Pointer(&c.vectors.headers)), uintptr(c.count), uintptr(unix.MSG_DONTWAIT|c.flags), 0, 0)
	c.done, c.errno = int(n), errno
}

// Want lets the kernel drop what is for other VRIDs.
func (c *rawConn) Want(vrids *[256]bool, buffer int) error {
	program, err := bpf.Assemble(c.filter(vrids))
	if err != nil {
		return err
	}
	raw := make([]unix.SockFilter, len(program))
	for i, p := range program {
		raw[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	err = unix.SetsockoptSockFprog(c.in, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(raw)), Filter: &raw[0]})
	if buffer > 0 && unix.SetsockoptInt(c.in, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		err = errors.Join(err, unix.SetsockoptInt(c.in, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer))
	}
	return err
}

// filter is a program of one test per range of VRIDs. A raw IPv4 socket's filter sees the IP header first, an IPv6 one's
// does not.
func (c *rawConn) filter(vrids *[256]bool) []bpf.Instruction {
	const whole = 1 << 18
	if vrids == nil {
		return []bpf.Instruction{bpf.RetConstant{Val: whole}}
	}
	offset := uint32(1)
	if c.socket.Protocol == protocolAH {
		offset += ahLen
	}
	program := []bpf.Instruction{bpf.LoadMemShift{Off: 0}, bpf.LoadIndirect{Off: offset, Size: 1}}
	if c.socket.IPv6 {
		program = []bpf.Instruction{bpf.LoadAbsolute{Off: offset, Size: 1}}
	}
	for low := 0; low < 256; low++ {
		if !vrids[low] {
			continue
		}
		high := low
		for high < 255 && vrids[high+1] {
			high++
		}
		program = append(program,
			bpf.JumpIf{Cond: bpf.JumpLessThan, Val: uint32(low), SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: uint32(high), SkipTrue: 1},
			bpf.RetConstant{Val: whole})
		low = high
	}
	return append(program, bpf.RetConstant{Val: 0})
}

func (c *rawConn) Close() error {
	c.sockets.remove(c)
	return errors.Join(unix.Close(c.in), unix.Close(c.out))
}
