package proto

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/holdfast-lb/holdfast/check"
)

// WebSocket is well when the server changes to the WebSocket protocol (RFC 6455). The connection is then closed.
type WebSocket struct {
	check.Target
	// TLS is nil for none.
	TLS *check.TLS
	// Path with query. Empty means "/".
	Path string
	// VirtualHost is the Host header. Empty means the target's address and port.
	VirtualHost string
	// Origin is sent where it is not empty: some servers refuse others than they know.
	Origin string
	// Subprotocol to ask for, which the server must then speak. Empty means none.
	Subprotocol string
}

// Key implements [check.Keyer].
func (c WebSocket) Key() string {
	return fmt.Sprintf("%v %s %q %q %q %q", c.Target, c.TLS.Key(), c.Path, c.VirtualHost, c.Origin, c.Subprotocol)
}

// Check implements [check.Checker].
func (c WebSocket) Check(ctx context.Context) error {
	host := cmp.Or(c.VirtualHost, c.Addr.String())
	path := cmp.Or(c.Path, "/")
	for _, part := range []string{host, path, c.Origin, c.Subprotocol} {
		if strings.ContainsFunc(part, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return fmt.Errorf("WebSocket %v: %q has a blank or a control character", c.Addr, part)
		}
	}
	conn, err := c.Dial(ctx, c.TLS, host)
	if err != nil {
		return fmt.Errorf("WebSocket: %w", err)
	}
	defer conn.Close()
	if err := c.upgrade(newSession(conn), host, path); err != nil {
		return fmt.Errorf("WebSocket %v%s: %w", c.Addr, path, why(ctx, err))
	}
	return nil
}

func (c WebSocket) upgrade(s *session, host, path string) error {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	ask := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: holdfast\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n", path, host, key)
	for name, value := range map[string]string{"Origin": c.Origin, "Sec-WebSocket-Protocol": c.Subprotocol} {
		if value != "" {
			ask = fmt.Appendf(ask, "%s: %s\r\n", name, value)
		}
	}
	if err := s.say(append(ask, "\r\n"...)); err != nil {
		return err
	}
	resp, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return err
	}
	switch h := resp.Header; {
	case resp.StatusCode != http.StatusSwitchingProtocols:
		return fmt.Errorf("status %d, want 101", resp.StatusCode)
	case !strings.EqualFold(h.Get("Upgrade"), "websocket"):
		return fmt.Errorf("it changes to %s", quote(h.Get("Upgrade")))
	case h.Get("Sec-WebSocket-Accept") != accept(key):
		return errors.New("its answer is not to our key: something between answers for it")
	case h.Get("Sec-WebSocket-Protocol") != c.Subprotocol:
		return fmt.Errorf("it speaks the subprotocol %s, want %s", quote(h.Get("Sec-WebSocket-Protocol")), quote(c.Subprotocol))
	}
	return s.say([]byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8}) // close, 1000
}

// accept is what a server makes of a key (RFC 6455, section 4.2.2).
func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
