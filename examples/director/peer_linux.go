package main

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peerListener makes connections say who is at the other end, for the log.
type peerListener struct{ net.Listener }

// Accept implements [net.Listener].
func (l peerListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return peerConn{conn, peerOf(conn)}, nil
}

type peerConn struct {
	net.Conn
	peer peer
}

// RemoteAddr implements [net.Conn].
func (c peerConn) RemoteAddr() net.Addr { return c.peer }

// peer is an address that names a process.
type peer string

// Network implements [net.Addr].
func (peer) Network() string { return "unix" }

// String implements [net.Addr].
func (p peer) String() string { return string(p) }

func peerOf(conn net.Conn) peer {
	who := peer("unknown")
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return who
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return who
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			who = peer(fmt.Sprintf("uid %d pid %d", cred.Uid, cred.Pid))
		}
	})
	return who
}
