package vrrp

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/holdfast-lb/holdfast/internal/rtnl"
)

// HearClaims opens a packet socket for each family. Both are of one protocol, so that they hear nothing that this host sends and cost
// nothing for other traffic, and the kernel drops for them whatever is not about the addresses.
func (h *hostNetwork) HearClaims(name string, addrs []netip.Addr, heard func(addr netip.Addr, mac [6]byte)) (io.Closer, error) {
	l, err := h.find(name)
	if err != nil {
		return nil, err
	}
	if !announces(&l) {
		return nil, nil
	}
	four, six := make(map[netip.Addr]bool), make(map[netip.Addr]bool)
	for _, a := range addrs {
		if a.Is6() {
			six[a] = true
		} else {
			four[a] = true
		}
	}
	var all listeners
	for protocol, wanted := range map[int]map[netip.Addr]bool{unix.ETH_P_ARP: four, unix.ETH_P_IPV6: six} {
		if len(wanted) == 0 {
			continue
		}
		one, err := h.listen(&l, protocol, wanted, heard)
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all = append(all, one)
	}
	return all, nil
}

// listeners are closed together.
type listeners []*listener

func (all listeners) Close() error {
	var errs []error
	for _, l := range all {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// listener reads one socket.
type listener struct {
	conn   *packet.Conn
	raw    syscall.RawConn
	wanted map[netip.Addr]bool
	ours   func(mac [6]byte) bool
	heard  func(addr netip.Addr, mac [6]byte)
	stop   chan struct{} // closed by Close
	done   chan struct{} // closed when nothing is read any more
	read   int           // frames of the present look
	err    error
	buf    [2048]byte
}

func (h *hostNetwork) listen(l *rtnl.Link, protocol int, wanted map[netip.Addr]bool, heard func(netip.Addr, [6]byte)) (*listener, error) {
	ifi := &net.Interface{Index: l.Index, Name: l.Name, HardwareAddr: l.MAC, MTU: l.MTU}
	conn, err := packet.Listen(ifi, packet.Raw, protocol, &packet.Config{Filter: claimProgram(protocol, wanted, mostFiltered)})
	if errors.Is(err, unix.ENOMEM) { // net.core.optmem_max is small
		conn, err = packet.Listen(ifi, packet.Raw, protocol, &packet.Config{Filter: claimProgram(protocol, wanted, 0)})
	}
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	one := &listener{conn: conn, raw: raw, wanted: wanted, ours: h.mirror.HasMAC, heard: heard, stop: make(chan struct{}), done: make(chan struct{})}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, roomForClaims) })
	go one.run()
	return one, nil
}

// A flood costs what is read of it: mostRead frames in each span of claimSpan, of which the socket keeps a few hundred at most.
const (
	mostRead      = 64
	claimSpan     = 50 * time.Millisecond
	roomForClaims = 64 << 10
)

// run looks at what has come, and then leaves the socket alone for a while.
func (l *listener) run() {
	defer close(l.done)
	rest := time.NewTimer(claimSpan)
	defer rest.Stop()
	look := l.look
	for {
		if err := l.raw.Read(look); err != nil || l.err != nil {
			return
		}
		rest.Reset(claimSpan)
		select {
		case <-l.stop:
			return
		case <-rest.C:
		}
	}
}

// look reads some frames. It is false when there were none.
func (l *listener) look(fd uintptr) bool {
	for l.read = 0; l.read < mostRead; l.read++ {
		n, err := unix.Read(int(fd), l.buf[:])
		switch err {
		case nil:
			l.frame(l.buf[:n])
		case unix.EAGAIN:
			return l.read > 0
		case unix.EINTR, unix.ENETDOWN: // the link is down: the socket is as good as before when it is up
		default:
			l.err = err
			return true
		}
	}
	return true
}

func (l *listener) frame(b []byte) {
	if addr, mac, ok := parseClaim(b); ok && l.wanted[addr] && !l.ours(mac) {
		l.heard(addr, mac)
	}
}

func (l *listener) Close() error {
	close(l.stop)
	err := l.conn.Close()
	<-l.done
	return err
}

// mostFiltered is for how many addresses the kernel compares.
const mostFiltered = 500

// claimProgram passes frames to this host or to all, of ARP or neighbour advertisements, about one of the addresses as far as their
// last four bytes tell. With more than most addresses it passes those about any.
func claimProgram(protocol int, wanted map[netip.Addr]bool, most int) []bpf.RawInstruction {
	const packetTo, mac = unix.PACKET_MULTICAST, etherLen
	drop, pass := bpf.RetConstant{Val: 0}, bpf.RetConstant{Val: 1 << 16}
	is := func(offset uint32, size int, value uint32) []bpf.Instruction {
		return []bpf.Instruction{bpf.LoadAbsolute{Off: offset, Size: size}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: 1}, drop}
	}
	program := []bpf.Instruction{bpf.LoadExtension{Num: bpf.ExtType}, bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: packetTo, SkipFalse: 1}, drop}
	about := uint32(mac + 14) // the sender of ARP
	if protocol == unix.ETH_P_IPV6 {
		about = mac + ipv6Len + 20 // the end of the target
		program = append(program, is(mac+6, 2, icmpv6<<8|255)...)
		program = append(program, is(mac+ipv6Len, 1, 136)...)
	}
	if len(wanted) > most {
		return mustAssemble(append(program, pass))
	}
	program = append(program, bpf.LoadAbsolute{Off: about, Size: 4})
	for a := range wanted {
		b := a.AsSlice()
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(b[len(b)-4:]), SkipFalse: 1}, pass)
	}
	return mustAssemble(append(program, drop))
}

// mustAssemble is for programs made here.
func mustAssemble(program []bpf.Instruction) []bpf.RawInstruction {
	raw, err := bpf.Assemble(program)
	if err != nil {
		panic("vrrp: " + err.Error())
	}
	return raw
}
