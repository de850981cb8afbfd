package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/holdfast-lb/holdfast/observe"
)

// maxConfig bounds what /plan reads, maxPlans how many plans are made at once.
const (
	maxConfig = 64 << 20
	maxPlans  = 4
)

// serveStatus tells what is in force until ctx ends, and changes nothing.
func (d *director) serveStatus(ctx context.Context, addr string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("--status %s: %w", addr, err)
	}
	go func() {
		if err := observe.Serve(ctx, listener, d.statusHandler()); err != nil {
			d.log.Error("status is no longer served", "error", err)
		}
	}()
	d.log.Info("status", "address", listener.Addr().String())
	return nil
}

func (d *director) statusHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", d.observer.Handler())
	mux.HandleFunc("POST /plan", d.planFor)
	return mux
}

// planFor answers a configuration with what it would change.
func (d *director) planFor(w http.ResponseWriter, r *http.Request) {
	select {
	case d.planning <- struct{}{}:
		defer func() { <-d.planning }()
	default:
		w.Header().Set("Retry-After", "5")
		http.Error(w, "other plans are being made", http.StatusServiceUnavailable)
		return
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxConfig))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	posted, err := toSpec(d.loader.Read("posted.conf", text))
	if err != nil {
		var lines bytes.Buffer
		printErrors(&lines, posted.diags)
		http.Error(w, lines.String()+err.Error(), http.StatusUnprocessableEntity)
		return
	}
	plan, err := d.controller.Plan(r.Context(), posted.spec)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, plan)
}
