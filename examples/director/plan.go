package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/config"
)

func planCommand(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("plan", flag.ContinueOnError)
	status := flags.String("status", "", "")
	control := flags.String("control", "", "")
	id := idFlag(flags)
	files, err := parse(flags, args, 1, stdout, stderr)
	if err != nil {
		return parseStatus(err)
	}
	r, code, err := load(config.Loader{ConfigID: *id}, holdfast.Translator{}, files[0])
	if err != nil {
		printErrors(stderr, r.diags)
		fmt.Fprintln(stderr, "director:", err)
		return code
	}
	if r.cfg.Accepted > 0 {
		fmt.Fprintf(stderr, "director: of %d statements %d have no effect here: director check -v %s\n", r.cfg.Effective+r.cfg.Accepted, r.cfg.Accepted, files[0])
	}
	if *status == "" && *control == "" {
		fmt.Fprint(stdout, paintPlan(holdfast.Diff(holdfast.Spec{}, r.spec).String(), inColor(stdout)))
		return exitOK
	}
	if err := askPlan(*status, *control, files[0], stdout); err != nil {
		fmt.Fprintln(stderr, "director:", err)
		return exitFailed
	}
	return exitOK
}

func printErrors(w io.Writer, diags config.Diagnostics) {
	for _, d := range diags {
		if d.Severity == config.Error {
			fmt.Fprintln(w, d)
		}
	}
}

// askPlan has a running director compare the file with what it holds: over its socket, or the address of its status.
func askPlan(status, socket, file string, stdout io.Writer) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	host, client, hint := status, &http.Client{}, "--status "+status
	if socket != "" {
		host, client, hint = "director", &newClient(socket).http, "--control "+socket
	}
	client.Timeout = planTime
	name, err := filepath.Abs(file) // what it includes is found from there
	if err != nil {
		return err
	}
	answer, err := client.Post("http://"+host+"/plan?name="+url.QueryEscape(name), "text/plain", bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%w: is a director running with %s?", err, hint)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the director of %s: %s", hint, bytes.TrimSpace(body))
	}
	_, err = io.WriteString(stdout, paintPlan(string(body), inColor(stdout)))
	return err
}

// planTime bounds the wait for a plan.
const planTime = 10 * time.Second
