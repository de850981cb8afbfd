package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast"
	"github.com/holdfast-lb/holdfast/observe"
)

// usualControl is where the unit file has the socket.
const usualControl = "/run/holdfast/control.sock"

// client talks to a running director.
type client struct {
	http   http.Client
	socket string
}

// controlFlag adds the flag that says which director is meant.
func controlFlag(flags *flag.FlagSet) *string {
	return flags.String("control", cmp.Or(os.Getenv("HOLDFAST_CONTROL"), usualControl), "")
}

func newClient(socket string) *client {
	c := &client{socket: socket}
	c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	return c
}

// do sends a request and returns the body of a good answer.
func (c *client) do(ctx context.Context, method, path string, body any) (io.ReadCloser, error) {
	var text io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		text = bytes.NewReader(encoded)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://director"+path, text)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(r)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("%s: you may not control this director: %w", c.socket, os.ErrPermission)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: is a director running with --control %s?", err, c.socket)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(response.Body, maxRequest))
	var a answer
	if json.Unmarshal(said, &a) != nil || a.Error == "" {
		a.Error = response.Status + ": " + string(bytes.TrimSpace(said))
	}
	return nil, errors.New(strings.TrimPrefix(a.Error, "holdfast: "))
}

func (c *client) status(ctx context.Context) (s holdfast.Status, err error) {
	body, err := c.do(ctx, "GET", "/status", nil)
	if err != nil {
		return s, err
	}
	defer body.Close()
	return s, json.NewDecoder(body).Decode(&s)
}

// command runs a command of the client and says what went wrong.
func (c *client) command(stderr io.Writer, do func(context.Context) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := do(ctx)
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	if err != nil {
		fmt.Fprintln(stderr, "director:", err)
		return exitFailed
	}
	return exitOK
}

func statusCommand(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("status", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "")
	control := controlFlag(flags)
	if _, err := parse(flags, args, 0, stdout, stderr); err != nil {
		return parseStatus(err)
	}
	c := newClient(*control)
	return c.command(stderr, func(ctx context.Context) error {
		if !*asJSON {
			s, err := c.status(ctx)
			if err != nil {
				return err
			}
			return observe.WriteText(stdout, s, inColor(stdout))
		}
		body, err := c.do(ctx, "GET", "/status", nil)
		if err != nil {
			return err
		}
		defer body.Close()
		_, err = io.Copy(stdout, body)
		return err
	})
}

// verbCommand is a command that changes something. parse makes a request of the operands.
func verbCommand(name string, args []string, stdout, stderr io.Writer, operands int, noWait bool, parseOperands func(*client, context.Context, []string) (verb, error)) int {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	control := controlFlag(flags)
	detach := false
	if noWait {
		flags.BoolVar(&detach, "no-wait", false, "")
	}
	words, err := parse(flags, args, operands, stdout, stderr)
	if err != nil {
		return parseStatus(err)
	}
	c := newClient(*control)
	return c.command(stderr, func(ctx context.Context) error {
		v, err := parseOperands(c, ctx, words)
		if errors.Is(err, errAmount) {
			return misused(name, stderr, err)
		}
		if err != nil {
			return err
		}
		v.Wait = noWait && !detach
		body, err := c.do(ctx, "POST", "/"+name, v)
		if err != nil {
			return err
		}
		return body.Close()
	})
}

func drainCommand(args []string, stdout, stderr io.Writer) int {
	return verbCommand("drain", args, stdout, stderr, 2, true, serverOperands)
}

func reloadCommand(args []string, stdout, stderr io.Writer) int {
	return verbCommand("reload", args, stdout, stderr, 0, false, func(*client, context.Context, []string) (verb, error) { return verb{}, nil })
}

func failoverCommand(args []string, stdout, stderr io.Writer) int {
	return verbCommand("failover", args, stdout, stderr, 1, false, func(_ *client, _ context.Context, words []string) (verb, error) {
		return verb{Instance: words[0]}, nil
	})
}

// maxWeight is the kernel's.
const maxWeight = 65535

// errAmount marks what is no amount.
var errAmount = errors.New("bad amount")

// amount reads N|reset, which is nil.
func amount(word string, low, high int) (*int, error) {
	if word == "reset" {
		return nil, nil
	}
	n, err := strconv.Atoi(word)
	if err != nil || n < low || n > high {
		return nil, fmt.Errorf("%w %q: %d to %d is wanted, or reset, which gives back what the file says", errAmount, word, low, high)
	}
	return &n, nil
}

func weightCommand(args []string, stdout, stderr io.Writer) int {
	return verbCommand("weight", args, stdout, stderr, 3, false, func(c *client, ctx context.Context, words []string) (verb, error) {
		n, err := amount(words[2], 0, maxWeight)
		if err != nil {
			return verb{}, err
		}
		v, err := serverOperands(c, ctx, words[:2])
		v.Weight = n
		return v, err
	})
}

func priorityCommand(args []string, stdout, stderr io.Writer) int {
	return verbCommand("priority", args, stdout, stderr, 2, false, func(_ *client, _ context.Context, words []string) (v verb, err error) {
		v.Instance = words[0]
		n, err := amount(words[1], 1, 254)
		if n != nil {
			p := uint8(*n)
			v.Priority = &p
		}
		return v, err
	})
}

// maintenanceCommand is for an instance, or for a server of a service.
func maintenanceCommand(args []string, stdout, stderr io.Writer) int {
	operands := 2
	if words := withoutFlags(args); len(words) == 3 {
		operands = 3
	}
	return verbCommand("maintenance", args, stdout, stderr, operands, false, func(c *client, ctx context.Context, words []string) (v verb, err error) {
		on := words[0] == "on"
		if !on && words[0] != "off" {
			return v, fmt.Errorf("maintenance %s: on or off is wanted", words[0])
		}
		if len(words) == 2 {
			return verb{Instance: words[1], On: &on}, nil
		}
		v, err = serverOperands(c, ctx, words[1:])
		v.On = &on
		return v, err
	})
}

// withoutFlags leaves out --control and its value.
func withoutFlags(args []string) (words []string) {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--control" || args[i] == "-control":
			i++
		case !strings.HasPrefix(args[i], "-"):
			words = append(words, args[i])
		}
	}
	return words
}

// serverOperands finds the server that people mean by "192.0.2.10:80 192.0.2.11": names may lack what is clear without.
func serverOperands(c *client, ctx context.Context, words []string) (verb, error) {
	s, err := c.status(ctx)
	if err != nil {
		return verb{}, err
	}
	return findServer(s, words[0], words[1])
}

func findServer(s holdfast.Status, service, server string) (v verb, err error) {
	var found []verb
	services := 0
	for _, one := range s.Services {
		if !means(one.Service, service) {
			continue
		}
		services++
		for _, r := range one.Servers {
			if r.Server == server || strings.HasPrefix(r.Server, server+":") || strings.HasPrefix(r.Server, "["+server+"]:") {
				found = append(found, verb{Service: one.Service, Server: r.Server})
			}
		}
	}
	switch {
	case services == 0:
		return v, fmt.Errorf("there is no service %s: director status lists them", service)
	case len(found) == 0:
		return v, fmt.Errorf("service %s has no server %s: director status lists them", service, server)
	case len(found) > 1:
		return v, fmt.Errorf("%s %s may be %s of %s or %s of %s: say more", service, server, found[0].Server, found[0].Service, found[1].Server, found[1].Service)
	}
	return found[0], nil
}

// means says whether a person may call the service so: by its name, or by its address without the protocol.
func means(name, said string) bool {
	_, address, cut := strings.Cut(name, " ")
	return strings.EqualFold(name, said) || cut && address == said || strings.EqualFold(strings.Replace(name, " ", "/", 1), said)
}

func eventsCommand(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("events", flag.ContinueOnError)
	follow := flags.Bool("follow", false, "")
	flags.BoolVar(follow, "F", false, "")
	asJSON := flags.Bool("json", false, "")
	control := controlFlag(flags)
	if _, err := parse(flags, args, 0, stdout, stderr); err != nil {
		return parseStatus(err)
	}
	c := newClient(*control)
	return c.command(stderr, func(ctx context.Context) error {
		path := "/events?follow=0"
		if *follow {
			path = "/events"
		}
		body, err := c.do(ctx, "GET", path, nil)
		if err != nil {
			return err
		}
		defer body.Close()
		err = printEvents(stdout, body, *asJSON)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil && *follow {
			err = errors.New("the director has left")
		}
		return err
	})
}

// printEvents writes a line for each server-sent event, at once.
func printEvents(w io.Writer, stream io.Reader, asJSON bool) error {
	color := inColor(w)
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, isEvent := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !isEvent {
			continue
		}
		if asJSON {
			fmt.Fprintf(w, "%s\n", data)
		} else {
			var e holdfast.Event
			if err := json.Unmarshal(data, &e); err != nil {
				return err
			}
			fmt.Fprint(w, eventLine(e, color))
		}
		if f, ok := w.(interface{ Flush() error }); ok {
			if err := f.Flush(); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

func eventLine(e holdfast.Event, color bool) string {
	var b strings.Builder
	if e.Missed > 0 {
		fmt.Fprintf(&b, "... %d events were lost: read faster\n", e.Missed)
	}
	fmt.Fprintf(&b, "%s  %-8s  %s", e.Time.Local().Format("2006-01-02 15:04:05.000"), e.Kind, printable(e.Object))
	if e.To != "" && e.To != e.From {
		fmt.Fprintf(&b, "  %s -> %s", cmp.Or(e.From, "..."), paintState(e.To, color))
	}
	if e.Reason != "" {
		fmt.Fprintf(&b, "  %s", printable(e.Reason))
	}
	switch {
	case e.Took > 0 && e.Kind == holdfast.EventReload:
		fmt.Fprintf(&b, "  (in %v)", e.Took.Round(time.Microsecond))
	case e.Took > 0:
		fmt.Fprintf(&b, "  (after %v)", e.Took.Round(time.Millisecond))
	}
	return b.String() + "\n"
}
