package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/holdfast-lb/holdfast"
)

// maxConfig bounds what /plan reads.
const maxConfig = 64 << 20

// serveStatus tells what is in force, and changes nothing.
func (d *director) serveStatus(addr string) (shut func(), err error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--status %s: %w", addr, err)
	}
	server := &http.Server{Handler: d.statusHandler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("status is no longer served", "error", err)
		}
	}()
	d.log.Info("status", "address", listener.Addr().String())
	return func() { server.Close() }, nil
}

func (d *director) statusHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", d.statusText)
	mux.HandleFunc("GET /status", d.statusJSON)
	mux.HandleFunc("POST /plan", d.planFor)
	return mux
}

func (d *director) statusJSON(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	printIndented(w, d.controller.Status())
}

func (d *director) statusText(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	writeStatus(w, d.controller.Status())
}

func writeStatus(w io.Writer, s holdfast.Status) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	age := func(since time.Time) string { return s.Time.Sub(since).Round(time.Second).String() }
	for _, in := range s.Instances {
		master := "no master known"
		if in.Master.IsValid() {
			master = "master " + in.Master.String()
		}
		fmt.Fprintf(t, "%s\t%v for %s\tpriority %d\t%s\t%v\n", &in.Instance, in.State, age(in.Since), in.Priority, master, in.Instance.Addrs)
	}
	for _, service := range s.Services {
		fmt.Fprintf(t, "%s\t%s\tlive weight %d\n", service.Service, upDown(service.Up), service.LiveWeight)
		for _, server := range service.Servers {
			fmt.Fprintf(t, "  %s\t%s\tweight %d\n", server.Server, upDown(server.Up), server.Weight)
			for _, c := range server.Checks {
				fmt.Fprintf(t, "    %s\t%s for %s\t%v\t%s\n", c.ID, upDown(c.Up), age(c.Since), c.Latency.Round(time.Microsecond), c.Error)
			}
		}
	}
}

func upDown(up bool) string {
	if up {
		return "UP"
	}
	return "DOWN"
}

// planFor answers a configuration with what it would change.
func (d *director) planFor(w http.ResponseWriter, r *http.Request) {
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
	fmt.Fprint(w, plan)
}
