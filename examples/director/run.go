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
	"github.com/holdfast-lb/holdfast/ipvs/relay"
	"github.com/holdfast-lb/holdfast/observe"
)

// director is one run.
type director struct {
	file       string
	loader     config.Loader
	log        *slog.Logger
	table      ipvs.Table // nil when nothing is balanced
	tableErr   error      // why it is not the kernel's
	ledger     string     // of the kernel's table
	told       bool       // that the relay balances
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
		err = d.openTable(*mode)
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

// openTable opens the table that the mode asks for. d.tableErr says why there is none, or why it is the relay: it matters once
// there are services.
func (d *director) openTable(mode string) error {
	switch mode {
	case "none":
		return nil
	case "relay":
		d.table = relay.New(relay.Options{Logger: d.log})
		return nil
	case "auto", "kernel":
	default:
		return fmt.Errorf("--ipvs %s: auto, kernel, relay and none exist", mode)
	}
	err := ipvs.EnsureModule()
	if err == nil {
		var client *ipvs.Client
		if client, err = ipvs.Open(ipvs.ClientOptions{}); err == nil {
			d.table, d.ledger = client, ledgerOf(d.file)
			return nil
		}
	}
	d.tableErr = err
	if mode == "auto" && errors.Is(err, errors.ErrUnsupported) {
		d.table = relay.New(relay.Options{Logger: d.log})
	}
	return nil
}

// tellRelay says loudly, once, that services are not the kernel's.
func (d *director) tellRelay() {
	if _, isRelay := d.table.(*relay.Relay); !isRelay || d.told {
		return
	}
	d.told = true
	d.log.Warn("THE RELAY IN USER SPACE BALANCES, NOT THE KERNEL: real servers see this host's address in place of the client's; "+
		"--ipvs kernel refuses to start like this", "error", d.tableErr)
}

func (d *director) run(statusAddr string) int {
	if d.table != nil {
		defer d.table.Close()
	}
	d.controller = holdfast.New(holdfast.Options{Logger: d.log, Table: d.table, Ledger: d.ledger})
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
		return exitFailed, fmt.Errorf("%w; --ipvs relay balances in user space, with --ipvs none checks run and nothing is balanced", d.tableErr)
	}
	if len(r.spec.Services) > 0 {
		d.tellRelay()
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
