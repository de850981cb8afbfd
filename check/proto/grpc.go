package proto

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/holdfast-lb/holdfast/check"
)

// GRPC is well when the server's health service (grpc.health.v1) says that a service is SERVING.
type GRPC struct {
	check.Target
	// TLS is nil for HTTP/2 in plain text.
	TLS *check.TLS
	// Service to ask for. Empty means the server as a whole.
	Service string
	// Authority is the name to ask for (:authority). Empty means the target's address and port.
	Authority string
}

// Key implements [check.Keyer].
func (c GRPC) Key() string {
	return fmt.Sprintf("%v %s %q %q", c.Target, c.TLS.Key(), c.Service, c.Authority)
}

// Check implements [check.Checker].
func (c GRPC) Check(ctx context.Context) error {
	if err := c.ask(ctx); err != nil {
		return fmt.Errorf("gRPC %v: service %q: %w", c.Addr, c.Service, why(ctx, err))
	}
	return nil
}

func (c GRPC) ask(ctx context.Context) error {
	scheme := "http"
	if c.TLS != nil {
		scheme = "https"
	}
	to := c.Addr.Addr().WithZone("").String()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+"://"+net.JoinHostPort(to, fmt.Sprint(c.Addr.Port()))+"/grpc.health.v1.Health/Check", bytes.NewReader(healthRequest(c.Service)))
	if err != nil {
		return err
	}
	req.Host = c.Authority
	req.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {"holdfast"}}
	t := c.transport(ctx)
	defer t.CloseIdleConnections()
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	return judgeHealth(body, resp)
}

// transport binds its connection to the check, which outlasts the dialling.
func (c GRPC) transport(ctx context.Context) *http.Transport {
	t := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return c.Dial(ctx, nil, "") },
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxAnswer,
		Protocols:              new(http.Protocols),
	}
	if c.TLS == nil {
		t.Protocols.SetUnencryptedHTTP2(true)
		return t
	}
	t.Protocols.SetHTTP2(true)
	t.TLSClientConfig = c.TLS.Config(c.Target, c.Authority)
	return t
}

// healthRequest is a message HealthCheckRequest { string service = 1; } in a frame: a byte that says it is not compressed, and
// its length.
func healthRequest(service string) []byte {
	var m []byte
	if service != "" {
		m = binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(service)))
		m = append(m, service...)
	}
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m)))
	return append(frame, m...)
}

var healthNames = map[uint64]string{0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}

// judgeHealth looks at the status of the call, which comes after the answer, or in place of it, and at the answer.
func judgeHealth(body []byte, resp *http.Response) error {
	status, message := resp.Trailer.Get("Grpc-Status"), resp.Trailer.Get("Grpc-Message")
	if status == "" {
		status, message = resp.Header.Get("Grpc-Status"), resp.Header.Get("Grpc-Message")
	}
	switch status {
	case "0":
	case "":
		return errors.New("the answer has no gRPC status: is it a gRPC server?")
	case "5":
		return errors.New("it does not know the service")
	case "12":
		return errors.New("it has no health service")
	default:
		return fmt.Errorf("gRPC status %s: %s", status, quote(message))
	}
	serving, err := servingStatus(body)
	switch {
	case err != nil:
		return err
	case serving == 1:
		return nil
	case healthNames[serving] != "":
		return errors.New(healthNames[serving])
	}
	return fmt.Errorf("serving status %d", serving)
}

// servingStatus reads HealthCheckResponse { ServingStatus status = 1; } from its frame. Other fields are read over.
func servingStatus(body []byte) (status uint64, err error) {
	if len(body) < 5 || uint64(binary.BigEndian.Uint32(body[1:])) != uint64(len(body)-5) || body[0] != 0 {
		return 0, errors.New("the answer is no whole message")
	}
	for m := body[5:]; len(m) > 0; {
		tag, n := binary.Uvarint(m)
		if n <= 0 {
			return 0, errors.New("the answer is no health message")
		}
		m = m[n:]
		var value uint64
		skip := 0
		switch tag & 7 {
		case 0:
			value, skip = binary.Uvarint(m)
		case 1:
			skip = 8
		case 2:
			size, n := binary.Uvarint(m)
			if skip = n; n > 0 && size <= uint64(len(m)-n) {
				skip = n + int(size)
			} else {
				skip = 0
			}
		case 5:
			skip = 4
		}
		if skip <= 0 || skip > len(m) {
			return 0, errors.New("the answer is no health message")
		}
		if tag == 1<<3 {
			status = value
		}
		m = m[skip:]
	}
	return status, nil
}
