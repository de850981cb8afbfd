package observe

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// answerTime bounds how long an answer may wait for its turn and how long it may take to be written.
const answerTime = 10 * time.Second

// Handler serves the page, the text, JSON, the events and the metrics: those of this Observer, of the process and of the Go
// runtime. It changes nothing. Each Handler has bounds of its own: clients of one take nothing from those of another.
func (o *Observer) Handler() http.Handler {
	h := handler{o, newTurns(maxCostly), newTurns(o.options.MaxStreams)}
	registry := prometheus.NewRegistry()
	registry.MustRegister(o, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 2})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.bounded(o.front))
	mux.HandleFunc("GET /status", h.bounded(o.serveStatus))
	mux.HandleFunc("GET /metrics", h.bounded(metrics.ServeHTTP))
	mux.HandleFunc("GET /events", h.serveEvents)
	return mux
}

// maxCostly is how many answers are made at one time.
const maxCostly = 4

// handler is an Observer with bounds.
type handler struct {
	*Observer
	costly, streams *turns
}

// bounded lets few answers be made at one time, and gives each a bounded time to be written: a client that asks for ever
// and reads nothing takes little from those who run the services.
func (h handler) bounded(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		wait, cancel := context.WithTimeout(r.Context(), answerTime)
		done, ok := h.costly.take(wait, hostOf(r.RemoteAddr))
		cancel()
		if !ok {
			busy(w, "too many answers are being made")
			return
		}
		defer done()
		control := http.NewResponseController(w)
		defer limitWriting(control)()
		serve(w, r)
		_ = control.Flush() // while the limit holds
	}
}

// limitWriting bounds the time of what is written until the limit is lifted: the connection may be another's next. Not every
// writer knows deadlines; those of net/http do.
func limitWriting(control *http.ResponseController) (lift func()) {
	_ = control.SetWriteDeadline(time.Now().Add(answerTime))
	return func() { _ = control.SetWriteDeadline(time.Time{}) }
}

func busy(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", "5")
	http.Error(w, why, http.StatusServiceUnavailable)
}

// front is the page for those who ask for HTML, which are browsers.
func (o *Observer) front(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		o.servePage(w)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_ = WriteText(w, o.controller.Status(), false)
}

func (o *Observer) serveStatus(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	if r.URL.Query().Get("indent") != "0" {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(o.controller.Status()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Encoding")
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		_, _ = w.Write(body.Bytes())
		return
	}
	h.Set("Content-Encoding", "gzip")
	z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
	_, _ = z.Write(body.Bytes())
	_ = z.Close()
}
