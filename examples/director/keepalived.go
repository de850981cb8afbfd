package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/holdfast-lb/holdfast/observe"
)

// usualFile is where keepalived looks.
const usualFile = "/etc/keepalived/keepalived.conf"

// keepalivedCommand takes keepalived's own flags, so that a director drops into the place of the other in a unit file.
func keepalivedCommand(args []string, stdout, stderr io.Writer) int {
	flags := pflag.NewFlagSet("director", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SortFlags = false
	o := options{mode: "auto", format: "text", control: defaultControl()}
	flags.StringVarP(&o.file, "use-file", "f", usualFile, "")
	flags.StringVarP(&o.id, "config-id", "i", "", "")
	flags.BoolVarP(&o.verbose, "log-detail", "D", false, "")
	flags.BoolVarP(&o.dump, "dump-conf", "d", false, "")
	flags.StringVar(&o.status, "status", "", "")
	flags.StringVar(&o.control, "control", o.control, "")
	flags.StringVar(&o.mode, "ipvs", o.mode, "")
	flags.StringVar(&o.format, "log-format", o.format, "")
	vrrp := flags.BoolP("vrrp", "P", false, "")
	check := flags.BoolP("check", "C", false, "")
	test := flags.StringP("config-test", "t", "", "")
	flags.Lookup("config-test").NoOptDefVal = "-"
	version := flags.BoolP("version", "v", false, "")
	help := flags.BoolP("help", "h", false, "")
	namespace := flags.StringP("namespace", "s", "", "")
	signum := flags.String("signum", "", "")
	pids := pidFlags(flags)
	accepted := acceptFlags(flags)
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		if err == nil {
			err = fmt.Errorf("%q: no operands are wanted", flags.Args())
		}
		fmt.Fprintf(stderr, "director: %v\n%s", err, seeHelp)
		return exitUsage
	}
	switch {
	case *help:
		fmt.Fprint(stdout, usage)
		return exitOK
	case *version:
		fmt.Fprintf(stdout, "Holdfast director %s\n", observe.BuildVersion())
		return exitOK
	case *signum != "":
		return printSignal(*signum, stdout, stderr)
	case flags.Changed("config-test"):
		return testCommand(o, *test, stdout, stderr)
	}
	if *namespace != "" {
		fmt.Fprintf(stderr, "director: --namespace: write net_namespace %s into the file, or start it there: ip netns exec %s director ...\n", *namespace, *namespace)
		return exitUsage
	}
	switch {
	case *vrrp && !*check:
		o.only = vrrpOnly
	case *check && !*vrrp:
		o.only = checksOnly
	}
	o.pidFiles, o.notes = pids(), accepted()
	o.keep = flags.Changed("dont-release-vrrp") && flags.Changed("dont-release-ipvs")
	return start(o, stderr)
}

// pidFlags adds those of the four processes that keepalived is. A director is one, and writes its id into each of the files.
func pidFlags(flags *pflag.FlagSet) (names func() []string) {
	var files [4]string
	for i, f := range []struct{ long, short string }{{"pid", "p"}, {"vrrp_pid", "r"}, {"checkers_pid", "c"}, {"bfd_pid", "b"}} {
		flags.StringVarP(&files[i], f.long, f.short, "", "")
	}
	return func() (names []string) {
		for _, name := range files {
			if name != "" {
				names = append(names, name)
			}
		}
		return names
	}
}

// acceptFlags adds what keepalived has and a director has no use for. What changes the outcome is told.
func acceptFlags(flags *pflag.FlagSet) (notes func() []string) {
	for _, f := range []struct{ long, short string }{
		{"dont-fork", "n"}, {"log-console", "l"}, {"no-syslog", "G"}, {"dont-respawn", "R"}, {"all", ""}, {"address-monitoring", "a"},
		{"core-dump", "m"}, {"release-vips", "X"},
	} {
		flags.BoolP(f.long, f.short, false, "")
	}
	flags.StringP("log-facility", "S", "", "")
	flags.StringP("core-dump-pattern", "M", "", "")
	flags.StringP("umask", "u", "", "")
	effects := map[string]string{
		"no_bfd":            "BFD sessions run all the same",
		"dont-release-vrrp": "without --dont-release-ipvs addresses are removed at the end all the same",
		"dont-release-ipvs": "without --dont-release-vrrp table entries are removed at the end all the same",
		"snmp":              "there is no SNMP: --status has metrics",
		"all-config":        "a missing include is a warning all the same",
	}
	flags.BoolP("no_bfd", "B", false, "")
	flags.BoolP("dont-release-vrrp", "V", false, "")
	flags.BoolP("dont-release-ipvs", "I", false, "")
	flags.BoolP("snmp", "x", false, "")
	flags.StringP("snmp-agent-socket", "A", "", "")
	flags.BoolP("all-config", "e", false, "")
	return func() (notes []string) {
		if flags.Changed("dont-release-vrrp") && flags.Changed("dont-release-ipvs") {
			delete(effects, "dont-release-vrrp")
			delete(effects, "dont-release-ipvs")
		}
		flags.Visit(func(f *pflag.Flag) {
			if effect := effects[f.Name]; effect != "" {
				notes = append(notes, "--"+f.Name+" has no effect: "+effect)
			}
		})
		return notes
	}
}

// testCommand is -t: remarks go to a file when one is named.
func testCommand(o options, log string, stdout, stderr io.Writer) int {
	args := []string{o.file}
	if o.id != "" {
		args = append(args, "-i", o.id)
	}
	if log == "-" || log == "" {
		return checkCommand(args, stdout, stderr)
	}
	var said strings.Builder
	code := checkCommand(args, &said, stderr)
	if _, err := writeDump(log, "", func(w io.Writer) error { _, err := io.WriteString(w, said.String()); return err }); err != nil {
		fmt.Fprintln(stderr, "director:", err)
		return exitFailed
	}
	return code
}
