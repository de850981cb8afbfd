package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/ipvs"
	"github.com/holdfast-lb/holdfast/ipvs/relay"
	"github.com/holdfast-lb/holdfast/observe"
	"github.com/holdfast-lb/holdfast/vrrp"
)

// options are what a run is asked for.
type options struct {
	file, id, mode, format string
	status, control        string // addresses to serve at, empty for none
	verbose, dump          bool
	pidFiles               []string
	only                   part
	notes                  []string // what was asked for and is not so here
	replace, keep          bool     // takes the place of a running one; leaves everything at the end
}

// part is a part of keepalived that runs alone.
type part uint8

const (
	everything part = iota
	vrrpOnly
	checksOnly
	beside // another who serves the file: the checks, and nothing that anybody would notice
)

// director is one run.
type director struct {
	options
	loader     config.Loader
	cache      config.Cache    // of the file
	memory     holdfast.Memory // of the Spec in force
	log        *slog.Logger
	table      ipvs.Table // nil when nothing is balanced
	tableErr   error      // why it is not the kernel's
	ledger     string     // of the kernel's table
	told       bool       // that the relay balances
	controller *holdfast.Controller
	observer   *observe.Observer
	loaded     bool            // once
	missing    map[string]bool // includes that were missing when it was loaded last
	stateFile  string          // for a successor
	tableNS    string          // net_namespace_ipvs

	statusServed, controlServed bool
	systemd                     systemd

	reloading           sync.Mutex    // held while the file is put into force
	reloaded            chan struct{} // has a token after a reload
	mu                  sync.Mutex    // guards the fields below
	global              config.Global
	instances, services int    // of the file in force
	pids                func() // removes the files of our id; nil until they are written
}

func runCommand(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	var o options
	flags.StringVar(&o.file, "f", "", "")
	flags.StringVar(&o.status, "status", "", "")
	flags.StringVar(&o.control, "control", defaultControl(), "")
	flags.StringVar(&o.mode, "ipvs", "auto", "")
	flags.StringVar(&o.format, "log-format", "text", "")
	flags.BoolVar(&o.verbose, "v", false, "")
	flags.BoolVar(&o.replace, "replace", false, "")
	flags.BoolVar(&o.keep, "keep", false, "")
	watch := flags.Bool("beside", false, "")
	flags.Func("pid", "", func(name string) error { o.pidFiles = append(o.pidFiles, name); return nil })
	id := idFlag(flags)
	if _, err := parse(flags, args, 0, stdout, stderr); err != nil {
		return parseStatus(err)
	}
	o.id = *id
	if *watch {
		o.only, o.mode = beside, "none"
	}
	return start(o, stderr)
}

// start runs what the options ask for.
func start(o options, stderr io.Writer) int {
	logger, err := newLogger(stderr, o.format, o.verbose)
	if err == nil && o.file == "" {
		err = errors.New("no file: director run -f FILE")
	}
	d := &director{options: o, loader: config.Loader{ConfigID: o.id}, log: logger, reloaded: make(chan struct{}, 1)}
	if err == nil {
		var process string
		process, d.tableNS = namespacesOf(d.cached(), o.file)
		err = enterNamespace(process)
	}
	if err == nil {
		err = d.openTable(o.mode)
	}
	if err != nil {
		fmt.Fprintln(stderr, "director:", err)
		return exitUsage
	}
	return d.run()
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
		if client, err = ipvs.Open(ipvs.ClientOptions{NetNS: namespacePath(d.tableNS)}); err == nil {
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
	why := "--ipvs relay"
	if d.tableErr != nil {
		why = d.tableErr.Error()
	}
	d.log.Warn("THE RELAY IN USER SPACE BALANCES, NOT THE KERNEL: real servers see this host's address in place of the client's; "+
		"--ipvs kernel refuses to start like this", "why", why)
}

func (d *director) run() int {
	if d.table != nil {
		defer d.table.Close()
	}
	if d.only != beside {
		d.takeStateFile()
	}
	options := holdfast.Options{Logger: d.log, Table: d.table, Ledger: d.ledger, StateFile: d.stateFile}
	if d.replace {
		options.Takeover = takeover
	}
	d.controller = holdfast.New(options)
	d.observer = observe.New(d.controller, observe.Options{})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, handoverSignal, dataSignal, statsSignal, jsonSignal)
	for _, note := range d.notes {
		d.log.Warn(note)
	}
	defer d.removePIDs()
	if code, err := d.begin(ctx); err != nil {
		d.log.Error("not started", "error", err)
		return code
	}
	if d.replace {
		if err := d.replaceOld(); err != nil {
			d.log.Error("not started", "error", err)
			return exitFailed
		}
		go d.serveWhenFree(ctx)
	}
	go d.observer.Run(ctx)
	go d.tellReady(ctx)
	go d.serveSignals(ctx, signals)
	go d.keepAppointments(ctx)
	context.AfterFunc(ctx, func() { d.systemd.tell("STOPPING=1", "STATUS=leaving") })
	if err := d.controller.Run(d.life(ctx)); err != nil {
		d.log.Error("ended", "error", err)
		return exitFailed
	}
	d.log.Info("left cleanly")
	return exitOK
}

// life is the controller's: it ends with ctx, or is handed over then.
func (d *director) life(ctx context.Context) context.Context {
	if !d.keep {
		return ctx
	}
	context.AfterFunc(ctx, d.controller.Handover)
	return context.WithoutCancel(ctx)
}

// begin does all that may keep a director from starting.
func (d *director) begin(ctx context.Context) (code int, err error) {
	if code, err := d.load(ctx); err != nil {
		return code, err
	}
	d.dropHandshake(d.asked().File)
	if d.dump {
		d.dumpTo(dataSignal)
	}
	if !d.replace {
		err = d.serve(ctx)
	}
	return exitFailed, err
}

// cached reads the file of this run, again and again.
func (d *director) cached() config.Loader {
	l := d.loader
	l.Cache = &d.cache
	return l
}

// load puts the file into force. On an error what was in force stays so.
func (d *director) load(ctx context.Context) (int, error) {
	r, code, err := load(d.cached(), holdfast.Translator{Memory: &d.memory}, d.file)
	d.logDiagnostics(r.diags)
	if d.loaded {
		err = d.strict(r, err)
	}
	if err == nil {
		err = d.lostIncludes(r.diags)
	}
	if err != nil {
		return max(code, exitFailed), withFirst(r.diags, err)
	}
	if ns := os.Getenv(namespaceVar); r.cfg.NetNamespace != ns || r.cfg.NetNamespaceIPVS != d.tableNS {
		return exitFailed, fmt.Errorf("net_namespace %q, net_namespace_ipvs %q: they were %q and %q, and need a restart to change",
			r.cfg.NetNamespace, r.cfg.NetNamespaceIPVS, ns, d.tableNS)
	}
	d.only.restrict(&r.spec)
	if len(r.spec.Services) > 0 && d.table == nil && d.tableErr != nil {
		return exitFailed, fmt.Errorf("%w; --ipvs relay balances in user space, with --ipvs none checks run and nothing is balanced", d.tableErr)
	}
	if len(r.spec.Services) > 0 {
		d.tellRelay()
	}
	if !d.loaded && d.only != beside {
		if err := holdfast.InitFiles(r.cfg); err != nil {
			d.log.Error("a track_file starts as 0", "error", err)
		}
		d.loaded = true
	}
	defer d.progress(r.spec)()
	if err := d.controller.Apply(ctx, r.spec); err != nil {
		return exitFailed, fmt.Errorf("%w: %w", errPartly, err)
	}
	d.mu.Lock()
	d.global, d.instances, d.services = r.cfg.Global, len(r.spec.Instances), len(r.spec.Services)
	d.mu.Unlock()
	return exitOK, nil
}

// errPartly says that the file is in force, but for what the kernel refused.
var errPartly = errors.New("not all of it is in force")

// restrict leaves of a Spec what the part is about.
func (p part) restrict(spec *holdfast.Spec) {
	switch p {
	case vrrpOnly:
		spec.Services, spec.Tuning = nil, holdfast.Tuning{}
	case checksOnly:
		spec.Instances, spec.Trackers, spec.Host = nil, nil, vrrp.Host{}
	case beside:
		*spec = holdfast.Spec{Services: spec.Services}
	}
}

// progress tells about an Apply that takes long, each second until it is done.
func (d *director) progress(spec holdfast.Spec) (done func()) {
	start, ended := time.Now(), make(chan struct{})
	go func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
				took := time.Since(start).Round(time.Second)
				d.log.Info("still applying", "services", len(spec.Services), "instances", len(spec.Instances), "for", took)
				d.systemd.tell("EXTEND_TIMEOUT_USEC=5000000", fmt.Sprintf("STATUS=applying %d services for %v", len(spec.Services), took))
			}
		}
	}()
	return func() { close(ended) }
}

// saidOften is how many findings of one kind are logged, ten times as many of errors. A file of thousands of servers may have as many of one kind.
const saidOften = 10

func (d *director) logDiagnostics(diags config.Diagnostics) {
	said, untold := make(map[string]int), make(map[string]int)
	for _, diag := range diags {
		level := slog.LevelDebug
		switch {
		case diag.Severity == config.Error:
			level = slog.LevelError
		case diag.Severity == config.Warning || diag.Code != "no-effect":
			level = slog.LevelWarn
		}
		often := saidOften
		if level == slog.LevelError {
			often *= 10
		}
		if said[diag.Code]++; said[diag.Code] > often {
			untold[diag.Code]++
			continue
		}
		d.log.Log(context.Background(), level, diag.Message, "at", diag.Pos.String(), "code", diag.Code, "hint", diag.Hint)
	}
	for _, code := range slices.Sorted(maps.Keys(untold)) {
		d.log.Warn("more of the same is not logged", "code", code, "more", untold[code], "hint", "director check "+d.file+" lists all")
	}
}

// held counts what the file in force has.
func (d *director) held() (instances, services int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.instances, d.services
}

// settled is when what reading the file and becoming MASTER took of memory is given back: left idle, the runtime keeps it for minutes.
const settled = 10 * time.Second

func (d *director) tellReady(ctx context.Context) {
	select {
	case <-d.controller.Ready():
		instances, services := d.held()
		d.log.Info("ready", "file", d.file, "instances", instances, "services", services, "ipvs", d.table != nil)
		d.systemd.ready(instances, services)
		time.AfterFunc(settled, debug.FreeOSMemory)
		d.systemd.keepAlive(ctx, func() { d.controller.Status() })
	case <-ctx.Done():
	}
}
