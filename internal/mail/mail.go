// Package mail hands one message to one mail server.
package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"
)

// Security says whether the way to the server is encrypted.
type Security string

// The kinds of security.
const (
	Opportunistic Security = ""         // TLS if the server offers it, with whatever certificate
	Plain         Security = "none"     // never TLS
	StartTLS      Security = "starttls" // TLS or nothing, the certificate is verified
	Implicit      Security = "tls"      // TLS from the first byte, the certificate is verified
)

// Server is where mail goes, and how.
type Server struct {
	// Address is a host, or host:port. The port is 25 by default, 465 with Implicit, 587 with StartTLS.
	Address        string
	Security       Security
	User, Password string // no authentication without a User
	// Helo is the name to greet with. Empty means this host's.
	Helo string
	// Timeout bounds the whole session. 0 means 30 s.
	Timeout time.Duration
	// Dial reaches the server. Nil means that of a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is used for TLS instead of the default one, if it is not nil.
	TLS *tls.Config
}

// Message is one mail.
type Message struct {
	From          string
	To            []string
	Subject, Body string
	Date          time.Time
}

// Validate says what makes it impossible to send to the server. It does not go there.
func (s *Server) Validate() error {
	switch s.Security {
	case Opportunistic, Plain, StartTLS, Implicit:
	default:
		return fmt.Errorf("mail: security %q: none, starttls and tls exist, or nothing at all", s.Security)
	}
	_, _, err := s.hostPort()
	return err
}

// Send hands a message over. It returns soon after ctx ends.
func (s *Server) Send(ctx context.Context, m Message) error {
	message, err := m.build()
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout())
	defer cancel()
	client, err := s.client(ctx, m.options()...)
	if err == nil {
		err = deliver(ctx, client, message)
	}
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // the connection was closed for it
	}
	if err != nil {
		return fmt.Errorf("mail: server %s: %w", s.Address, err)
	}
	return nil
}

func deliver(ctx context.Context, client *gomail.Client, message *gomail.Msg) error {
	if err := client.DialWithContext(ctx); err != nil {
		return err
	}
	defer client.Close() // how the server says goodbye does not matter
	return client.Send(message)
}

func (s *Server) timeout() time.Duration { return cmp.Or(s.Timeout, 30*time.Second) }

// Permanent says whether an error of Send would be the same if it was tried again.
func Permanent(err error) bool {
	refused, ok := errors.AsType[*gomail.SendError](err)
	return ok && refused.ErrorCode() >= 500
}

func (m *Message) build() (*gomail.Msg, error) {
	message := gomail.NewMsg()
	if err := message.From(m.From); err != nil {
		return nil, fmt.Errorf("sender %s: %w", m.From, err)
	}
	if err := message.To(m.To...); err != nil {
		return nil, fmt.Errorf("recipients %s: %w", strings.Join(m.To, ", "), err)
	}
	message.Subject(m.Subject)
	message.SetDateWithValue(m.Date)
	message.SetMessageID()
	message.SetUserAgent("holdfast")
	message.SetGenHeader("Auto-Submitted", "auto-generated")
	message.SetBodyString(gomail.TypeTextPlain, m.Body)
	return message, nil
}

// options ask for SMTPUTF8 only where an address needs it: mail that does not could be refused on its way for the sake of it. The
// header is encoded in any case.
func (m *Message) options() []gomail.Option {
	for _, c := range m.From + strings.Join(m.To, "") {
		if c > unicode.MaxASCII {
			return nil
		}
	}
	return []gomail.Option{gomail.WithoutSMTPUTF8()}
}

func (s *Server) client(ctx context.Context, options ...gomail.Option) (*gomail.Client, error) {
	host, port, err := s.hostPort()
	if err != nil {
		return nil, err
	}
	options = append(options, gomail.WithPort(port), gomail.WithTimeout(s.timeout()+time.Second), gomail.WithoutNoop(), gomail.WithDialContextFunc(s.dialUntil(ctx, host)))
	options = append(options, s.secure(host)...)
	if s.Helo != "" {
		options = append(options, gomail.WithHELO(s.Helo))
	}
	if s.User != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(s.User), gomail.WithPassword(s.Password))
	}
	return gomail.NewClient(host, options...)
}

// dialUntil makes connections on which everything fails once ctx has ended. Those with TLS from the first byte have it already:
// the library leaves that to whoever dials.
func (s *Server) dialUntil(ctx context.Context, host string) gomail.DialContextFunc {
	dial := s.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return func(dialing context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(dialing, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { conn.Close() })
		if s.Security != Implicit {
			return conn, nil
		}
		secure := tls.Client(conn, s.tls(host))
		if err := secure.HandshakeContext(dialing); err != nil {
			conn.Close()
			return nil, err
		}
		return secure, nil
	}
}

func (s *Server) tls(host string) *tls.Config {
	if s.TLS != nil {
		return s.TLS.Clone()
	}
	return &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
}

func (s *Server) secure(host string) []gomail.Option {
	config := s.tls(host)
	switch s.Security {
	case Plain:
		return []gomail.Option{gomail.WithTLSPolicy(gomail.NoTLS)}
	case StartTLS:
		return []gomail.Option{gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithTLSConfig(config)}
	case Implicit: // a server that has TLS offers none within it
		return []gomail.Option{gomail.WithTLSPolicy(gomail.TLSOpportunistic), gomail.WithTLSConfig(config)}
	}
	config.InsecureSkipVerify = true // the alternative is plain text
	return []gomail.Option{gomail.WithTLSPolicy(gomail.TLSOpportunistic), gomail.WithTLSConfig(config)}
}

func (s *Server) hostPort() (string, int, error) {
	host, text, err := net.SplitHostPort(s.Address)
	if err != nil { // no port
		host, text = strings.Trim(s.Address, "[]"), map[Security]string{Implicit: "465", StartTLS: "587"}[s.Security]
		text = cmp.Or(text, "25")
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 || host == "" {
		return "", 0, fmt.Errorf("mail: server %q is no host or host:port", s.Address)
	}
	return host, int(port), nil
}
