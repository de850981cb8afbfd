package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/config"
)

// load reads a file as far as a Spec. The Spec is good only when status is exitOK; diagnostics are there whenever the file
// could be read.
func load(file string) (spec holdfast.Spec, diags config.Diagnostics, status int, err error) {
	cfg, diags, err := config.LoadFile(file)
	if err != nil {
		return spec, nil, exitUsage, err
	}
	spec, diags, err = toSpec(cfg, diags)
	if err != nil {
		return spec, diags, exitFailed, err
	}
	return spec, diags, exitOK, nil
}

func toSpec(cfg *config.Config, diags config.Diagnostics) (holdfast.Spec, config.Diagnostics, error) {
	if n := diags.Count(config.Error); n > 0 {
		return holdfast.Spec{}, diags, fmt.Errorf("%s has %d errors", cfg.Name, n)
	}
	spec, err := holdfast.FromConfig(cfg)
	return spec, diags, err
}

func checkCommand(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "")
	files, err := parse(flags, args, 1, stderr)
	if err != nil {
		return exitUsage
	}
	_, diags, err := config.LoadFile(files[0])
	if err != nil {
		fmt.Fprintln(stderr, "director:", err)
		return exitUsage
	}
	status := exitOK
	if diags.Count(config.Error) > 0 {
		status = exitFailed
	}
	if *asJSON {
		printJSON(stdout, diags)
		return status
	}
	for _, d := range diags {
		fmt.Fprintln(stdout, d)
	}
	fmt.Fprintf(stdout, "%s: %d errors, %d warnings, %d notes\n",
		files[0], diags.Count(config.Error), diags.Count(config.Warning), diags.Count(config.Note))
	return status
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
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	e.Encode(list)
}
