// Command director runs a keepalived.conf: it holds the virtual IPs, keeps the kernel's load balancer and throws sick
// servers out. Other commands read such files, and talk to a running director. It takes keepalived's own flags too, so that
// it drops into the place of keepalived in a unit file.
//
// Exit status: 0 done, 1 the file has errors or the work failed, 2 usage or unreadable file.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/holdfast-lb/holdfast/config"
)

const usage = `usage:
  director run -f FILE [-i ID] [--status ADDR] [--control SOCKET] [--ipvs auto|kernel|relay|none] [--log-format text|json] [--pid FILE] [--replace] [--keep] [--beside] [-v]
        runs FILE in the foreground. SIGHUP reads it again; SIGTERM leaves cleanly; SIGUSR1, SIGUSR2 and SIGRTMIN+2 write
        state, statistics and JSON as keepalived does
        --replace takes the place of the director that runs FILE: instances stay MASTER, addresses, table entries and what checks
        found stay; --keep leaves all that in place at the end, for a director that is started soon after. SIGQUIT does so once
        --status ADDR serves what is in force over HTTP: / is a live page for browsers and text for others, /status is JSON,
        /metrics is for Prometheus, /events tells what happens, /plan is for director plan
        --control SOCKET serves the same and the verbs below to those who may open the socket
        --ipvs auto takes the kernel's table if there is one, else the relay, which passes connections on in user space; kernel
        and relay insist; none runs the checks and balances nothing
        --beside runs the checks and nothing else, beside a keepalived that serves FILE: no address, no table, no script of
        notifications, no mail; --status shows what the checks find
  director -f FILE [-n] [-l] [-D] [-P] [-C] [-t] [-d] [-i ID] [-p PIDFILE] ...
        the same with keepalived's flags; --signum=NAME tells a signal's number

  director check [--json] [-v] [-i ID] FILE ...
        says what is wrong with each FILE and what brings services down; exit 1 on errors. -v lists what has no effect here;
        - is standard input
  director plan [--control SOCKET | --status ADDR] [-i ID] FILE
        prints what FILE asks for, or what would change in the director that has that socket or serves its status at ADDR. Over
        --status a FILE that includes others, or names keys or certificates, is refused: anybody may ask there
  director fmt [-w | --check] FILE ...
        prints each FILE in its canonical layout, or with -w writes it; - is standard input
        --check (-d) names those that are not in it, and exits 1 if there are any
  director explain [--json] [BLOCK/KEYWORD | lint/CODE]
        tells what a keyword means and whether it is effective here, or what a remark of check is about

  director status [--json]                      what a running director holds
  director events [--follow] [--json]           what happened in it, and what happens
  director drain SERVICE SERVER [--no-wait]     no new connections; done when the last one has ended
  director maintenance on|off SERVICE SERVER    out of the table at once, whatever its checks say
  director maintenance on|off INSTANCE          out of the election
  director weight SERVICE SERVER N|reset        what it weighs, whatever the file says
        N is 0 to 65535; reset gives back what the file says
  director priority INSTANCE N|reset            what it weighs in the election, whatever the file says
        N is 1 to 254; reset gives back what the file says
  director failover INSTANCE                    a MASTER hands over to a peer
  director reload                               as SIGHUP does, and tells how it went
  all of these take --control SOCKET; the default is $HOLDFAST_CONTROL, else /run/holdfast/control.sock
-i ID (--config-id) is what @ID lines are compared with; the default is the host's name up to its first dot
`

const seeHelp = "director help tells what there is\n"

// Exit statuses.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	buffer := bufio.NewWriter(os.Stdout)
	out := &terminalWriter{buffer, isTerminal(os.Stdout), buffer.Flush}
	status := command(os.Args[1:], out, os.Stderr)
	if err := out.Flush(); err != nil && status == exitOK {
		status = exitFailed
	}
	os.Exit(status)
}

func command(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	if args[0] == "-h" || args[0] == "-help" || args[0] == "--help" {
		args = []string{"help"}
	}
	if strings.HasPrefix(args[0], "-") {
		return keepalivedCommand(args, stdout, stderr)
	}
	switch args[0] {
	case "run":
		return runCommand(args[1:], stdout, stderr)
	case "check":
		return checkCommand(args[1:], stdout, stderr)
	case "plan":
		return planCommand(args[1:], stdout, stderr)
	case "fmt":
		return fmtCommand(args[1:], stdout, stderr)
	case "explain":
		return explainCommand(args[1:], stdout, stderr)
	case "status":
		return statusCommand(args[1:], stdout, stderr)
	case "events":
		return eventsCommand(args[1:], stdout, stderr)
	case "drain":
		return drainCommand(args[1:], stdout, stderr)
	case "maintenance":
		return maintenanceCommand(args[1:], stdout, stderr)
	case "weight":
		return weightCommand(args[1:], stdout, stderr)
	case "priority":
		return priorityCommand(args[1:], stdout, stderr)
	case "failover":
		return failoverCommand(args[1:], stdout, stderr)
	case "reload":
		return reloadCommand(args[1:], stdout, stderr)
	case "help":
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	if meant := config.Nearest(args[0], commands); meant != "" {
		fmt.Fprintf(stderr, "director: unknown command %q; did you mean %s?\n%s", args[0], meant, seeHelp)
		return exitUsage
	}
	fmt.Fprintf(stderr, "director: unknown command %q\n%s", args[0], usage)
	return exitUsage
}

// errUsage has been told already.
var errUsage = errors.New("usage")

// parseSome reads flags that stand before, between or after the operands. A negative number is an operand.
func parseSome(flags *flag.FlagSet, args []string, stdout, stderr io.Writer) (operands []string, err error) {
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	for len(args) > 0 {
		if _, err := strconv.Atoi(args[0]); err == nil {
			operands, args = append(operands, args[0]), args[1:]
			continue
		}
		switch err := flags.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			fmt.Fprint(stdout, usageOf(flags.Name()))
			return nil, err
		case err != nil:
			return nil, misused(flags.Name(), stderr, err)
		}
		if args = flags.Args(); len(args) > 0 {
			operands, args = append(operands, args[0]), args[1:]
		}
	}
	return operands, nil
}

// parse is parseSome for a command that wants so many operands.
func parse(flags *flag.FlagSet, args []string, count int, stdout, stderr io.Writer) ([]string, error) {
	operands, err := parseSome(flags, args, stdout, stderr)
	if err == nil && len(operands) != count {
		err = misused(flags.Name(), stderr, fmt.Errorf("%s, wanted %d", found(operands), count))
	}
	return operands, err
}

// parseFiles is parseSome for a command that wants at least one file.
func parseFiles(flags *flag.FlagSet, args []string, stdout, stderr io.Writer) ([]string, error) {
	files, err := parseSome(flags, args, stdout, stderr)
	if err == nil && len(files) == 0 {
		err = misused(flags.Name(), stderr, errors.New("no file"))
	}
	return files, err
}

// found says what the operands are.
func found(operands []string) string {
	if len(operands) == 0 {
		return "no operands"
	}
	return fmt.Sprintf("%s (%s)", counted(len(operands), "operand"), strings.Join(operands, " "))
}

// parseStatus is how a command ends that could not go on after its arguments: help is no mistake.
func parseStatus(err error) int {
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	return exitUsage
}

// misused tells what is wrong with a command's arguments, and how the command is called.
func misused(name string, stderr io.Writer, err error) error {
	fmt.Fprintf(stderr, "director %s: %v\n%s%s", name, err, usageOf(name), seeHelp)
	return errUsage
}

// usageOf are the lines of usage that speak of a command.
func usageOf(name string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(usage) {
		switch {
		case strings.HasPrefix(line, "  director "+name+" "), strings.HasPrefix(line, "  director "+name+"\n"):
			inside = true
		case !strings.HasPrefix(line, "        "):
			inside = false
		}
		if inside {
			b.WriteString(line)
		}
	}
	return b.String()
}

// commands are those that there are.
var commands = []string{"run", "check", "plan", "fmt", "explain", "status", "events", "drain", "maintenance", "weight", "priority", "failover", "reload", "help"}
