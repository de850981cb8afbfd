package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"
)

// TLS says how a check speaks TLS. The zero value sends the name that is asked for and verifies the server's certificate for
// it, or for the target's address where there is no name.
type TLS struct {
	// ServerName to send (SNI) and to verify (sni_name). Empty means the host that the request is for.
	ServerName string
	// NoSNI sends no name; the target's address is verified.
	NoSNI bool
	// SkipVerify takes any certificate, as keepalived does.
	SkipVerify bool
	// Roots are the authorities to trust. Nil means the host's.
	Roots *x509.CertPool
	// MinValidity is how long each certificate that the server sends must be valid still. 0 means any time. It holds with
	// SkipVerify too.
	MinValidity time.Duration
	// Certificate is for servers that ask for the client's. Nil means none.
	Certificate *tls.Certificate
	// CloseNotify ends the session in due form (tls_compliant). Otherwise the connection is just closed, which servers take
	// note of at most.
	CloseNotify bool
}

// name is what is sent for a host that is asked for.
func (t *TLS) name(host string) string {
	switch {
	case t.NoSNI:
		return ""
	case t.ServerName != "":
		return t.ServerName
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return host
}

// Config is for one handshake with the target; host is what the request is for, and may be empty.
func (t *TLS) Config(at Target, host string) *tls.Config {
	name := t.name(host)
	if name == "" {
		name = at.Addr.Addr().WithZone("").String() // Go verifies an address and never sends it
	}
	c := &tls.Config{ServerName: name, InsecureSkipVerify: t.SkipVerify, RootCAs: t.Roots}
	if t.Certificate != nil {
		c.Certificates = []tls.Certificate{*t.Certificate}
	}
	if t.MinValidity > 0 {
		c.VerifyConnection = t.verifyValidity
	}
	return c
}

func (t *TLS) verifyValidity(s tls.ConnectionState) error {
	for _, c := range s.PeerCertificates {
		if left := time.Until(c.NotAfter); left < t.MinValidity {
			return fmt.Errorf("certificate of %q ends in %v, on %s: want %v at least",
				c.Subject.CommonName, left.Round(time.Minute), c.NotAfter.UTC().Format(time.DateTime), t.MinValidity)
		}
	}
	return nil
}

func handshake(ctx context.Context, conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", ended(ctx, err))
	}
	return secure, nil
}

// Key is equal for settings that ask the same, for the Key of a checker that has them (see [Keyer]). It is empty for nil. Roots and
// Certificate are the same when they point to the same.
func (t *TLS) Key() string {
	if t == nil {
		return ""
	}
	return fmt.Sprintf("%q %v %v %p %v %p %v", t.ServerName, t.NoSNI, t.SkipVerify, t.Roots, t.MinValidity, t.Certificate, t.CloseNotify)
}

// close ends a connection, in due form where that is wished for.
func (t *TLS) close(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok && !t.CloseNotify {
		conn = secure.NetConn()
	}
	_ = conn.Close()
}
