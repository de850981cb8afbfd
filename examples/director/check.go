package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/config"
)

// load reads a file as far as a Spec, which is good only when the status is exitOK. The rest is there whenever the file could be
// read.
func load(l config.Loader, t holdfast.Translator, file string) (loaded, int, error) {
	cfg, diags, err := l.Load(file)
	if err != nil {
		return loaded{}, exitUsage, err
	}
	r, err := translate(t, cfg, diags)
	if err != nil {
		return r, exitFailed, err
	}
	return r, exitOK, nil
}

// loaded is a configuration as far as it could be understood.
type loaded struct {
	cfg   *config.Config
	diags config.Diagnostics
	spec  holdfast.Spec
}

func toSpec(cfg *config.Config, diags config.Diagnostics) (loaded, error) {
	return translate(holdfast.Translator{}, cfg, diags)
}

func translate(t holdfast.Translator, cfg *config.Config, diags config.Diagnostics) (r loaded, err error) {
	r.cfg, r.diags = cfg, diags
	if n := diags.Count(config.Error); n > 0 {
		return r, fmt.Errorf("%s has %s", cfg.Name, counted(n, "error"))
	}
	r.spec, err = t.Spec(cfg)
	return r, err
}

// idFlag adds the flag that conditions are decided by.
func idFlag(flags *flag.FlagSet) *string {
	id := flags.String("config-id", "", "")
	flags.StringVar(id, "i", "", "")
	return id
}

func checkCommand(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "")
	verbose := flags.Bool("v", false, "")
	id := idFlag(flags)
	files, err := parseFiles(flags, args, stdout, stderr)
	if err != nil {
		return parseStatus(err)
	}
	debug.SetGCPercent(400) // the process ends soon
	status, all := exitOK, config.Diagnostics{}
	for _, name := range files {
		in, err := readInput(name)
		if err != nil {
			fmt.Fprintln(stderr, "director:", err)
			status = exitUsage
			continue
		}
		cfg, diags, err := in.load(config.Loader{ConfigID: *id})
		if err != nil {
			fmt.Fprintln(stderr, "director:", err)
			status = exitUsage
			continue
		}
		if diags.Count(config.Error) == 0 {
			diags = append(diags, unfit(cfg)...)
		}
		if diags.Count(config.Error) > 0 {
			status = max(status, exitFailed)
		}
		if *asJSON {
			all = append(all, diags...)
		} else {
			printText(stdout, cfg, diags, in, *verbose)
		}
	}
	if *asJSON && (len(all) > 0 || status != exitUsage) {
		printJSON(stdout, all)
	}
	return status
}

// unfit is what is wrong with the whole that no line shows, and would keep it from being applied.
func unfit(cfg *config.Config) (diags config.Diagnostics) {
	_, err := holdfast.FromConfig(cfg)
	for _, err := range parts(err) {
		diags = append(diags, config.Diagnostic{Pos: config.Pos{File: cfg.Name}, Severity: config.Error, Code: "unfit", Message: err.Error()})
	}
	return diags
}

// parts are the errors that were joined to one.
func parts(err error) (list []error) {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		if err != nil {
			list = append(list, err)
		}
		return list
	}
	for _, one := range joined.Unwrap() {
		list = append(list, parts(one)...)
	}
	return list
}

// maxOfAKind is how many remarks of one code are shown, unless they are errors.
const maxOfAKind = 20

// printText shows each remark with its line. What has no effect and costs convenience only is summed up.
func printText(w io.Writer, cfg *config.Config, diags config.Diagnostics, in input, verbose bool) {
	source, told := make(map[string][]string), make(map[string]int)
	if in.text != nil {
		source[in.name] = strings.Split(string(in.text), "\n")
	}
	for _, d := range diags {
		if d.Code == "no-effect" && d.Severity == config.Note {
			continue
		}
		if told[d.Code]++; told[d.Code] > maxOfAKind && d.Severity != config.Error {
			continue
		}
		fmt.Fprintln(w, paintDiagnostic(d, inColor(w)))
		for _, step := range d.Via() {
			fmt.Fprintf(w, "    by %s at %v\n", step.What, step.Pos)
		}
		if d.Severity != config.Note {
			pointAt(w, source, d)
		}
	}
	for _, code := range slices.Sorted(maps.Keys(told)) {
		if told[code] > maxOfAKind {
			fmt.Fprintf(w, "%d remarks [%s] in all; --json lists every one\n", told[code], code)
		}
	}
	fmt.Fprintf(w, "%s: %d errors, %d warnings, %d notes; %d statements are effective, %d are read and have no effect here",
		cfg.Name, diags.Count(config.Error), diags.Count(config.Warning), diags.Count(config.Note), cfg.Effective, cfg.Accepted)
	if verbose {
		fmt.Fprintln(w)
		printAccepted(w, diags)
	} else if cfg.Accepted > 0 {
		fmt.Fprintln(w, " (-v lists them)")
	} else {
		fmt.Fprintln(w)
	}
}

// paintDiagnostic colours the severity in what a remark says.
func paintDiagnostic(d config.Diagnostic, color bool) string {
	word := d.Severity.String() + ":"
	code := map[config.Severity]string{config.Error: bold + ";" + red, config.Warning: bold + ";" + yellow}[d.Severity]
	return strings.Replace(d.String(), " "+word, " "+paint(word, cmp.Or(code, cyan), color), 1)
}

// pointAt prints the line of a remark and underlines what it is about.
func pointAt(w io.Writer, source map[string][]string, d config.Diagnostic) {
	lines, read := source[d.File]
	if !read {
		text, _ := os.ReadFile(d.File)
		lines = strings.Split(string(text), "\n")
		source[d.File] = lines
	}
	if d.Line < 1 || d.Line > len(lines) {
		return
	}
	line := strings.TrimRight(lines[d.Line-1], "\r")
	start, end := d.Span(line)
	blank := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, line[:start])
	fmt.Fprintf(w, "    %s\n    %s^%s\n", line, blank, strings.Repeat("~", max(utf8.RuneCountInString(line[start:end])-1, 0)))
}

// printAccepted lists what has no effect, each kind once.
func printAccepted(w io.Writer, diags config.Diagnostics) {
	type kind struct {
		message string
		count   int
		first   config.Pos
	}
	var kinds []*kind
	for _, d := range diags {
		if d.Code != "no-effect" && d.Code != "not-held" {
			continue
		}
		i := slices.IndexFunc(kinds, func(k *kind) bool { return k.message == d.Message })
		if i < 0 {
			kinds = append(kinds, &kind{d.Message, 1, d.Pos})
		} else {
			kinds[i].count++
		}
	}
	for _, k := range kinds {
		fmt.Fprintf(w, "  %5d x %s (first at %v)\n", k.count, k.message, k.first)
	}
}

// finding is the form of a diagnostic that other programs rely on.
type finding struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Severity string `json:"severity"`
	Code     string `json:"code"`
	Message  string `json:"message"`
	Hint     string `json:"hint"`
}

func printJSON(w io.Writer, diags config.Diagnostics) {
	list := make([]finding, 0, len(diags))
	for _, d := range diags {
		list = append(list, finding{d.File, d.Line, d.Column, d.Severity.String(), d.Code, d.Message, d.Hint})
	}
	printIndented(w, list)
}
