package check_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/internal/lab"
)

// secureServer speaks TLS with whoever connects, then hands the connection over.
func secureServer(t *testing.T, config *tls.Config, serve func(c *tls.Conn)) check.Target {
	return listen(t, func(c net.Conn) {
		defer c.Close()
		s := tls.Server(c, config)
		if s.Handshake() == nil {
			serve(s)
		}
	})
}

func answerPage(c *tls.Conn) {
	b := make([]byte, 1024)
	c.Read(b)
	io.WriteString(c, page("hello"))
	c.Close()
}

func TestTLSVerifies(t *testing.T) {
	a, other := lab.NewAuthority(t, t.TempDir()), lab.NewAuthority(t, t.TempDir())
	cert, _, _ := a.Issue(48*time.Hour, "www.example.org", "127.0.0.1")
	expired, _, _ := a.Issue(-time.Hour, "www.example.org", "127.0.0.1")
	well := secureServer(t, &tls.Config{Certificates: []tls.Certificate{cert}}, answerPage)
	late := secureServer(t, &tls.Config{Certificates: []tls.Certificate{expired}}, answerPage)
	www := []check.URL{{VirtualHost: "www.example.org:443"}}
	for name, c := range map[string]struct {
		http check.HTTP
		want string
	}{
		"by its address":            {check.HTTP{Target: well, TLS: &check.TLS{Roots: a.Pool()}, URLs: []check.URL{{}}}, ""},
		"by the host that is asked": {check.HTTP{Target: well, TLS: &check.TLS{Roots: a.Pool()}, URLs: www}, ""},
		"by a name":                 {check.HTTP{Target: well, TLS: &check.TLS{Roots: a.Pool(), ServerName: "www.example.org"}, URLs: []check.URL{{}}}, ""},
		"another name":              {check.HTTP{Target: well, TLS: &check.TLS{Roots: a.Pool(), ServerName: "mail.example.org"}, URLs: www}, "not mail.example.org"},
		"another authority":         {check.HTTP{Target: well, TLS: &check.TLS{Roots: other.Pool()}, URLs: www}, "unknown authority"},
		"the host's authorities":    {check.HTTP{Target: well, TLS: &check.TLS{}, URLs: www}, "unknown authority"},
		"nothing is verified":       {check.HTTP{Target: well, TLS: &check.TLS{SkipVerify: true}, URLs: www}, ""},
		"expired":                   {check.HTTP{Target: late, TLS: &check.TLS{Roots: a.Pool()}, URLs: www}, "expired"},
		"expired and not verified":  {check.HTTP{Target: late, TLS: &check.TLS{SkipVerify: true}, URLs: www}, ""},
		"valid for a day":           {check.HTTP{Target: well, TLS: &check.TLS{Roots: a.Pool(), MinValidity: 24 * time.Hour}, URLs: www}, ""},
		"not valid for a week":      {check.HTTP{Target: well, TLS: &check.TLS{Roots: a.Pool(), MinValidity: 168 * time.Hour}, URLs: www}, `certificate of "www.example.org" ends in 48h0m0s`},
		"not valid, nor verified":   {check.HTTP{Target: well, TLS: &check.TLS{SkipVerify: true, MinValidity: 168 * time.Hour}, URLs: www}, "want 168h0m0s at least"},
		"a plain server":            {check.HTTP{Target: server(t, func(http.ResponseWriter, *http.Request) {}), TLS: &check.TLS{SkipVerify: true}, URLs: www}, "TLS: "},
		"one that says nothing":     {check.HTTP{Target: listen(t, func(net.Conn) {}), TLS: &check.TLS{SkipVerify: true}, URLs: www}, "TLS: timed out"},
		"one that hangs up":         {check.HTTP{Target: listen(t, func(c net.Conn) { c.Close() }), TLS: &check.TLS{SkipVerify: true}, URLs: www}, "TLS: "},
		"one that sends zeros":      {check.HTTP{Target: listen(t, func(c net.Conn) { c.Write(make([]byte, 4096)) }), TLS: &check.TLS{SkipVerify: true}, URLs: www}, "TLS: "},
		"one with a huge handshake": {check.HTTP{Target: listen(t, func(c net.Conn) { endlessHandshake(c) }), TLS: &check.TLS{SkipVerify: true}, URLs: www}, "TLS: "},
	} {
		t.Run(name, func(t *testing.T) { says(t, c.http, c.want) })
	}
}

// endlessHandshake announces a message of 16 MB in records of 16 KB.
func endlessHandshake(c net.Conn) {
	io.Copy(io.Discard, io.LimitReader(c, 1))
	record := append([]byte{22, 3, 3, 0x40, 0}, make([]byte, 0x4000)...)
	record[5], record[6] = 2, 0xff
	for {
		if _, err := c.Write(record); err != nil {
			return
		}
	}
}

func TestTLSSendsTheNameThatIsAskedFor(t *testing.T) {
	a := lab.NewAuthority(t, t.TempDir())
	cert, _, _ := a.Issue(time.Hour, "x")
	names := make(chan string, 1)
	to := secureServer(t, &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { names <- h.ServerName; return &cert, nil }}, answerPage)
	for name, c := range map[string]struct {
		tls  check.TLS
		host string
		want string
	}{
		"the url's host":     {check.TLS{}, "www.example.org:8443", "www.example.org"},
		"sni_name before it": {check.TLS{ServerName: "a.example.org"}, "www.example.org", "a.example.org"},
		"none":               {check.TLS{NoSNI: true, ServerName: "a.example.org"}, "www.example.org", ""},
		"none without host":  {check.TLS{}, "", ""},
	} {
		c.tls.SkipVerify = true
		says(t, check.HTTP{Target: to, TLS: &c.tls, URLs: []check.URL{{VirtualHost: c.host}}}, "")
		if got := <-names; got != c.want {
			t.Errorf("%s: %q was asked for, want %q", name, got, c.want)
		}
	}
}

func TestTLSClientCertificate(t *testing.T) {
	a := lab.NewAuthority(t, t.TempDir())
	cert, _, _ := a.Issue(time.Hour, "server")
	mine, _, _ := a.Issue(time.Hour, "client")
	to := secureServer(t, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.Pool()}, answerPage)
	c := check.HTTP{Target: to, TLS: &check.TLS{SkipVerify: true, Certificate: &mine}, URLs: []check.URL{{}}}
	says(t, c, "")
	c.TLS = &check.TLS{SkipVerify: true}
	says(t, c, "certificate required")
}

// TestTLSEndsAsWished: with a notice (tls_compliant) or without; and a server may end without.
func TestTLSEndsAsWished(t *testing.T) {
	a := lab.NewAuthority(t, t.TempDir())
	cert, _, _ := a.Issue(time.Hour, "server")
	tails := make(chan int, 1)
	to := listen(t, func(c net.Conn) {
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
		s.Read(make([]byte, 1024))
		io.WriteString(s, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
		tail, _ := io.ReadAll(c)
		tails <- len(tail)
	})
	for _, compliant := range []bool{true, false} {
		says(t, check.HTTP{Target: to, TLS: &check.TLS{SkipVerify: true, CloseNotify: compliant}, URLs: []check.URL{{}}}, "")
		if tail := <-tails; (tail > 0) != compliant {
			t.Errorf("CloseNotify %v: %d bytes came at the end", compliant, tail)
		}
	}
	rude := secureServer(t, &tls.Config{Certificates: []tls.Certificate{cert}}, func(c *tls.Conn) {
		b := make([]byte, 1024)
		c.Read(b)
		io.WriteString(c, page("hello"))
		c.NetConn().Close()
	})
	says(t, check.HTTP{Target: rude, TLS: &check.TLS{SkipVerify: true}, URLs: []check.URL{{Text: "hello"}}}, "")
}

func TestSMTPStartTLS(t *testing.T) {
	a := lab.NewAuthority(t, t.TempDir())
	cert, _, _ := a.Issue(time.Hour, "127.0.0.1")
	mail := func(after string) check.Target {
		return listen(t, func(c net.Conn) {
			defer c.Close()
			b := make([]byte, 512)
			io.WriteString(c, "220 hello\r\n")
			c.Read(b)
			io.WriteString(c, "250-me\r\n250 STARTTLS\r\n")
			c.Read(b)
			io.WriteString(c, after)
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
			for _, reply := range []string{"250 hello again\r\n", "221 bye\r\n"} {
				if n, err := s.Read(b); err != nil || !strings.HasSuffix(string(b[:n]), "\r\n") {
					return
				}
				io.WriteString(s, reply)
			}
			io.Copy(io.Discard, s)
		})
	}
	says(t, check.SMTP{Target: mail("220 go\r\n"), StartTLS: &check.TLS{Roots: a.Pool()}}, "")
	says(t, check.SMTP{Target: mail("220 go\r\n"), StartTLS: &check.TLS{}}, "STARTTLS: TLS: ")
	says(t, check.SMTP{Target: mail("454 not now\r\n"), StartTLS: &check.TLS{SkipVerify: true}}, "STARTTLS: 454 not now")
	says(t, check.SMTP{Target: mail("220 go\r\n250 injected\r\n"), StartTLS: &check.TLS{SkipVerify: true}}, "plain text")
}
