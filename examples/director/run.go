package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/observe"
)

// director is one run.
type director struct {
	file       string
	loader     config.Loader
	log        *slog.Logger
	table      ipvs.Table // nil when nothing is balanced
	tableErr   error      // why there is none, when services would want it
	controller *holdfast.Controller
	observer   *observe.Observer
	loaded     bool // once
}

func runCommand(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	file := flags.String("f", "", "")
	status := flags.String("status", "", "")
	mode := flags.String("ipvs", "auto", "")
	format := flags.String("log-format", "text", "")
	verbose := flags.Bool("v", false, "")
	id := idFlag(flags)
	if _, err := parse(flags, args, 0, stderr); err != nil {
		return exitUsage
	}
	logger, err := newLogger(stderr, *format, *verbose)
	if err == nil && *file == "" {
		err = errors.New("no file: director run -f FILE")
	}
	d := &director{file: *file, loader: config.Loader{ConfigID: *id}, log: logger}
	if err == nil {
		d.table, d.tableErr, err = openTable(*mode)
	}
	if err != nil {
		fmt.Fprintln(stderr, "director:", err)
		return exitUsage
	}
	return d.run(*status)
}

func newLogger(w io.Writer, format string, verbose bool) (*slog.Logger, error) {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if verbose {
		o.Level = slog.LevelDebug
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("--log-format %s: text and json exist", format)
}

// openTable opens the table that the mode asks for. missing says why there is none: it matters once there are services.
func openTable(mode string) (table ipvs.Table, missing, err error) {
	switch mode {
	case "none":
		return nil, nil, nil
	case "auto", "kernel":
	case "relay":
		return nil, nil, fmt.Errorf("--ipvs relay: %w: use kernel or none", errors.ErrUnsupported)
	default:
		return nil, nil, fmt.Errorf("--ipvs %s: auto, kernel, relay and none exist", mode)
	}
	err = ipvs.EnsureModule()
	if err == nil {
		var client *ipvs.Client
		if client, err = ipvs.Open(ipvs.ClientOptions{}); err == nil {
			return client, nil, nil
		}
	}
	return nil, fmt.Errorf("%w; with --ipvs none checks run and nothing is balanced", err), nil
}

func (d *director) run(statusAddr string) int {
	if d.table != nil {
		defer d.table.Close()
	}
	d.controller = holdfast.New(holdfast.Options{Logger: d.log, Table: d.table, Ledger: ledgerOf(d.file)})
	d.observer = observe.New(d.controller, observe.Options{})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	if code, err := d.load(ctx); err != nil {
		d.log.Error("not started", "error", err)
		return code
	}
	if statusAddr != "" {
		if err := d.serveStatus(ctx, statusAddr); err != nil {
			d.log.Error("not started", "error", err)
			return exitFailed
		}
	}
	go d.observer.Run(ctx)
	go d.tellReady(ctx)
	go d.reload(ctx, hup)
	if err := d.controller.Run(ctx); err != nil {
		d.log.Error("ended", "error", err)
		return exitFailed
	}
	d.log.Info("left cleanly")
	return exitOK
}

// load puts the file into force. On an error what was in force stays so.
func (d *director) load(ctx context.Context) (int, error) {
	r, code, err := load(d.loader, d.file)
	d.logDiagnostics(r.diags)
	if err != nil {
		return code, err
	}
	if len(r.spec.Services) > 0 && d.table == nil && d.tableErr != nil {
		return exitFailed, d.tableErr
	}
	if !d.loaded {
		if err := holdfast.InitFiles(r.cfg); err != nil {
			d.log.Error("a track_file starts as 0", "error", err)
		}
		d.loaded = true
	}
	if err := d.controller.Apply(ctx, r.spec); err != nil {
		return exitFailed, fmt.Errorf("%w: %w", errPartly, err)
	}
	return exitOK, nil
}

// errPartly says that the file is in force, but for what the kernel refused.
var errPartly = errors.New("not all of it is in force")

func (d *director) logDiagnostics(diags config.Diagnostics) {
	for _, diag := range diags {
		level := slog.LevelDebug
		switch {
		case diag.Severity == config.Error:
			level = slog.LevelError
		case diag.Severity == config.Warning || diag.Code != "no-effect":
			level = slog.LevelWarn
		}
		d.log.Log(context.Background(), level, diag.Message, "at", diag.Pos.String(), "code", diag.Code, "hint", diag.Hint)
	}
}

func (d *director) tellReady(ctx context.Context) {
	select {
	case <-d.controller.Ready():
		s := d.controller.Status()
		d.log.Info("ready", "file", d.file, "instances", len(s.Instances), "services", len(s.Services), "ipvs", d.table != nil)
	case <-ctx.Done():
	}
}

func (d *director) reload(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			_, err := d.load(ctx)
			d.observer.Reloaded(err)
			switch {
			case err == nil:
				d.log.Info("reloaded", "file", d.file)
			case errors.Is(err, errPartly):
				d.log.Error("reloaded in part", "file", d.file, "error", err)
			default:
				d.log.Error("reload failed; what was in force stays so", "error", err)
			}
		}
	}
}
