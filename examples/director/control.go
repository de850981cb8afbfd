package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/observe"
)

// The control socket serves what --status serves, and the verbs. Who may open it may use it: it is made with mode 0600, and
// chmod and chown give it to others. openapi.json describes it.

//go:embed openapi.json
var openAPI []byte

// maxRequest bounds what a verb reads.
const maxRequest = 64 << 10

// defaultControl is where systemd wants sockets of this service, empty when systemd did not say.
func defaultControl() string {
	if dir := os.Getenv("RUNTIME_DIRECTORY"); dir != "" {
		return filepath.Join(dir, "control.sock")
	}
	return ""
}

// serveControl answers on the socket until ctx ends.
func (d *director) serveControl(ctx context.Context, path string) error {
	listener, remove, err := listenControl(path)
	if err != nil {
		return fmt.Errorf("--control %s: %w", path, err)
	}
	go func() {
		defer remove()
		if err := observe.Serve(ctx, peerListener{listener}, d.controlHandler(ctx)); err != nil {
			d.log.Error("control is no longer served", "error", err)
		}
	}()
	d.log.Info("control", "socket", path)
	return nil
}

// controlHandler has the verbs beside what anybody may see. life ends with the director.
func (d *director) controlHandler(life context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", d.observer.Handler())
	mux.HandleFunc("POST /plan", d.planner(d.readOwner))
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openAPI)
	})
	for name, do := range map[string]func(context.Context, verb) error{
		"drain":       func(ctx context.Context, v verb) error { return d.drain(ctx, life, v) },
		"maintenance": d.maintenance, "weight": d.weight, "priority": d.priority, "failover": d.failover,
		"reload": func(context.Context, verb) error { return d.reload(life, "director reload") },
	} {
		mux.HandleFunc("POST /"+name, d.serveVerb(name, do))
	}
	return mux
}

// verb is what a request asks for. Which members are needed depends on the verb.
type verb struct {
	Service  string `json:"service,omitempty"`
	Server   string `json:"server,omitempty"`
	Instance string `json:"instance,omitempty"`
	// On is for maintenance.
	On *bool `json:"on,omitempty"`
	// Weight and Priority give what the configuration says back when they are null.
	Weight   *int   `json:"weight,omitempty"`
	Priority *uint8 `json:"priority,omitempty"`
	// Wait makes drain answer when the last connection has ended.
	Wait bool `json:"wait,omitempty"`
}

// answer is what a verb says.
type answer struct {
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"`
}

// errRequest is a request that makes no sense.
var errRequest = errors.New("bad request")

func (d *director) serveVerb(name string, do func(context.Context, verb) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := readVerb(http.MaxBytesReader(w, r.Body, maxRequest))
		if err == nil {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // a drain takes as long as the clients like
			err = do(r.Context(), v)
		}
		log := d.log.With("verb", name, "request", v, "peer", r.RemoteAddr)
		text := answer{Done: err == nil}
		if err == nil {
			log.Info("control")
		} else {
			log.Warn("control", "error", err)
			text.Error = err.Error()
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(5 * time.Second))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(statusOf(err))
		_ = printIndented(w, text)
	}
}

func readVerb(body io.Reader) (v verb, err error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return v, fmt.Errorf("%w: %w", errRequest, err)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return v, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		return v, fmt.Errorf("%w: %w", errRequest, err)
	}
	return v, nil
}

func statusOf(err error) int {
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, errRequest):
		return http.StatusBadRequest
	case errors.Is(err, fs.ErrNotExist):
		return http.StatusNotFound
	case errors.Is(err, errors.ErrUnsupported):
		return http.StatusNotImplemented
	}
	return http.StatusUnprocessableEntity
}

// LogValue shows what was asked for.
func (v verb) String() string {
	text, _ := json.Marshal(v)
	return string(text)
}

func (v *verb) serverKey() (key holdfast.ServerKey, err error) {
	if key.Service = v.Service; key.Service == "" {
		return key, fmt.Errorf("%w: no service", errRequest)
	}
	if key.Addr, err = netip.ParseAddrPort(v.Server); err != nil {
		return key, fmt.Errorf("%w: server %q: ADDRESS:PORT is wanted", errRequest, v.Server)
	}
	return key, nil
}

func (v *verb) instanceName() (string, error) {
	if v.Instance == "" {
		return "", fmt.Errorf("%w: no instance", errRequest)
	}
	return v.Instance, nil
}

// drain waits for the last connection, or goes on by itself.
func (d *director) drain(ctx, life context.Context, v verb) error {
	key, err := v.serverKey()
	if err != nil {
		return err
	}
	if v.Wait {
		return d.controller.Drain(ctx, key)
	}
	if err := d.controller.StartDrain(ctx, key); err != nil {
		return err
	}
	go func() {
		if err := d.controller.Drain(life, key); err != nil && life.Err() == nil {
			d.log.Warn("drain", "server", key, "error", err)
		}
	}()
	return nil
}

func (d *director) maintenance(ctx context.Context, v verb) error {
	if v.On == nil {
		return fmt.Errorf("%w: on is true or false", errRequest)
	}
	if v.Instance != "" {
		return d.controller.SetInstanceMaintenance(ctx, v.Instance, *v.On)
	}
	key, err := v.serverKey()
	if err != nil {
		return err
	}
	return d.controller.SetServerMaintenance(ctx, key, *v.On)
}

func (d *director) weight(ctx context.Context, v verb) error {
	key, err := v.serverKey()
	if err != nil {
		return err
	}
	if v.Weight == nil {
		return d.controller.SetWeight(ctx, key, -1)
	}
	if *v.Weight < 0 {
		return fmt.Errorf("%w: weight %d: 0 or more is wanted, null gives the configured one back", errRequest, *v.Weight)
	}
	return d.controller.SetWeight(ctx, key, *v.Weight)
}

func (d *director) priority(ctx context.Context, v verb) error {
	name, err := v.instanceName()
	if err != nil {
		return err
	}
	if v.Priority == nil {
		return d.controller.SetPriority(ctx, name, 0)
	}
	if *v.Priority == 0 || *v.Priority == 255 {
		return fmt.Errorf("%w: priority %d: 1 to 254 is wanted, null gives the configured one back", errRequest, *v.Priority)
	}
	return d.controller.SetPriority(ctx, name, *v.Priority)
}

func (d *director) failover(_ context.Context, v verb) error {
	name, err := v.instanceName()
	if err != nil {
		return err
	}
	return d.controller.Failover(name)
}
