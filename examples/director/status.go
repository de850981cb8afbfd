package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/observe"
)

// maxConfig bounds what /plan reads, maxPlans how many plans are made at once.
const (
	maxConfig = 32 << 20
	maxPlans  = 2
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
	mux.HandleFunc("POST /plan", d.planner(d.readStranger))
	return mux
}

// planner makes plans, few at one time: those of strangers are not in the way of those of the owner, who has a planner too.
func (d *director) planner(read func(name string, text []byte) (loaded, error)) http.HandlerFunc {
	planning := make(chan struct{}, maxPlans)
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case planning <- struct{}{}:
			defer func() { <-planning }()
			d.servePlan(w, r, read)
		default:
			w.Header().Set("Retry-After", "5")
			http.Error(w, "other plans are being made", http.StatusServiceUnavailable)
		}
	}
}

// servePlan answers a configuration with what it would change.
func (d *director) servePlan(w http.ResponseWriter, r *http.Request, read func(name string, text []byte) (loaded, error)) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxConfig))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	posted, err := read(cmp.Or(r.URL.Query().Get("name"), "posted.conf"), text)
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

// readOwner reads a configuration of somebody who may control this director: it includes what it likes.
func (d *director) readOwner(name string, text []byte) (loaded, error) {
	return toSpec(d.loader.Read(name, text))
}

// readStranger reads a configuration of anybody who may reach the status: it must not show them this host's files and
// environment, nor make this process read what never ends.
func (d *director) readStranger(name string, text []byte) (loaded, error) {
	var out outside
	cfg, diags := config.Loader{FS: &out, ConfigID: d.loader.ConfigID, Getenv: out.getenv}.Read(name, text)
	out.credentials(cfg)
	if len(out.asked) > 0 {
		return loaded{}, fmt.Errorf("%s would read %s of this host, which is not for everybody who can reach --status: "+
			"director plan --control SOCKET does", name, out.asked[0])
	}
	return toSpec(cfg, diags)
}

// outside is what a stranger's configuration asks of this host. It gets none of it.
type outside struct{ asked []string }

// Open implements [fs.FS].
func (o *outside) Open(name string) (fs.File, error) {
	o.asked = append(o.asked, "the file "+name)
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func (o *outside) getenv(name string) string {
	o.asked = append(o.asked, "the environment variable "+name)
	return ""
}

// credentials are the files that a Spec is made of, beside the configuration.
func (o *outside) credentials(c *config.Config) {
	for _, v := range c.Instances {
		for _, k := range v.HMAC.Keys {
			if name, ok := strings.CutPrefix(k.Value, "file:"); ok {
				o.asked = append(o.asked, "the key "+name)
			}
		}
	}
	m := &c.Global.Mail
	names := []string{m.PasswordFile, m.CA}
	for _, w := range c.Webhooks {
		names = append(names, w.URLFile, w.HeaderFile, w.CA)
	}
	for _, name := range names {
		if name != "" {
			o.asked = append(o.asked, "the file "+name)
		}
	}
	for _, v := range c.VirtualServers {
		for _, r := range v.RealServers {
			for _, one := range r.Checks {
				if name := cmp.Or(one.TLS.CA, one.TLS.Certificate, one.TLS.Key); name != "" {
					o.asked = append(o.asked, "the certificate or key "+name)
				}
			}
		}
	}
}
