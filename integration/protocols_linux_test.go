package integration

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/holdfast-lb/holdfast/check"
	"github.com/holdfast-lb/holdfast/check/proto"
	"github.com/holdfast-lb/holdfast/internal/lab"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// grpcServer serves with grpc-go's health service, or without any.
func grpcServer(t *testing.T, service *health.Server, options ...grpc.ServerOption) check.Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(options...)
	if service != nil {
		grpc_health_v1.RegisterHealthServer(s, service)
	}
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return at(l.Addr().String())
}

func TestCheckersAgainstGRPC(t *testing.T) {
	a := lab.NewAuthority(t, t.TempDir())
	cert, _, _ := a.Issue(time.Hour, "grpc.example.org", "127.0.0.1")
	h := health.NewServer()
	h.SetServingStatus("up", grpc_health_v1.HealthCheckResponse_SERVING)
	h.SetServingStatus("down", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	h.SetServingStatus("unknown", grpc_health_v1.HealthCheckResponse_UNKNOWN)
	plain, bare := grpcServer(t, h), grpcServer(t, nil)
	secure := grpcServer(t, h, grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	page := at(httpServer(t, http.NotFoundHandler()))
	judge(t, map[string]check.Checker{
		"the server as a whole":                          proto.GRPC{Target: plain},
		"a service":                                      proto.GRPC{Target: plain, Service: "up"},
		"one that does not serve: NOT_SERVING":           proto.GRPC{Target: plain, Service: "down"},
		"one that does not say: UNKNOWN":                 proto.GRPC{Target: plain, Service: "unknown"},
		"another: does not know the service":             proto.GRPC{Target: plain, Service: "other"},
		"without any: it has no health service":          proto.GRPC{Target: bare},
		"TLS":                                            proto.GRPC{Target: secure, TLS: &check.TLS{Roots: a.Pool()}},
		"TLS by name":                                    proto.GRPC{Target: secure, TLS: &check.TLS{Roots: a.Pool()}, Authority: "grpc.example.org", Service: "up"},
		"TLS of an unknown authority: unknown authority": proto.GRPC{Target: secure, TLS: &check.TLS{}},
		"plain text to TLS: gRPC 127.0.0.1":              proto.GRPC{Target: secure},
		"a web server: gRPC 127.0.0.1":                   proto.GRPC{Target: page},
	})
	h.Shutdown() // as a server says that it leaves
	judge(t, map[string]check.Checker{"it leaves: NOT_SERVING": proto.GRPC{Target: plain, Service: "up"}})
}

func httpServer(t *testing.T, h http.Handler) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// chat takes a WebSocket until the other end closes it.
func chat(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has answered
	}
	_, _, _ = c.Read(r.Context())
	c.CloseNow()
}

func TestCheckersAgainstWebSocket(t *testing.T) {
	closed := make(chan websocket.StatusCode, 100)
	mux := http.NewServeMux()
	mux.HandleFunc("/chat", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"v2", "v1"}, OriginPatterns: []string{"*.example.org"}})
		if err != nil {
			return // it has answered
		}
		_, _, err = c.Read(r.Context())
		closed <- websocket.CloseStatus(err)
		c.CloseNow()
	})
	to := at(httpServer(t, mux))
	ws := func(c proto.WebSocket) proto.WebSocket {
		c.Target = to
		if c.Path == "" {
			c.Path = "/chat"
		}
		return c
	}
	judge(t, map[string]check.Checker{
		"without anything":                          ws(proto.WebSocket{}),
		"a subprotocol":                             ws(proto.WebSocket{Subprotocol: "v1"}),
		"one that it does not speak: want \"v3\"":   ws(proto.WebSocket{Subprotocol: "v3"}),
		"an origin":                                 ws(proto.WebSocket{Origin: "https://www.example.org"}),
		"its own origin":                            ws(proto.WebSocket{VirtualHost: "chat.example.net", Origin: "https://chat.example.net"}),
		"one that it does not know: status 403":     ws(proto.WebSocket{Origin: "https://example.com"}),
		"another page: status 404, want 101":        ws(proto.WebSocket{Path: "/"}),
		"nobody there: WebSocket: connect to 127.0": proto.WebSocket{Target: at("127.0.0.1:1")},
	})
	for range 4 { // those who were let in, and the subprotocol's
		select {
		case code := <-closed:
			if code != websocket.StatusNormalClosure && code != -1 {
				t.Errorf("the server saw the connection close with %v", code)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the server saw no end of a connection")
		}
	}
}
