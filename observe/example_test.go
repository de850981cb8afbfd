package observe_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/observe"
)

// A host program that has a web server mounts what is to be seen below a path of its own.
func Example() {
	c := holdfast.New(holdfast.Options{})
	o := observe.New(c, observe.Options{})
	service := ipvs.Service{ServiceKey: ipvs.ServiceKey{Protocol: ipvs.TCP, Addr: netip.MustParseAddrPort("192.0.2.10:80")}, Scheduler: "wlc"}
	if err := c.Apply(context.Background(), holdfast.Spec{Services: []holdfast.Service{{Service: service}}}); err != nil {
		fmt.Println(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/lb/", http.StripPrefix("/lb", o.Handler()))

	answer := httptest.NewRecorder() // in a program: go o.Run(ctx), go c.Run(ctx), http.ListenAndServe(addr, mux)
	mux.ServeHTTP(answer, httptest.NewRequest("GET", "/lb/", nil))
	fmt.Print(answer.Body)
	// Output: TCP 192.0.2.10:80  DOWN  live weight 0
}
