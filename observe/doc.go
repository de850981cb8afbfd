// Package observe shows what a holdfast.Controller does: metrics for Prometheus, JSON, plain text, and a live page for
// browsers. It is a module of its own, so that those who want none of it depend on none of it.
//
// # Usage
//
// Make an [Observer] before anything is applied, run it beside the Controller, and serve it:
//
//	c := holdfast.New(options)
//	o := observe.New(c, observe.Options{})
//	go o.Run(ctx)
//	listener, err := net.Listen("tcp", "127.0.0.1:8080")
//	go observe.Serve(ctx, listener, o.Handler())
//	err = c.Run(ctx)
//
// The handler can be mounted in a server of your own instead, below any path with http.StripPrefix. It changes nothing, so
// it needs no protection but what the names and addresses in it deserve.
//
//	GET /         the page for browsers, plain text for everybody else
//	GET /status   holdfast.Status as JSON; ?indent=0 leaves out what is for people's eyes
//	GET /events   every holdfast.Event as server-sent events: first those remembered, then each as it happens
//	              (?after=N leaves out the first N; ?follow=0 ends after those remembered)
//	GET /metrics  Prometheus metrics
//
// What only the host program knows, such as that a reload was refused, it publishes: see holdfast.Controller.Publish.
//
// An Observer is a prometheus.Collector too: those who have a registry of their own register it there.
//
// # Events
//
// Each server-sent event has the id and the data of one holdfast.Event. A reader that reconnects with Last-Event-ID gets what
// it missed, as far as that is remembered. One that reads too slowly loses the oldest events, and the next one it gets says
// how many in its field "missed"; one that does not read at all is cut off.
//
// # Limits
//
// Every answer is bounded in time; so are the streams and the costly answers at one time, of which one client has at most
// half, and with [Serve] the connections and what a client may send. Names from the configuration are data everywhere: the page writes them as text only, and its
// Content-Security-Policy runs no script but its own.
package observe
