package observe_test

import (
	"fmt"
	"io"
	"net/http/httptest"
	"testing"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/observe"
)

// BenchmarkAnswers: what an answer about 2,000 services of four servers costs, without the snapshot itself.
func BenchmarkAnswers(b *testing.B) {
	var s holdfast.Status
	for i := range 2000 {
		service := holdfast.ServiceStatus{Service: fmt.Sprintf("TCP 198.51.%d.%d:80", i/250, i%250), Up: true, Scheduler: "wlc"}
		for j := range 4 {
			service.Servers = append(service.Servers, holdfast.ServerStatus{
				Server: fmt.Sprintf("10.0.%d.%d:80", i/250, j), Up: true, Weight: 1, Entry: &holdfast.EntryStatus{Forward: "DR", Weight: 1},
				Checks: []holdfast.CheckStatus{{ID: "HTTP_GET", Up: true, Checks: 100}},
			})
		}
		s.Services = append(s.Services, service)
	}
	h := observe.New(&still{holdfast.New(holdfast.Options{}), s}, observe.Options{}).Handler()
	for _, path := range []string{"/metrics", "/status?indent=0", "/"} {
		b.Run(path[1:], func(b *testing.B) {
			for b.Loop() {
				r := httptest.NewRecorder()
				h.ServeHTTP(r, httptest.NewRequest("GET", path, nil))
				if n, err := io.Copy(io.Discard, r.Result().Body); err != nil || n < 100_000 {
					b.Fatalf("%d bytes, %v", n, err)
				}
			}
		})
	}
}
