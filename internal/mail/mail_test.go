package mail

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// relay is a mail server that does as it is told, and writes down what it is given.
type relay struct {
	listener net.Listener
	cert     *tls.Config // offered by STARTTLS unless nil
	refuse   string      // answer to MAIL FROM
	silent   bool
	atOnce   bool // TLS from the first byte
	got      chan string
}

func (r *relay) start(t *testing.T) string {
	t.Helper()
	var err error
	if r.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if r.atOnce {
		r.listener = tls.NewListener(r.listener, r.cert)
	}
	r.got = make(chan string, 1)
	t.Cleanup(func() { r.listener.Close() })
	go func() {
		for {
			conn, err := r.listener.Accept()
			if err != nil {
				return
			}
			go r.serve(conn)
		}
	}()
	return r.listener.Addr().String()
}

func (r *relay) serve(conn net.Conn) {
	defer conn.Close()
	if r.silent {
		_, _ = bufio.NewReader(conn).ReadString('\n')
		return
	}
	var said strings.Builder
	in := bufio.NewReader(conn)
	fmt.Fprint(conn, "220 relay\r\n")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		said.WriteString(line)
		verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " ")
		switch verb {
		case "EHLO":
			fmt.Fprint(conn, "250-relay\r\n")
			if _, secure := conn.(*tls.Conn); r.cert != nil && !secure {
				fmt.Fprint(conn, "250-STARTTLS\r\n")
			}
			fmt.Fprint(conn, "250 AUTH PLAIN\r\n")
		case "STARTTLS":
			fmt.Fprint(conn, "220 go\r\n")
			conn = tls.Server(conn, r.cert)
			in = bufio.NewReader(conn)
		case "AUTH":
			fmt.Fprint(conn, "235 welcome\r\n")
		case "MAIL":
			fmt.Fprint(conn, first(r.refuse, "250 ok")+"\r\n")
		case "DATA":
			fmt.Fprint(conn, "354 go\r\n")
			for line = ""; line != ".\r\n"; said.WriteString(line) {
				if line, err = in.ReadString('\n'); err != nil {
					return
				}
			}
			fmt.Fprint(conn, "250 taken\r\n")
			r.got <- said.String()
		default:
			fmt.Fprint(conn, "250 ok\r\n")
		}
	}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

var note = Message{
	From: "lb1@example.org", To: []string{"ops@example.org", "noc@example.org"}, Subject: "[lb1] web1 is DOWN", Body: "web1 did not answer\n",
	Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
}

// certificate is one for 127.0.0.1 with a client that trusts it.
func certificate(t *testing.T) (server, client *tls.Config) {
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	client = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	client.ServerName = "example.com"
	return &tls.Config{Certificates: s.TLS.Certificates}, client
}

func TestSend(t *testing.T) {
	server, trusting := certificate(t)
	for name, c := range map[string]struct {
		relay  relay
		server Server
		says   []string
		fails  string
	}{
		"plain":                 {says: []string{"EHLO lb1.example.org", "MAIL FROM:<lb1@example.org>", "RCPT TO:<ops@example.org>", "RCPT TO:<noc@example.org>", "Subject: [lb1] web1 is DOWN", "Date: Fri, 02 Jan 2026 03:04:05 +0000", "Auto-Submitted: auto-generated", "web1 did not answer"}},
		"TLS if there is any":   {relay: relay{cert: server}, says: []string{"STARTTLS", "web1 did not answer"}},
		"never TLS":             {relay: relay{cert: server}, server: Server{Security: Plain}, says: []string{"web1 did not answer"}},
		"TLS and a password":    {relay: relay{cert: server}, server: Server{Security: StartTLS, TLS: trusting, User: "u", Password: "p"}, says: []string{"STARTTLS", "AUTH PLAIN AHUAcA==", "web1 did not answer"}},
		"TLS at once":           {relay: relay{cert: server, atOnce: true}, server: Server{Security: Implicit, TLS: trusting, User: "u", Password: "p"}, says: []string{"AUTH PLAIN AHUAcA==", "web1 did not answer"}},
		"a stranger's at once":  {relay: relay{cert: server, atOnce: true}, server: Server{Security: Implicit}, fails: "certificate"},
		"no TLS at once":        {server: Server{Security: Implicit, TLS: trusting}, fails: "TLS"},
		"no TLS where it must":  {server: Server{Security: StartTLS, TLS: trusting}, fails: "STARTTLS"},
		"a stranger's":          {relay: relay{cert: server}, server: Server{Security: StartTLS}, fails: "certificate"},
		"refused for good":      {relay: relay{refuse: "550 go away"}, fails: "550"},
		"refused for now":       {relay: relay{refuse: "451 later"}, fails: "451"},
		"a server that is mute": {relay: relay{silent: true}, server: Server{Timeout: 200 * time.Millisecond}, fails: "deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			c.server.Address, c.server.Helo = c.relay.start(t), "lb1.example.org"
			err := c.server.Send(t.Context(), note)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) || Permanent(err) != (c.fails == "550") {
					t.Errorf("error %v, permanent %v", err, Permanent(err))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := <-c.relay.got
			for _, want := range c.says {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in:\n%s", want, got)
				}
			}
			if c.server.Security == Plain && strings.Contains(got, "STARTTLS") {
				t.Errorf("TLS was asked for:\n%s", got)
			}
		})
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	r := relay{silent: true}
	s := Server{Address: r.start(t)}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := s.Send(ctx, note); err == nil || time.Since(begin) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

func TestValidate(t *testing.T) {
	for address, ok := range map[string]bool{
		"mail.example.org": true, "mail:587": true, "192.0.2.1": true, "[2001:db8::1]:25": true, "2001:db8::1": true,
		"": false, "mail:0": false, "mail:smtp": false, ":25": false,
	} {
		if err := (&Server{Address: address}).Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
	if err := (&Server{Address: "a", Security: "ssl"}).Validate(); err == nil {
		t.Error("security ssl is taken")
	}
	for _, bad := range []Message{{To: []string{"a@b"}}, {From: "a@b", To: []string{"not an address"}}} {
		if err := (&Server{Address: "127.0.0.1:1"}).Send(t.Context(), bad); err == nil {
			t.Errorf("%+v is sent", bad)
		}
	}
}
